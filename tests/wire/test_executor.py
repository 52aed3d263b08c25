"""What a document with several mutations answers: each one from what the one before it left behind."""

import gc

import pytest

from auth import passwords
from tests.auth.test_sign_in import SIGN_IN
from tests.shop import PASSWORD, Shop

PAIR = """mutation($product: ID!) {
  first: addFavorite(productId: $product) { ...Added }
  gone: removeFavoriteOf(productId: $product) { __typename }
  again: addFavorite(productId: $product) { ...Added }
}
fragment Added on AddFavoriteResult { ... on FavoriteAdded { favorite { id product { id isFavorite } } } ... on Refusal { code } }"""


async def test_each_mutation_reads_what_the_one_before_it_left(shop: Shop) -> None:
    buyer, product = await shop.buyer(), await shop.product()
    answer = await buyer.data(PAIR, product=product.id)
    first, again = answer["first"]["favorite"], answer["again"]["favorite"]
    assert first["product"] == again["product"] == {"id": product.id, "isFavorite": True}
    assert answer["gone"] == {"__typename": "FavoriteRemoved"}
    assert first["id"] != again["id"]


async def test_a_fact_changed_by_a_later_mutation_is_not_answered_as_it_was(shop: Shop) -> None:
    buyer, product = await shop.buyer(), await shop.product()
    favorite = (await buyer.data(PAIR, product=product.id))["again"]["favorite"]["id"]
    set_watch = "setWatch(input: $%s) { ... on WatchSet { favorite { watch { kind percent } product { id } } } }"
    query = f"mutation($a: SetWatchInput!, $b: SetWatchInput!) {{ a: {set_watch % 'a'} b: {set_watch % 'b'} }}"
    answer = await buyer.data(query, a={"favoriteId": favorite, "kind": "PERCENT", "percent": 10}, b={"favoriteId": favorite, "kind": "PERCENT", "percent": 20})
    assert [answer[name]["favorite"]["watch"] for name in "ab"] == [{"kind": "PERCENT", "percent": 10}, {"kind": "PERCENT", "percent": 20}]


async def test_a_refused_mutation_leaves_the_next_one_to_its_own(shop: Shop) -> None:
    buyer, product = await shop.buyer(), await shop.product()
    query = """mutation($product: ID!) { a: addFavorite(productId: "nonsense") { ... on Refusal { code } }
        b: addFavorite(productId: $product) { ... on FavoriteAdded { favorite { product { isFavorite } } } } }"""
    answer = await buyer.data(query, product=product.id)
    assert answer == {"a": {"code": "NOT_FOUND"}, "b": {"favorite": {"product": {"isFavorite": True}}}}


async def test_a_shed_sign_in_leaves_nothing_to_the_garbage_collector(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where hundreds a second are shed, everybody waits for it several times a second."""
    monkeypatch.setattr(passwords, "MOST_WAITING", 0)

    async def shed() -> str:
        answer = await shop.nobody.post(SIGN_IN, input={"email": "nobody@shop.example", "password": PASSWORD})
        return answer.json()["errors"][0]["extensions"]["code"]

    assert await shed() == "OVERLOADED"  # what the first one compiles stays
    gc.collect()
    gc.disable()
    try:
        assert {await shed() for _ in range(10)} == {"OVERLOADED"}
        assert gc.collect() < 100  # it was 88 each
    finally:
        gc.enable()
