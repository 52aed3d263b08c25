"""Activity: the record of who did what, written in the transaction of what was done. (What buyers read is the journal.)"""

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Protocol

import orjson
from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from models.columns import dump_json, load_json
from models.database import UnitConnection
from models.instants import Instant
from models.rows import insert_rows


def dump_details(value: Any) -> str:
    return orjson.dumps(value).decode()


def load_details(value: str | bytes) -> Any:
    return orjson.loads(value)


class Activity(Model):
    """One thing that was done; rows are only added, and lose their details when their buyer is erased. `at` is the domain's instant."""

    id = fields.BigIntField(primary_key=True)
    at = Instant()
    actor_kind = fields.CharField(max_length=8)  # buyer, staff or system
    actor_id = fields.BigIntField(null=True)
    verb = fields.CharField(max_length=64)
    subject_kind = fields.CharField(max_length=32)
    subject_id = fields.BigIntField(null=True)
    details: dict[str, Any] = fields.JSONField(encoder=dump_json, decoder=load_json)

    class Meta:
        table = "activity"
        indexes = [Index(fields=("subject_kind", "subject_id", "id")), Index(fields=("actor_kind", "actor_id", "id"))]


class Actor(Protocol):
    """What the record needs to know of a viewer."""

    now: datetime
    account_id: int | None
    staff_id: int | None


@dataclass(slots=True, frozen=True)
class Entry:
    """An activity row to be written; `actor` None: the system itself."""

    actor: Actor | None
    verb: str
    subject_kind: str
    subject_id: int | None
    details: dict[str, Any]
    at: datetime | None = None


def actor_of(entry: Entry) -> tuple[str, int | None]:
    actor = entry.actor
    if actor is None:
        return "system", None
    if actor.staff_id is not None:
        return "staff", actor.staff_id
    return ("buyer", actor.account_id) if actor.account_id is not None else ("system", None)


COLUMNS = "at, actor_kind, actor_id, verb, subject_kind, subject_id, details"


@cache
def with_entries(sql: str, parameters: int) -> str:
    """PostgreSQL: a write with RETURNING, and by the same statement an entry for each row, whose `id` is its subject.

    The entry's instant, kind and id of the actor, verb and kind of subject follow the statement's own `parameters`.
    """
    places = [f"${parameters + n}::{kind}" for n, kind in enumerate("timestamptz text bigint text text".split(), 1)]
    return (
        f"WITH written AS ({sql}), recorded AS (INSERT INTO activity ({COLUMNS}) "
        f"SELECT {', '.join(places)}, id, '{{}}' FROM written) SELECT * FROM written"
    )


async def write_entries(connection: UnitConnection, entries: list[Entry], now: datetime) -> None:
    """One statement for all; an entry without an instant of its own or an actor's gets `now`."""
    await insert_rows(
        connection,
        "activity",
        COLUMNS,
        "timestamptz text bigint text text bigint jsonb",
        [
            (
                entry.at or (entry.actor.now if entry.actor else now),
                *actor_of(entry),
                entry.verb,
                entry.subject_kind,
                entry.subject_id,
                dump_details(entry.details),
            )
            for entry in entries
        ],
    )

