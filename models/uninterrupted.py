"""Endings that must be reached: waiting that a cancellation delays but does not cut short."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def uninterrupted(ending: Awaitable[T]) -> T:
    """Wait for `ending` to its end, however often cancelled meanwhile; the cancellation comes after."""
    task = asyncio.ensure_future(ending)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as late:
            cancelled = late
        except Exception:
            break
    if cancelled is not None and not task.cancelled():
        task.exception()
        raise cancelled
    return task.result()
