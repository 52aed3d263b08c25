"""Input objects, built by what is known of their types once and for all.

Strawberry asks anew of every value of a bulk call what its type is; 500 orders hold up the event loop for that.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING
from functools import cache
from typing import Any

import strawberry
from strawberry.schema.name_converter import NameConverter
from strawberry.types.base import StrawberryList, StrawberryObjectDefinition, StrawberryOptional, get_object_definition
from strawberry.types.lazy_type import LazyType

Build = Callable[[Any], Any]

_name_of = NameConverter().from_field


def build_inputs_fast(schema: strawberry.Schema) -> None:
    """Let the schema's input types build themselves."""
    for concrete in schema.schema_converter.type_map.values():
        definition = concrete.definition
        if isinstance(definition, StrawberryObjectDefinition) and definition.is_input:
            definition.from_input = lambda type_, value, context: _builder(type_)(value)


def converter(type_: Any) -> Build | None:
    """How a coerced value that is not null becomes the Python value; None: it is that already."""
    if isinstance(type_, StrawberryOptional):
        return converter(type_.of_type)
    if isinstance(type_, LazyType):
        return converter(type_.resolve_type())
    if isinstance(type_, StrawberryList):
        inner = converter(type_.of_type)
        if inner is None:
            return list
        return lambda values: [None if one is None else inner(one) for one in values]
    return _builder(type_) if get_object_definition(type_) else None


@cache
def _builder(type_: type) -> Build:
    """What makes a `type_` of a coerced mapping."""
    definition = get_object_definition(type_, strict=True)
    fields = [
        (_name_of(field), field.python_name, converter(field.resolve_type(type_definition=definition)))
        for field in definition.fields
    ]

    # A required field is there, or coercion would have refused it; of the others, those without a default are null.
    null = {f.python_name: None for f in definition.fields if f.default_value is MISSING and f.default_factory is MISSING}

    def build(value: Mapping[str, Any]) -> Any:
        given = null.copy()
        for name, own, convert in fields:
            if name in value:
                given[own] = converted(value[name], convert)
        return type_(**given)

    return build


def converted(value: Any, convert: Build | None) -> Any:
    """What `convert`, of `converter`, makes of a coerced value."""
    return convert(value) if convert and value is not None and value is not strawberry.UNSET else value
