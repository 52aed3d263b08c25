"""Nobody is passed over: connections come free for whoever has waited longest."""

import asyncio
from pathlib import Path

import pytest

from models import postgres_engine
from models.connections_in_turn import InTurn
from models.database import fetch, open_database
from tests.databases import fresh_url, settings_for


class Holder:
    def is_connected(self) -> bool:
        return True


async def test_a_newcomer_does_not_overtake_the_one_who_waits() -> None:
    queue, holder, came = InTurn(), Holder(), []

    async def ask(name: str) -> None:
        got = await queue.get()
        came.append(name)
        await asyncio.sleep(0)
        queue.put_nowait(got)

    first = [asyncio.create_task(ask(name)) for name in "ab"]
    await asyncio.sleep(0)
    newcomer = asyncio.create_task(ask("c"))  # runs before the one who is woken now
    queue.put_nowait(holder)
    await asyncio.gather(*first, newcomer)
    assert came == ["a", "b", "c"]


@pytest.mark.parametrize("handed", [False, True])
async def test_one_who_gives_up_keeps_nothing(handed: bool) -> None:
    queue, holder = InTurn(), Holder()
    waiting = [asyncio.create_task(queue.get()) for _ in range(2)]
    await asyncio.sleep(0)
    if handed:
        queue.put_nowait(holder)
    waiting[0].cancel()
    if not handed:
        queue.put_nowait(holder)
    assert await asyncio.wait_for(waiting[1], 30) is holder
    assert queue.empty() and waiting[0].cancelled()


async def test_many_readers_of_a_small_pool_wait_about_as_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """How long is counted in the reads of others, which no machine that is busy makes more of."""
    monkeypatch.setattr(postgres_engine, "ACQUIRE_SECONDS", 60.0)
    waits: list[int] = []

    async def read() -> None:
        for _ in range(20):
            before = len(waits)
            await fetch("SELECT 1")
            waits.append(len(waits) - before)

    async with fresh_url("postgres", tmp_path) as url, open_database(settings_for(url, database_pool_size=2), ["models.clock"]):
        await fetch("SELECT 1")
        await asyncio.gather(*(read() for _ in range(60)))
    waits.sort()
    assert len(waits) == 1200 and waits[-1] < 2 * 60
