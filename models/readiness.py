"""Whether storage can take writes now, for the readiness check."""

import asyncio
import shutil

from models.database import opened
from models.refusals import ErrorCode, Failure
from models.unit_of_work import Work, unit_of_work

LEAST_FREE_BYTES = 64 * 1024 * 1024


async def require_writable() -> None:
    """Open a writing transaction and end it.

    Raises:
        Failure: STORAGE_UNAVAILABLE: away, read-only, or SQLite's disk has under 64 MB left. TIMEOUT or OVERLOADED:
            it did not come to it within two seconds.
    """
    settings = opened().settings
    if settings.is_sqlite:
        usage = await asyncio.to_thread(shutil.disk_usage, settings.sqlite_path.resolve().parent)
        if usage.free < LEAST_FREE_BYTES:
            raise Failure(ErrorCode.STORAGE_UNAVAILABLE, retry_after_seconds=60)
    await _take_the_write_lock()


@unit_of_work(seconds=2.0)
async def _take_the_write_lock(work: Work) -> None:
    if opened().dialect == "postgres":
        ((standby,),) = await work.fetch("SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool")
        if standby:
            raise Failure(ErrorCode.STORAGE_UNAVAILABLE, retry_after_seconds=5)
