"""Conversations between buyers and sellers, from outside."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from random import random
from typing import Any

from models.activity import Activity
from models.database import opened
from models.messages import Message
from schema.scalars import split_id
from tests.shop import Buyer, Shop

SEND = """mutation($input: SendMessageInput!) { sendMessage(input: $input) {
  __typename ... on MessageSent { message { id author text sentAt readAt } } ... on Refusal { code field }
  ... on RateLimited { retryAfterSeconds } } }"""
MARK = """mutation($id: ID!) { markRead(conversationId: $id) {
  __typename ... on ConversationRead { conversation { id unreadCount } } ... on Refusal { code field } } }"""
LIST = """query($kind: ConversationKind, $first: Int, $after: String) { me { conversations(kind: $kind, first: $first, after: $after) {
  totalCount pageInfo { hasNextPage endCursor }
  edges { node { id kind store { name } order { id } unreadCount lastMessageAt
    messages(first: 2) { edges { node { author text readAt } } } } } } } }"""


async def ordered(shop: Shop, buyer: Buyer, store: str, orders: int = 1) -> list[str]:
    """New orders' external ids; the conversation about each is open."""
    product, now = await shop.product(store=store), await shop.now()
    names = [f"{product.external_id}-order-{number}" for number in range(orders)]
    item = {"productExternalId": product.external_id, "title": "A lamp", "quantity": 1, "amount": "100.00"}
    of = {"accountExternalId": buyer.external_id, "storeExternalId": store, "currency": "USD", "placedAt": now.isoformat(), "items": [item]}
    results = await shop.put("putOrders", [{"externalId": name, **of} for name in names])
    assert {result["status"] for result in results} == {"CREATED"}, results
    return names


async def said(shop: Shop, buyer: Buyer, store: str, text: str, order: str | None = None, **given: Any) -> dict[str, Any]:
    """A seller's message, and the result of its row."""
    row = {"externalId": f"message-{random()}", "accountExternalId": buyer.external_id, "storeExternalId": store, "text": text, **given}
    (result,) = await shop.put("sendSellerMessages", [row | ({"orderExternalId": order} if order else {})])
    return result


async def conversations(buyer: Buyer, **given: Any) -> list[dict[str, Any]]:
    return [edge["node"] for edge in (await buyer.data(LIST, **given))["me"]["conversations"]["edges"]]


async def test_a_conversation_about_an_order_from_its_first_message_to_the_last(shop: Shop) -> None:
    buyer, store = await shop.buyer(), await shop.store()
    (order,) = await ordered(shop, buyer, store)
    assert await conversations(buyer) == []
    assert (await said(shop, buyer, store, "It is on its way.", order))["status"] == "CREATED"
    assert (await said(shop, buyer, store, "It has arrived.", order))["status"] == "CREATED"
    (found,) = await conversations(buyer)
    assert found == {
        "id": found["id"],
        "kind": "ORDER",
        "store": {"name": "Store " + store.removeprefix("store-")},
        "order": {"id": found["order"]["id"]},
        "unreadCount": 2,
        "lastMessageAt": found["lastMessageAt"],
        "messages": {
            "edges": [
                {"node": {"author": "SELLER", "text": "It has arrived.", "readAt": None}},
                {"node": {"author": "SELLER", "text": "It is on its way.", "readAt": None}},
            ]
        },
    }
    sent = (await buyer.data(SEND, input={"conversationId": found["id"], "text": "  Thank\tyou!\r\nBye.\x00 "}))["sendMessage"]
    message = sent["message"]
    assert sent == {
        "__typename": "MessageSent",
        "message": {"id": message["id"], "author": "BUYER", "text": "Thankyou!\nBye.", "sentAt": message["sentAt"], "readAt": None},
    }
    answer = await buyer.data("query($id: ID!) { node(id: $id) { ... on Message { text } } }", id=message["id"])
    assert answer == {"node": {"text": "Thankyou!\nBye."}}
    (found,) = await conversations(buyer)
    assert (found["unreadCount"], found["lastMessageAt"]) == (2, message["sentAt"])
    assert [edge["node"]["author"] for edge in found["messages"]["edges"]] == ["BUYER", "SELLER"]


async def test_a_buyer_speaks_first_in_the_conversation_that_came_with_the_order(shop: Shop) -> None:
    buyer, store = await shop.buyer(), await shop.store()
    await ordered(shop, buyer, store)
    query = "{ me { orders { edges { node { id conversation { id order { id } unreadCount lastMessageAt } } } } } }"
    order = (await buyer.data(query))["me"]["orders"]["edges"][0]["node"]
    silent = order["conversation"]
    assert silent == {"id": silent["id"], "order": {"id": order["id"]}, "unreadCount": 0, "lastMessageAt": None}
    sent = await buyer.data(SEND, input={"conversationId": silent["id"], "text": "When will it come?"})
    (found,) = await conversations(buyer)
    assert (found["id"], found["lastMessageAt"]) == (silent["id"], sent["sendMessage"]["message"]["sentAt"])


async def unread(buyer: Buyer) -> int:
    return (await buyer.data("{ me { home { unreadMessageCount } } }"))["me"]["home"]["unreadMessageCount"]


async def test_reading_marks_everything_once_and_again_changes_nothing(shop: Shop) -> None:
    buyer, other, store = await shop.buyer(), await shop.buyer(), await shop.store()
    (order,) = await ordered(shop, buyer, store)
    for number in range(3):
        await said(shop, buyer, store, f"Message {number}", order)
    await said(shop, buyer, store, "Sale!")
    await said(shop, other, store, "For another")
    account = split_id(buyer.id)[1]
    assert await unread(buyer) == 4
    (found,) = await conversations(buyer, kind="ORDER")
    answer = {"__typename": "ConversationRead", "conversation": {"id": found["id"], "unreadCount": 0}}
    assert (await buyer.data(MARK, id=found["id"]))["markRead"] == answer
    read = [message.read_at for message in await Message.filter(account_id=account).order_by("id")]
    assert [at is not None for at in read] == [True, True, True, False]
    assert await Activity.filter(verb="conversation_read", actor_id=account).count() == 1
    assert (await buyer.data(MARK, id=found["id"]))["markRead"] == answer
    assert [message.read_at for message in await Message.filter(account_id=account).order_by("id")] == read
    assert await Activity.filter(verb="conversation_read", actor_id=account).count() == 1
    assert await unread(buyer) == 1
    assert (await conversations(other))[0]["unreadCount"] == 1
    await said(shop, buyer, store, "One more", order)
    assert (await conversations(buyer, kind="ORDER"))[0]["unreadCount"] == 1


async def test_promotions_stand_apart_and_cannot_be_answered(shop: Shop) -> None:
    buyer, store = await shop.buyer(), await shop.store()
    (order,) = await ordered(shop, buyer, store)
    await said(shop, buyer, store, "Hello", order)
    await said(shop, buyer, store, "Sale!")
    await said(shop, buyer, store, "Last day of the sale!", kind="PROMOTION")
    assert [found["kind"] for found in await conversations(buyer)] == ["PROMOTION", "ORDER"]
    (promotion,) = await conversations(buyer, kind="PROMOTION")
    assert (promotion["order"], promotion["unreadCount"]) == (None, 2)
    answer = await buyer.data(SEND, input={"conversationId": promotion["id"], "text": "Stop"})
    assert answer["sendMessage"] == {"__typename": "BadUserInput", "code": "WRONG_STATE", "field": "conversationId"}
    assert await Message.filter(account_id=split_id(buyer.id)[1], author="BUYER").count() == 0


async def test_what_cannot_be_sent_is_refused_and_nothing_is_written(shop: Shop) -> None:
    buyer, store = await shop.buyer(), await shop.store()
    (order,) = await ordered(shop, buyer, store)
    await said(shop, buyer, store, "Hello", order)
    (found,) = await conversations(buyer)
    entries = await Activity.all().count()
    for text, code in (
        ("", "BAD_USER_INPUT"),
        (" \n\x00", "BAD_USER_INPUT"),
        ("x" * 4001, "BAD_USER_INPUT"),
        ("my card is 4111 1111-1111 1111", "CARD_DATA_REJECTED"),
    ):
        answer = await buyer.data(SEND, input={"conversationId": found["id"], "text": text})
        assert answer["sendMessage"] == {"__typename": "BadUserInput", "code": code, "field": "text"}
    await half_a_character_is_refused(shop, buyer, found["id"])
    for wrong in ("nonsense", buyer.id, "Q29udmVyc2F0aW9uOjk5OTk5OQ=="):
        answer = await buyer.data(SEND, input={"conversationId": wrong, "text": "Hello"})
        assert answer["sendMessage"] == {"__typename": "NotFound", "code": "NOT_FOUND", "field": "conversationId"}
        assert (await buyer.data(MARK, id=wrong))["markRead"] == {"__typename": "NotFound", "code": "NOT_FOUND", "field": "conversationId"}
    assert await Message.filter(account_id=split_id(buyer.id)[1]).count() == 1
    assert await Activity.all().count() == entries


async def half_a_character_is_refused(shop: Shop, buyer: Buyer, conversation_id: str) -> None:
    headers = {"authorization": f"Bearer {buyer.token}", "content-type": "application/json"}
    in_a_variable = {"query": SEND, "variables": {"input": {"conversationId": conversation_id, "text": "half \ud83d"}}}
    sent = 'mutation { sendMessage(input: {conversationId: "%s", text: "half \\ud83d"}) { __typename } }'
    for body, code in ((in_a_variable, "BAD_REQUEST"), ({"query": sent % conversation_id}, "GRAPHQL_PARSE_FAILED")):
        answer = await shop.http.post("/graphql", content=json.dumps(body), headers=headers)
        assert [error["extensions"]["code"] for error in answer.json()["errors"]] == [code]


async def test_strangers_and_nobody_neither_read_nor_write(shop: Shop) -> None:
    buyer, stranger, store = await shop.buyer(), await shop.buyer(), await shop.store()
    (order,) = await ordered(shop, buyer, store)
    await said(shop, buyer, store, "Hello", order)
    (found,) = await conversations(buyer)
    listed = await buyer.data("{ me { conversations { edges { node { messages { edges { node { id } } } } } } } }")
    (message,) = [edge["node"]["id"] for edge in listed["me"]["conversations"]["edges"][0]["node"]["messages"]["edges"]]
    assert (await stranger.data(SEND, input={"conversationId": found["id"], "text": "Hi"}))["sendMessage"]["code"] == "NOT_FOUND"
    assert (await stranger.data(MARK, id=found["id"]))["markRead"]["code"] == "NOT_FOUND"
    for foreign in (found["id"], message):
        assert await stranger.run("query($id: ID!) { node(id: $id) { id } }", id=foreign) == {"data": {"node": None}}
        assert (await buyer.data("query($id: ID!) { node(id: $id) { id } }", id=foreign)) == {"node": {"id": foreign}}
    assert await shop.nobody.codes(SEND, input={"conversationId": found["id"], "text": "Hi"}) == ["UNAUTHENTICATED"]
    assert await shop.nobody.codes(MARK, id=found["id"]) == ["UNAUTHENTICATED"]
    (kept,) = await Message.filter(account_id=split_id(buyer.id)[1])
    assert kept.read_at is None


async def test_thirty_messages_a_minute_also_when_all_are_sent_at_once(shop: Shop) -> None:
    buyer, store = await shop.buyer(), await shop.store()
    for order in await ordered(shop, buyer, store, 2):
        await said(shop, buyer, store, "Hello", order)
    first, second = await conversations(buyer)
    sends = (buyer.data(SEND, input={"conversationId": (first, second)[n % 2]["id"], "text": f"Message {n}"}) for n in range(36))
    answers = [answer["sendMessage"] for answer in await asyncio.gather(*sends)]
    refused = [answer for answer in answers if answer["__typename"] == "RateLimited"]
    assert len(refused) == 6
    assert all(answer["code"] == "RATE_LIMITED" and 50 <= answer["retryAfterSeconds"] <= 60 for answer in refused)
    assert await Message.filter(account_id=split_id(buyer.id)[1], author="BUYER").count() == 30


async def test_the_list_goes_from_the_last_spoken_in_and_its_cursors_hold(shop: Shop) -> None:
    buyer, store = await shop.buyer(), await shop.store()
    now = await shop.now()
    *spoken, _ = await ordered(shop, buyer, store, 6)
    for number, order in enumerate(spoken):
        await said(shop, buyer, store, f"Order {number}", order, sentAt=(now - timedelta(hours=number)).isoformat())
        await said(shop, buyer, store, f"Before {number}", order, sentAt=(now - timedelta(days=1 + number)).isoformat())
    page = (await buyer.data(LIST, first=2))["me"]["conversations"]
    assert page["totalCount"] == 5
    texts = []
    while True:
        texts += [edge["node"]["messages"]["edges"][0]["node"]["text"] for edge in page["edges"]]
        if not page["pageInfo"]["hasNextPage"]:
            break
        page = (await buyer.data(LIST, first=2, after=page["pageInfo"]["endCursor"]))["me"]["conversations"]
    assert texts == [f"Order {number}" for number in range(5)]
    assert await buyer.codes(LIST, first=0) == ["BAD_USER_INPUT"]
    assert await buyer.codes(LIST, after="nonsense") == ["BAD_USER_INPUT"]


async def test_a_list_takes_as_many_statements_for_one_row_as_for_a_hundred(shop: Shop) -> None:
    query = """{ me { conversations(first: 100) { totalCount edges { node { unreadCount store { name } order { id }
      messages(first: 3) { totalCount edges { node { text } } } } } } } }"""
    buyer, store, counts, size = await shop.buyer(), await shop.store(), {}, 0
    for wanted in (0, 1, 20, 100):
        of = {"accountExternalId": buyer.external_id, "storeExternalId": store}
        for order in await ordered(shop, buyer, store, wanted - size) if wanted else ():
            await shop.put("sendSellerMessages", [
                {"externalId": f"{order}-{n}", "orderExternalId": order, "text": f"Message {n}", **of} for n in range(5)
            ])  # fmt: skip
        with statements() as seen:
            answer = await buyer.data(query)
        edges = answer["me"]["conversations"]["edges"]
        assert all(len(edge["node"]["messages"]["edges"]) == 3 and edge["node"]["messages"]["totalCount"] == 5 for edge in edges)
        size, counts[len(edges)] = wanted, len(seen)
    assert counts.keys() == {0, 1, 20, 100} and counts[0] < counts[1] == counts[20] == counts[100], counts


@contextmanager
def statements() -> Iterator[list[str]]:
    """The reads that reach the database meanwhile."""
    engine, seen = opened().engine, []
    fetch_rows = engine.fetch_rows

    async def noted(sql: str, params: Any) -> Any:
        seen.append(sql)
        return await fetch_rows(sql, params)

    engine.fetch_rows = noted  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        engine.fetch_rows = fetch_rows  # type: ignore[method-assign]


async def test_unread_counts_agree_with_the_messages_whatever_happens_at_once(shop: Shop) -> None:
    buyer, store = await shop.buyer(), await shop.store()
    account = split_id(buyer.id)[1]
    orders = await ordered(shop, buyer, store, 3)
    for order in orders:
        await said(shop, buyer, store, "First", order)
    present = await conversations(buyer)
    for _ in range(3):
        await asyncio.gather(
            *(said(shop, buyer, store, "More", order) for order in orders),
            *(buyer.data(MARK, id=found["id"]) for found in present),
            *(buyer.data(SEND, input={"conversationId": found["id"], "text": "Hi"}) for found in present),
        )
        listed = sum(found["unreadCount"] for found in await conversations(buyer))
        rows = await Message.filter(account_id=account, author="SELLER", read_at=None).count()
        home = (await buyer.data("{ me { home { unreadMessageCount } } }"))["me"]["home"]["unreadMessageCount"]
        assert listed == rows == home
