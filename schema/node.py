"""Objects with an id of their own: node(id), and which row is which type."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import strawberry
from tortoise.models import Model

from models.reads import is_row_of
from schema.context import Context
from schema.scalars import local_id

T = TypeVar("T", bound=type)
Find = Callable[[Context, int], Awaitable[Any]]

FINDERS: dict[str, Find] = {}


@strawberry.interface(description="An object with an id that is unique in the whole graph.")
class Node:
    id: strawberry.ID = strawberry.field(description="Opaque; good for node(id).")


def own_id(context: Context, text: str, kind: str, field: str = "id") -> int:
    """The number in a global id of something that is a buyer's: who is not signed in is told that first.

    Raises:
        Unauthenticated: nobody is signed in. NotFound: malformed or another type's.
    """
    context.viewer.require_buyer()
    return local_id(text, kind, field)


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
