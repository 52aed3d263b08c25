"""Fields that are nothing but attributes of a row."""

from typing import Any

import strawberry

LIST_SIZE = "list_size"


def attribute(description: str, *, name: str | None = None) -> Any:
    """A field that is the row's attribute of the same name."""
    return strawberry.field(description=description, name=name)


def listed(description: str, *, size: int) -> Any:
    """An attribute that is a list, counted for `size` entries in the cost of a document."""
    return strawberry.field(description=description, metadata={LIST_SIZE: size})
