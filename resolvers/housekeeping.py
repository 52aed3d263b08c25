"""What is thrown away: rows that have had their use and that no promise keeps. Times are the machine's."""

from datetime import datetime, timedelta

from auth.guessing import FORGET_AFTER
from delivery.outbox import forget_sent
from models.instants import utc_now
from models.unit_of_work import Work, unit_of_work

EVERY = timedelta(hours=1)
ENDED_SESSIONS_KEPT = timedelta(days=30)
DEVICES_KEPT = timedelta(days=365)
AT_ONCE = 1000

_tidied_at: list[datetime] = []


async def tidy() -> bool:
    """Once an hour: forget counters of guesses, sessions long ended, browsers long unseen, and messages long sent."""
    at = utc_now()
    if _tidied_at and at < _tidied_at[0] + EVERY:
        return False
    _tidied_at[:] = [at]
    while await forget_old(at):
        pass
    await forget_sent()
    return False


@unit_of_work
async def forget_old(work: Work, at: datetime) -> bool:
    """Some of what may go; whether there may be more."""
    gone = [
        await work.execute(
            f"DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} WHERE {condition} LIMIT {AT_ONCE})", at - kept
        )
        for table, key, condition, kept in (
            ("guess", "key", "first_at < $1", FORGET_AFTER),
            ("session", "id", "ends_at < $1", ENDED_SESSIONS_KEPT),
            ("known_device", "id", "at < $1", DEVICES_KEPT),
        )
    ]
    return max(gone) == AT_ONCE
