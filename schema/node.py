"""Objects with an id of their own: node(id), and which row is which type."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import strawberry
from tortoise.models import Model

from models.reads import is_row_of
from schema.context import Context

T = TypeVar("T", bound=type)
Find = Callable[[Context, int], Awaitable[Any]]

FINDERS: dict[str, Find] = {}


@strawberry.interface(description="An object with an id that is unique in the whole graph.")
class Node:
    id: strawberry.ID = strawberry.field(description="Opaque; good for node(id).")


def reads_rows_of(model: type[Model], find: Find) -> Callable[[T], T]:
    """Declare that a type reads rows of `model`, and how node(id) finds one that the viewer may see.

    `find(context, id)` gives the row or raises NotFound.
    """

    def declare(cls: T) -> T:
        def is_type_of(value: Any, info: Any) -> bool:
            return is_row_of(value, model)

        cls.is_type_of = staticmethod(is_type_of)  # type: ignore[attr-defined]
        FINDERS[cls.__name__] = find
        return cls

    return declare
