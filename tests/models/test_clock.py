from datetime import UTC, datetime, timedelta, timezone

import pytest

from models import clock
from models.database import open_database
from models.instants import as_instant, as_text, utc_now
from models.unit_of_work import Work, unit_of_work
from settings import Mode
from tests.databases import fresh_database
from tests.models.conftest import MACHINERY

NEAR = timedelta(minutes=1)


@unit_of_work
async def advance(work: Work, by: timedelta) -> datetime:
    await clock.advance(work, by)
    return await clock.now()


async def test_the_clock_that_was_never_moved_is_the_machines(database):
    assert abs(await clock.now() - utc_now()) < NEAR


async def test_steps_add_up_and_every_reader_and_a_restart_agree(database):
    assert abs(await advance(timedelta(days=2)) - utc_now() - timedelta(days=2)) < NEAR
    await advance(timedelta(hours=3))
    assert abs(await clock.now() - utc_now() - timedelta(days=2, hours=3)) < NEAR


async def test_the_offset_outlives_the_process(tmp_path):
    async with fresh_database("sqlite", tmp_path, MACHINERY) as database:
        await advance(timedelta(days=5))
        settings = database.settings
    async with open_database(settings, MACHINERY):
        assert abs(await clock.now() - utc_now() - timedelta(days=5)) < NEAR


@pytest.mark.parametrize("step", [timedelta(seconds=-1), timedelta(days=401)])
async def test_backwards_and_too_far_are_refused(database, step):
    with pytest.raises(ValueError, match="400 days"):
        await advance(step)


async def test_outside_the_demo_mode_the_offset_is_not_read(tmp_path):
    async with fresh_database("sqlite", tmp_path, MACHINERY, mode=Mode.PRODUCTION):
        await advance(timedelta(days=5))
        assert abs(await clock.now() - utc_now()) < NEAR
        assert abs(await clock.now(moved=True) - utc_now() - timedelta(days=5)) < NEAR


def test_instants_as_text_sort_by_time_and_come_back():
    east = timezone(timedelta(hours=3))
    moments = [
        datetime(2026, 5, 1, 2, 59, 59, 999_999, tzinfo=east),
        datetime(2026, 5, 1, tzinfo=UTC),
        datetime(2026, 5, 1, 3, 0, 0, 1, tzinfo=east),
        datetime(2026, 5, 1, 0, 0, 1, tzinfo=UTC),
    ]
    texts = [as_text(moment) for moment in moments]
    assert texts == sorted(texts)
    assert [as_instant(text) for text in texts] == moments
    assert texts[1] == "2026-05-01 00:00:00+00:00"
    assert as_instant(None) is None
    assert as_instant(moments[0]).utcoffset() == timedelta(0)
    with pytest.raises(ValueError, match="time zone"):
        as_text(datetime(2026, 5, 1))
