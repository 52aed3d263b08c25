"""Conflicts, full pools, lost servers and full disks: what the caller is told, and that the next unit works."""

import asyncio
import random
import sys
import threading
from pathlib import Path

import pytest

from models.database import fetch, open_database
from models.events import events_after
from models.instants import utc_now
from models.refusals import ErrorCode, Failure
from models.sqlite_engine import SqliteEngine, UnsafeStorage
from models.unit_of_work import Work, unit_of_work
from tests.databases import fresh_database, fresh_url, settings_for
from tests.delivery.test_bus import until
from tests.models.conftest import MACHINERY
from tests.models.tables import Parcel


@unit_of_work
async def send(work: Work, label: str) -> None:
    await Parcel.create(label=label)


async def labels() -> list[str]:
    return [row[0] for row in await fetch("SELECT label FROM parcel ORDER BY label")]


async def test_numbers_follow_the_order_of_commits_for_a_live_reader(database):
    numbered, go_on = asyncio.Event(), asyncio.Event()
    seen: list[tuple[int, str]] = []

    @unit_of_work
    async def slow(work: Work) -> None:
        work.event(7, "SLOW", None, utc_now())
        await work.finish()
        numbered.set()
        await go_on.wait()

    @unit_of_work
    async def quick(work: Work, account_id: int) -> None:
        work.event(account_id, "QUICK", None, utc_now())

    async def subscriber() -> None:
        while len(seen) < 2:
            seen.extend((e.number, e.kind) for e in await events_after(7, seen[-1][0] if seen else 0))
            await asyncio.sleep(0.005)

    reading = asyncio.create_task(subscriber())
    first = asyncio.create_task(slow())
    await numbered.wait()
    second = asyncio.create_task(quick(7))
    if database.dialect == "postgres":
        await asyncio.wait_for(quick(8), 6)  # another account's units are not held up
    await asyncio.sleep(0.15)
    assert seen == []
    assert not second.done()
    go_on.set()
    await asyncio.gather(first, second)
    await asyncio.wait_for(reading, 30)
    assert seen == [(1, "SLOW"), (2, "QUICK")]


async def test_a_deadlock_repeats_the_unit(tmp_path):
    async with fresh_database("postgres", tmp_path, MACHINERY):
        for label in ("a", "b"):
            await send(label)
        tries, both = [], asyncio.Barrier(2)

        @unit_of_work
        async def weigh(work: Work, first: str, second: str) -> None:
            tries.append(first)
            await work.execute("UPDATE parcel SET weight = weight + 1 WHERE label = $1", first)
            if len(tries) <= 2:
                await both.wait()
            await Parcel.filter(label=second).update(weight=5)

        await asyncio.gather(weigh("a", "b"), weigh("b", "a"))
        assert len(tries) > 2


async def test_a_full_pool_answers_overloaded_after_a_second(tmp_path, monkeypatch):
    monkeypatch.setattr("models.postgres_engine.ACQUIRE_SECONDS", 1.0)
    async with fresh_database("postgres", tmp_path, MACHINERY, database_pool_size=2) as database:
        done, held = asyncio.Event(), []

        @unit_of_work(seconds=60.0)
        async def hold(work: Work) -> None:
            held.append(work)
            await done.wait()

        holding = [asyncio.create_task(hold()) for _ in range(2)]
        await until(lambda: len(held) == 2)
        for waiting in (send("a"), labels(), Parcel.all().count()):
            with pytest.raises(Failure) as failure:
                await asyncio.wait_for(waiting, 5)
            assert (failure.value.code, failure.value.retry_after_seconds) == (ErrorCode.OVERLOADED, 1)
        done.set()
        await asyncio.gather(*holding)
        await send("a")
        assert database.is_clean()


async def test_a_lost_server_answers_storage_unavailable_and_the_next_unit_works(tmp_path):
    async with fresh_database("postgres", tmp_path, MACHINERY):

        @unit_of_work
        async def cut(work: Work) -> None:
            await Parcel.create(label="a")
            await work.fetch("SELECT pg_terminate_backend(pg_backend_pid())")

        with pytest.raises(Failure) as failure:
            await cut()
        assert failure.value.code is ErrorCode.STORAGE_UNAVAILABLE
        await send("b")
        assert await labels() == ["b"]


async def test_a_commit_of_which_nothing_is_heard_answers_storage_unavailable_and_the_next_unit_works(tmp_path, monkeypatch):
    async with fresh_database("postgres", tmp_path, MACHINERY) as database:
        await send("a")
        with monkeypatch.context() as slow:
            slow.setattr("models.postgres_engine.COMMIT_SECONDS", 1e-9)
            with pytest.raises(Failure) as failure:
                await send("b")
        assert failure.value.code is ErrorCode.STORAGE_UNAVAILABLE
        await send("c")
        assert {"a", "c"} <= set(await labels())
        assert database.is_clean()


async def test_a_slow_disk_is_waited_for_beside_the_event_loop(tmp_path, monkeypatch):
    async with fresh_database("sqlite", tmp_path, MACHINERY) as database:
        group, begun, go_on = database.engine.group, asyncio.Event(), asyncio.Event()
        commit = group.commit_on_thread

        async def slow() -> None:
            begun.set()
            await go_on.wait()
            await commit()

        monkeypatch.setattr(group, "commit_on_thread", slow)
        writing = asyncio.create_task(send("a"))
        await begun.wait()
        assert await labels() == []  # reads go on
        go_on.set()
        await writing
        assert await labels() == ["a"]


async def test_no_commit_runs_in_the_event_loop(tmp_path):
    """Each waits for the disk: on a thread."""
    async with fresh_database("sqlite", tmp_path, MACHINERY) as database:
        threads: list[tuple[str, int]] = []
        database.engine.writer.set_trace_callback(lambda statement: threads.append((statement.split()[0], threading.get_ident())))
        await send("a")
        committed_by = {thread for verb, thread in threads if verb == "COMMIT"}
        assert len(committed_by) == 1 and threading.get_ident() not in committed_by
        assert ("INSERT", threading.get_ident()) in threads


async def test_no_server_at_all_answers_storage_unavailable():
    with pytest.raises(Failure) as failure:
        async with open_database(settings_for("postgres://nobody@127.0.0.1:1/nothing")):
            pass
    assert failure.value.code is ErrorCode.STORAGE_UNAVAILABLE


async def test_a_full_disk_answers_storage_unavailable_and_reads_go_on(tmp_path):
    async with fresh_database("sqlite", tmp_path, MACHINERY) as database:
        await send("a")
        pages = database.engine.writer.execute("PRAGMA page_count").fetchone()[0]
        database.engine.writer.execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(Failure) as failure:
            for n in range(500):
                await send(f"{n} " + "x" * 90)
        assert failure.value.code is ErrorCode.STORAGE_UNAVAILABLE
        assert "a" in await labels()
        assert database.is_clean()


async def test_sqlite_below_full_is_refused_unless_allowed(tmp_path):
    with pytest.raises(UnsafeStorage, match="synchronous=1"):
        await SqliteEngine(str(tmp_path / "a.db"), connection_name="x", synchronous="NORMAL").create_connection(True)
    allowed = SqliteEngine(str(tmp_path / "a.db"), connection_name="x", synchronous="NORMAL", allow_unsafe=True)
    await allowed.create_connection(True)
    await allowed.close()


async def test_the_pragmas_that_durability_and_erasure_need_are_on(tmp_path):
    async with fresh_database("sqlite", tmp_path, MACHINERY) as database:
        expected = {"synchronous": 2, "foreign_keys": 1, "secure_delete": 1, "recursive_triggers": 1}
        for pragma, value in expected.items():
            assert database.engine.writer.execute(f"PRAGMA {pragma}").fetchone()[0] == value


async def test_what_was_deleted_is_in_no_file(tmp_path):
    @unit_of_work
    async def forget(work: Work) -> None:
        await work.execute("DELETE FROM parcel WHERE label LIKE $1", "canary%")

    async with fresh_database("sqlite", tmp_path, MACHINERY) as database:
        for n in range(50):
            await send(f"canary-{n}")
        await send("other")
        await forget()
        assert await database.engine.wipe()
        assert await labels() == ["other"]
        for file in tmp_path.iterdir():
            assert b"canary" not in file.read_bytes()


async def test_what_sqlite_left_behind_when_it_moved_rows_is_in_no_file_either(tmp_path):
    chance = random.Random(1)  # without VACUUM a copy of one of the rows stays in the file
    labels = [(f"{chance.randbytes(3).hex()}-{'canary' if n % 20 == 0 else 'other'}-{n}" * chance.randint(1, 4))[:100] for n in range(4000)]

    @unit_of_work
    async def write_and_forget(work: Work) -> None:
        await work.execute_each("INSERT INTO parcel (label, weight, fragile) VALUES ($1, 0, false)", [(label,) for label in labels])
        await work.execute("DELETE FROM parcel WHERE label LIKE $1", "%canary%")

    async with fresh_database("sqlite", tmp_path, MACHINERY) as database:
        await write_and_forget()
        assert await database.engine.wipe()
        for file in tmp_path.iterdir():
            assert b"canary" not in file.read_bytes()


async def test_postgres_connections_carry_their_limits_and_nothing_resets_them(tmp_path):
    async with fresh_database("postgres", tmp_path, MACHINERY) as database:
        expected = {
            "idle_in_transaction_session_timeout": "10s",
            "statement_timeout": "5s",
            "lock_timeout": "3s",
            "TimeZone": "UTC",
            "application_name": "kabinet",
            "synchronous_commit": "on",
        }
        for name, value in expected.items():
            assert (await fetch(f"SHOW {name}"))[0][0] == value
        await send("a")
        statements: list[str] = []
        async with database.engine.pool.acquire() as connection:
            connection._con.add_query_logger(lambda record: statements.append(record.query))
        statements.clear()
        await labels()
        await asyncio.sleep(0)  # asyncpg tells its loggers in the loop's next turn
        assert len(statements) == 1


WRITER = """
import asyncio, sys
from models.database import open_database
from models.unit_of_work import unit_of_work
from tests.databases import settings_for

@unit_of_work
async def add(work):
    weight = (await work.fetch("SELECT weight FROM parcel WHERE label = 'shared'"))[0][0]
    await work.execute("UPDATE parcel SET weight = $1 WHERE label = 'shared'", weight + 1)

async def main():
    async with open_database(settings_for(sys.argv[1]), ["tests.models.tables"]):
        for _ in range(150):
            await add()

asyncio.run(main())
"""


async def test_two_processes_on_one_sqlite_file_lose_no_update(tmp_path):
    async with fresh_url("sqlite", tmp_path) as url:
        async with open_database(settings_for(url), MACHINERY) as database:
            await database.context.generate_schemas()
            await send("shared")
        root = Path(__file__).parents[2]
        both = [await asyncio.create_subprocess_exec(sys.executable, "-c", WRITER, url, cwd=root) for _ in range(2)]
        assert await asyncio.wait_for(asyncio.gather(*(process.wait() for process in both)), 180) == [0, 0]
        async with open_database(settings_for(url), MACHINERY):
            assert (await fetch("SELECT weight FROM parcel"))[0][0] == 300
