"""A buyer's traces: a row in every table that holds any, with words in it that stand nowhere else."""

import itertools
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from tortoise import fields
from tortoise.models import Model

from models.database import dialect, fetch, opened
from models.instants import utc_now
from models.personal_data import TABLES, Owner, bound
from models.unit_of_work import Work, unit_of_work

SHORTEST = 12

ALREADY_THERE = {"account", "password", "given_contacts", "account_event_counter", "account_deletion", "erasure"}
"""Tables with one row an account, which tests make by the API."""


@dataclass
class Traces:
    """`words` by table and column. `row_ids` are the primary keys of what was written, by table."""

    account_id: int
    address: str
    mark: str = field(default_factory=lambda: secrets.token_hex(4))
    words: dict[tuple[str, str], str] = field(default_factory=dict)
    row_ids: dict[str, Any] = field(default_factory=dict)
    numbers: Any = field(default_factory=itertools.count)

    def word(self, table: str, column: str) -> str:
        return self.words.setdefault((table, column), f"{self.mark}{next(self.numbers):04}")

    def of(self, *, secret: bool) -> set[str]:
        """The words that an export may not tell, or those that it must."""
        return {word for (table, column), word in self.words.items() if (column in TABLES[table].secret) is secret}

    def kept(self) -> set[str]:
        """The words that an erasure leaves."""
        return {word for (table, column), word in self.words.items() if column in TABLES[table].keeps}


def given(traces: Traces) -> dict[str, dict[str, Any]]:
    """What a table's row cannot do without, or must not have."""
    return {
        "outbox": {"payload": {"to": traces.address, "template": "x", "values": {"link": traces.word("outbox", "payload")}}, "kind": "elsewhere"},
        "letter": {"recipient": traces.address.upper()},
        "guess": {"key": f"pair:192.0.2.1:proof:{traces.account_id}"},
        "sign_up": {"subject": traces.address},
        "price_drop": {"favorite_id": traces.account_id, "old_minor": 2, "new_minor": 1},
        "coupon": {"percent_off": 5, "ends_at": utc_now().replace(year=2099), "order_id": None},
        "data_export": {"ready_at": utc_now(), "ends_at": utc_now() + timedelta(hours=1)},
        "activity": {"actor_kind": "buyer", "actor_id": traces.account_id},
        "appeal_message": {"account_id": traces.account_id},
    }


@unit_of_work
async def leave_traces(work: Work, traces: Traces) -> None:
    """Write a row into every table of the buyer's, those that others name first."""
    apps = opened().context.apps
    assert apps is not None
    models = {model._meta.db_table: model for model in apps["models"].values()}
    for table, personal in reversed(TABLES.items()):
        if personal.rows is None:
            continue
        if table == "event":
            kind = traces.word("event", "kind")
            await work.execute("INSERT INTO event (account_id, number, kind, at) VALUES ($1, 1000000, $2, $3)", traces.account_id, kind, utc_now())
        elif table not in ALREADY_THERE:
            await _write(work, traces, models[table])
    for table, personal in TABLES.items():
        if personal.rows is not None and table not in ("account_deletion", "erasure"):
            sql, params = bound(f"SELECT count(*) FROM {table} WHERE {personal.rows}", Owner(traces.account_id, [traces.address], []))
            assert (await work.fetch(sql, *params))[0][0], f"the buyer has no row in {table}"


async def _write(work: Work, traces: Traces, model: type[Model]) -> None:
    meta = model._meta
    row = given(traces).get(meta.db_table, {})
    parents = {one.source_field: one.related_model._meta.db_table for one in meta.fields_map.values() if isinstance(one, fields.relational.ForeignKeyFieldInstance)}
    for name, column in meta.fields_db_projection.items():
        one = meta.fields_map[name]
        if column in row or (one.pk and one.generated):
            continue
        value = await _parent(work, traces, parents[column]) if column in parents else _value(traces, meta.db_table, column, one)
        if value is not None:
            row[column] = value
    columns = [column for column, value in row.items() if value is not None]
    places = ", ".join(f"${n}" for n in range(1, len(columns) + 1))
    (written,) = await work.fetch(
        f'INSERT INTO {meta.db_table} ({", ".join(f"{chr(34)}{c}{chr(34)}" for c in columns)}) VALUES ({places}) RETURNING {meta.db_pk_column}',
        *(row[column] for column in columns),
    )
    traces.row_ids[meta.db_table] = written[0]


async def _parent(work: Work, traces: Traces, table: str) -> int | None:
    if table == "account":
        return traces.account_id
    if table in traces.row_ids:
        return traces.row_ids[table]
    found = await work.fetch(f"SELECT min(id) FROM {table}")
    assert found[0][0] is not None, f"make a row of {table} first"
    return found[0][0]


def _value(traces: Traces, table: str, column: str, one: Any) -> Any:
    enum = getattr(one, "enum_type", None)
    if enum is not None:
        return None if one.null else next(iter(enum)).value
    if isinstance(one, fields.JSONField):
        return {"word": traces.word(table, column)}
    if isinstance(one, fields.BinaryField):
        return traces.word(table, column).encode()
    if isinstance(one, fields.CharField | fields.TextField):
        most = getattr(one, "max_length", None) or SHORTEST
        return traces.word(table, column) if most >= SHORTEST else "x" * min(most, 2)
    if one.null:
        return None
    if isinstance(one, fields.DatetimeField):
        return utc_now() + timedelta(hours=column == "ends_at")
    return False if isinstance(one, fields.BooleanField) else 1


async def stored_bytes() -> bytes:
    """All that the database holds: SQLite's files, or every row of every table of PostgreSQL as text."""
    if dialect() == "sqlite":
        path = opened().settings.sqlite_path
        return b"".join(file.read_bytes() for file in Path(path).parent.iterdir() if file.name.startswith(Path(path).name))
    said = []
    for (table,) in await fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
        said += [row for (row,) in await fetch(f'SELECT t::text FROM "{table}" t')]
    return "\n".join(said).encode()


def found_in(words: set[str], stored: bytes) -> set[str]:
    """Those of the words that stand there, in letters or in the hexadecimal digits of PostgreSQL's bytes."""
    return {word for word in words if word.encode() in stored or word.encode().hex().encode() in stored}
