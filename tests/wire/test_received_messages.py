"""Sellers' messages as they reach a buyer: live, resumed, and from a cursor that is too old."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from websockets.asyncio.client import connect

from models.pages import Keyset
from models.unit_of_work import Work, unit_of_work
from resolvers.events import prune_account
from resolvers.messages import RECEIVED
from resolvers.price_watch import DROPS
from schema.scalars import split_id
from tests.delivery.test_bus import until
from tests.resolvers.test_messages import MARK, SEND, conversations, ordered, said
from tests.shop import Buyer, Shop

RECEIVE = """subscription($after: String) { messageReceived(after: $after) {
  cursor conversation { id kind unreadCount } message { author text readAt } } }"""


@asynccontextmanager
async def listening(shop: Shop, buyer: Buyer | None, after: str | None = None) -> AsyncIterator[asyncio.Queue]:
    """What a socket brings of the subscription, in a queue: its values, or the code of its error."""
    heard: asyncio.Queue = asyncio.Queue()
    address = shop.url.replace("http", "ws") + "/graphql"
    async with connect(address, subprotocols=["graphql-transport-ws"]) as socket:  # type: ignore[list-item]
        payload = {"authorization": f"Bearer {buyer.token}"} if buyer else {}
        await socket.send(json.dumps({"type": "connection_init", "payload": payload}))
        assert json.loads(await socket.recv())["type"] == "connection_ack"
        await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": RECEIVE, "variables": {"after": after}}}))

        async def hear() -> None:
            async for frame in socket:
                message = json.loads(frame)
                if message["type"] == "next":
                    heard.put_nowait(message["payload"]["data"]["messageReceived"])
                elif message["type"] == "error":
                    heard.put_nowait(message["payload"][0]["extensions"]["code"])

        task = asyncio.create_task(hear())
        await until(lambda: heard.qsize() or (buyer and shop.waits_for(f"account:{split_id(buyer.id)[1]}")))
        try:
            yield heard
        finally:
            task.cancel()


async def heard_next(heard: asyncio.Queue) -> Any:
    return await asyncio.wait_for(heard.get(), 30)


def cursor(of: Keyset, number: int) -> str:
    return of.cursor(SimpleNamespace(number=number))


async def test_a_message_arrives_live_and_what_was_missed_comes_first_after_a_reconnect(shop: Shop) -> None:
    buyer, store = await shop.buyer(), await shop.store()
    (order,) = await ordered(shop, buyer, store)
    async with listening(shop, buyer) as heard:
        await said(shop, buyer, store, "One", order)
        first = await heard_next(heard)
    (found,) = await conversations(buyer)
    assert first == {
        "cursor": first["cursor"],
        "conversation": {"id": found["id"], "kind": "ORDER", "unreadCount": 1},
        "message": {"author": "SELLER", "text": "One", "readAt": None},
    }
    await buyer.data(SEND, input={"conversationId": found["id"], "text": "The buyer's own are not told"})
    await said(shop, buyer, store, "Two", order)
    await said(shop, buyer, store, "Three")
    await buyer.data(MARK, id=found["id"])
    async with listening(shop, buyer, first["cursor"]) as heard:
        missed = [await heard_next(heard), await heard_next(heard)]
        await said(shop, buyer, store, "Four", order)
        live = await heard_next(heard)
    assert [received["message"]["text"] for received in [*missed, live]] == ["Two", "Three", "Four"]
    assert [received["message"]["readAt"] is None for received in missed] == [False, True]
    assert [received["conversation"]["kind"] for received in missed] == ["ORDER", "PROMOTION"]


async def test_the_event_stream_resumes_by_last_event_id(shop: Shop) -> None:
    buyer, store = await shop.buyer(), await shop.store()
    for text in ("One", "Two"):
        await said(shop, buyer, store, text)
    headers = {"accept": "text/event-stream", "authorization": f"Bearer {buyer.token}", "last-event-id": cursor(RECEIVED, 1)}
    body = {"query": "subscription { messageReceived { cursor message { text } } }"}
    event: dict[str, str] = {}
    async with shop.http.stream("POST", "/graphql", json=body, headers=headers) as stream:
        async for line in stream.aiter_lines():
            name, _, value = line.partition(":")
            event[name] = value.strip()
            if name == "data":
                break
    received = json.loads(event["data"])["data"]["messageReceived"]
    assert received == {"cursor": cursor(RECEIVED, 2), "message": {"text": "Two"}}
    assert event["id"] == received["cursor"]


async def test_cursors_of_other_lists_are_refused_and_strangers_hear_nothing(shop: Shop) -> None:
    buyer, stranger, store = await shop.buyer(), await shop.buyer(), await shop.store()
    for wrong in ("nonsense", cursor(DROPS, 1)):
        async with listening(shop, buyer, wrong) as heard:
            assert await heard_next(heard) == "BAD_USER_INPUT"
    async with listening(shop, None) as heard:
        assert await heard_next(heard) == "UNAUTHENTICATED"
    async with listening(shop, stranger, cursor(RECEIVED, 0)) as heard:
        await said(shop, buyer, store, "Not for strangers")
        await asyncio.sleep(0.3)
        assert heard.empty()


async def test_a_cursor_older_than_what_is_kept_ends_the_subscription(shop: Shop) -> None:
    buyer, store = await shop.buyer(), await shop.store()
    for number in range(1, 5):
        await said(shop, buyer, store, f"Message {number}")
    before = await shop.now() + timedelta(seconds=1)
    assert await prune_account(split_id(buyer.id)[1], 2, before) is False
    for gone in (0, 1):
        async with listening(shop, buyer, cursor(RECEIVED, gone)) as heard:
            assert await heard_next(heard) == "RESYNC_REQUIRED"
    async with listening(shop, buyer, cursor(RECEIVED, 2)) as heard:
        assert [(await heard_next(heard))["message"]["text"] for _ in range(2)] == ["Message 3", "Message 4"]
    async with listening(shop, buyer, cursor(RECEIVED, 1_000_000)) as heard:
        assert await heard_next(heard) == "RESYNC_REQUIRED"


async def test_events_of_other_kinds_are_passed_by(shop: Shop) -> None:
    buyer, store = await shop.buyer(), await shop.store()
    await note(shop, buyer, 230)
    await said(shop, buyer, store, "Behind them")
    async with listening(shop, buyer, cursor(RECEIVED, 0)) as heard:
        received = await heard_next(heard)
        assert (received["message"]["text"], received["cursor"]) == ("Behind them", cursor(RECEIVED, 231))
        await note(shop, buyer, 3)
        await said(shop, buyer, store, "And live")
        assert (await heard_next(heard))["message"]["text"] == "And live"


@unit_of_work
async def note(work: Work, shop: Shop, buyer: Buyer, times: int) -> None:
    """Events of another kind."""
    for _ in range(times):
        work.event(split_id(buyer.id)[1], "something_else", None, await shop.now())
