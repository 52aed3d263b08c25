"""Requests as nobody would write them: valid documents of a schema with odd values, and any request bent at random."""

import json
from random import Random
from typing import Any

from graphql import (
    GraphQLInputType,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    is_enum_type,
    is_input_object_type,
    is_interface_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_required_argument,
    is_required_input_field,
    is_union_type,
)

TEXTS = ["", "a", " ", "é", "😀", "a\nb", "a\x00b", "\x1b[0m", "'; DROP TABLE account; --", "%_\\", "x" * 300, "4111 1111 1111 1111", "-5", "1e9", "NaN", "\u202e", "RUB", "ru", "en"]
NUMBERS = [0, 1, -1, 2, 7, 100, 101, 2**31 - 1, -(2**31)]
BY_NAME = {
    "Int": NUMBERS,
    "Float": [0.0, -1.5, 1e300],
    "Boolean": [True, False],
    "DateTime": ["2026-05-01T00:00:00Z", "2026-05-01", "2026-02-30T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59+14:00", "", "x"],
    "Decimal": ["1.00", "0", "-1", "1e5", "NaN", "0.001", "9" * 30, "", "1,5"],
}
BENDS = ["{", "}", "(", ")", '"', "\\", '"""', "...", "$a", ":", "!", "@skip(if: true)", "\x00", "null", "1e999", "#", "\\ud800", "é", "😀", "="]


class RandomRequests:
    """`ids` are ids that exist; they are mixed with ids that do not."""

    def __init__(self, schema: GraphQLSchema, seed: int, ids: list[str]):
        self.schema, self.random = schema, Random(seed)
        self.ids = [*ids, "", "x", "UHJvZHVjdDo5OTk5OTk=", "QWNjb3VudDo5OTk5OTk5OTk5OTk5OTk5OTk5OTk=", "=" * 9, "é"]

    def document(self, root: GraphQLObjectType, most_roots: int = 2) -> str:
        """A valid operation on `root`, but for its values."""
        names = self.random.sample(sorted(root.fields), min(most_roots, len(root.fields)))
        kind = {self.schema.mutation_type: "mutation", self.schema.subscription_type: "subscription"}.get(root, "query")
        return f"{kind} {{ {' '.join(self._field(root, name, 0) for name in names)} }}"

    def bent(self, text: str) -> str:
        """`text` with a few places broken."""
        for _ in range(self.random.randrange(1, 4)):
            place = self.random.randrange(len(text) + 1)
            text = text[:place] + self.random.choice(["", *BENDS]) + text[place + self.random.randrange(4) :]
        return text

    def variables(self) -> Any:
        return self.random.choice([{}, None, [], "x", {"a": 1}, {"input": {}}, {"input": [[[]]]}, {"a": "x" * 11_000}, {"a": [1] * 101}])

    def _field(self, parent: Any, name: str, depth: int) -> str:
        definition = parent.fields[name]
        given = [
            f"{argument}: {self._literal(of.type)}"
            for argument, of in definition.args.items()
            if is_required_argument(of) or self.random.random() < 0.4
        ]
        arguments = f"({', '.join(given)})" if given else ""
        target = get_named_type(definition.type)
        if is_leaf_type(target):
            return name + arguments
        return f"{name}{arguments} {{ {self._selections(target, depth + 1)} }}"

    def _selections(self, target: Any, depth: int) -> str:
        if is_union_type(target):
            return "__typename " + " ".join(
                f"... on {of.name} {{ {self._selections(of, depth)} }}" for of in target.types if self.random.random() < 0.5
            )
        leaves = [name for name, of in target.fields.items() if is_leaf_type(get_named_type(of.type))]
        deeper = [name for name in target.fields if name not in leaves]
        names = [name for name in leaves if self.random.random() < 0.6]
        if depth < 6:
            names += [name for name in deeper if self.random.random() < 0.4]
        extra = "... on Product { title } " if is_interface_type(target) and target.name == "Node" else ""
        return f"__typename {extra}" + " ".join(self._field(target, name, depth) for name in names)

    def _literal(self, of: GraphQLInputType, depth: int = 0) -> str:
        random = self.random
        if is_non_null_type(of):
            return self._literal(of.of_type, depth)
        if is_list_type(of):
            return f"[{', '.join(self._literal(of.of_type, depth + 1) for _ in range(random.choice([0, 1, 1, 2, 3])))}]"
        if is_enum_type(of):
            return random.choice(sorted(of.values))
        if is_input_object_type(of):
            fields = [
                f"{name}: {self._literal(field.type, depth + 1)}"
                for name, field in of.fields.items()
                if is_required_input_field(field) or random.random() < 0.5
            ]
            return f"{{{', '.join(fields)}}}"
        values = self.ids if of.name == "ID" else BY_NAME.get(of.name, TEXTS)
        return json.dumps(random.choice(values), ensure_ascii=False).replace("\x00", "\\u0000")
