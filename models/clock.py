"""The domain's clock: the machine's, moved forwards in demo mode by an offset that every process reads from one row."""

from datetime import datetime, timedelta
from typing import Any, Protocol

from tortoise import fields
from tortoise.models import Model

from models.columns import GivenKey
from models.database import fetch, opened
from models.instants import utc_now

LARGEST_STEP = timedelta(days=400)


class DomainClock(Model):
    """One row, id 1; none: the clock has never been moved."""

    id = GivenKey()
    offset_seconds = fields.BigIntField()

    class Meta:
        table = "domain_clock"


class Writer(Protocol):
    async def execute(self, sql: str, *params: Any) -> int: ...


async def now(moved: bool | None = None) -> datetime:
    """The domain's instant, UTC.

    `moved`: whether the clock may have been moved, so that its row is read; by default in demo mode only.
    """
    if moved is None:
        moved = opened().settings.is_demo
    if not moved:
        return utc_now()
    rows = await fetch("SELECT offset_seconds FROM domain_clock WHERE id = 1")
    return utc_now() + timedelta(seconds=rows[0][0] if rows else 0)


async def advance(work: Writer, by: timedelta) -> None:
    """Move the domain's clock forwards, by whole seconds.

    Raises:
        ValueError: backwards, or more than 400 days.
    """
    if not timedelta(0) <= by <= LARGEST_STEP:
        raise ValueError("the clock goes forwards, 400 days at most")
    await work.execute(
        "INSERT INTO domain_clock (id, offset_seconds) VALUES (1, $1) "
        "ON CONFLICT (id) DO UPDATE SET offset_seconds = domain_clock.offset_seconds + excluded.offset_seconds",
        int(by.total_seconds()),
    )
