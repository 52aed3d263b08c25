"""What is thrown away, and what is not."""

from datetime import timedelta

from models.instants import utc_now
from models.sessions import Guess, Session
from models.unit_of_work import Work, unit_of_work
from resolvers.housekeeping import forget_old
from tests.shop import Shop


@unit_of_work
async def change(work: Work, sql: str, *params: object) -> None:
    await work.execute(sql, *params)


async def test_old_counters_and_sessions_go_and_young_ones_stay(shop: Shop) -> None:
    old, young = await shop.buyer(), await shop.buyer()
    at = utc_now()
    await change("UPDATE session SET ends_at = $1 WHERE id = (SELECT min(id) FROM session)", at - timedelta(days=31))
    await change("DELETE FROM guess")
    for key, age in (("account:old", 13), ("account:young", 1)):
        await change("INSERT INTO guess (key, failures, first_at) VALUES ($1, 1, $2)", key, at - timedelta(hours=age))
    assert await forget_old(at) is False
    assert await Guess.all().values_list("key", flat=True) == ["account:young"]
    assert await Session.all().count() == 1
    assert await old.codes("{ me { id } }") == ["UNAUTHENTICATED"]
    assert (await young.data("{ me { id } }"))["me"]["id"] == young.id
