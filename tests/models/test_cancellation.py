"""The traps of the libraries: without the unit of work each of these hangs, leaks connections or loses a write."""

import asyncio
import random
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import asyncpg

from models.database import Database, fetch
from models.instants import utc_now
from models.unit_of_work import Work, drain, unit_of_work
from tests.delivery.test_bus import until
from tests.models.tables import Parcel

CANCELLATIONS = 2000
AT_ONCE = 4


@unit_of_work
async def send_pair(work: Work, label: str) -> str:
    await Parcel.create(label=f"{label} left")
    await work.execute("INSERT INTO parcel (label, weight, fragile) VALUES ($1, 1, $2)", f"{label} right", False)
    work.event(random.randrange(5), "PARCEL_SENT", None, utc_now())
    return label


@unit_of_work
async def send_many(work: Work, label: str) -> str:
    await Parcel.bulk_create([Parcel(label=f"{label} {n}") for n in ("left", "right")])
    return label


@unit_of_work(single=True)
async def send_at_once(work: Work, label: str) -> str:
    await work.fetch(
        "INSERT INTO parcel (label, weight, fragile) VALUES ($1, 1, false), ($2, 1, false) RETURNING id",
        f"{label} left", f"{label} right",
    )  # fmt: skip
    return label


async def usual_seconds(call: Callable[[str], Awaitable[object]]) -> float:
    """How long one call takes, so that cancellations fall on all of it."""
    began = time.perf_counter()
    for n in range(20):
        await call(f"warm {n}")
    return (time.perf_counter() - began) / 20


async def cancelled_at_random(call: Callable[[str], Awaitable[object]], times: int, seed: int) -> list[str]:
    """Run the call so often, each time cancelled somewhere; gives the labels of those that were acknowledged."""
    dice = random.Random(seed)
    longest = await usual_seconds(call) * AT_ONCE * 1.2
    acknowledged = []

    async def once(label: str) -> None:
        task = asyncio.create_task(call(label))  # type: ignore[arg-type]
        hops = dice.randrange(12)
        if dice.random() < 0.5:
            for _ in range(hops):
                await asyncio.sleep(0)
        else:
            await asyncio.sleep(dice.uniform(0, longest))
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
            acknowledged.append(label)

    for start in range(0, times, AT_ONCE):
        await asyncio.gather(*(once(f"{seed} {start + n}") for n in range(AT_ONCE)))
    return acknowledged


async def require_usable(database: Database) -> None:
    """A unit waits for nobody: the quickest of some takes less than half of the second after which a pool that is full gives up,
    however busy the machine; no connection is taken, no transaction open."""
    assert min([await seconds_of_a_unit() for _ in range(5)]) < 0.5
    assert await drain(30) == 0
    assert database.is_clean()
    if database.dialect == "sqlite":
        assert not database.engine.writer.in_transaction
        assert not database.engine._lock.locked()
        return
    pool = database.engine.pool
    await until(lambda: pool.get_idle_size() == pool.get_size())
    states = await seen_by_others(database, "SELECT state FROM pg_stat_activity WHERE datname = current_database()")
    assert not [row for row in states if (row[0] or "").startswith("idle in transaction")]


async def seconds_of_a_unit() -> float:
    began = time.perf_counter()
    await asyncio.wait_for(send_pair(f"after {began}"), 5)
    return time.perf_counter() - began


async def seen_by_others(database: Database, sql: str) -> list[tuple]:
    """Rows as a connection of somebody else's sees them."""
    if database.dialect == "sqlite":
        other = sqlite3.connect(database.settings.sqlite_path)
        try:
            return other.execute(sql).fetchall()
        finally:
            other.close()
    stranger = await asyncpg.connect(database.settings.database_url)
    try:
        return [tuple(row) for row in await stranger.fetch(sql)]
    finally:
        await stranger.close()


async def require_whole(database: Database, acknowledged: list[str]) -> None:
    """What was acknowledged is there for others too, and nothing is there by half."""
    labels = {row[0] for row in await seen_by_others(database, "SELECT label FROM parcel")}
    assert not [label for label in acknowledged if f"{label} left" not in labels]
    halves = [label.removesuffix(" left").removesuffix(" right") for label in labels]
    assert all(halves.count(label) == 2 for label in random.sample(halves, min(200, len(halves))))
    assert len(halves) == 2 * len(set(halves))


async def require_gapless(database: Database) -> None:
    rows = await seen_by_others(
        database,
        "SELECT c.account_id, c.last, count(e.number), max(e.number) FROM account_event_counter c "
        "LEFT JOIN event e ON e.account_id = c.account_id GROUP BY c.account_id, c.last",
    )
    assert rows and all(last == count == highest for _, last, count, highest in rows)


async def test_callers_that_vanish_leave_the_service_usable_and_lose_nothing(database):
    acknowledged = await cancelled_at_random(send_pair, CANCELLATIONS, seed=1)
    assert await drain(60) == 0
    await require_usable(database)
    assert 0 < len(acknowledged) < CANCELLATIONS
    await require_whole(database, acknowledged)
    await require_gapless(database)


async def test_vanished_callers_of_a_single_statement_lose_nothing_either(database):
    acknowledged = await cancelled_at_random(send_at_once, 600, seed=4)
    assert await drain(60) == 0
    await require_usable(database)
    assert 0 < len(acknowledged) < 600
    await require_whole(database, acknowledged)


async def test_units_that_are_cancelled_themselves_leave_neither_lock_nor_connection(database):
    async def struck(label: str) -> str:
        """Cancelled where no shield stands, as a stopping event loop does it."""
        writing = asyncio.create_task(send_pair(label))
        try:
            return await writing
        except asyncio.CancelledError:
            for task in asyncio.all_tasks():
                if task.get_name().startswith("unit ") and random.random() < 0.7:
                    task.cancel()
            raise

    acknowledged = await cancelled_at_random(struck, 600, seed=2)
    assert await drain(60) == 0
    await require_usable(database)
    await require_whole(database, acknowledged)
    await require_gapless(database)


async def test_a_cancelled_bulk_write_takes_no_later_write_with_it(database):
    acknowledged = await cancelled_at_random(send_many, 200, seed=3)
    later = await send_pair("later")
    await require_whole(database, [*acknowledged, later])
    await require_usable(database)


async def test_cancelled_reads_leave_the_pool_full(database):
    async def read(label: str) -> object:
        await Parcel.filter(label=label).first()
        return await fetch("SELECT count(*) FROM parcel")

    await cancelled_at_random(read, 400, seed=4)
    await require_usable(database)
