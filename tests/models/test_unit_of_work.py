import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

import pytest
from tortoise.exceptions import IntegrityError

from models.activity import Activity
from models.database import any_of, fetch, opened
from models.events import Event, events_after, last_number
from models.instants import as_instant
from models.refusals import ErrorCode, Failure, NotFound
from models.unit_of_work import Work, drain, unit_of_work
from tests.databases import fresh_database
from tests.models.conftest import MACHINERY
from tests.models.tables import Parcel
from tests.statements import statements

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@dataclass
class Buyer:
    now: datetime = NOON
    account_id: int | None = 7
    staff_id: int | None = None


@unit_of_work
async def send(work: Work, label: str, weight: int = 1) -> int:
    parcel = await Parcel.create(label=label, weight=weight)
    return parcel.id


async def weights() -> list[int]:
    return [row[0] for row in await fetch("SELECT weight FROM parcel ORDER BY id")]


async def test_what_a_unit_wrote_is_there_for_the_orm_and_for_raw_reads(database):
    number = await send("a", 3)
    assert await weights() == [3]
    assert (await Parcel.get(id=number)).label == "a"
    assert database.is_clean()


async def test_an_exception_rolls_back_rows_activity_events_and_outbox(database):
    @unit_of_work
    async def refused(work: Work) -> None:
        await Parcel.create(label="a")
        await work.execute("INSERT INTO parcel (label, weight, fragile) VALUES ($1, $2, $3)", "b", 2, True)
        work.record(Buyer(), "parcel_sent", "parcel", 1)
        work.event(7, "PARCEL_SENT", 1, NOON)
        work.post("mail", {"to": "anna"})
        await work.finish()
        raise NotFound

    with pytest.raises(NotFound):
        await refused()
    assert await weights() == []
    for table in ("activity", "event", "outbox", "account_event_counter"):
        assert (await fetch(f"SELECT count(*) FROM {table}"))[0][0] == 0
    assert database.is_clean()


async def test_activity_events_and_outbox_are_written_with_the_rows(database):
    told = []
    opened().publish = lambda *topics: told.append(topics)

    @unit_of_work
    async def write(work: Work) -> None:
        work.record(Buyer(), "parcel_sent", "parcel", 5, weight=3)
        work.record(Buyer(account_id=None, staff_id=2), "parcel_lost", "parcel", 5)
        work.record(None, "parcel_found", "parcel", 5, at=NOON)
        for account in (9, 7, 9):
            work.event(account, "PARCEL_SENT", 5, NOON)
        work.post("mail", {"to": "anna"})
        work.announce("order:5")
        assert told == []

    await write()
    rows = await Activity.all().order_by("id")
    assert [(r.actor_kind, r.actor_id, r.verb, r.at, r.details) for r in rows] == [
        ("buyer", 7, "parcel_sent", NOON, {"weight": 3}),
        ("staff", 2, "parcel_lost", NOON, {}),
        ("system", None, "parcel_found", NOON, {}),
    ]
    assert await events_after(9, 0) == [Event(1, "PARCEL_SENT", 5, NOON), Event(2, "PARCEL_SENT", 5, NOON)]
    assert await events_after(9, 1, limit=1) == [Event(2, "PARCEL_SENT", 5, NOON)]
    assert (await last_number(7), await last_number(9), await last_number(11)) == (1, 2, 0)
    assert (await fetch("SELECT count(*) FROM outbox WHERE attempts = 0 AND sent_at IS NULL"))[0][0] == 1
    assert told == [("account:9", "account:7", "outbox", "order:5")]


async def test_numbers_go_on_where_they_stopped_for_one_account_and_for_many(database):
    @unit_of_work
    async def numbered(work: Work, accounts: list[int]) -> dict[int, int]:
        return await work.numbered(accounts)

    @unit_of_work
    async def counters(work: Work, accounts: list[int]) -> None:
        await work.create_counters(accounts)

    await counters([1, 2])
    assert await numbered([2]) == {2: 1}
    assert await numbered([3, 2, 1]) == {1: 1, 2: 2, 3: 1}
    await counters([1, 2, 3])
    assert await numbered(list(range(1, 301))) == {1: 2, 2: 3, 3: 2} | dict.fromkeys(range(4, 301), 1)


async def test_a_unit_inside_a_unit_joins_it(database):
    @unit_of_work
    async def outer(work: Work) -> None:
        await send("a")
        assert await weights() == [1]
        raise NotFound

    with pytest.raises(NotFound):
        await outer()
    assert await weights() == []


async def test_a_caught_constraint_leaves_what_a_savepoint_protects(database):
    @unit_of_work
    async def twice(work: Work) -> None:
        await Parcel.create(label="a")
        _, created = await Parcel.get_or_create(label="a")
        assert not created
        _, created = await Parcel.get_or_create(label="b")
        assert created

    await twice()
    with pytest.raises(IntegrityError):
        await send("a")
    assert len(await weights()) == 2


async def test_a_swallowed_failure_is_not_acknowledged_as_written_on_postgres(database):
    @unit_of_work
    async def careless(work: Work) -> None:
        await Parcel.create(label="a")
        try:
            await Parcel.create(label="a")
        except IntegrityError:
            pass

    if database.dialect == "sqlite":
        await careless()
        assert len(await weights()) == 1
        return
    with pytest.raises(RuntimeError, match="nothing of it was written"):
        await careless()
    assert await weights() == []
    assert database.is_clean()


async def test_a_unit_past_its_deadline_rolls_back_and_answers_timeout(database):
    @unit_of_work(seconds=0.05)
    async def slow(work: Work) -> None:
        await Parcel.create(label="a")
        await asyncio.sleep(5)

    with pytest.raises(Failure) as failure:
        await slow()
    assert failure.value.code is ErrorCode.TIMEOUT
    assert await weights() == []
    assert database.is_clean()


async def test_a_caller_that_goes_away_does_not_stop_the_unit(database):
    inside, go_on = asyncio.Event(), asyncio.Event()

    @unit_of_work
    async def write(work: Work) -> None:
        await Parcel.create(label="a")
        inside.set()
        await go_on.wait()
        await Parcel.create(label="b")

    caller = asyncio.create_task(write())
    await inside.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert await weights() == []
    go_on.set()
    assert await drain(30) == 0
    assert len(await weights()) == 2


async def test_writes_outside_a_unit_are_refused(database):
    with pytest.raises(RuntimeError, match="unit of work"):
        await Parcel.create(label="a")
    with pytest.raises(RuntimeError, match="unit"):
        await Parcel.bulk_create([Parcel(label="a")])
    with pytest.raises(Exception, match=r"unit of work|readonly"):
        await Parcel.filter(label="a").update(weight=1)
    with pytest.raises(Exception, match=r"unit of work|readonly"):
        await Parcel.filter(label="a").delete()


async def test_a_task_that_outlives_its_unit_can_neither_read_through_it_nor_write(database):
    over = asyncio.Event()

    async def stray(work: Work) -> None:
        await over.wait()
        assert await weights() == [1]
        with pytest.raises(RuntimeError, match="over"):
            await Parcel.create(label="b")
        with pytest.raises(RuntimeError, match="over"):
            await work.execute("DELETE FROM parcel")
        await send("c", 2)

    @unit_of_work
    async def write(work: Work) -> asyncio.Task:
        await Parcel.create(label="a", weight=1)
        return asyncio.create_task(stray(work))

    task = await write()
    over.set()
    await task
    assert await weights() == [1, 2]


async def test_statements_of_a_unit_may_run_at_once(database):
    @unit_of_work
    async def write(work: Work) -> None:
        await asyncio.gather(
            *(Parcel.create(label=f"p{n}") for n in range(10)),
            *(work.execute("INSERT INTO parcel (label, weight, fragile) VALUES ($1, 1, $2)", f"q{n}", False) for n in range(10)),
        )

    await write()
    assert len(await weights()) == 20


async def test_parameters_of_every_kind(database):
    east = datetime(2026, 5, 1, 3, tzinfo=timezone(timedelta(hours=3)))

    @unit_of_work
    async def write(work: Work) -> None:
        sql = "INSERT INTO parcel (label, weight, seen_at, fragile) VALUES ($1, $2, $3, $4)"
        assert await work.execute(sql, "a", 1, east, True) == 1
        assert await work.execute(sql, "b", 2, None, False) == 1
        await work.execute_each(sql, [("c", 3, east, True), ("d", 4, NOON, False)])
        assert await work.execute("UPDATE parcel SET weight = weight + 10 WHERE weight > $1", 2) == 2
        rows = await work.fetch("UPDATE parcel SET weight = 0 WHERE label = $1 RETURNING label, weight", "a")
        assert [tuple(row) for row in rows] == [("a", 0)]
        with pytest.raises(ValueError, match="time zone"):
            await work.execute(sql, "e", 1, datetime(2026, 1, 1), True)

    await write()
    rows = await fetch(f"SELECT label, seen_at FROM parcel WHERE {any_of('label', 1, 'text')} ORDER BY label", ["a", "b", "x"])
    assert [(label, as_instant(at)) for label, at in rows] == [("a", datetime(2026, 5, 1, tzinfo=UTC)), ("b", None)]
    assert await fetch(f"SELECT label FROM parcel WHERE {any_of('id', 1)}", []) == []
    assert [r[0] for r in await fetch("SELECT label FROM parcel WHERE seen_at < $1 ORDER BY label", NOON)] == ["a", "c"]
    assert (await Parcel.get(label="a")).seen_at == east
    assert [p.label for p in await Parcel.filter(seen_at__lt=NOON).order_by("label")] == ["a", "c"]


async def test_an_instant_without_a_zone_is_refused(database):
    with pytest.raises(ValueError, match="time zone"):

        @unit_of_work
        async def write(work: Work) -> None:
            await Parcel.create(label="a", seen_at=datetime(2026, 1, 1))

        await write()


@unit_of_work(single=True)
async def send_at_once(work: Work, *labels: str) -> int:
    values = ", ".join(f"(${n}, 1, false)" for n in range(1, len(labels) + 1))
    sent = await work.fetch_recorded(
        Buyer(), "parcel_sent", "parcel", f"INSERT INTO parcel (label, weight, fragile) VALUES {values} RETURNING id, label", *labels
    )
    assert [row[1] for row in sent] == list(labels)
    return sent[0][0]


async def recorded() -> list[tuple]:
    return [tuple(row) for row in await fetch("SELECT actor_kind, actor_id, verb, subject_kind, subject_id FROM activity ORDER BY id")]


async def test_a_write_is_recorded_by_the_statement_that_makes_it(database):
    async with statements() as seen:
        first = await send_at_once("a", "b")
    assert await recorded() == [("buyer", 7, "parcel_sent", "parcel", first), ("buyer", 7, "parcel_sent", "parcel", first + 1)]
    (entry,) = await Activity.filter(subject_id=first)
    assert (entry.at, entry.details) == (NOON, {})
    assert database.is_clean()
    if database.dialect == "postgres":
        assert len(seen) == 1, seen


async def test_a_single_statement_that_fails_leaves_nothing(database):
    await send_at_once("a")
    with pytest.raises(Exception, match=r"(?i)unique"):
        await send_at_once("b", "a")
    assert len(await weights()) == len(await recorded()) == 1
    assert database.is_clean()


async def test_a_single_unit_inside_another_stands_or_falls_with_it(database):
    @unit_of_work
    async def refused(work: Work) -> None:
        await send_at_once("a")
        await send_at_once("b")
        raise NotFound

    with pytest.raises(NotFound):
        await refused()
    assert await weights() == [] and await recorded() == []


async def test_a_single_unit_has_room_for_one_statement(tmp_path):
    async with fresh_database("postgres", tmp_path, MACHINERY) as database:

        @unit_of_work(single=True)
        async def twice(work: Work) -> None:
            await work.fetch("SELECT 1")
            await work.fetch("SELECT 1")

        @unit_of_work(single=True)
        async def counting(work: Work) -> None:
            await work.execute("UPDATE parcel SET weight = 2")

        for wrong in (twice, counting):
            with pytest.raises(RuntimeError):
                await wrong()
        assert database.is_clean()
