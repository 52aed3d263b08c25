"""Reads: one named tuple a table, its values decoded, from the SQL text of a read.

Reads on hot ways build no ORM instances and no SQL: the text of a read is a constant for its shape, and a row is a
tuple with names. Writes and migrations are the ORM's.
"""

from collections import namedtuple
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

import orjson
from ciso8601 import parse_datetime
from tortoise import fields
from tortoise.models import Model

from models import database

TEXTS_KEPT = 200


def as_json(value: Any) -> Any:
    """A JSON column's value, whichever way the driver gave it."""
    return orjson.loads(value) if isinstance(value, str | bytes) else value


def _decoded(value: str, field: fields.Field, dialect: str, scope: dict[str, Any]) -> str:
    """The expression that turns the variable `value`, as the driver gave it, into the column's value."""
    enum_type = getattr(field, "enum_type", None)
    if enum_type is not None:
        scope[f"of_{value}"] = {None: None} | {member.value: member for member in enum_type}
        return f"of_{value}[{value}]"
    if isinstance(field, fields.JSONField):
        return f"loads({value}) if {value}.__class__ is str else {value}"
    if dialect == "sqlite" and isinstance(field, fields.DatetimeField):
        return f"None if {value} is None else parsed({value})"  # SQLite's text is our own: it always has UTC's offset
    if dialect == "sqlite" and isinstance(field, fields.BooleanField):
        return f"None if {value} is None else {value} != 0"
    return value


class Reads:
    """Reads of one model's table in the open database, but for columns `left_out`. `columns` is what stands between
    SELECT and FROM."""

    def __init__(self, model: type[Model], dialect: str, left_out: Iterable[str] = ()):
        meta = model._meta
        names = [name for name, column in meta.fields_db_projection.items() if column not in left_out]
        self.table = meta.db_table
        self.row: Any = namedtuple(f"{model.__name__}Row", names)  # type: ignore[misc]
        self.columns = ", ".join(f'"{meta.fields_db_projection[name]}"' for name in names)
        self.decode = _compiled(self.row, [meta.fields_map[name] for name in names], dialect)
        self._texts: dict[str, str] = {}

    def columns_of(self, alias: str) -> str:
        """The columns of the table under another name."""
        return ", ".join(f"{alias}.{column}" for column in self.columns.split(", "))

    async def where(self, condition: str, *params: Any) -> list[Any]:
        """The rows for which `condition` (all that follows WHERE, with $1… for `params`) holds."""
        text = self._texts.get(condition)
        if text is None:
            if len(self._texts) >= TEXTS_KEPT:
                self._texts.clear()
            text = self._texts[condition] = f'SELECT {self.columns} FROM "{self.table}" WHERE {condition}'
        return self.decode(await database.fetch(text, *params))

    async def one(self, condition: str, *params: Any) -> Any | None:
        """The only row for which `condition` holds, or None."""
        found = await self.where(condition, *params)
        return found[0] if found else None

    async def by(self, column: str, keys: Iterable[Any], order: str = "") -> dict[Any, list[Any]]:
        """The rows whose `column` is among `keys`, grouped by it, each group in `order`: one statement."""
        wanted = list({key for key in keys if key is not None})
        grouped: dict[Any, list[Any]] = {}
        if wanted:
            at = self.row._fields.index(column)
            # By the column first: an index on it gives its groups in order, so that nothing is sorted again.
            sorting = f' ORDER BY "{column}", {order}' if order else ""
            for row in await self.where(database.any_of(f'"{column}"', 1) + sorting, wanted):
                grouped.setdefault(row[at], []).append(row)
        return grouped

    async def by_id(self, keys: Iterable[int]) -> dict[int, Any]:
        """The rows with these ids: one statement."""
        wanted = list({key for key in keys if key is not None})
        return {row.id: row for row in await self.where(database.any_of("id", 1), wanted)} if wanted else {}

    async def by_external_id(self, external_ids: Iterable[str | None], lock: str = "") -> dict[str, Any]:
        """The rows with these ids of the platform's, in the order of ours: one statement. `lock` is how it ends (`for_update`)."""
        wanted = list({external_id for external_id in external_ids if external_id is not None})
        condition = f"{database.any_of('external_id', 1, 'text')} ORDER BY id{lock}"
        return {row.external_id: row for row in await self.where(condition, wanted)} if wanted else {}


_reads: dict[tuple[type[Model], str], Reads] = {}


def reads(model: type[Model]) -> Reads:
    """The reads of `model`."""
    key = (model, database.dialect())
    found = _reads.get(key)
    if found is None:
        found = _reads[key] = Reads(*key)
    return found


@cache
def reads_without(model: type[Model], dialect: str, *columns: str) -> Reads:
    """Reads of `model` that leave these columns of its table alone. For one dialect, as its rows are decoded by it."""
    return Reads(model, dialect, columns)


def is_row_of(value: Any, model: type[Model]) -> bool:
    """Whether `value` is a row of `model`'s table, read either way."""
    if isinstance(value, model):
        return True
    known = _reads.get((model, database.dialect()))
    return known is not None and isinstance(value, known.row)


def _compiled(row: type, columns: Sequence[fields.Field], dialect: str) -> Callable[[Iterable[Sequence[Any]]], list[Any]]:
    names = [f"v{i}" for i in range(len(columns))]
    scope: dict[str, Any] = {"make": tuple.__new__, "row": row, "loads": orjson.loads, "parsed": parse_datetime}
    values = ", ".join(_decoded(name, column, dialect, scope) for name, column in zip(names, columns, strict=True))
    exec(f"def decode(found):\n    return [make(row, ({values},)) for {', '.join(names)}, in found]\n", scope)
    return scope["decode"]
