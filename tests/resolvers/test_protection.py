"""More time for orders: asked for, granted, declined, lapsed; and protection as it is followed."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta

from auth.credentials import Credentials
from models.activity import Activity
from models.orders import Order
from models.outbox import OutboxMessage
from models.protection import Protection, ProtectionExtension, ProtectionPhase
from models.timers import TimerRow
from resolvers.protection import follow_protection
from schema.scalars import local_id
from tests.resolvers.orders import ASK, CONFIRM, answer, put_order, read, scan, ship
from tests.shop import Buyer, Shop

DAY = timedelta(days=1)
SHIPPED = {"ago": 2 * DAY, "paidAt": 2 * DAY, "shippedAt": DAY, "guaranteeDays": 20}


async def ask(buyer: Buyer, order_id: str, days: int) -> dict:
    return (await buyer.data(ASK, id=order_id, days=days))["requestProtectionExtension"]


async def extensions(buyer: Buyer, order_id: str) -> list[tuple[int, str, str]]:
    return [(e["days"], e["by"], e["state"]) for e in (await read(buyer, order_id))["protection"]["extensions"]]


async def test_a_request_is_granted_and_protection_is_longer(shop: Shop) -> None:
    buyer = await shop.buyer()
    row, order_id = await put_order(shop, buyer, **SHIPPED)
    before = await Order.get(external_id=row["externalId"])
    assert await ask(buyer, order_id, 10) == {
        "__typename": "ProtectionExtensionRequested",
        "order": {"protection": {"extensions": [{"days": 10, "by": "BUYER", "state": "ASKED"}]}},
    }
    again = await ask(buyer, order_id, 5)
    assert (again["__typename"], again["code"]) == ("Unavailable", "ALREADY_ASKED")
    (action,) = [a for a in (await read(buyer, order_id))["actions"] if a["name"] == "requestProtectionExtension"]
    assert (action["allowed"], action["code"], action["availableUntil"]) == (False, "ALREADY_ASKED", before.ends_at.isoformat().replace("+00:00", "Z"))
    assert (await answer(shop, row))["status"] == "UPDATED"
    assert (await answer(shop, row))["status"] == "UNCHANGED"
    assert await extensions(buyer, order_id) == [(10, "BUYER", "GRANTED")]
    assert (await Order.get(id=before.id)).ends_at == before.ends_at + 10 * DAY
    assert (await TimerRow.get(kind="protection_end", subject_id=before.id)).due_at == before.ends_at + 10 * DAY
    assert await TimerRow.filter(subject_id=before.id).count() == 1


async def test_a_request_is_declined_and_another_may_follow(shop: Shop) -> None:
    buyer = await shop.buyer()
    row, order_id = await put_order(shop, buyer, **SHIPPED)
    await ask(buyer, order_id, 10)
    assert [(await answer(shop, row, granted=False))["status"] for _ in range(2)] == ["UPDATED", "UNCHANGED"]
    assert (await answer(shop, row, granted=True))["code"] == "CONFLICT"
    assert (await ask(buyer, order_id, 3))["__typename"] == "ProtectionExtensionRequested"
    assert await extensions(buyer, order_id) == [(10, "BUYER", "DECLINED"), (3, "BUYER", "ASKED")]


async def test_seller_and_staff_extend_unasked_up_to_60_days(shop: Shop) -> None:
    buyer = await shop.buyer()
    row, order_id = await put_order(shop, buyer, **SHIPPED)
    assert (await answer(shop, row, granted=False))["code"] == "WRONG_STATE"
    assert (await answer(shop, row))["code"] == "WRONG_STATE"
    for days in (0, 61):
        assert (await answer(shop, row, days=days))["code"] == "BAD_USER_INPUT"
    assert [(await answer(shop, row, days=30))["status"] for _ in range(2)] == ["UPDATED", "UNCHANGED"]
    assert [(await answer(shop, row, days=20, reason="Customs"))["status"] for _ in range(2)] == ["UPDATED", "UNCHANGED"]
    assert (await answer(shop, row, days=11, reason="Strike"))["code"] == "LIMIT_REACHED"
    refused = await ask(buyer, order_id, 11)
    assert (refused["code"], refused["field"], refused["message"]) == ("LIMIT_REACHED", "days", "At most 10 more days can be added.")
    assert await extensions(buyer, order_id) == [(30, "SELLER", "GRANTED"), (20, "STAFF", "GRANTED")]
    assert (await answer(shop, row, days=10))["status"] == "UPDATED"
    assert (await ask(buyer, order_id, 1))["code"] == "LIMIT_REACHED"
    assert (await answer(shop, {"externalId": "nothing"}, days=1))["code"] == "UNKNOWN_REFERENCE"


async def test_what_may_not_be_asked_for_is_refused_and_writes_nothing(shop: Shop) -> None:
    buyer = await shop.buyer()
    _, unpaid = await put_order(shop, buyer)
    _, over = await put_order(shop, buyer, ago=90 * DAY, paidAt=90 * DAY, shippedAt=80 * DAY, guaranteeDays=20)
    _, running = await put_order(shop, buyer, **SHIPPED)
    before = await ProtectionExtension.all().count()
    assert (await ask(buyer, unpaid, 5))["code"] == "WRONG_STATE"
    assert (await ask(buyer, over, 5))["code"] == "TOO_LATE"
    for days in (0, -1, 61):
        refused = await ask(buyer, running, days)
        assert (refused["__typename"], refused["field"]) == ("BadUserInput", "days")
    assert (await ask(buyer, "nonsense", 5))["__typename"] == "NotFound"
    assert await shop.nobody.codes(ASK, id=running, days=5) == ["UNAUTHENTICATED"]
    assert await ProtectionExtension.all().count() == before


async def test_two_requests_at_once_make_one(shop: Shop) -> None:
    buyer = await shop.buyer()
    _, order_id = await put_order(shop, buyer, **SHIPPED)
    answers = await asyncio.gather(*(ask(buyer, order_id, 5) for _ in range(5)))
    assert sorted(a.get("code", "done") for a in answers) == ["ALREADY_ASKED"] * 4 + ["done"]


async def test_an_unanswered_request_is_told_of_twice_and_lapses(shop: Shop) -> None:
    buyer = await shop.buyer()
    row, order_id = await put_order(shop, buyer, **SHIPPED)
    await ask(buyer, order_id, 5)
    stored = await Order.get(external_id=row["externalId"])

    async def told() -> list[int]:
        posts = await OutboxMessage.filter(kind="extension_unanswered").order_by("id")
        return [post.payload["hours"] for post in posts if post.payload.get("order_id") == stored.id]

    await shop.advance(days=15)
    assert await told() == []
    await shop.advance(days=1)
    assert await told() == [72]
    await shop.advance(days=2)
    assert await told() == [72, 24]
    await shop.advance(days=1)
    assert await told() == [72, 24]
    assert (await read(buyer, order_id))["status"] == "COMPLETED"
    assert await extensions(buyer, order_id) == [(5, "BUYER", "LAPSED")]
    assert (await ProtectionExtension.get(order_id=stored.id)).lapsed_at == stored.ends_at
    assert (await answer(shop, row))["code"] == "TOO_LATE"


async def test_an_answered_request_is_not_told_of(shop: Shop) -> None:
    buyer = await shop.buyer()
    row, order_id = await put_order(shop, buyer, **SHIPPED)
    await ask(buyer, order_id, 5)
    await answer(shop, row, granted=False)
    stored = await Order.get(external_id=row["externalId"])
    await shop.advance(days=20)
    posts = [p for p in await OutboxMessage.filter(kind="extension_unanswered") if p.payload.get("order_id") == stored.id]
    assert posts == []


async def test_confirming_ends_an_open_request(shop: Shop) -> None:
    buyer = await shop.buyer()
    row, order_id = await put_order(shop, buyer, **SHIPPED)
    await ask(buyer, order_id, 5)
    assert (await buyer.data(CONFIRM, id=order_id))["confirmReceipt"]["order"] == {"status": "COMPLETED", "protection": {"phase": "AFTER_SALE"}}
    assert await extensions(buyer, order_id) == [(5, "BUYER", "LAPSED")]
    assert await TimerRow.filter(subject_id=(await Order.get(external_id=row["externalId"])).id).count() == 0


async def test_a_tap_and_the_timer_at_once_complete_an_order_once(shop: Shop) -> None:
    buyer = await shop.buyer()
    row, order_id = await put_order(shop, buyer, **SHIPPED)
    await shop.advance(days=18, hours=23)
    stored = await Order.get(external_id=row["externalId"])
    confirmed, _ = await asyncio.gather(buyer.data(CONFIRM, id=order_id), shop.advance(hours=2))
    verbs = await Activity.filter(subject_kind="order", subject_id=stored.id).values_list("verb", flat=True)
    ends = [verb for verb in verbs if verb in ("receipt_confirmed", "protection_ended")]
    assert len(ends) == 1
    assert (confirmed["confirmReceipt"]["__typename"] == "ReceiptConfirmed") == (ends == ["receipt_confirmed"])


async def following(shop: Shop, buyer: Buyer, order_id: str) -> AsyncIterator[Protection]:
    viewer = await shop.service.viewer(Credentials(bearer=buyer.token))
    return follow_protection(viewer, shop.service.bus, local_id(order_id, "Order"), 0.1)


async def test_protection_is_told_at_once_and_at_each_change(shop: Shop) -> None:
    buyer = await shop.buyer()
    row, order_id = await put_order(shop, buyer, ago=timedelta(hours=2), paidAt=timedelta(hours=1), guaranteeDays=20)
    events = await following(shop, buyer, order_id)

    async def told() -> Protection:
        return await asyncio.wait_for(anext(events), 30)

    async def nothing() -> bool:
        waiting = asyncio.ensure_future(anext(events))
        done, _ = await asyncio.wait({waiting}, timeout=0.5)
        if not done:
            waiting.cancel()
        return not done

    assert (await told()).phase is ProtectionPhase.AWAITING_SHIPMENT
    sent = await ship(shop, row)
    first = await told()
    assert first.phase is ProtectionPhase.IN_TRANSIT
    await answer(shop, row, days=5)
    longer = await told()
    assert longer.ends_at == first.ends_at + 5 * DAY
    for hours_left in (7 * 24, 72, 24, 1):
        now = await shop.now()
        step = longer.ends_at - now - timedelta(hours=hours_left)
        await shop.advance(days=step.days, hours=step.seconds // 3600 + 1)
        found = await told()
        assert (found.phase, found.ends_at) == (ProtectionPhase.IN_TRANSIT, longer.ends_at)
        assert found.ends_at - found.server_time <= timedelta(hours=hours_left)
        if hours_left == 24:
            break
    await scan(shop, sent["trackingNumber"], "DELIVERED")
    inspected = await told()
    assert (inspected.phase, inspected.ends_at) == (ProtectionPhase.INSPECTION, longer.ends_at)
    await shop.advance(days=2)
    ended = await told()
    assert ended.phase is ProtectionPhase.AFTER_SALE
    assert await nothing()


async def test_what_no_timer_ends_is_told_too_when_the_clock_moves(shop: Shop) -> None:
    buyer = await shop.buyer()
    _, order_id = await put_order(shop, buyer, **SHIPPED)
    await buyer.data(CONFIRM, id=order_id)
    viewer = await shop.service.viewer(Credentials(bearer=buyer.token))
    events = follow_protection(viewer, shop.service.bus, local_id(order_id, "Order"), 60)
    assert (await anext(events)).phase is ProtectionPhase.AFTER_SALE
    ended = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0.1)
    await shop.advance(days=16)
    assert (await asyncio.wait_for(ended, 30)).phase is ProtectionPhase.ENDED


async def test_protection_arrives_as_an_event_stream(shop: Shop) -> None:
    buyer = await shop.buyer()
    row, order_id = await put_order(shop, buyer, **SHIPPED)
    await answer(shop, row, days=5)
    query = "subscription($id: ID!) { protectionChanged(orderId: $id) { phase secondsLeft frozen extensions { days by state } } }"
    headers = {"accept": "text/event-stream", "authorization": f"Bearer {buyer.token}"}
    body = {"query": query, "variables": {"id": order_id}}
    async with shop.http.stream("POST", "/graphql", json=body, headers=headers) as stream:
        async for line in stream.aiter_lines():
            if line.startswith("data:"):
                break
    found = json.loads(line.removeprefix("data:"))["data"]["protectionChanged"]
    left = found.pop("secondsLeft")
    assert 24 * 86400 - 60 < left <= 24 * 86400
    assert found == {"phase": "IN_TRANSIT", "frozen": False, "extensions": [{"days": 5, "by": "SELLER", "state": "GRANTED"}]}


async def test_a_stranger_and_nobody_follow_no_protection(shop: Shop) -> None:
    buyer, stranger = await shop.buyer(), await shop.buyer()
    _, order_id = await put_order(shop, buyer, **SHIPPED)
    query = "subscription($id: ID!) { protectionChanged(orderId: $id) { phase endsAt extensions { state } } }"
    accept = {"accept": "text/event-stream"}
    assert "NOT_FOUND" in (await stranger.post(query, headers=accept, id=order_id)).text
    assert "UNAUTHENTICATED" in (await shop.nobody.post(query, headers=accept, id=order_id)).text
