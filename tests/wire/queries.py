"""Queries for comparing the two ways of execution: generated ones, dressed up, and one for each field of the schema.

hypothesis-graphql generates selections and arguments; it knows neither real ids and cursors nor aliases, fragments,
variables, @include and @skip: those are added here, by a seeded random.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import Any

from graphql import (
    ArgumentNode,
    BooleanValueNode,
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLInputType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    NamedTypeNode,
    NameNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    ValueNode,
    VariableDefinitionNode,
    VariableNode,
    build_schema,
    get_named_type,
    is_abstract_type,
    is_leaf_type,
    is_non_null_type,
    is_required_argument,
    parse_type,
    parse_value,
    print_ast,
    print_schema,
    value_from_ast_untyped,
)
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis_graphql import nodes, queries


@dataclass
class Known:
    """What of a filled shop may stand in a query: ids, cursors by the field they are of, texts to search for."""

    ids: dict[str, list[str]] = field(default_factory=dict)
    cursors: dict[str, list[str]] = field(default_factory=dict)
    searches: dict[str, list[str]] = field(default_factory=dict)


@dataclass
class Query:
    """A document that is valid, with its variables."""

    text: str
    variables: dict[str, Any]


def generated(schema: GraphQLSchema, known: Known, count: int, number: int) -> list[Query]:
    """`count` queries, the same for the same `number`."""
    dresser = Dresser(schema, known, Random(number))
    return [dresser.dressed(document) for document in bare(print_schema(schema), count, number)]


@cache
def bare(sdl: str, count: int, number: int) -> list[DocumentNode]:
    """`count` different documents as they are generated. Few have `node`: with an interface in it, a query
    as a whole has no plan."""
    found: dict[str, DocumentNode] = {}
    schema = build_schema(sdl)
    assert schema.query_type is not None
    fields = [name for name, definition in schema.query_type.fields.items() if not is_abstract_type(get_named_type(definition.type))]
    anything = queries(schema, custom_scalars=SCALARS, print_ast=lambda document: document)
    concrete = queries(schema, fields=fields, custom_scalars=SCALARS, print_ast=lambda document: document)

    @settings(max_examples=count, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(range(1, 24)).flatmap(lambda n: anything if n == 23 else concrete))
    def collect(document: DocumentNode) -> None:
        found.setdefault(print_ast(document), document)

    while len(found) < count:
        seed(number)(collect)()
        number += 1
    return list(found.values())[:count]


SCALARS = {
    "DateTime": st.datetimes().map(lambda at: nodes.String(f"{at.isoformat()}Z")),
    "Decimal": st.decimals(0, 10**6, places=2).map(lambda value: nodes.String(str(value))),
}


class Dresser:
    """Makes of a bare generated document what clients write."""

    def __init__(self, schema: GraphQLSchema, known: Known, random: Random):
        self.schema, self.known, self.random = schema, known, random

    def dressed(self, document: DocumentNode) -> Query:
        self.fragments: list[FragmentDefinitionNode] = []
        self.definitions: list[VariableDefinitionNode] = []
        self.variables: dict[str, Any] = {}
        self.aliases = 0
        (operation,) = document.definitions
        assert isinstance(operation, OperationDefinitionNode) and self.schema.query_type
        selections = self._selections(self.schema.query_type, operation.selection_set)
        made = OperationDefinitionNode(
            operation=operation.operation,
            name=NameNode(value="Generated"),
            variable_definitions=tuple(self.definitions),
            directives=(),
            selection_set=selections,
        )
        return Query(print_ast(DocumentNode(definitions=(made, *self.fragments))), self.variables)

    def _chance(self, share: float) -> bool:
        return self.random.random() < share

    def _selections(self, kind: GraphQLNamedType, within: SelectionSetNode) -> SelectionSetNode:
        made: list[SelectionNode] = []
        for node in within.selections:
            if isinstance(node, InlineFragmentNode):
                named = self.schema.get_type(node.type_condition.name.value) if node.type_condition else kind
                assert named is not None
                made.append(inline(node.type_condition, self._selections(named, node.selection_set)))
                continue
            assert isinstance(node, FieldNode)
            made.append(self._field(kind, node))
            if self._chance(0.1):
                made.append(self._field(kind, node, alias=True))
        if self._chance(0.15):
            made.append(FieldNode(name=NameNode(value="__typename"), arguments=(), directives=()))
        if self._chance(0.3):
            self.random.shuffle(made)
        if self._chance(0.3):
            cut = self.random.randrange(len(made))
            made = [*made[:cut], self._fragment(kind, made[cut:])]
            if self._chance(0.2):
                made.append(made[-1])
        return SelectionSetNode(selections=tuple(self._switched(node) for node in made))

    def _fragment(self, kind: GraphQLNamedType, taken: list[SelectionNode]) -> SelectionNode:
        condition = NamedTypeNode(name=NameNode(value=kind.name))
        selections = SelectionSetNode(selections=tuple(taken))
        if self._chance(0.4):
            return inline(condition if self._chance(0.6) else None, selections)
        name = NameNode(value=f"F{len(self.fragments)}")
        self.fragments.append(
            FragmentDefinitionNode(name=name, type_condition=condition, directives=(), selection_set=selections)
        )
        return FragmentSpreadNode(name=name, directives=(), arguments=())

    def _field(self, kind: GraphQLNamedType, node: FieldNode, alias: bool = False) -> FieldNode:
        if node.name.value == "__typename":
            return node
        definition = kind.fields[node.name.value]  # type: ignore[attr-defined]
        arguments = self._arguments(node, definition.args)
        if alias or node.alias or arguments or self._chance(0.15):  # arguments may differ at another place of the document
            self.aliases += 1
            alias_node = NameNode(value=f"a{self.aliases}")
        else:
            alias_node = None
        below = get_named_type(definition.type)
        selections = self._selections(below, node.selection_set) if node.selection_set else None
        return FieldNode(alias=alias_node, name=node.name, arguments=arguments, directives=(), selection_set=selections)

    def _arguments(self, node: FieldNode, declared: dict[str, GraphQLArgument]) -> tuple[ArgumentNode, ...]:
        given_values: dict[str, ValueNode] = {a.name.value: a.value for a in node.arguments or ()}
        pages = [name for name in ("first", "last") if name in given_values]
        if len(pages) == 2 and self._chance(0.97):
            del given_values[self.random.choice(pages)]
        made = []
        for name, value in given_values.items():
            kind = declared[name].type
            if self._chance(0.97) and (usual := self._usual(node.name.value, name)) is not None:
                value = parse_value(usual) if usual else None  # type: ignore[assignment]
            if value is None or (not is_non_null_type(kind) and self._chance(0.3)):
                continue
            if self._chance(0.3):
                value = self._variable(kind, value)
            made.append(ArgumentNode(name=NameNode(value=name), value=value))
        return tuple(made)

    def _usual(self, field_name: str, argument: str) -> str | None:
        """A literal that a client may mean; "": better no such argument; None: whatever was generated."""
        match argument:
            case "first" | "last":
                return str(self.random.choice([1, 2, 3, 5, 20, 100]))
            case "days":
                return str(self.random.choice([1, 30, 400]))
            case "id":
                of = FIRST_IDS[field_name]
                if field_name == "node" or self._chance(0.05):
                    of = self.random.choice(list(self.known.ids))
                return quoted(self.random.choice(self.known.ids[of]))
            case "region":
                return quoted(self.random.choice(["RU", "GE", "nowhere"]))
            case "after" | "before":
                known = self.known.cursors.get(field_name)
                return quoted(self.random.choice(known)) if known and self._chance(0.6) else ""
            case "search":
                known = self.known.searches.get(field_name)
                return quoted(self.random.choice(known)) if known and self._chance(0.6) else ""
        return None

    def _variable(self, kind: GraphQLInputType, value: ValueNode) -> ValueNode:
        name = f"v{len(self.definitions)}"
        if not is_non_null_type(kind) and self._chance(0.1):
            default: Any = value
        else:
            default, self.variables[name] = None, value_from_ast_untyped(value)
        self._define(name, str(kind), default)
        return VariableNode(name=NameNode(value=name))

    def _define(self, name: str, kind: str, default: Any = None) -> None:
        self.definitions.append(
            VariableDefinitionNode(
                variable=VariableNode(name=NameNode(value=name)), type=parse_type(kind), default_value=default, directives=()
            )
        )

    def _switched(self, node: SelectionNode) -> SelectionNode:
        if not self._chance(0.08):
            return node
        on, name = self._chance(0.7), self.random.choice(["include", "skip"])
        value: ValueNode = BooleanValueNode(value=on is (name == "include"))
        if self._chance(0.6):
            variable = f"s{len(self.definitions)}"
            self._define(variable, "Boolean!")
            self.variables[variable] = on is (name == "include")
            value = VariableNode(name=NameNode(value=variable))
        argument = ArgumentNode(name=NameNode(value="if"), value=value)
        directive = DirectiveNode(name=NameNode(value=name), arguments=(argument,))
        kept = {key: getattr(node, key) for key in node.keys if key not in ("loc", "directives")}
        return type(node)(**kept, directives=(directive,))


def inline(condition: NamedTypeNode | None, selections: SelectionSetNode) -> InlineFragmentNode:
    return InlineFragmentNode(type_condition=condition, directives=(), selection_set=selections)


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


FIRST_IDS = {"order": "Order", "product": "Product", "node": "Coupon"}
"""Fields of Query that take an id, and whose."""

Place = tuple[str, str]
"""A type and one of its fields."""


def reachable(schema: GraphQLSchema, without: Collection[str] = ()) -> dict[Place, list[Place]]:
    """Every field that a query reaches through object types, with the shortest way to it from the root, where it may
    not begin `without` these."""
    assert schema.query_type is not None
    ways: dict[Place, list[Place]] = {}
    kinds: list[tuple[GraphQLObjectType, list[Place]]] = [(schema.query_type, [])]
    seen = {schema.query_type.name}
    for kind, way in kinds:
        for name, definition in kind.fields.items():
            if not way and name in without:
                continue
            ways[kind.name, name] = here = [*way, (kind.name, name)]
            below = get_named_type(definition.type)
            if isinstance(below, GraphQLObjectType) and below.name not in seen:
                seen.add(below.name)
                kinds.append((below, here))
    return ways


def one_for_each_field(schema: GraphQLSchema, known: Known, most_ids: int = 1) -> list[Query]:
    """A query for each field that can be reached, along the shortest way; with each value of an enum it may be given,
    and with so many ids where the way begins with one."""
    found = []
    for way in [*reachable(schema).values(), *reachable(schema, without=FIRST_IDS).values()]:
        first = way[0][1]
        ids = known.ids.get(FIRST_IDS.get(first, ""), ["RU"])[:most_ids]
        wanted = _wanted(schema, first)
        for choice in _choices(schema, *way[-1]):
            text = ""
            for n, (kind, name) in enumerate(reversed(way)):
                text = f"{name}{choice if n == 0 else ''}{text or _shallow(schema, kind, name)}"
                text = f" {{ {text} }}" if n < len(way) - 1 else text
            found += [Query(f"{{ {text.replace(first, f'{first}({wanted}: {quoted(one)})', 1)} }}" if wanted else f"{{ {text} }}", {}) for one in ids]
    return list({query.text: query for query in found}.values())


def _wanted(schema: GraphQLSchema, first: str) -> str | None:
    """The argument without which there is no answer: an id, or a region."""
    assert schema.query_type is not None
    return next((name for name, argument in schema.query_type.fields[first].args.items() if is_required_argument(argument)), None)


def _shallow(schema: GraphQLSchema, kind: str, name: str) -> str:
    """Something of what a field leads to."""
    below = get_named_type(schema.type_map[kind].fields[name].type)  # type: ignore[attr-defined]
    if is_leaf_type(below):
        return ""
    return " { totalCount edges { cursor } }" if below.name.endswith("Connection") else " { __typename }"


def _choices(schema: GraphQLSchema, kind: str, name: str) -> Sequence[str]:
    choices = [""]
    for argument, declared in schema.type_map[kind].fields[name].args.items():  # type: ignore[attr-defined]
        named = get_named_type(declared.type)
        if isinstance(named, GraphQLEnumType):
            choices += [f"({argument}: {value})" for value in named.values]
    return choices
