"""Timers: deadlines of the domain that something has to happen at, one row a kind and subject.

A timer is claimed by compare-and-set in the unit of work that does what it calls for: of two workers, or of a worker
and a buyer who changes the deadline, one finds the row's version gone and leaves it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from models.database import any_of, fetch
from models.instants import Instant, as_instant


class TimerRow(Model):
    """`due_at` is on the domain's clock. `version` changes whenever the timer is set anew."""

    id = fields.BigIntField(primary_key=True)
    kind = fields.CharField(max_length=64)
    subject_id = fields.BigIntField()
    due_at = Instant()
    version = fields.BigIntField(default=1)

    class Meta:
        table = "timer"
        unique_together = (("kind", "subject_id"),)
        indexes = [Index(fields=("due_at", "id"))]


@dataclass(slots=True, frozen=True)
class Timer:
    id: int
    kind: str
    subject_id: int
    due_at: datetime
    version: int


class Writer(Protocol):
    async def execute(self, sql: str, *params: Any) -> int: ...


class SetWriter(Protocol):
    async def execute_each(self, sql: str, rows: Iterable[Sequence[Any]]) -> None: ...


SET_TIMER = (
    "INSERT INTO timer (kind, subject_id, due_at, version) VALUES ($1, $2, $3, 1) "
    "ON CONFLICT (kind, subject_id) DO UPDATE SET due_at = excluded.due_at, version = timer.version + 1"
)
STOP_TIMER = "DELETE FROM timer WHERE kind = $1 AND subject_id = $2"


async def set_timer(work: Writer, kind: str, subject_id: int, due_at: datetime) -> None:
    """Start the timer, or move it."""
    await work.execute(SET_TIMER, kind, subject_id, due_at)


async def stop_timer(work: Writer, kind: str, subject_id: int) -> None:
    """Stop the timer; one that does not run is stopped already."""
    await work.execute(STOP_TIMER, kind, subject_id)


async def change_timers(work: SetWriter, started: list[tuple[str, int, datetime]], stopped: list[tuple[str, int]]) -> None:
    """Start or move the timers of `started`, and stop those of `stopped`: kinds, subjects and when they are due."""
    if stopped:
        await work.execute_each(STOP_TIMER, stopped)
    if started:
        await work.execute_each(SET_TIMER, started)


async def due_timers(now: datetime, limit: int = 100, kinds: Sequence[str] | None = None) -> list[Timer]:
    """Timers of these kinds (by default all) due at `now`, the earliest first; `limit` at most."""
    of_kinds = f" AND {any_of('kind', 3, 'text')}" if kinds is not None else ""
    rows = await fetch(
        f"SELECT id, kind, subject_id, due_at, version FROM timer WHERE due_at <= $1{of_kinds} ORDER BY due_at, id LIMIT $2",
        now,
        limit,
        *([list(kinds)] if kinds is not None else []),
    )
    return [Timer(row[0], row[1], row[2], as_instant(row[3]), row[4]) for row in rows]  # type: ignore[arg-type]


async def claim_timer(work: Writer, timer: Timer) -> bool:
    """Take the timer off the table: True for the one unit that may act on it. Rolled back, it is due again."""
    return await work.execute("DELETE FROM timer WHERE id = $1 AND version = $2", timer.id, timer.version) == 1


async def next_due_at() -> datetime | None:
    """When the earliest timer is due; None: none runs."""
    rows = await fetch("SELECT due_at FROM timer ORDER BY due_at, id LIMIT 1")
    return as_instant(rows[0][0]) if rows else None
