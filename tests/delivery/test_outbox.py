import asyncio
import sqlite3
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from delivery import outbox as worker
from delivery.bus import Bus
from delivery.outbox import Undeliverable, deliver_due, deliver_forever, forget_sent, lease
from models.database import fetch, opened
from models.outbox import Message, OutboxMessage, next_attempt_at, waiting_and_dead
from models.refusals import NotFound
from models.unit_of_work import Work, unit_of_work
from tests.databases import BOTH, fresh_database, tell_server
from tests.delivery.test_bus import until
from tests.rows import change

TABLES = ["models.clock", "models.activity", "models.events", "models.outbox"]
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture(params=BOTH)
async def database(request, tmp_path):
    async with fresh_database(request.param, tmp_path, TABLES) as opened_:
        yield opened_


@unit_of_work
async def post(work: Work, count: int = 1, kind: str = "mail", due_at: datetime | None = None) -> list[str]:
    return [work.post(kind, {"to": f"anna{n}@demo.example"}, due_at) for n in range(count)]


class Sink:
    """What is outside: takes messages, fails where it is told to."""

    def __init__(self, *failures: Exception):
        self.failures = list(failures)
        self.taken: list[str] = []
        self.reached = asyncio.Event()

    async def __call__(self, message: Message) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.taken.append(message.message_id)
        self.reached.set()


async def test_a_message_leaves_once_and_its_payload_is_forgotten(database):
    ids = await post(3)
    sink = Sink()
    assert await deliver_due({"mail": sink}) == 3
    assert await deliver_due({"mail": sink}) == 0
    assert sorted(sink.taken) == sorted(ids)
    row = await OutboxMessage.get(message_id=ids[0])
    assert (row.payload, row.attempts, row.due_at) == ({}, 1, None)
    assert row.sent_at is not None
    assert await waiting_and_dead() == (0, 0)
    assert await forget_sent() == 0
    assert await forget_sent(timedelta(seconds=-1)) == 3


async def test_nothing_leaves_of_a_unit_that_rolled_back(database):
    @unit_of_work
    async def refused(work: Work) -> None:
        work.post("mail", {})
        await work.finish()
        raise NotFound

    with pytest.raises(NotFound):
        await refused()
    assert await deliver_due({"mail": Sink()}) == 0


async def test_a_message_waits_for_its_time_and_for_its_channel(database):
    await post(kind="sms")
    await post(due_at=worker.utc_now() + timedelta(hours=1))
    assert await deliver_due({"mail": Sink()}) == 0
    assert await waiting_and_dead() == (2, 0)


async def test_a_failed_message_comes_back_later_with_the_same_id(database):
    (message_id,) = await post()
    sink, before = Sink(OSError("450 try later")), worker.utc_now()
    assert await deliver_due({"mail": sink}) == 1
    row = await OutboxMessage.get(message_id=message_id)
    assert row.last_error == "OSError: 450 try later"
    assert before + timedelta(seconds=0.5) <= row.due_at <= worker.utc_now() + timedelta(seconds=1)
    await change("UPDATE outbox SET due_at = $1", worker.utc_now() + timedelta(minutes=1))
    assert await deliver_due({"mail": sink}) == 0
    await change("UPDATE outbox SET due_at = $1", worker.utc_now())
    assert await deliver_due({"mail": sink}) == 1
    assert sink.taken == [message_id]


async def test_what_nobody_can_deliver_and_what_is_too_old_become_dead_letters(database):
    await post(2)
    await change("UPDATE outbox SET wanted_at = $1 WHERE id = 2", worker.utc_now() - timedelta(hours=72))
    await deliver_due({"mail": Sink(Undeliverable("no such address"), OSError("away"))})
    assert await waiting_and_dead() == (0, 2)
    assert all(row.payload for row in await OutboxMessage.all())


async def test_a_lease_that_ran_out_goes_to_another_worker_and_the_first_ones_note_does_not_count(database):
    (message_id,) = await post()
    (mine,) = await lease(["mail"], 10)
    assert await lease(["mail"], 10) == []
    await change("UPDATE outbox SET due_at = $1", worker.utc_now())
    sink = Sink()
    assert await deliver_due({"mail": sink}) == 1
    await worker.note_failed(mine, OSError())
    row = await OutboxMessage.get(message_id=message_id)
    assert row.sent_at is not None and row.due_at is None


async def test_workers_at_once_share_the_messages(database):
    ids = await post(120)
    sink = Sink()

    async def work_off() -> None:
        while await deliver_due({"mail": sink}, limit=7):
            pass

    await asyncio.gather(*(work_off() for _ in range(4)))
    assert Counter(sink.taken) == Counter(ids)


async def test_the_worker_is_woken_by_a_post_and_gives_back_what_it_was_stopped_in(database):
    bus, sink = Bus(), Sink()
    opened().publish = bus.publish
    reached = asyncio.Event()

    async def stuck(message: Message) -> None:
        reached.set()
        await asyncio.sleep(60)

    running = asyncio.create_task(deliver_forever({"mail": sink, "sms": stuck}, bus))
    await asyncio.sleep(0.05)
    ids = await post()
    await asyncio.wait_for(sink.reached.wait(), 30)
    assert sink.taken == ids
    await post(kind="sms")
    await asyncio.wait_for(reached.wait(), 30)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert len(await lease(["sms"], 1)) == 1
    assert (await fetch("SELECT attempts FROM outbox WHERE kind = 'sms'"))[0][0] == 1


async def test_the_worker_goes_on_after_the_server_has_dropped_all_its_connections(tmp_path):
    bus, sink = Bus(), Sink()
    async with fresh_database("postgres", tmp_path, TABLES) as database:
        opened().publish = bus.publish
        running = asyncio.create_task(deliver_forever({"mail": sink}, bus))
        for _ in range(3):
            sink.reached.clear()
            (message_id,) = await post()
            await asyncio.wait_for(sink.reached.wait(), 30)
            assert sink.taken[-1] == message_id
            await until(lambda: any(listener._waiter for listener in bus._listeners["outbox"]))  # the worker has noted it, and rests
            connections = [holder._con for holder in database.engine.pool._holders if holder.is_connected()]
            name = database.settings.database_url.rpartition("/")[2]
            await tell_server(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                f"WHERE datname = '{name}' AND application_name = 'kabinet'"
            )
            await until(lambda: all(connection.is_closed() for connection in connections))  # noqa: B023 - it is awaited here
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


def test_pauses_double_up_to_ten_minutes_and_end_after_72_hours():
    def tried(attempts: int, age: timedelta = timedelta()) -> timedelta | None:
        message = Message(1, "m", "mail", {}, NOON - age, attempts)
        again_at = next_attempt_at(message, NOON)
        return again_at and again_at - NOON

    for attempts, longest in ((1, 1), (2, 2), (5, 16), (11, 600), (400, 600)):
        assert all(timedelta(seconds=longest / 2) <= tried(attempts) <= timedelta(seconds=longest) for _ in range(50))
    assert tried(400, timedelta(hours=72)) is None
    assert tried(400, timedelta(hours=71, minutes=49)) is not None


WORKER = """
import asyncio, sqlite3, sys
from delivery.bus import Bus
from delivery.outbox import deliver_forever
from models.database import open_database
from tests.databases import settings_for
from tests.delivery.test_outbox import TABLES

async def channel(message):
    sys.stdout.write(message.message_id + "\\n")
    sys.stdout.flush()

async def main():
    async with open_database(settings_for(sys.argv[1]), TABLES):
        await deliver_forever({"mail": channel}, Bus())

asyncio.run(main())
"""


async def test_a_worker_killed_again_and_again_loses_no_message(tmp_path, monkeypatch):
    count, kills = 300, 4
    root = Path(__file__).parents[2]
    left: list[str] = []
    async with fresh_database("sqlite", tmp_path, TABLES) as database:
        ids = await post(count)
        for turn in range(kills + 1):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", WORKER, database.settings.database_url, cwd=root, stdout=asyncio.subprocess.PIPE
            )
            goal = count if turn == kills else (turn + 1) * count // (kills + 2)
            async with asyncio.timeout(120):
                while len(set(left)) < goal:
                    left.append((await process.stdout.readline()).decode().strip())
            process.kill()
            left += (await process.stdout.read()).decode().split()
            await process.wait()
            await change("UPDATE outbox SET due_at = $1 WHERE due_at IS NOT NULL", worker.utc_now())
        assert set(left) == set(ids)
        assert len(left) - count <= kills * worker.BATCH + worker.BATCH
        integrity = sqlite3.connect(database.settings.sqlite_path).execute("PRAGMA integrity_check").fetchone()
        assert integrity == ("ok",)
