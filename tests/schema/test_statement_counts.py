"""Lists cost the same number of statements whatever their length; the dashboard costs ten at most."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from tests.databases import BOTH
from tests.shop import Buyer, Client, Shop, open_shop
from tests.statements import statements

SIZES = (0, 1, 20, 100)
PRODUCT = "id title available price { amount } isFavorite lowestPrice30Days { amount } store { name } priceHistory { at price { amount } }"
ORDER = """id number status total { amount } discount { amount } store { name } items { title price { amount } product { title store { name } } }
    shipments { trackingNumber events { status } } protection { phase secondsLeft extensions { days } } coupons { title store { name } }
    conversation { unreadCount store { name } } actions { name allowed }"""
LISTS = {
    "products": f"query($key: String) {{ products(search: $key, first: 100) {{ edges {{ cursor node {{ {PRODUCT} }} }} pageInfo {{ endCursor }} }} }}",
    "favorites": f"{{ me {{ favorites(first: 100) {{ edges {{ cursor node {{ id price {{ amount }} change {{ percent }} watch {{ alreadyMet }} lowestPrice30Days {{ amount }} product {{ {PRODUCT} }} }} }} }} }} }}",
    "priceDrops": "{ me { priceDrops(first: 100) { edges { cursor node { oldPrice { amount } favorite { id product { title } } product { title store { name } } } } } } }",
    "coupons": "{ me { coupons(first: 100) { edges { cursor node { id state title store { name } } } } } }",
    "orders": f"{{ me {{ orders(first: 100) {{ edges {{ cursor node {{ {ORDER} }} }} }} }} }}",
    "conversations": "{ me { conversations(first: 100) { edges { cursor node { id unreadCount store { name } order { number } messages(first: 2) { edges { node { text } } } } } } } }",
    "messages": "{ me { conversations { edges { node { messages(first: 100) { edges { cursor node { text readAt } } } } } } } }",
    "favoriteStores": "{ me { home { favoriteStores { name } unreadMessageCount disputeCount orderCounts { status count } attention { awaitingPayment couponsEnding } } } }",
    "totalCount": "{ me { orders { totalCount } favorites { totalCount } coupons { totalCount } priceDrops { totalCount } conversations { totalCount } } }",
}
ROWS = {"products": 1, "favorites": 1, "priceDrops": 1, "coupons": 1, "orders": 1, "conversations": 1}
"""Lists whose length is checked against the rows that were made."""

DASHBOARD = """{ me { id displayName email home { orderCounts { status count } disputeCount reviewCount unreadMessageCount attention { awaitingPayment } }
    orders(first: 10) { edges { node { id number status placedAt total { amount } protection { phase endsAt secondsLeft }
      items { title quantity price { amount } product { id title price { amount } store { id name } } } } } }
    favorites(first: 10) { edges { node { addedAt product { id title price { amount } lowestPrice30Days { amount } } } } }
    coupons(first: 10) { edges { node { id title state endsAt } } } } }"""


@dataclass
class Sized:
    shop: Shop
    buyers: dict[int, Buyer] = field(default_factory=dict)


@pytest_asyncio.fixture(params=BOTH, scope="module", loop_scope="session")
async def sized(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sized]:
    """A buyer for each size, who has so many of everything."""
    async with open_shop(request.param, tmp_path_factory.mktemp("sized"), max_cost=10**6) as shop:
        made = Sized(shop)
        for size in SIZES:
            made.buyers[size] = await with_so_many(shop, size)
        yield made


async def with_so_many(shop: Shop, size: int) -> Buyer:
    """A buyer with `size` favourites, drops, coupons, orders and conversations, and `size` products called `sizeN`."""
    buyer, now = await shop.buyer(), await shop.now()
    names = [f"{size}-{n}" for n in range(size)]
    old, of, when = (now - timedelta(days=20)).isoformat(), buyer.external_id, (now - timedelta(hours=1)).isoformat()
    calls: list[tuple[str, list[dict[str, Any]]]] = [
        ("putStores", [{"externalId": f"s{name}", "name": f"Store {name}"} for name in names]),
        ("putProducts", [
            {"externalId": f"p{name}", "storeExternalId": f"s{name}", "titles": [{"language": "en", "text": f"size{size}."}], "amount": "10.00", "currency": "USD", "at": old}
            for name in names
        ]),
        ("putFavorites", [{"accountExternalId": of, "productExternalId": f"p{name}", "addedAt": old} for name in names]),
        ("setPrices", [{"externalId": f"p{name}", "amount": "9.00", "currency": "USD", "at": when} for name in names]),
        ("putCouponOffers", [{"externalId": f"o{name}", "issuer": "STORE", "storeExternalId": f"s{name}", "titles": [{"language": "en", "text": "Off"}], "percentOff": 5} for name in names]),
        ("issueCoupons", [{"externalId": f"c{name}", "accountExternalId": of, "offerExternalId": f"o{name}", "startsAt": old, "endsAt": (now + timedelta(days=9)).isoformat()} for name in names]),
        ("putOrders", [
            {"externalId": f"ord{name}", "accountExternalId": of, "storeExternalId": f"s{name}", "currency": "USD", "placedAt": when, "paidAt": when, "couponExternalIds": [f"c{name}"],
             "items": [{"productExternalId": f"p{name}", "title": "Thing", "quantity": 1, "amount": "9.00"}]}
            for name in names
        ]),
        ("shipOrders", [{"orderExternalId": f"ord{name}", "trackingNumber": f"TN{name}"} for name in names]),
        ("addTrackingEvents", [{"trackingNumber": f"TN{name}", "status": "ARRIVED", "at": now.isoformat()} for name in names]),
        ("sendSellerMessages", [
            {"externalId": f"m{name}-{about}", "accountExternalId": of, "storeExternalId": f"s{name}", "text": "Hello", **({"orderExternalId": f"ord{name}"} if about else {})}
            for name in names for about in (0, 1)
        ]),
        ("sendSellerMessages", [{"externalId": f"mm{name}", "accountExternalId": of, "storeExternalId": f"s{size}-0", "text": "Sale", "orderExternalId": f"ord{size}-0"} for name in names]),
    ]  # fmt: skip
    for operation, rows in calls:
        if rows:
            results = await shop.put(operation, rows)
            assert all(result["status"] in ("CREATED", "UPDATED") for result in results), results
    await shop.work()
    return buyer


async def asked(client: Client, query: str, size: int) -> tuple[dict[str, Any], list[str]]:
    async with statements() as seen:
        answer = await client.data(query, **({"key": f"size{size}."} if "$key" in query else {}))
    return answer, [text for text in seen if "domain_clock" not in text]  # demo mode's alone


@pytest.mark.parametrize("name", LISTS)
async def test_a_list_costs_the_same_at_any_length(sized: Sized, name: str) -> None:
    seen = {}
    for size, buyer in sized.buyers.items():
        answer, seen[size] = await asked(buyer, LISTS[name], size)
        if name in ROWS:
            page = (answer if name == "products" else answer["me"])[name]
            assert len(page["edges"]) == min(100, size * (2 if name == "conversations" else 1)), size
    counts = {size: len(statements) for size, statements in seen.items()}
    assert counts[1] == counts[20] == counts[100], (counts, "\n".join(seen[1]), "\n".join(seen[100]))
    assert counts[0] <= counts[1]


async def test_the_dashboard_costs_ten_statements_at_most(sized: Sized) -> None:
    counts = {size: (await asked(buyer, DASHBOARD, size))[1] for size, buyer in sized.buyers.items()}
    assert len(counts[100]) == len(counts[1])
    assert max(map(len, counts.values())) <= 10, "\n".join(counts[100])


async def test_stock_execution_costs_no_statement_more(sized: Sized) -> None:
    """Each edge has one declaration for both ways, so that no way reads row by row."""
    settings = sized.shop.service.settings
    for name, query in {**LISTS, "dashboard": DASHBOARD}.items():
        _, planned = await asked(sized.buyers[20], query, 20)
        object.__setattr__(sized.shop.service.engine, "settings", settings.model_copy(update={"breadth_first": False}))
        try:
            _, stock = await asked(sized.buyers[20], query, 20)
        finally:
            object.__setattr__(sized.shop.service.engine, "settings", settings)
        assert len(stock) <= len(planned) + 1, (name, "\n".join(planned), "\n".join(stock))


@pytest.mark.parametrize("name", ["orders", "favorites", "coupons", "conversations", "priceDrops"])
async def test_a_list_that_is_only_counted_is_not_read(sized: Sized, name: str) -> None:
    answer, seen = await asked(sized.buyers[20], f"{{ me {{ {name} {{ totalCount }} }} }}", 20)
    assert answer["me"][name]["totalCount"] >= 20
    assert len(seen) == 2, "\n".join(seen)  # the session and the count
    refused = (await sized.buyers[20].post(f"{{ me {{ {name}(first: 0) {{ totalCount }} }} }}")).json()
    assert refused["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
