"""Pages of rows by keyset: as many as asked for, from a cursor on, stable under inserts.

A cursor says what list it is of and where in it: the values of the keys of one row.
"""

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

import orjson

from models import database
from models.reads import Reads
from models.refusals import BadUserInput

DEFAULT_SIZE, LARGEST_SIZE = 20, 100


class Window(NamedTuple):
    """What of a list is wanted: `first` after a cursor, or `last` before one."""

    first: int | None = None
    after: str | None = None
    last: int | None = None
    before: str | None = None

    @property
    def size(self) -> int:
        """How many rows, 1 to 100.

        Raises:
            BadUserInput: out of bounds, or both ends at once.
        """
        if self.first is not None and self.last is not None:
            raise BadUserInput(field="last", text="FIRST_AND_LAST")
        field, size = ("last", self.last) if self.last is not None else ("first", self.first)
        if size is None:
            return DEFAULT_SIZE
        if not 1 <= size <= LARGEST_SIZE:
            raise BadUserInput(field=field, text="PAGE_SIZE", largest=LARGEST_SIZE)
        return size

    @property
    def backwards(self) -> bool:
        return self.last is not None


class Key(NamedTuple):
    """One sort key: its SQL, the type of its values, and how to find it in a row (default: the attribute)."""

    sql: str
    type: type
    value: Callable[[Any], Any] | None = None


@dataclass(frozen=True)
class Keyset:
    """The order of a list: its name, for its cursors, and its keys, the last of them unique."""

    name: str
    keys: tuple[Key, ...]
    descending: bool = True

    def sorting(self, downwards: bool) -> str:
        """The keys as ORDER BY has them."""
        way = " DESC" if downwards else " ASC"
        return ", ".join([key.sql + way for key in self.keys])

    def cursor(self, row: Any) -> str:
        """Where `row` stands in the list, as opaque text."""
        values = [key.value(row) if key.value else getattr(row, key.sql) for key in self.keys]
        return base64.urlsafe_b64encode(orjson.dumps([self.name, *values])).rstrip(b"=").decode()

    def place(self, cursor: str, field: str) -> list[Any]:
        """The values of the keys in `cursor`.

        Raises:
            BadUserInput: it is no cursor, or another list's.
        """
        try:
            padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
            name, *values = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
            if name != self.name or len(values) != len(self.keys):
                raise ValueError
            return [_typed(value, key.type) for value, key in zip(values, self.keys, strict=True)]
        except (ValueError, TypeError, OverflowError, UnicodeError, binascii.Error):
            raise BadUserInput(field=field, text="WRONG_CURSOR") from None


class Edge:
    """A row's place in a list, and what is shown there: the row itself, unless `node` is given."""

    __slots__ = ("keyset", "node", "row")

    def __init__(self, keyset: Keyset, row: Any, node: Any = None):
        self.keyset, self.row = keyset, row
        self.node = row if node is None else node

    @property
    def cursor(self) -> str:
        return self.keyset.cursor(self.row)


class PageInfo:
    """Where a page stands; cursors are made when they are asked for."""

    __slots__ = ("edges", "has_next_page", "has_previous_page")

    def __init__(self, edges: list[Edge], has_next_page: bool, has_previous_page: bool):
        self.edges, self.has_next_page, self.has_previous_page = edges, has_next_page, has_previous_page

    @property
    def start_cursor(self) -> str | None:
        return self.edges[0].cursor if self.edges else None

    @property
    def end_cursor(self) -> str | None:
        return self.edges[-1].cursor if self.edges else None


class Page:
    """Rows of a list with their cursors, there once the page is loaded; `count` reads how many the whole list has."""

    __slots__ = ("_loading", "_read", "count", "edges", "page_info")

    edges: list[Edge]
    page_info: PageInfo

    def __init__(self, read: Callable[[], Awaitable[tuple[list[Edge], PageInfo]]], count: Callable[[], Awaitable[int]]):
        self._read, self._loading, self.count = read, asyncio.Lock(), count

    async def load(self) -> "Page":
        """Read `edges` and `page_info`, unless that was done before."""
        async with self._loading:
            if not hasattr(self, "edges"):
                self.edges, self.page_info = await self._read()
        return self


async def page(
    source: Reads,
    condition: str,
    params: list[Any],
    keyset: Keyset,
    window: Window,
    edge: Callable[[Keyset, Any], Edge] = Edge,
) -> Page:
    """One page of the rows for which `condition` holds: one statement, once it is loaded. `edge` makes an edge of a row.

    Raises:
        BadUserInput: a size out of bounds, or a wrong cursor.
    """
    wanted, asked, sorting = _asked(keyset, window, params)
    bounds = _bounds(keyset, window)

    text = f"({condition}){asked} ORDER BY {sorting} LIMIT {wanted + 1}"
    return page_of(source, condition, params, keyset, window, partial(source.where, text, *params, *bounds), edge)


async def pages(source: Reads, parent: str, parents: list[int], keyset: Keyset, window: Window) -> list[Page]:
    """A page of the rows of each of `parents` (values of the column `parent`): one statement for all."""
    if len(parents) == 1:
        return [await page(source, f'"{parent}" = $1', [parents[0]], keyset, window)]
    wanted, asked, sorting = _asked(keyset, window, [None])
    each = f'"{source.table}" WHERE "{parent}" = p.value{asked} ORDER BY {sorting} LIMIT {wanted + 1}'
    # PostgreSQL would read the whole table for the second, SQLite does not know the first.
    if database.dialect() == "postgres":
        joined = f"unnest($1::bigint[]) AS p (value) CROSS JOIN LATERAL (SELECT * FROM {each}) AS t"
    else:
        joined = f'json_each($1) AS p JOIN "{source.table}" t ON t.id IN (SELECT id FROM {each})'
    order = ", ".join(f"t.{part.strip()}" for part in sorting.split(","))
    sql = f"SELECT {source.columns_of('t')} FROM {joined} ORDER BY {order}"
    found = source.decode(await database.fetch(sql, parents, *_bounds(keyset, window)))
    grouped: dict[int, list[Any]] = {}
    for row in found:
        grouped.setdefault(getattr(row, parent), []).append(row)
    found_pages = [page_of(source, f'"{parent}" = $1', [p], keyset, window, _there(grouped.get(p, []))) for p in parents]
    counts = _Counts(source, parent, parents)
    for own, found_page in zip(parents, found_pages, strict=True):
        found_page.count = partial(counts.of, own)
    return found_pages


def _there(rows: list[Any]) -> Callable[[], Awaitable[list[Any]]]:
    async def give() -> list[Any]:
        return rows

    return give


class _Counts:
    """How many rows each parent has, counted for all of them by one statement once one is asked for."""

    def __init__(self, source: Reads, parent: str, parents: list[int]):
        self.source, self.parent, self.parents = source, parent, parents
        self.known: dict[int, int] = {}

    async def of(self, own: int) -> int:
        if not self.known:
            found = await database.fetch(
                f'SELECT "{self.parent}", count(*) FROM "{self.source.table}" WHERE {database.any_of(self.parent, 1)} GROUP BY 1',
                self.parents,
            )
            self.known = dict.fromkeys(self.parents, 0) | {parent: count for parent, count in found}
        return self.known[own]


def _asked(keyset: Keyset, window: Window, params: list[Any]) -> tuple[int, str, str]:
    """How many rows, the SQL that bounds them, and their order."""
    size = window.size
    downwards = keyset.descending != window.backwards
    asked, at = "", len(params)
    for cursor, below in ((window.after, keyset.descending), (window.before, not keyset.descending)):
        if cursor is not None:
            places = ", ".join(f"${at + i + 1}" for i in range(len(keyset.keys)))
            asked += f" AND ({', '.join(key.sql for key in keyset.keys)}) {'<' if below else '>'} ({places})"
            at += len(keyset.keys)
    return size, asked, keyset.sorting(downwards)


def _bounds(keyset: Keyset, window: Window) -> list[Any]:
    after = keyset.place(window.after, "after") if window.after is not None else []
    return after + (keyset.place(window.before, "before") if window.before is not None else [])


def page_of(
    source: Reads,
    condition: str,
    params: list[Any],
    keyset: Keyset,
    window: Window,
    rows: Callable[[], Awaitable[list[Any]]],
    edge: Callable[[Keyset, Any], Edge] = Edge,
) -> Page:
    """The page that `rows` makes: the window's rows and one more if there is one, nearest to its cursor first.

    Raises:
        BadUserInput: a size out of bounds.
    """
    size = window.size

    async def read() -> tuple[list[Edge], PageInfo]:
        found = await rows()
        kept = found[:size]
        if window.backwards:
            kept.reverse()
        edges = [edge(keyset, row) for row in kept]
        more = len(found) > size
        info = PageInfo(
            edges,
            has_next_page=window.before is not None if window.backwards else more,
            has_previous_page=more if window.backwards else window.after is not None,
        )
        return edges, info

    return Page(read, partial(_count, source, condition, params))


async def _count(source: Reads, condition: str, params: list[Any]) -> int:
    found = await database.fetch(f'SELECT count(*) FROM "{source.table}" WHERE {condition}', *params)
    return int(found[0][0])


def _typed(value: Any, wanted: type) -> Any:
    if wanted is datetime:
        parsed = datetime.fromisoformat(value)
        if parsed.tzinfo is None:
            raise ValueError("a cursor's instant has an offset")
        return parsed.astimezone(UTC)
    if value.__class__ is not wanted or (isinstance(value, int) and abs(value) >= 2**63):
        raise ValueError("not what the cursor's key is")
    return value
