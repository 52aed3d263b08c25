"""The outbox: what must leave the service because of a committed change, kept until it has left. See delivery/outbox.py.

Times are the machine's.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from models.activity import dump_details, load_details
from models.columns import dump_json, load_json
from models.database import UnitConnection, any_of, fetch
from models.instants import Instant, as_instant, utc_now
from models.rows import insert_rows

GIVEN_UP_AFTER = timedelta(hours=72)
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 600.0
NEWS = "outbox"  # the bus's topic


class OutboxMessage(Model):
    """A message on its way. One of `sent_at` and `dead_at` ends it.

    `due_at`: not tried before; null once it is over. A worker that takes the message moves it to the end of its
    lease, so that another takes over where the first dies.
    """

    id = fields.BigIntField(primary_key=True)
    message_id = fields.CharField(max_length=32, unique=True)  # the same at every attempt
    kind = fields.CharField(max_length=64)
    payload: Any = fields.JSONField(encoder=dump_json, decoder=load_json)  # emptied once sent
    wanted_at = Instant()  # when it was to leave
    due_at = Instant(null=True)
    attempts = fields.IntField(default=0)
    sent_at = Instant(null=True)
    dead_at = Instant(null=True)
    last_error = fields.CharField(max_length=500, null=True)

    class Meta:
        table = "outbox"
        indexes = [Index(fields=("due_at", "id")), Index(fields=("sent_at",))]


@dataclass(slots=True, frozen=True)
class Post:
    """A message to be written; `due_at` None: at once. One that is `withheld` never leaves, and costs as much to write."""

    kind: str
    payload: dict[str, Any]
    due_at: datetime | None = None
    withheld: bool = False
    message_id: str = field(default_factory=lambda: uuid4().hex)


@dataclass(slots=True, frozen=True)
class Message:
    """A leased message. `attempts` counts this one too, and tells this lease from a later one."""

    id: int
    message_id: str
    kind: str
    payload: dict[str, Any]
    wanted_at: datetime
    attempts: int


async def write_posts(connection: UnitConnection, posts: list[Post]) -> None:
    now = utc_now()
    await insert_rows(
        connection,
        "outbox",
        "message_id, kind, payload, wanted_at, due_at, sent_at, attempts",
        "text text jsonb timestamptz timestamptz timestamptz bigint",
        [
            (p.message_id, p.kind, dump_details(p.payload), p.due_at or now, None if p.withheld else p.due_at or now, now if p.withheld else None, 0)
            for p in posts
        ],
    )


async def lease(connection: UnitConnection, kinds: Iterable[str], until: datetime, limit: int) -> list[Message]:
    """Take messages of these kinds that are due, the longest due first; nobody else gets them before `until`."""
    skip = "" if connection.capabilities.dialect == "sqlite" else "FOR UPDATE SKIP LOCKED"
    rows = await connection.fetch_rows(
        "UPDATE outbox SET due_at = $2, attempts = attempts + 1 WHERE id IN ("
        f"SELECT id FROM outbox WHERE due_at <= $1 AND {any_of('kind', 3, 'text')} ORDER BY due_at, id LIMIT $4 {skip}"
        ") RETURNING id, message_id, kind, payload, wanted_at, attempts",
        [utc_now(), until, list(kinds), limit],
    )
    return [
        Message(id, message_id, kind, load_details(payload), as_instant(wanted_at), attempts)  # type: ignore[arg-type]
        for id, message_id, kind, payload, wanted_at, attempts in sorted(rows, key=lambda row: row[0])
    ]


async def is_leased(message: Message) -> bool:
    """Whether the message is still to leave, and no other worker has taken it over."""
    return bool(await fetch("SELECT 1 FROM outbox WHERE id = $1 AND attempts = $2 AND due_at IS NOT NULL", message.id, message.attempts))


async def mark_sent(connection: UnitConnection, message: Message) -> bool:
    """The message has left. False: the lease ran out, and another worker has the message."""
    return await _settle(connection, message, "sent_at = $3, due_at = NULL, payload = '{}', last_error = NULL", utc_now())


async def mark_dead(connection: UnitConnection, message: Message, error: str) -> bool:
    return await _settle(connection, message, "dead_at = $3, due_at = NULL, last_error = $4", utc_now(), error[:500])


async def mark_failed(connection: UnitConnection, message: Message, error: str, again_at: datetime) -> bool:
    return await _settle(connection, message, "due_at = $3, last_error = $4", again_at, error[:500])


async def give_back(connection: UnitConnection, message: Message) -> bool:
    """End the lease of a message that was not tried."""
    return await _settle(connection, message, "due_at = $3, attempts = attempts - 1", utc_now())


async def _settle(connection: UnitConnection, message: Message, change: str, *params: Any) -> bool:
    return 1 == await connection.execute_rows(
        f"UPDATE outbox SET {change} WHERE id = $1 AND attempts = $2 AND due_at IS NOT NULL",
        [message.id, message.attempts, *params],
    )


def next_attempt_at(message: Message, now: datetime) -> datetime | None:
    """When to try again after the attempt that failed at `now`; None: never, it is a dead letter.

    The pauses are 1 s, 2 s, 4 s … 10 min, each shortened by up to a half, so that a thousand messages to a server
    that was down do not come back in the same second. The last attempt is within 72 hours of the first.
    """
    pause = min(FIRST_PAUSE_SECONDS * 2 ** min(message.attempts - 1, 32), LONGEST_PAUSE_SECONDS)
    again_at = now + timedelta(seconds=pause * random.uniform(0.5, 1))
    return again_at if again_at < message.wanted_at + GIVEN_UP_AFTER else None


async def next_due_at(kinds: Iterable[str]) -> datetime | None:
    """When the next message of these kinds is due; None: there is none."""
    rows = await fetch(
        f"SELECT due_at FROM outbox WHERE due_at IS NOT NULL AND {any_of('kind', 1, 'text')} ORDER BY due_at LIMIT 1", list(kinds)
    )
    return as_instant(rows[0][0]) if rows else None


async def waiting_and_dead() -> tuple[int, int]:
    """How many messages are on their way, and how many were given up."""
    rows = await fetch(
        "SELECT count(due_at), count(dead_at) FROM outbox WHERE due_at IS NOT NULL OR dead_at IS NOT NULL"
    )
    return rows[0][0], rows[0][1]
