"""Sellers' messages as the platform sends them, from outside."""

import asyncio
from datetime import timedelta
from typing import Any

from models.activity import Activity
from models.database import fetch
from models.messages import Conversation, Message
from schema.scalars import split_id
from tests.resolvers.test_messages import conversations, ordered, said
from tests.shop import Buyer, Shop

SEND = "mutation($input: SendSellerMessagesInput!) { sendSellerMessages(input: $input) { results { status code } } }"


def row(buyer: Buyer, store: str, external_id: str, text: str = "Hello", **given: Any) -> dict[str, Any]:
    return {"externalId": external_id, "accountExternalId": buyer.external_id, "storeExternalId": store, "text": text, **given}


async def test_the_same_again_is_unchanged_and_makes_no_event(shop: Shop) -> None:
    buyer, store = await shop.buyer(), await shop.store()
    (order,), account = await ordered(shop, buyer, store), split_id(buyer.id)[1]
    sent_at = (await shop.now() - timedelta(hours=1)).isoformat()
    rows = [
        row(buyer, store, f"again-{buyer.external_id}-1", "About the order", orderExternalId=order, sentAt=sent_at),
        row(buyer, store, f"again-{buyer.external_id}-2", "Sale!"),
    ]
    first = await shop.put("sendSellerMessages", rows)
    assert [(result["externalId"], result["status"]) for result in first] == [(given["externalId"], "CREATED") for given in rows]
    assert await number_of_events(account) == 2
    entries = await Activity.filter(verb="seller_message_sent").count()
    assert [result["status"] for result in await shop.put("sendSellerMessages", rows)] == ["UNCHANGED", "UNCHANGED"]
    assert await number_of_events(account) == 2
    assert await Activity.filter(verb="seller_message_sent").count() == entries
    assert await Message.filter(account_id=account).count() == 2


async def test_a_message_is_not_rewritten(shop: Shop) -> None:
    buyer, store = await shop.buyer(), await shop.store()
    (order, other), name = await ordered(shop, buyer, store, 2), f"once-{buyer.external_id}"
    await shop.put("sendSellerMessages", [row(buyer, store, name, "As it was", orderExternalId=order)])
    before = [(found.text, found.sent_at) for found in await Message.filter(external_id=name)]
    for changed in (
        row(buyer, store, name, "Otherwise", orderExternalId=order),
        row(buyer, store, name, "As it was", orderExternalId=order, sentAt="2026-01-01T00:00:00Z"),
        row(buyer, store, name, "As it was"),
        row(buyer, store, name, "As it was", orderExternalId=other),
    ):
        (result,) = await shop.put("sendSellerMessages", [changed])
        assert (result["status"], result["code"]) == ("REFUSED", "CONFLICT")
    assert [(found.text, found.sent_at) for found in await Message.filter(external_id=name)] == before


async def test_each_bad_row_is_refused_and_the_others_are_delivered(shop: Shop) -> None:
    buyer, other, store = await shop.buyer(), await shop.buyer(), await shop.store()
    (order,), (foreign,), name = await ordered(shop, buyer, store), await ordered(shop, other, store), f"bad-{buyer.external_id}"
    future = (await shop.now() + timedelta(minutes=5)).isoformat()
    cases = [
        (row(buyer, store, f"{name}-1", "Fine", orderExternalId=order), "CREATED", None),
        (row(buyer, store, f"{name}-1", "Fine", orderExternalId=order), "REFUSED", "DUPLICATE"),
        (row(buyer, store, "", "Hello"), "REFUSED", "BAD_USER_INPUT"),
        (row(buyer, store, f"{name}-2", " "), "REFUSED", "BAD_USER_INPUT"),
        (row(buyer, store, f"{name}-3", "Pay to 4111 1111 1111 1111"), "REFUSED", "CARD_DATA_REJECTED"),
        (row(buyer, store, f"{name}-4", sentAt=future), "REFUSED", "BAD_USER_INPUT"),
        (row(buyer, "no such store", f"{name}-5"), "REFUSED", "UNKNOWN_REFERENCE"),
        (row(buyer, store, f"{name}-6", accountExternalId="nobody"), "REFUSED", "UNKNOWN_REFERENCE"),
        (row(buyer, store, f"{name}-7", orderExternalId="no such order"), "REFUSED", "UNKNOWN_REFERENCE"),
        (row(buyer, store, f"{name}-8", orderExternalId=foreign), "REFUSED", "CONFLICT"),
        (row(buyer, await shop.store(), f"{name}-9", orderExternalId=order), "REFUSED", "CONFLICT"),
        (row(buyer, store, f"{name}-10", kind="ORDER"), "REFUSED", "BAD_USER_INPUT"),
        (row(buyer, store, f"{name}-11", kind="PROMOTION", orderExternalId=order), "REFUSED", "BAD_USER_INPUT"),
        (row(buyer, store, f"{name}-12", "Sale!", kind="PROMOTION"), "CREATED", None),
    ]
    results = await shop.put("sendSellerMessages", [given for given, _, _ in cases])
    assert [(result["status"], result["code"]) for result in results] == [(status, code) for _, status, code in cases]
    assert sorted(found.text for found in await Message.filter(account_id=split_id(buyer.id)[1])) == ["Fine", "Sale!"]
    assert await Message.filter(account_id=split_id(other.id)[1]).count() == 0


async def test_five_hundred_rows_are_one_call_and_one_more_is_refused_whole(shop: Shop) -> None:
    buyers, store = [await shop.buyer() for _ in range(5)], await shop.store()
    name = f"many-{buyers[0].external_id}"
    rows = [row(buyers[n % 5], store, f"{name}-{n}", f"Sale {n}") for n in range(501)]
    assert await shop.staff.codes(SEND, input={"rows": rows}) == ["BAD_USER_INPUT"]
    assert await Message.filter(external_id__startswith=name).count() == 0
    assert {result["status"] for result in await shop.put("sendSellerMessages", rows[:500])} == {"CREATED"}
    (found,) = await conversations(buyers[0])
    assert found["unreadCount"] == 100


async def test_calls_at_once_open_one_conversation_and_deliver_each_message_once(shop: Shop) -> None:
    buyer, store = await shop.buyer(), await shop.store()
    account, name = split_id(buyer.id)[1], f"race-{buyer.external_id}"
    rows = [[row(buyer, store, f"{name}-{n % 3}", f"Sale {n % 3}")] for n in range(9)]
    statuses = [result[0]["status"] for result in await asyncio.gather(*(shop.put("sendSellerMessages", each) for each in rows))]
    assert sorted(statuses) == ["CREATED"] * 3 + ["UNCHANGED"] * 6
    assert await Conversation.filter(account_id=account).count() == 1
    assert (await conversations(buyer))[0]["unreadCount"] == 3
    assert await number_of_events(account) == 3


async def test_buyers_and_tokens_without_the_scope_deliver_nothing(shop: Shop) -> None:
    buyer, store = await shop.buyer(), await shop.store()
    rows = [row(buyer, store, f"not-{buyer.external_id}")]
    assert await buyer.codes(SEND, input={"rows": rows}) == ["UNAUTHENTICATED"]
    assert await shop.nobody.codes(SEND, input={"rows": rows}) == ["UNAUTHENTICATED"]
    assert await (await shop.staff_with("catalog", "orders")).codes(SEND, input={"rows": rows}) == ["FORBIDDEN"]
    assert await conversations(buyer) == []


async def test_an_older_message_that_comes_late_does_not_move_the_conversation(shop: Shop) -> None:
    buyer, store = await shop.buyer(), await shop.store()
    (order,), now = await ordered(shop, buyer, store), await shop.now()
    await said(shop, buyer, store, "New", order, sentAt=(now - timedelta(hours=1)).isoformat())
    (before,) = await conversations(buyer)
    await said(shop, buyer, store, "Old", order, sentAt=(now - timedelta(days=1)).isoformat())
    (after,) = await conversations(buyer)
    assert after["lastMessageAt"] == before["lastMessageAt"]
    assert [edge["node"]["text"] for edge in after["messages"]["edges"]] == ["New", "Old"]


async def number_of_events(account_id: int) -> int:
    found = await fetch("SELECT count(*) FROM event WHERE account_id = $1 AND kind = 'message_received'", account_id)
    return found[0][0]
