"""Lists of orders: pages, the number of their statements, and the start page."""

from datetime import timedelta

from models.database import fetch, opened
from models.orders import OrderTab
from tests.resolvers.orders import order_row, put_order, said, ship
from tests.shop import Buyer, Product, Shop
from tests.statements import statements

DAY = timedelta(days=1)
PAGE = """query($first: Int, $after: String, $last: Int, $before: String) { me { orders(first: $first, after: $after, last: $last, before: $before) {
  totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor } edges { cursor node { number } } } } }"""
WHOLE = """{ me { orders(first: 100) { edges { node { id number status placedAt total { amount } discount { amount } store { name }
  items { title quantity price { amount } product { title store { name } } }
  protection { phase endsAt secondsLeft extensions { days state } }
  actions { name allowed code message } coupons { title } conversation { id } } } } } }"""
SHIPMENTS = "{ me { orders(first: 100) { edges { node { shipments { trackingNumber events { at status } } } } } } }"
HOME = """{ me { home { orderCounts { status count } disputeCount reviewCount unreadMessageCount favoriteStores { name }
  attention { awaitingPayment protectionEnding couponsEnding } } } }"""


async def put_many(shop: Shop, buyer: Buyer, product: Product, count: int) -> list[str]:
    """So many shipped orders with a parcel each, placed a minute after one another; their numbers, newest first."""
    store = await shop.store()
    shipped = {"paidAt": 2 * DAY, "shippedAt": DAY, "store": store}
    rows = [await order_row(shop, buyer, product, ago=3 * DAY - timedelta(minutes=n), **shipped) for n in range(count)]
    for result in await shop.put("putOrders", rows):
        assert result["status"] == "CREATED", result
    parcels = [{"orderExternalId": row["externalId"], "trackingNumber": f"P-{row['externalId']}"} for row in rows]
    assert {result["status"] for result in await shop.put("shipOrders", parcels)} <= {"CREATED"}
    now = said(await shop.now())
    scans = [{"trackingNumber": parcel["trackingNumber"], "at": now, "status": "SORTED"} for parcel in parcels]
    assert {result["status"] for result in await shop.put("addTrackingEvents", scans)} <= {"CREATED"}
    return [row["externalId"] for row in reversed(rows)]


async def test_a_page_takes_as_many_statements_for_one_order_as_for_a_hundred(shop: Shop) -> None:
    product = await shop.product()
    counted: dict[str, dict[int, int]] = {WHOLE: {}, SHIPMENTS: {}, HOME: {}}
    for size in (0, 1, 20, 100):
        buyer = await shop.buyer()
        if size:
            await put_many(shop, buyer, product, size)
        for query, counts in counted.items():
            await buyer.data(query)
            async with statements() as seen:
                await buyer.data(query)
            counts[size] = len(seen)
    for counts in counted.values():
        assert counts[0] <= counts[1] == counts[20] == counts[100], counts
    assert len(set(counted[HOME].values())) == 1


async def test_pages_follow_each_other_both_ways_without_a_gap(shop: Shop) -> None:
    buyer = await shop.buyer()
    numbers = await put_many(shop, buyer, await shop.product(), 7)

    async def page(**given: object) -> tuple[list[str], dict]:
        found = (await buyer.data(PAGE, **given))["me"]["orders"]
        assert found["totalCount"] == 7
        return [edge["node"]["number"] for edge in found["edges"]], found["pageInfo"]

    first, info = await page(first=3)
    assert (first, info["hasNextPage"], info["hasPreviousPage"]) == (numbers[:3], True, False)
    second, info = await page(first=3, after=info["endCursor"])
    assert second == numbers[3:6]
    third, last = await page(first=3, after=info["endCursor"])
    assert (third, last["hasNextPage"]) == (numbers[6:], False)
    assert (await page(last=2, before=info["startCursor"]))[0] == numbers[1:3]
    assert (await page(last=2))[0] == numbers[5:]
    assert await buyer.codes(PAGE, first=0) == await buyer.codes(PAGE, after="nonsense") == ["BAD_USER_INPUT"]


async def test_a_new_order_moves_nothing_on_the_next_page(shop: Shop) -> None:
    buyer, product = await shop.buyer(), await shop.product()
    numbers = await put_many(shop, buyer, product, 4)
    cursor = (await buyer.data(PAGE, first=2))["me"]["orders"]["pageInfo"]["endCursor"]
    await put_order(shop, buyer, product)
    found = (await buyer.data(PAGE, first=2, after=cursor))["me"]["orders"]
    assert [edge["node"]["number"] for edge in found["edges"]] == numbers[2:]


async def test_every_tab_answers_a_buyer_without_orders(shop: Shop) -> None:
    buyer = await shop.buyer()
    query = "query($t: OrderTab!, $s: String) { me { orders(tab: $t, search: $s) { totalCount edges { node { id } } } } }"
    for tab in OrderTab:
        for search in (None, "", "x"):
            assert (await buyer.data(query, t=tab.value, s=search))["me"]["orders"] == {"totalCount": 0, "edges": []}
    assert await buyer.codes(query, t="ALL", s="x" * 201) == ["BAD_USER_INPUT"]


async def test_the_start_page_counts_what_asks_for_attention(shop: Shop) -> None:
    buyer, wished = await shop.buyer(), await shop.product()
    await shop.put("putFavorites", [{"accountExternalId": buyer.external_id, "productExternalId": wished.external_id}])
    await put_order(shop, buyer)
    shipped = {"ago": 20 * DAY, "paidAt": 20 * DAY, "shippedAt": 19 * DAY}
    await put_order(shop, buyer, **shipped, guaranteeDays=21)
    await put_order(shop, buyer, **shipped, guaranteeDays=23)
    home = (await buyer.data(HOME))["me"]["home"]
    assert home["attention"] == {"awaitingPayment": 1, "protectionEnding": 1, "couponsEnding": 0}
    assert len(home["favoriteStores"]) == 1
    assert {c["status"]: c["count"] for c in home["orderCounts"] if c["count"]} == {"AWAITING_PAYMENT": 1, "SHIPPED": 2}


async def test_parcels_of_a_part_are_still_to_come(shop: Shop) -> None:
    buyer = await shop.buyer()
    row, _ = await put_order(shop, buyer, ago=DAY, paidAt=DAY)
    await ship(shop, row, whole=False)
    home = (await buyer.data(HOME))["me"]["home"]
    assert {c["status"]: c["count"] for c in home["orderCounts"] if c["count"]} == {"PARTLY_SHIPPED": 1}


async def test_a_search_reads_no_items_but_those_of_the_buyers_own_orders(shop: Shop) -> None:
    buyer = await shop.buyer()
    async with statements() as sent:
        await buyer.data('{ me { orders(search: "lamp") { edges { node { id } } } } }')
    (search,) = [statement for statement in sent if "title_folded" in statement]
    if opened().dialect == "postgres":
        for place, value in (("$4", "21"), ("$3", "'%lamp%'"), ("$2", "'lamp%'"), ("$1", "1")):
            search = search.replace(place, value)
        plan = "\n".join(line for (line,) in await fetch(f"EXPLAIN {search}"))
        assert "SubPlan" in plan and "hashed" not in plan, plan
