"""A list of 500 favourites is full, also for those who add at once."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest

from auth.viewer import Viewer
from models.accounts import Account
from models.catalog import Product
from models.favorites import MOST_WATCHES, Favorite
from models.instants import utc_now
from models.reads import reads
from models.refusals import ErrorCode, Refusal
from models.sessions import SCOPES
from models.unit_of_work import Work, unit_of_work
from resolvers.favorites import GivenFavorite, add_favorite, put_favorites
from tests.shop import Shop

Call = Callable[[], Coroutine[Any, Any, object]]

FREE = 3
SECONDS = 0.3


async def lists_of(shop: Shop, favorites: int) -> tuple[Viewer, Viewer, list[Product]]:
    """A buyer with so many favourites, the staff who put them there, and the products that are not on the list yet."""
    buyer, store = await shop.buyer(), await shop.store()
    at = (await shop.now() - timedelta(days=1)).isoformat()
    for begin in range(0, MOST_WATCHES + FREE, 400):
        rows = [
            {"externalId": f"{store}-{n}", "storeExternalId": store, "titles": [{"language": "en", "text": "x"}], "amount": "5.00", "currency": "USD", "at": at}
            for n in range(begin, min(begin + 400, MOST_WATCHES + FREE))
        ]
        await shop.put("putProducts", rows)
    wishes = [{"accountExternalId": buyer.external_id, "productExternalId": f"{store}-{n}"} for n in range(favorites)]
    await shop.put("putFavorites", wishes)
    account = (await reads(Account).where("external_id = $1", buyer.external_id))[0]
    left = await Product.filter(external_id__in=[f"{store}-{n}" for n in range(favorites, MOST_WATCHES + FREE)]).order_by("id")
    return Viewer(now=utc_now(), account_id=account.id, account=account), Viewer(now=utc_now(), staff_id=1, scopes=frozenset(SCOPES)), left


def adding(viewer: Viewer, product: Product) -> Call:
    async def add() -> object:
        return await add_favorite(viewer, product.id)

    return add


async def both_at_once(first: Call, second: Call) -> list[object]:
    """What two writers get, the second of whom comes while the first has written and not yet committed."""
    written, commit = asyncio.Event(), asyncio.Event()

    @unit_of_work
    async def held(work: Work) -> object:
        try:
            return await first()
        finally:
            written.set()
            await commit.wait()

    one = asyncio.create_task(held())
    await written.wait()
    two = asyncio.create_task(second())
    await asyncio.sleep(SECONDS)
    commit.set()
    return await asyncio.gather(one, two, return_exceptions=True)


async def test_of_two_who_add_the_last_favorite_at_once_one_is_refused(shop: Shop) -> None:
    viewer, _, left = await lists_of(shop, MOST_WATCHES - 1)
    _, refused = await both_at_once(adding(viewer, left[0]), adding(viewer, left[1]))
    assert isinstance(refused, Refusal) and refused.code is ErrorCode.LIMIT_REACHED
    assert await Favorite.filter(account_id=viewer.account_id).count() == MOST_WATCHES


async def test_the_last_favorite_added_twice_at_once_is_the_same(shop: Shop) -> None:
    viewer, _, left = await lists_of(shop, MOST_WATCHES - 1)
    one, two = await both_at_once(adding(viewer, left[0]), adding(viewer, left[0]))
    assert getattr(one, "id", None) == getattr(two, "id", None) is not None


@pytest.mark.parametrize("buyer_first", [True, False])
async def test_a_buyer_and_the_platform_at_once_do_not_pass_the_limit(shop: Shop, buyer_first: bool) -> None:
    viewer, staff, left = await lists_of(shop, MOST_WATCHES - 1)
    row = GivenFavorite(viewer.account.external_id, left[1].external_id)

    async def by_platform() -> object:
        (result,) = await put_favorites(staff, [row])
        if result.refusal is not None:
            raise result.refusal
        return result

    turns = (adding(viewer, left[0]), by_platform) if buyer_first else (by_platform, adding(viewer, left[0]))
    _, refused = await both_at_once(*turns)
    assert isinstance(refused, Refusal) and refused.code is ErrorCode.LIMIT_REACHED
    assert await Favorite.filter(account_id=viewer.account_id).count() == MOST_WATCHES
