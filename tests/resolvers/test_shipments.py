"""Parcels and what carriers say of them."""

import asyncio
from datetime import timedelta

from models.orders import Order
from models.shipments import Shipment, TrackingEvent
from models.timers import TimerRow
from tests.resolvers.orders import phase, put_order, read, said, scan, ship
from tests.shop import Shop

DAY = timedelta(days=1)
PAID = {"ago": 2 * DAY, "paidAt": 2 * DAY, "guaranteeDays": 30}


async def test_parcels_add_up_to_a_shipped_and_a_delivered_order(shop: Shop) -> None:
    buyer, product, other = await shop.buyer(), await shop.product(), await shop.product()
    items = [
        {"productExternalId": product.external_id, "title": "Lamp", "quantity": 2, "amount": "10.00"},
        {"productExternalId": other.external_id, "title": "Bulb", "quantity": 1, "amount": "1.00"},
        {"productExternalId": product.external_id, "title": "Lamp again", "quantity": 1, "amount": "9.00"},
    ]
    row, order_id = await put_order(shop, buyer, product, items=items, **PAID)
    first = await ship(shop, row, items=[{"productExternalId": product.external_id, "quantity": 3}], carrier="Post")
    assert first["status"] == "CREATED"
    assert await phase(buyer, order_id) == ("PARTLY_SHIPPED", "IN_TRANSIT")
    again = await ship(shop, row, items=[{"productExternalId": product.external_id, "quantity": 1}])
    assert (again["status"], again["code"]) == ("REFUSED", "CONFLICT")
    assert (await scan(shop, first["trackingNumber"], "DELIVERED"))["status"] == "CREATED"
    assert await phase(buyer, order_id) == ("PARTLY_SHIPPED", "IN_TRANSIT")
    second = await ship(shop, row)
    assert second["status"] == "CREATED"
    assert await phase(buyer, order_id) == ("SHIPPED", "IN_TRANSIT")
    assert (await ship(shop, row))["code"] == "WRONG_STATE"
    await scan(shop, second["trackingNumber"], "DELIVERED", place="Tbilisi")
    assert await phase(buyer, order_id) == ("DELIVERED", "INSPECTION")
    shown = (await read(buyer, order_id))["shipments"]
    assert [(s["trackingNumber"], s["carrier"], len(s["events"])) for s in shown] == [(first["trackingNumber"], "Post", 1), (second["trackingNumber"], None, 1)]
    assert shown[1]["events"] == [{"at": shown[1]["deliveredAt"], "status": "DELIVERED", "place": "Tbilisi"}]


async def test_what_is_unshipped_at_ship_by_is_left_out(shop: Shop) -> None:
    buyer = await shop.buyer()
    row, order_id = await put_order(shop, buyer, **PAID)
    sent = await ship(shop, row, whole=False)
    await scan(shop, sent["trackingNumber"], "DELIVERED")
    assert await phase(buyer, order_id) == ("PARTLY_SHIPPED", "IN_TRANSIT")
    await shop.advance(days=5, hours=1)
    assert await phase(buyer, order_id) == ("DELIVERED", "INSPECTION")
    stored = await Order.get(external_id=row["externalId"])
    assert stored.wholly_shipped_at == stored.ship_by_at
    assert stored.ends_at == stored.ship_by_at + 5 * DAY
    await shop.advance(days=5)
    assert await phase(buyer, order_id) == ("COMPLETED", "AFTER_SALE")


async def test_the_same_parcel_again_changes_nothing(shop: Shop) -> None:
    buyer = await shop.buyer()
    row, _ = await put_order(shop, buyer, **PAID)
    sent = await ship(shop, row, carrier="Post")
    number = sent["trackingNumber"]
    assert (await ship(shop, row, number, carrier="Post"))["status"] == "UNCHANGED"
    assert (await ship(shop, row, number, carrier="Other"))["code"] == "CONFLICT"
    results = await asyncio.gather(*(ship(shop, row, number) for _ in range(3)))
    assert {result["status"] for result in results} == {"UNCHANGED"}
    assert await Shipment.filter(tracking_number=number).count() == 1


async def test_bad_parcels_are_refused_and_write_nothing(shop: Shop) -> None:
    buyer = await shop.buyer()
    row, order_id = await put_order(shop, buyer, **PAID)
    unpaid, _ = await put_order(shop, buyer)
    gone, _ = await put_order(shop, buyer, cancelledAt=timedelta(0))
    before = await Shipment.all().count()
    product = row["items"][0]["productExternalId"]
    for target, given, code in (
        (row, {"tracking_number": " "}, "BAD_USER_INPUT"),
        (row, {"tracking_number": "x" * 65}, "BAD_USER_INPUT"),
        (row, {"shippedAt": said(await shop.now() + DAY)}, "BAD_USER_INPUT"),
        (row, {"shippedAt": said(await shop.now() - 3 * DAY)}, "CONFLICT"),
        (row, {"items": []}, "BAD_USER_INPUT"),
        (row, {"items": [{"productExternalId": product, "quantity": 0}]}, "BAD_USER_INPUT"),
        (row, {"items": [{"productExternalId": product, "quantity": 3}]}, "CONFLICT"),
        (row, {"items": [{"productExternalId": "nothing", "quantity": 1}]}, "UNKNOWN_REFERENCE"),
        (unpaid, {}, "WRONG_STATE"),
        (gone, {}, "WRONG_STATE"),
        ({"externalId": "nothing"}, {}, "UNKNOWN_REFERENCE"),
    ):
        result = await ship(shop, target, **given)
        assert (result["status"], result["code"]) == ("REFUSED", code), (given, result)
    assert await Shipment.all().count() == before
    assert await phase(buyer, order_id) == ("AWAITING_SHIPMENT", "AWAITING_SHIPMENT")


async def test_tracking_never_moves_backwards(shop: Shop) -> None:
    buyer = await shop.buyer()
    row, order_id = await put_order(shop, buyer, **PAID)
    sent = await ship(shop, row, shippedAt=said(await shop.now() - DAY))
    number, hour = sent["trackingNumber"], timedelta(hours=1)
    assert (await scan(shop, number, "SORTED", 5 * hour))["status"] == "CREATED"
    delivered_at = said(await shop.now() - 3 * hour)
    rows = [{"trackingNumber": number, "at": delivered_at, "status": "DELIVERED", "place": "Omsk"}]
    assert (await shop.put("addTrackingEvents", rows))[0]["status"] == "CREATED"
    assert (await shop.put("addTrackingEvents", rows))[0]["status"] == "UNCHANGED"
    assert (await shop.put("addTrackingEvents", [{**rows[0], "place": "Tomsk"}]))[0]["code"] == "CONFLICT"
    assert (await scan(shop, number, "IN_TRANSIT", 2 * hour))["code"] == "CONFLICT"
    assert (await scan(shop, number, "DELIVERED", hour))["code"] == "CONFLICT"
    assert (await scan(shop, number, "LEFT_CUSTOMS", 4 * hour))["status"] == "CREATED"  # told late
    assert (await scan(shop, number, "X", -hour))["code"] == "BAD_USER_INPUT"
    assert (await scan(shop, number, " "))["code"] == "BAD_USER_INPUT"
    assert (await scan(shop, "nothing", "SORTED"))["code"] == "UNKNOWN_REFERENCE"
    found = await read(buyer, order_id)
    assert [event["status"] for event in found["shipments"][0]["events"]] == ["SORTED", "LEFT_CUSTOMS", "DELIVERED"]
    assert found["status"] == "DELIVERED"
    stored = await Order.get(external_id=row["externalId"])
    assert stored.ends_at == stored.scan_learned_at + 5 * DAY
    assert (await TimerRow.get(subject_id=stored.id)).due_at == stored.ends_at


async def test_a_parcel_in_the_wrong_country_shortens_nothing(shop: Shop) -> None:
    buyer = await shop.buyer()
    row, order_id = await put_order(shop, buyer, region="GE", **PAID)
    sent = await ship(shop, row)
    before = await Order.get(external_id=row["externalId"])
    assert (await scan(shop, sent["trackingNumber"], "DELIVERED", region="FR"))["status"] == "CREATED"
    assert (await Order.get(id=before.id)).ends_at == before.ends_at
    assert await phase(buyer, order_id) == ("DELIVERED", "INSPECTION")


async def test_one_parcel_with_two_orders_delivers_both(shop: Shop) -> None:
    buyer = await shop.buyer()
    told = [await put_order(shop, buyer, **PAID) for _ in range(2)]
    for row, _ in told:
        await ship(shop, row, f"BOTH-{buyer.external_id}")
    await scan(shop, f"BOTH-{buyer.external_id}", "DELIVERED")
    assert [await phase(buyer, order_id) for _, order_id in told] == [("DELIVERED", "INSPECTION")] * 2


async def test_history_gets_its_parcels(shop: Shop) -> None:
    buyer = await shop.buyer()
    facts = {"ago": 90 * DAY, "paidAt": 90 * DAY, "shippedAt": 80 * DAY, "deliveredAt": 70 * DAY, "completedAt": 69 * DAY}
    row, order_id = await put_order(shop, buyer, **facts)
    before = await Order.get(external_id=row["externalId"])
    sent = await ship(shop, row)
    await scan(shop, sent["trackingNumber"], "DELIVERED", 70 * DAY)
    assert await Order.get(id=before.id).values() == {name: getattr(before, name) for name in await Order.get(id=before.id).values()}
    (shown,) = (await read(buyer, order_id))["shipments"]
    assert shown["shippedAt"] == row["shippedAt"].replace("+00:00", "Z")
    assert await TrackingEvent.filter(shipment_id=(await Shipment.get(tracking_number=sent["trackingNumber"])).id).count() == 1


async def test_no_buyer_ships_tracks_or_answers(shop: Shop) -> None:
    buyer = await shop.buyer()
    for name in ("shipOrders", "addTrackingEvents", "answerExtensions"):
        kind = name[0].upper() + name[1:]
        query = f"mutation($input: {kind}Input!) {{ {name}(input: $input) {{ results {{ status }} }} }}"
        assert await buyer.codes(query, input={"rows": []}) == ["UNAUTHENTICATED"]
