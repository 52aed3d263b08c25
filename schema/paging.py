"""Relay connections over keyset pages."""

from typing import Annotated, Any, Generic, TypeVar

import strawberry

from models.pages import Page, Window
from schema.context import Context
from schema.edges import attribute, edge, loaded

T = TypeVar("T")

First = Annotated[int | None, strawberry.argument(description="How many from the beginning (or after `after`), 1 to 100; 20 when neither `first` nor `last` is given.")]
After = Annotated[str | None, strawberry.argument(description="A cursor of this list: begin behind it.")]
Last = Annotated[int | None, strawberry.argument(description="How many from the end (or before `before`), 1 to 100; not together with `first`.")]
Before = Annotated[str | None, strawberry.argument(description="A cursor of this list: end in front of it.")]


async def _counts(pages: list[Page], context: Context) -> list[int]:
    return [await page.count() for page in pages]


@strawberry.type(description="Where a page stands in its list.")
class PageInfo:
    has_next_page: bool = attribute("Whether rows follow this page; going backwards, whether `before` was given.")
    has_previous_page: bool = attribute("Whether rows stand before this page; going forwards, whether `after` was given.")
    start_cursor: str | None = attribute("The first row's cursor; null on an empty page.")
    end_cursor: str | None = attribute("The last row's cursor; null on an empty page.")


@strawberry.type(description="A row of a list with its place in it.")
class Edge(Generic[T]):
    cursor: str = attribute("Good for `after` and `before` of the same list, for as long as it exists.")
    node: T | None = attribute("The row itself.")


@strawberry.type(description="A page of a list.")
class Connection(Generic[T]):
    edges: list[Edge[T]] = loaded("edges", description="The rows of the page, in the list's order.", size=1)
    page_info: PageInfo = loaded("page_info", description="Where the page stands.")
    total_count: int | None = edge(_counts, description="How many rows the whole list has; counted only when asked for.")


def window(first: Any, after: Any, last: Any, before: Any) -> Window:
    """The page a client asked for."""
    return Window(first, after, last, before)
