import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from models.refusals import NotFound
from models.timers import Timer, claim_timer, due_timers, next_due_at, set_timer, stop_timer
from models.unit_of_work import Work, unit_of_work

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@unit_of_work
async def start(work: Work, subject_id: int, due_at: datetime, kind: str = "protection_end") -> None:
    await set_timer(work, kind, subject_id, due_at)


@unit_of_work
async def stop(work: Work, subject_id: int) -> None:
    await stop_timer(work, "protection_end", subject_id)


@unit_of_work
async def claim(work: Work, timer: Timer) -> bool:
    return await claim_timer(work, timer)


def subjects(timers: list[Timer]) -> list[int]:
    return [timer.subject_id for timer in timers]


async def test_timers_are_due_at_their_instant_in_order_of_time(database):
    await start(3, NOON)
    await start(1, NOON + timedelta(microseconds=1))
    await start(2, NOON - timedelta(hours=1))
    assert subjects(await due_timers(NOON - timedelta(hours=2))) == []
    assert subjects(await due_timers(NOON)) == [2, 3]
    assert subjects(await due_timers(NOON + timedelta(seconds=1), limit=2)) == [2, 3]
    assert subjects(await due_timers(NOON + timedelta(seconds=1))) == [2, 3, 1]
    assert await next_due_at() == NOON - timedelta(hours=1)


async def test_a_kind_and_subject_have_one_timer_that_moves(database):
    await start(1, NOON)
    await start(1, NOON + timedelta(days=1))
    await start(1, NOON, kind="ship_by")
    (first, second) = await due_timers(NOON + timedelta(days=1))
    assert (first.kind, first.due_at, first.version) == ("ship_by", NOON, 1)
    assert (second.kind, second.due_at, second.version) == ("protection_end", NOON + timedelta(days=1), 2)
    await stop(1)
    await stop(1)
    assert await due_timers(NOON + timedelta(days=2)) == [first]


async def test_of_many_who_claim_a_timer_one_gets_it(database):
    await start(1, NOON)
    (timer,) = await due_timers(NOON)
    assert sorted(await asyncio.gather(*(claim(timer) for _ in range(4)))) == [False, False, False, True]
    assert await next_due_at() is None


async def test_a_timer_that_was_moved_meanwhile_is_not_claimed(database):
    await start(1, NOON)
    (timer,) = await due_timers(NOON)
    await start(1, NOON + timedelta(days=1))
    assert await claim(timer) is False
    assert await next_due_at() == NOON + timedelta(days=1)


async def test_a_claim_that_was_rolled_back_leaves_the_timer_due(database):
    @unit_of_work
    async def fail(work: Work, timer: Timer) -> None:
        assert await claim_timer(work, timer)
        raise NotFound

    await start(1, NOON)
    (timer,) = await due_timers(NOON)
    with pytest.raises(NotFound):
        await fail(timer)
    assert await due_timers(NOON) == [timer]
