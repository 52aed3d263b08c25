"""The contract's schema, built from its text alone: for what needs no resolvers."""

import re
from pathlib import Path

from graphql import GraphQLSchema, build_schema

from wire.costs import DEFAULT_LIST

CORE = Path(__file__).parent.parent / "schema" / "core.graphql"
SIZES = {"shipments": 2, "events": 10}


def contract() -> GraphQLSchema:
    """The schema of core.graphql, with the connections and inputs that it does not spell out."""
    text = CORE.read_text(encoding="utf-8")
    for name in sorted(set(re.findall(r"\b(\w+)Connection\b", text)) - {"X"}):
        text += (
            f"\ntype {name}Connection {{ edges: [{name}Edge!]! pageInfo: PageInfo! totalCount: Int }}"
            f"\ntype {name}Edge {{ cursor: String! node: {name} }}"
        )
    for name in sorted(set(re.findall(r"input: (\w+)!", text))):
        if f"input {name} " not in text:
            text += f"\ninput {name} {{ rows: [SomeRow!]! }}"
    text += "\ninput SomeRow { externalId: String! name: String }"
    schema = build_schema(text)
    for type_name, of in schema.type_map.items():
        for name, field in getattr(of, "fields", {}).items():
            if not type_name.startswith("__") and str(field.type).startswith("["):
                field.extensions = {"list_size": SIZES.get(name, DEFAULT_LIST)}
    return schema
