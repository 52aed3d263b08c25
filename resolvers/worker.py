"""The worker: what is done without a request. Each piece of work is a unit of its own, so that several workers, a
kill and a restart neither lose nor repeat anything."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from delivery.bus import Bus

IDLE_SECONDS = 1.0
PAUSE_AFTER_FAILURE = 2.0

Job = Callable[[], Awaitable[bool]]

log = logging.getLogger("kabinet.worker")


async def work(jobs: Sequence[Job], bus: Bus) -> None:
    """Do the jobs until cancelled: each as long as it says that there is more, all again every second or on news."""
    with bus.listen("work") as news:
        while True:
            if not await one_round(jobs):
                await news.wait(IDLE_SECONDS)


async def one_round(jobs: Sequence[Job]) -> bool:
    """Each job once; whether any of them has more to do.

    Every job runs in a task of its own: what a broken connection left in a context would stay there for ever.
    """
    more = False
    for job in jobs:
        try:
            more = await asyncio.ensure_future(job()) or more
        except Exception:
            log.exception("the worker's %s failed; it is tried again", getattr(job, "__name__", "job"))
            await asyncio.sleep(PAUSE_AFTER_FAILURE)
    return more


async def until_idle(jobs: Sequence[Job]) -> None:
    """Do the jobs until none has more."""
    while await one_round(jobs):
        pass
