"""The wish list and its watches, from outside."""

import asyncio
from datetime import timedelta

from models.favorites import Favorite
from tests.shop import Product, Shop

ADD = """mutation($product: ID!) { addFavorite(productId: $product) {
  __typename ... on FavoriteAdded { favorite { id priceWhenAdded { amount currency } watch { kind paused alreadyMet } } }
  ... on Refusal { code field } } }"""
SET = """mutation($input: SetWatchInput!) { setWatch(input: $input) {
  __typename ... on WatchSet { favorite { watch { kind target { amount } percent paused alreadyMet } } } ... on Refusal { code field } } }"""


async def test_adding_twice_gives_the_same_favorite(shop: Shop) -> None:
    buyer, product = await shop.buyer(), await shop.product("12.50")
    first = (await buyer.data(ADD, product=product.id))["addFavorite"]
    assert first == {
        "__typename": "FavoriteAdded",
        "favorite": {
            "id": first["favorite"]["id"],
            "priceWhenAdded": {"amount": "12.50", "currency": "USD"},
            "watch": {"kind": "ANY_DROP", "paused": False, "alreadyMet": False},
        },
    }
    assert (await buyer.data(ADD, product=product.id))["addFavorite"] == first


async def test_two_taps_at_once_add_one_favorite(shop: Shop) -> None:
    buyer, product = await shop.buyer(), await shop.product()
    answers = await asyncio.gather(*(buyer.data(ADD, product=product.id) for _ in range(8)))
    assert len({answer["addFavorite"]["favorite"]["id"] for answer in answers}) == 1


async def test_an_unknown_product_is_refused_and_nothing_is_added(shop: Shop) -> None:
    buyer = await shop.buyer()
    for wrong in ("nonsense", "UHJvZHVjdDo5OTk5OTk=", buyer.id):
        answer = await buyer.data(ADD, product=wrong)
        assert answer["addFavorite"] == {"__typename": "NotFound", "code": "NOT_FOUND", "field": "productId"}
    assert (await buyer.data("{ me { favorites { totalCount } } }"))["me"]["favorites"]["totalCount"] == 0


async def test_nobody_adds_removes_or_watches_without_signing_in(shop: Shop) -> None:
    product = await shop.product()
    favorite = await added(await shop.buyer(), product)
    before = await Favorite.all().count()
    for any_id in (product.id, "nonsense"):
        assert await shop.nobody.codes(ADD, product=any_id) == ["UNAUTHENTICATED"]
    assert await shop.nobody.codes("mutation($f: ID!) { removeFavorite(favoriteId: $f) { __typename } }", f=favorite) == ["UNAUTHENTICATED"]
    assert await shop.nobody.codes(SET, input={"favoriteId": favorite, "kind": "ANY_DROP"}) == ["UNAUTHENTICATED"]
    assert await Favorite.all().count() == before


async def test_a_stranger_can_neither_remove_nor_watch_nor_read(shop: Shop) -> None:
    favorite = await added(await shop.buyer(), await shop.product())
    stranger = await shop.buyer()
    removal = await stranger.data("mutation($f: ID!) { removeFavorite(favoriteId: $f) { __typename ... on Refusal { code } } }", f=favorite)
    assert removal["removeFavorite"] == {"__typename": "NotFound", "code": "NOT_FOUND"}
    answer = await stranger.data(SET, input={"favoriteId": favorite, "kind": "ANY_DROP"})
    assert answer["setWatch"] == {"__typename": "NotFound", "code": "NOT_FOUND", "field": "favoriteId"}
    assert await stranger.run("query($f: ID!) { node(id: $f) { id } }", f=favorite) == {"data": {"node": None}}


async def test_a_watch_is_set_and_bad_ones_are_refused(shop: Shop) -> None:
    buyer = await shop.buyer()
    favorite = await added(buyer, await shop.product("100.00"))
    wish = {"favoriteId": favorite, "kind": "TARGET", "target": {"amount": "100.00", "currency": "USD"}}
    answer = await buyer.data(SET, input=wish)
    assert answer["setWatch"]["favorite"]["watch"] == {
        "kind": "TARGET", "target": {"amount": "100.00"}, "percent": None, "paused": False, "alreadyMet": True,
    }  # fmt: skip
    for wrong, field, code in (
        ({"kind": "TARGET"}, "target", "BAD_USER_INPUT"),
        ({"kind": "PERCENT", "percent": 0}, "percent", "BAD_USER_INPUT"),
        ({"kind": "PERCENT", "percent": 100}, "percent", "BAD_USER_INPUT"),
        ({"kind": "ANY_DROP", "percent": 5}, "percent", "BAD_USER_INPUT"),
        ({"kind": "TARGET", "target": {"amount": "1.00", "currency": "EUR"}}, "target", "CURRENCY_MISMATCH"),
        ({"kind": "TARGET", "target": {"amount": "1.001", "currency": "USD"}}, "target", "BAD_USER_INPUT"),
    ):
        answer = await buyer.data(SET, input={"favoriteId": favorite, **wrong})
        assert answer["setWatch"] == {"__typename": "BadUserInput", "code": code, "field": field}, wrong
    kept = await buyer.data("{ me { favorites { edges { node { watch { kind } } } } } }")
    assert kept["me"]["favorites"]["edges"][0]["node"]["watch"]["kind"] == "TARGET"


async def test_the_worked_case_of_the_rules(shop: Shop) -> None:
    buyer = await shop.buyer()
    product = await shop.product("100.00", days_ago=30)
    start = (await shop.now() - timedelta(days=20)).replace(hour=0, minute=0, second=0, microsecond=0)
    added_at = (start - timedelta(days=1)).isoformat()
    await shop.put("putFavorites", [{"accountExternalId": buyer.external_id, "productExternalId": product.external_id, "addedAt": added_at}])
    for day, hour, amount in (
        (1, 0, "95.00"), (1, 6, "90.00"), (2, 1, "89.00"), (3, 2, "88.50"), (3, 3, "92.00"),
        (3, 4, "91.00"), (3, 5, "88.90"), (3, 6, "80.00"), (4, 6, "80.00"), (4, 7, "79.00"),
    ):  # fmt: skip
        result = await shop.set_price(product, amount, start + timedelta(days=day - 1, hours=hour))
        assert result["status"] == "CREATED"
    drops = await buyer.data("{ me { priceDrops(last: 10) { edges { node { oldPrice { amount } newPrice { amount } } } } } }")
    assert [(e["node"]["oldPrice"]["amount"], e["node"]["newPrice"]["amount"]) for e in reversed(drops["me"]["priceDrops"]["edges"])] == [
        ("100.00", "95.00"), ("90.00", "89.00"), ("91.00", "88.90"), ("80.00", "79.00"),
    ]  # fmt: skip


async def added(buyer, product: Product) -> str:
    return (await buyer.data(ADD, product=product.id))["addFavorite"]["favorite"]["id"]


REMOVE_OF = """mutation($product: ID!) { removeFavoriteOf(productId: $product) {
  __typename ... on FavoriteRemoved { favoriteId } ... on Refusal { code field } } }"""


async def test_a_product_is_taken_off_by_whoever_knows_the_product_alone(shop: Shop) -> None:
    buyer, stranger, product = await shop.buyer(), await shop.buyer(), await shop.product()
    favorite = await added(buyer, product)
    not_listed = {"removeFavoriteOf": {"__typename": "NotFound", "code": "NOT_FOUND", "field": "productId"}}
    assert await stranger.data(REMOVE_OF, product=product.id) == not_listed
    assert await shop.nobody.codes(REMOVE_OF, product=product.id) == ["UNAUTHENTICATED"]
    answers = await asyncio.gather(*(buyer.data(REMOVE_OF, product=product.id) for _ in range(2)))
    removed = {"removeFavoriteOf": {"__typename": "FavoriteRemoved", "favoriteId": favorite}}
    assert sorted(answers, key=str) == sorted([removed, not_listed], key=str)
    for wrong in ("nonsense", favorite):
        assert await buyer.data(REMOVE_OF, product=wrong) == not_listed
    assert (await buyer.data("{ me { createdAt favorites { totalCount } } }"))["me"]["favorites"]["totalCount"] == 0
