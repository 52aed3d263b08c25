"""The outbox: what must leave the service because of a committed change, kept until it has left. See delivery/outbox.py."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import uuid4

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from models.activity import dump_details, load_details
from models.database import UnitConnection
from models.instants import Instant, utc_now
from models.rows import insert_rows


class OutboxMessage(Model):
    """A message on its way. Times are the machine's.

    `due_at`: not tried before; a worker that takes the message moves it to the end of its lease, so that another
    takes over where it dies. One of `sent_at` and `dead_at` ends the message.
    """

    id = fields.BigIntField(primary_key=True)
    message_id = fields.CharField(max_length=32, unique=True)  # the same at every attempt
    kind = fields.CharField(max_length=64)
    payload: dict[str, Any] = fields.JSONField(encoder=dump_details, decoder=load_details)
    created_at = Instant()
    due_at = Instant()
    attempts = fields.IntField(default=0)
    sent_at = Instant(null=True)
    dead_at = Instant(null=True)
    last_error = fields.CharField(max_length=500, null=True)

    class Meta:
        table = "outbox"
        indexes = [Index(fields=("due_at",))]


@dataclass(slots=True, frozen=True)
class Post:
    """A message to be written; `due_at` None: at once."""

    kind: str
    payload: dict[str, Any]
    due_at: datetime | None = None
    message_id: str = field(default_factory=lambda: uuid4().hex)


async def write_posts(connection: UnitConnection, posts: list[Post]) -> None:
    now = utc_now()
    await insert_rows(
        connection,
        "outbox",
        "message_id, kind, payload, created_at, due_at, attempts",
        "text text jsonb timestamptz timestamptz bigint",
        [(p.message_id, p.kind, dump_details(p.payload), now, p.due_at or now, 0) for p in posts],
    )
