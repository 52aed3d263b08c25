"""Subscriptions of the real schema on the real server: shared where they may be, private where they must be."""

import time
from collections.abc import Awaitable, Callable

import pytest
from websockets.exceptions import ConnectionClosed

from schema.scalars import local_id
from tests.delivery.test_bus import until
from tests.resolvers.test_favorites import ADD
from tests.rows import account_of
from tests.shop import Buyer, Product, Shop
from tests.wire.test_clients import Run, over_sse, over_ws
from tests.wire.test_websocket import Raw, client

CHANGES = "subscription($of: ID!) { priceChanged(productId: $of) { oldPrice { amount } newPrice { amount } product { title } } }"
DROPS = "subscription($after: String) { priceDrops(after: $after) { cursor newPrice { amount } } }"
SIGN_OUT = "mutation { signOut { __typename } }"


def port_of(shop: Shop) -> int:
    return int(shop.url.rpartition(":")[2])


def as_buyer(buyer: Buyer) -> dict:
    return {"payload": {"authorization": f"Bearer {buyer.token}"}}


async def follow(raw: Raw, product: Product, query: str = CHANGES, id: str = "1") -> None:
    await raw.subscribe(query, id=id, variables={"of": product.id})
    await raw.settled()


def topic_of(product: Product) -> str:
    return f"product:{local_id(product.id, 'Product')}"


async def test_everybody_who_follows_a_price_shares_one_stream(shop: Shop) -> None:
    product, buyer, port = await shop.product("50.00"), await shop.buyer(), port_of(shop)
    async with client(port) as one, client(port, **as_buyer(buyer)) as two, client(port, additional_headers={"Accept-Language": "ru"}) as other:
        for raw in (one, two, other):
            await follow(raw, product)
        await shop.followed(topic_of(product), 2)
        assert len(shop.service.streams._streams) == 2
        await shop.set_price(product, "40.00")
        heard = [(await raw.hear())["payload"]["data"]["priceChanged"] for raw in (one, two, other)]
        assert heard[0] == heard[1]
        assert (heard[0]["oldPrice"], heard[0]["newPrice"]) == ({"amount": "50.00"}, {"amount": "40.00"})
        assert heard[0]["product"]["title"].startswith("Product") and heard[2]["product"]["title"].startswith("Товар")
    await until(lambda: not shop.service.streams._streams)


async def test_what_depends_on_the_viewer_is_not_shared(shop: Shop) -> None:
    product, port = await shop.product("50.00"), port_of(shop)
    fan, other = await shop.buyer(), await shop.buyer()
    await fan.data(ADD, product=product.id)
    query = "subscription($of: ID!) { priceChanged(productId: $of) { ...P } } fragment P on PriceChanged { product { isFavorite } }"
    async with client(port, **as_buyer(fan)) as one, client(port, **as_buyer(other)) as two, client(port) as nobody:
        for raw in (one, two, nobody):
            await follow(raw, product, query)
        await shop.followed(topic_of(product), 3)
        assert not shop.service.streams._streams
        await shop.set_price(product, "40.00")
        heard = [(await raw.hear())["payload"]["data"]["priceChanged"]["product"]["isFavorite"] for raw in (one, two, nobody)]
        assert heard == [True, False, None]


@pytest.mark.parametrize(
    ("query", "variables", "code"),
    [
        (CHANGES, {"of": "UHJvZHVjdDo5OTk5OTk="}, "NOT_FOUND"),
        (CHANGES, {"of": "nonsense"}, "NOT_FOUND"),
        (CHANGES, {}, "BAD_USER_INPUT"),
        (DROPS, {}, "UNAUTHENTICATED"),
        ("mutation { signOut { __typename } }", {}, "OPERATION_NOT_SUPPORTED"),
        ("subscription { priceDrops { cursor } again: priceDrops { cursor } }", {}, "GRAPHQL_VALIDATION_FAILED"),
        ("{ me { orders(first: 0) { totalCount } } }", {}, None),
    ],
)
async def test_what_cannot_be_done_is_told_on_its_id(shop: Shop, query: str, variables: dict, code: str | None) -> None:
    async with client(port_of(shop)) as raw:
        await raw.subscribe(query, variables=variables)
        answer = await raw.hear()
        if code is None:
            assert answer["type"] in ("next", "error")
        else:
            assert answer["type"] == "error"
            assert {error["extensions"]["code"] for error in answer["payload"]} == {code}
        await raw.subscribe("{ __typename }", id="2")
        while answer["id"] != "2":
            answer = await raw.hear()
        assert answer["payload"] == {"data": {"__typename": "Query"}}


async def test_signing_out_closes_the_sessions_sockets_at_once_and_its_streams_too(shop: Shop) -> None:
    buyer, port = await shop.buyer(), port_of(shop)
    headers = {"accept": "text/event-stream", "authorization": f"Bearer {buyer.token}"}
    async with client(port, **as_buyer(buyer)) as raw, client(port) as nobody:
        await raw.subscribe(DROPS)
        await raw.settled()
        async with shop.http.stream("POST", "/graphql", json={"query": "subscription { priceDrops { cursor } }"}, headers=headers) as stream:
            lines = stream.aiter_lines()
            assert await anext(lines) == ":"
            began = time.monotonic()
            await buyer.data(SIGN_OUT)
            with pytest.raises(ConnectionClosed) as end:
                await raw.hear()
            assert (end.value.rcvd.code, end.value.rcvd.reason) == (4401, "session revoked")
            body = "\n".join([line async for line in lines])
            assert time.monotonic() - began < 5  # a machine may be busy; who looks for himself does so after ten
            assert '"UNAUTHENTICATED"' in body and body.rstrip().endswith("event: complete\ndata:")
        await nobody.settled()
    async with client(port, begun=False) as again:
        await again.say({"type": "connection_init", **as_buyer(buyer)})
        assert await again.closed() == 4401


async def test_a_page_of_our_own_is_signed_in_by_its_cookie(shop: Shop) -> None:
    buyer, port = await shop.buyer(), port_of(shop)
    cookie = {"Cookie": f"sid={buyer.token}"}
    async with client(port, origin=shop.url, additional_headers=cookie) as raw:
        await raw.subscribe("{ me { id } }")
        assert (await raw.hear())["payload"] == {"data": {"me": {"id": buyer.id}}}


async def test_thousands_of_alerts_that_were_missed_are_read_at_the_readers_pace(shop: Shop) -> None:
    buyer, port = await shop.buyer(), port_of(shop)
    products = [await shop.product("50.00") for _ in range(12)]
    for product in products:
        await buyer.data(ADD, product=product.id)
        await shop.set_price(product, "40.00")
    listed = await buyer.data("{ me { priceDrops(first: 100) { edges { cursor } } } }")
    cursors = [edge["cursor"] for edge in reversed(listed["me"]["priceDrops"]["edges"])]
    async with client(port, **as_buyer(buyer)) as raw:
        await raw.subscribe(DROPS, variables={"after": cursors[1]})
        heard = [(await raw.hear())["payload"]["data"]["priceDrops"]["cursor"] for _ in cursors[2:]]
        assert heard == cursors[2:]
        await raw.hear_nothing()


@pytest.mark.usefixtures("clients")
@pytest.mark.parametrize("connect", [over_ws, over_sse])
async def test_graphql_ws_and_graphql_sse_follow_the_shop(shop: Shop, connect: Callable[..., Awaitable[Run]]) -> None:
    product, buyer, port = await shop.product("50.00"), await shop.buyer(), port_of(shop)
    await buyer.data(ADD, product=product.id)
    asked = [
        {"query": CHANGES, "variables": {"of": product.id}, "take": 1},
        {"query": DROPS, "take": 1},
        {"query": "{ me { id } }"},
        {"query": "{ nothing }"},
    ]
    run = await connect(port, *asked, token=buyer.token)
    await run.until(lambda line: line.get("i") == 2 and "complete" in line)
    await shop.followed(topic_of(product))
    await shop.followed(f"account:{await account_of(buyer)}")
    await shop.set_price(product, "40.00")
    await run.end()
    assert run.of(0)[0]["next"]["data"]["priceChanged"]["newPrice"] == {"amount": "40.00"}
    assert run.of(1)[0]["next"]["data"]["priceDrops"]["newPrice"] == {"amount": "40.00"}
    assert run.of(2) == [{"next": {"data": {"me": {"id": buyer.id}}}}, {"complete": True}]
    assert "error" in run.of(3)[0]
