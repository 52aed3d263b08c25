"""Input objects that build themselves are those that Strawberry builds."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from graphql import (
    GraphQLInputObjectType,
    GraphQLNonNull,
    is_input_object_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)
from strawberry.types.arguments import convert_argument

from schema.root import build_schema

SCHEMA = build_schema(demo=True)
INPUTS = sorted(name for name, type_ in SCHEMA._schema.type_map.items() if is_input_object_type(type_))
LEAVES = {"DateTime": datetime(2026, 1, 2, tzinfo=UTC), "Decimal": Decimal("3.90"), "Int": 3, "Boolean": False}


def coerced(type_: Any, how: str) -> Any:
    """A value as graphql-core coerces it: whole, with what may be null as null, or with what has no need left out."""
    if is_non_null_type(type_):
        return coerced(type_.of_type, how)
    if is_list_type(type_):
        return [coerced(type_.of_type, how), coerced(type_.of_type, "whole")]
    if is_leaf_type(type_):
        return LEAVES.get(type_.name, next(iter(getattr(type_, "values", {"text": None}))))
    assert isinstance(type_, GraphQLInputObjectType)
    value = {}
    for name, field in type_.fields.items():
        optional = not isinstance(field.type, GraphQLNonNull)
        if optional and how == "null":
            value[name] = None
        elif not optional or how == "whole":
            value[name] = coerced(field.type, how)
    return value


@pytest.mark.parametrize("how", ["whole", "null", "left out"])
@pytest.mark.parametrize("name", INPUTS)
def test_an_input_is_built_as_strawberry_builds_it(name: str, how: str, monkeypatch: pytest.MonkeyPatch):
    definitions = {name: SCHEMA.schema_converter.type_map[name].definition for name in INPUTS}
    given = coerced(SCHEMA._schema.type_map[name], how)

    def built() -> Any:
        return convert_argument(given, definitions[name].origin, SCHEMA.schema_converter.scalar_registry, SCHEMA.config)

    fast = built()
    for definition in definitions.values():
        assert definition.from_input is not None
        monkeypatch.setattr(definition, "from_input", None)
    assert fast == built()
    assert type(fast) is definitions[name].origin
