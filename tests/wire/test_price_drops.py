"""Price drops as they reach a buyer: live, resumed, and over an event stream."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websockets.asyncio.client import connect

from schema.scalars import local_id
from tests.delivery.test_bus import until
from tests.resolvers.test_favorites import ADD
from tests.shop import Buyer, Shop

DROPS = "subscription($after: String) { priceDrops(after: $after) { cursor newPrice { amount } product { title } } }"


@asynccontextmanager
async def listening(shop: Shop, buyer: Buyer, after: str | None = None) -> AsyncIterator[asyncio.Queue]:
    """The buyer's alerts as a socket brings them, in a queue."""
    heard: asyncio.Queue = asyncio.Queue()
    address = shop.url.replace("http", "ws") + "/graphql"
    async with connect(address, subprotocols=["graphql-transport-ws"]) as socket:  # type: ignore[list-item]
        await socket.send(json.dumps({"type": "connection_init", "payload": {"authorization": f"Bearer {buyer.token}"}}))
        assert json.loads(await socket.recv())["type"] == "connection_ack"
        await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": DROPS, "variables": {"after": after}}}))

        async def hear() -> None:
            async for frame in socket:
                message = json.loads(frame)
                if message["type"] == "next":
                    heard.put_nowait(message["payload"]["data"]["priceDrops"])
                elif message["type"] == "error":
                    heard.put_nowait(message)

        task = asyncio.create_task(hear())
        await until(lambda: heard.qsize() or shop.waits_for(f"account:{local_id(buyer.id, 'Account')}"))
        try:
            yield heard
        finally:
            task.cancel()


async def heard_next(heard: asyncio.Queue) -> dict:
    return await asyncio.wait_for(heard.get(), 30)


async def test_a_drop_arrives_live_and_what_was_missed_comes_first_after_a_reconnect(shop: Shop) -> None:
    buyer = await shop.buyer()
    products = [await shop.product("50.00") for _ in range(4)]
    for product in products:
        await buyer.data(ADD, product=product.id)
    async with listening(shop, buyer) as heard:
        await shop.set_price(products[0], "40.00")
        first = await heard_next(heard)
        assert first["newPrice"] == {"amount": "40.00"}
    await shop.set_price(products[1], "41.00")
    await shop.set_price(products[2], "42.00")
    async with listening(shop, buyer, first["cursor"]) as heard:
        missed = [await heard_next(heard), await heard_next(heard)]
        await shop.set_price(products[3], "43.00")
        live = await heard_next(heard)
        assert [drop["newPrice"]["amount"] for drop in [*missed, live]] == ["41.00", "42.00", "43.00"]
    listed = await buyer.data("{ me { priceDrops { edges { cursor } } } }")
    assert [edge["cursor"] for edge in listed["me"]["priceDrops"]["edges"]] == [d["cursor"] for d in [live, *reversed(missed), first]]


async def test_a_cursor_of_another_list_is_refused_and_strangers_hear_nothing(shop: Shop) -> None:
    buyer, stranger = await shop.buyer(), await shop.buyer()
    async with listening(shop, buyer, "nonsense") as heard:
        refused = await heard_next(heard)
        assert refused["payload"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    product = await shop.product("50.00")
    await buyer.data(ADD, product=product.id)
    async with listening(shop, stranger) as heard:
        await shop.set_price(product, "40.00")
        await asyncio.sleep(0.3)
        assert heard.empty()


async def test_the_event_stream_resumes_by_last_event_id(shop: Shop) -> None:
    buyer, product = await shop.buyer(), await shop.product("50.00")
    other = await shop.product("50.00")
    for watched in (product, other):
        await buyer.data(ADD, product=watched.id)
    await shop.set_price(product, "40.00")
    first = (await buyer.data("{ me { priceDrops { edges { cursor } } } }"))["me"]["priceDrops"]["edges"][0]["cursor"]
    await shop.set_price(other, "41.00")
    headers = {"accept": "text/event-stream", "authorization": f"Bearer {buyer.token}", "last-event-id": first}
    body = {"query": "subscription { priceDrops { cursor newPrice { amount } } }"}
    lines = []
    async with shop.http.stream("POST", "/graphql", json=body, headers=headers) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        async for line in stream.aiter_lines():
            lines.append(line)
            if line.startswith("data:"):
                break
    event = {line.partition(":")[0]: line.partition(":")[2].strip() for line in lines if ":" in line}
    payload = json.loads(event["data"])
    drop = (payload.get("data") or payload["payload"]["data"])["priceDrops"]
    assert drop["newPrice"] == {"amount": "41.00"}
    assert event["id"] == drop["cursor"]
