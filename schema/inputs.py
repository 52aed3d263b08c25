"""Input objects, built by what is known of their types once and for all.

Strawberry asks anew of every value of a bulk call what its type is; 500 orders hold up the event loop for that.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING
from functools import cache
from typing import Any

import strawberry
from strawberry.types.base import StrawberryList, StrawberryObjectDefinition, StrawberryOptional, get_object_definition
from strawberry.types.lazy_type import LazyType

Build = Callable[[Any], Any]


def build_inputs_fast(schema: strawberry.Schema) -> None:
    """Let the schema's input types build themselves."""
    name_of = schema.config.name_converter.from_field
    for concrete in schema.schema_converter.type_map.values():
        definition = concrete.definition
        if isinstance(definition, StrawberryObjectDefinition) and definition.is_input:
            definition.from_input = lambda type_, value, context: _builder(type_, name_of)(value)


@cache
def _builder(type_: type, name_of: Callable[[Any], str]) -> Build:
    """What makes a `type_` of a coerced mapping."""
    definition = get_object_definition(type_, strict=True)
    fields = [
        (name_of(field), field.python_name, _converter(field.resolve_type(type_definition=definition), name_of))
        for field in definition.fields
    ]

    # A required field is there, or coercion would have refused it; of the others, those without a default are null.
    null = {f.python_name: None for f in definition.fields if f.default_value is MISSING and f.default_factory is MISSING}

    def build(value: Mapping[str, Any]) -> Any:
        given = null.copy()
        for name, own, convert in fields:
            if name in value:
                one = value[name]
                given[own] = convert(one) if convert and one is not None and one is not strawberry.UNSET else one
        return type_(**given)

    return build


def _converter(type_: Any, name_of: Callable[[Any], str]) -> Build | None:
    """How a coerced value that is not null becomes the Python value; None: it is that already."""
    if isinstance(type_, StrawberryOptional):
        return _converter(type_.of_type, name_of)
    if isinstance(type_, LazyType):
        return _converter(type_.resolve_type(), name_of)
    if isinstance(type_, StrawberryList):
        inner = _converter(type_.of_type, name_of)
        if inner is None:
            return list
        return lambda values: [None if one is None else inner(one) for one in values]
    return _builder(type_, name_of) if get_object_definition(type_) else None
