"""Which events are kept: those of a week and the newest thousand of an account, and all behind the first one kept."""

from datetime import datetime, timedelta

from models.database import fetch
from models.unit_of_work import Work, unit_of_work
from resolvers.events import EVENTS_A_UNIT, KEPT_AT_LEAST, Round, prune_account, prune_events
from schema.scalars import split_id
from tests.shop import Shop


@unit_of_work
async def happened(work: Work, account_id: int, *instants: datetime) -> None:
    for at in instants:
        work.event(account_id, "something", None, at)


async def kept(account_id: int) -> tuple[int, int, int]:
    """How many events of the account are there, and the first and the last number of them."""
    found = await fetch("SELECT count(*), min(number), max(number) FROM event WHERE account_id = $1", account_id)
    count, first, last = found[0]
    return count, first, last


async def test_the_old_ones_beyond_the_newest_thousand_go(shop: Shop) -> None:
    busy, quiet = [split_id((await shop.buyer()).id)[1] for _ in range(2)]
    now = await shop.now()
    await happened(busy, *[now - timedelta(days=8)] * 1200)
    await happened(quiet, *[now - timedelta(days=400)] * 1000)
    assert await prune_events(Round()) is False
    assert await kept(busy) == (1000, 201, 1200)
    assert await kept(quiet) == (1000, 1, 1000)


async def test_those_of_a_week_stay_however_many_they_are(shop: Shop) -> None:
    account = split_id((await shop.buyer()).id)[1]
    week_ago = await shop.now() - timedelta(days=7)
    await happened(account, *[week_ago - timedelta(minutes=1)] * 10, *[week_ago + timedelta(minutes=1)] * 1500)
    await prune_events(Round())
    assert await kept(account) == (1500, 11, 1510)


async def test_nothing_goes_from_behind_one_that_stays(shop: Shop) -> None:
    account = split_id((await shop.buyer()).id)[1]
    now = await shop.now()
    await happened(account, now, *[now - timedelta(days=300)] * 1500)
    await prune_events(Round())
    assert await kept(account) == (1501, 1, 1501)


async def test_a_round_goes_on_where_it_was_and_rests_at_its_end(shop: Shop) -> None:
    account = split_id((await shop.buyer()).id)[1]
    await happened(account, *[await shop.now() - timedelta(days=8)] * (KEPT_AT_LEAST + 1))
    beyond = Round(account_id=account)
    assert await prune_events(beyond) is False
    assert (await kept(account))[0] == KEPT_AT_LEAST + 1
    assert beyond.account_id == 0
    assert await prune_events(beyond) is False
    assert (await kept(account))[0] == KEPT_AT_LEAST + 1


async def test_one_unit_forgets_a_bounded_number(shop: Shop) -> None:
    account = split_id((await shop.buyer()).id)[1]
    now = await shop.now()
    await happened(account, *[now - timedelta(days=8)] * (EVENTS_A_UNIT + 10))
    assert await prune_account(account, EVENTS_A_UNIT + 5, now) is True
    assert await kept(account) == (10, EVENTS_A_UNIT + 1, EVENTS_A_UNIT + 10)
    assert await prune_account(account, EVENTS_A_UNIT + 5, now) is False
    assert await kept(account) == (5, EVENTS_A_UNIT + 6, EVENTS_A_UNIT + 10)
    assert await prune_account(account, EVENTS_A_UNIT + 5, now) is False
