"""Orders from outside: told by the platform, read, confirmed and finished by themselves."""

import asyncio
from datetime import timedelta

from models.activity import Activity
from models.orders import Order
from models.timers import TimerRow
from tests.resolvers.orders import ASK, CONFIRM, ORDER, id_of, order_row, phase, put_order, read, said, scan, ship
from tests.shop import Shop

DAY = timedelta(days=1)
NOW = timedelta(0)


async def test_an_order_is_read_whole(shop: Shop) -> None:
    buyer, product = await shop.buyer(), await shop.product("12.00")
    row, order_id = await put_order(shop, buyer, product, address="1 Main St", paidAt=timedelta(minutes=50), shipByAt=-DAY * 5)
    found = await read(buyer, order_id)
    left = found["protection"].pop("secondsLeft")
    assert 5 * 86400 - 60 < left <= 5 * 86400
    assert found == {
        "id": order_id,
        "number": row["externalId"],
        "status": "AWAITING_SHIPMENT",
        "placedAt": row["placedAt"].replace("+00:00", "Z"),
        "total": {"amount": "20.00", "currency": "USD"},
        "discount": {"amount": "0.00"},
        "store": {"name": found["store"]["name"]},
        "address": "1 Main St",
        "cancelReason": None,
        "items": [{"title": row["items"][0]["title"], "quantity": 2, "price": {"amount": "10.00"}, "product": {"id": product.id}}],
        "shipments": [],
        "protection": {
            "phase": "AWAITING_SHIPMENT",
            "startsAt": row["paidAt"].replace("+00:00", "Z"),
            "endsAt": row["shipByAt"].replace("+00:00", "Z"),
            "ending": False,
            "frozen": False,
            "fundsReleaseAt": None,
            "extensions": [],
        },
        "coupons": [],
        "conversation": {"kind": "ORDER", "unreadCount": 0, "order": {"id": order_id}},
        "actions": [
            {"name": "requestProtectionExtension", "allowed": False, "code": "WRONG_STATE", "message": "The state does not allow this.", "availableUntil": None},
            {"name": "confirmReceipt", "allowed": False, "code": "WRONG_STATE", "message": "The state does not allow this.", "availableUntil": None},
            {"name": "sendMessage", "allowed": True, "code": None, "message": None, "availableUntil": None},
        ],
    }  # fmt: skip


async def test_an_order_walks_from_payment_to_the_end_of_protection(shop: Shop) -> None:
    buyer = await shop.buyer()
    row, order_id = await put_order(shop, buyer, ago=NOW, guaranteeDays=30)
    assert await phase(buyer, order_id) == ("AWAITING_PAYMENT", "NOT_STARTED")
    (paid,) = await shop.put("putOrders", [{**row, "paidAt": said(await shop.now())}])
    assert paid["status"] == "UPDATED"
    assert await phase(buyer, order_id) == ("AWAITING_SHIPMENT", "AWAITING_SHIPMENT")
    sent = await ship(shop, row)
    assert sent["status"] == "CREATED"
    assert await phase(buyer, order_id) == ("SHIPPED", "IN_TRANSIT")
    await shop.advance(days=3)
    assert (await scan(shop, sent["trackingNumber"], "DELIVERED", place="Omsk"))["status"] == "CREATED"
    assert await phase(buyer, order_id) == ("DELIVERED", "INSPECTION")
    assert (await read(buyer, order_id))["protection"]["ending"] is False
    await shop.advance(days=2, hours=1)
    assert (await read(buyer, order_id))["protection"]["ending"] is True
    await shop.advance(days=3)
    assert await phase(buyer, order_id) == ("COMPLETED", "AFTER_SALE")
    found = await read(buyer, order_id)
    assert found["protection"]["fundsReleaseAt"] == found["protection"]["endsAt"]
    await shop.advance(days=15)
    assert await phase(buyer, order_id) == ("COMPLETED", "ENDED")
    stored = await Order.get(external_id=row["externalId"])
    assert stored.completed_at == stored.ends_at == stored.scan_learned_at + 5 * DAY
    assert await Activity.filter(subject_kind="order", subject_id=stored.id, verb="protection_ended").count() == 1
    assert await TimerRow.filter(subject_id=stored.id).count() == 0


async def test_what_is_not_paid_or_not_shipped_in_time_is_cancelled_once(shop: Shop) -> None:
    buyer = await shop.buyer()
    unpaid, unpaid_id = await put_order(shop, buyer, ago=NOW)
    unsent, unsent_id = await put_order(shop, buyer, ago=NOW, paidAt=NOW)
    await shop.advance(hours=24)
    await shop.work()
    found = await read(buyer, unpaid_id)
    assert (found["status"], found["cancelReason"], found["protection"]["phase"]) == ("CANCELLED", "UNPAID", "ENDED")
    assert await phase(buyer, unsent_id) == ("AWAITING_SHIPMENT", "AWAITING_SHIPMENT")
    await shop.advance(days=6)
    found = await read(buyer, unsent_id)
    assert (found["status"], found["cancelReason"]) == ("CANCELLED", "NOT_SHIPPED")
    for row in (unpaid, unsent):
        stored = await Order.get(external_id=row["externalId"])
        assert await Activity.filter(subject_kind="order", subject_id=stored.id, verb="order_cancelled").count() == 1
    (late,) = await shop.put("putOrders", [{**unpaid, "paidAt": unpaid["placedAt"]}])
    assert (late["status"], late["code"]) == ("REFUSED", "CONFLICT")
    assert (await ship(shop, unsent))["code"] == "TOO_LATE"


async def test_history_reads_as_its_dates_say_and_neither_acts_nor_speaks(shop: Shop) -> None:
    buyer = await shop.buyer()
    long_ago = {"ago": 300 * DAY, "paidAt": 299 * DAY}
    shipped, shipped_id = await put_order(shop, buyer, **long_ago, shippedAt=298 * DAY, guaranteeDays=20)
    done, done_id = await put_order(shop, buyer, **long_ago, shippedAt=298 * DAY, completedAt=5 * DAY)
    gone, gone_id = await put_order(shop, buyer, ago=300 * DAY, cancelledAt=299 * DAY, cancelReason="BUYER")
    unsent, unsent_id = await put_order(shop, buyer, **long_ago)
    assert await phase(buyer, shipped_id) == ("COMPLETED", "ENDED")
    assert await phase(buyer, done_id) == ("COMPLETED", "AFTER_SALE")
    assert await phase(buyer, gone_id) == ("CANCELLED", "ENDED")
    assert (await read(buyer, gone_id))["cancelReason"] == "BUYER"
    assert await phase(buyer, unsent_id) == ("CANCELLED", "ENDED")
    ids = [(await Order.get(external_id=row["externalId"])).id for row in (shipped, done, gone, unsent)]
    assert await TimerRow.filter(subject_id__in=ids).count() == 0
    await shop.work()
    assert await Activity.filter(subject_kind="order", subject_id__in=ids).count() == 4


async def test_an_update_adds_facts_and_a_repeat_changes_nothing(shop: Shop) -> None:
    buyer = await shop.buyer()
    row, order_id = await put_order(shop, buyer, ago=2 * DAY, paidAt=2 * DAY)
    assert [r["status"] for r in await shop.put("putOrders", [row, row])] == ["UNCHANGED", "REFUSED"]
    more = {**row, "address": "2 Side St", "shippedAt": said(await shop.now() - DAY)}
    assert (await shop.put("putOrders", [more]))[0]["status"] == "UPDATED"
    assert (await shop.put("putOrders", [more]))[0]["status"] == "UNCHANGED"
    activity = await Activity.all().count()
    for wrong in (
        row,
        {**more, "shippedAt": said(await shop.now())},
        {**more, "address": "3 Other St"},
        {**more, "items": [{**row["items"][0], "quantity": 3}]},
        {**more, "currency": "EUR"},
        {**more, "guaranteeDays": 5},
        {**more, "storeExternalId": await shop.store()},
    ):
        (result,) = await shop.put("putOrders", [wrong])
        assert (result["status"], result["code"]) == ("REFUSED", "CONFLICT"), wrong
    assert (await read(buyer, order_id))["address"] == "2 Side St"
    assert await Activity.filter(verb__startswith="order").count() == await Activity.filter(verb__startswith="order").count()
    assert await Activity.all().count() - activity <= 1  # the new store's


async def test_bad_rows_are_refused_and_write_nothing(shop: Shop) -> None:
    buyer, product = await shop.buyer(), await shop.product()
    row = await order_row(shop, buyer, product, ago=2 * DAY)
    before = await Order.all().count()
    for wrong, code in (
        ({"accountExternalId": "nobody"}, "UNKNOWN_REFERENCE"),
        ({"storeExternalId": "nowhere"}, "UNKNOWN_REFERENCE"),
        ({"items": [{**row["items"][0], "productExternalId": "nothing"}]}, "UNKNOWN_REFERENCE"),
        ({"items": []}, "BAD_USER_INPUT"),
        ({"items": [{**row["items"][0], "quantity": 0}]}, "BAD_USER_INPUT"),
        ({"items": [{**row["items"][0], "amount": "1.001"}]}, "BAD_USER_INPUT"),
        ({"currency": "ZZZ"}, "BAD_USER_INPUT"),
        ({"paidAt": said(await shop.now() + DAY)}, "BAD_USER_INPUT"),
        ({"paidAt": said(await shop.now() - 3 * DAY)}, "BAD_USER_INPUT"),
        ({"shippedAt": said(await shop.now())}, "BAD_USER_INPUT"),
        ({"guaranteeDays": 0}, "BAD_USER_INPUT"),
        ({"couponExternalIds": ["nothing"]}, "UNKNOWN_REFERENCE"),
        ({"discount": "20.01"}, "BAD_USER_INPUT"),
    ):
        (result,) = await shop.put("putOrders", [{**row, **wrong}])
        assert (result["status"], result["code"]) == ("REFUSED", code), (wrong, result)
    assert await Order.all().count() == before


async def test_nobody_and_no_buyer_tells_orders(shop: Shop) -> None:
    query = "mutation($input: PutOrdersInput!) { putOrders(input: $input) { results { status } } }"
    for caller in (shop.nobody, await shop.buyer()):
        assert await caller.codes(query, input={"rows": []}) == ["UNAUTHENTICATED"]


async def test_tabs_search_and_order(shop: Shop) -> None:
    buyer, product = await shop.buyer(), await shop.product(titles=[{"language": "ru", "text": "ЛАМПА Волна"}])
    paid = {"ago": 3 * DAY, "paidAt": 3 * DAY}
    told = {
        "AWAITING_PAYMENT": await put_order(shop, buyer, product, ago=timedelta(hours=3)),
        "PAYMENT_REVIEW": await put_order(shop, buyer, product, **paid, paymentHeldAt=2 * DAY),
        "AWAITING_SHIPMENT": await put_order(shop, buyer, product, **paid),
        "SHIPPED": await put_order(shop, buyer, product, **paid, shippedAt=2 * DAY),
        "DELIVERED": await put_order(shop, buyer, product, **paid, shippedAt=2 * DAY, deliveredAt=DAY),
        "COMPLETED": await put_order(shop, buyer, product, ago=60 * DAY, paidAt=60 * DAY, completedAt=20 * DAY),
        "OLD": await put_order(shop, buyer, product, ago=90 * DAY, paidAt=90 * DAY, completedAt=40 * DAY),
        "CANCELLED": await put_order(shop, buyer, product, ago=61 * DAY, cancelledAt=61 * DAY),
    }
    names = {order_id: name for name, (_, order_id) in told.items()}

    async def tab(tab: str, search: str | None = None) -> list[str]:
        query = "query($t: OrderTab!, $s: String) { me { orders(tab: $t, search: $s) { totalCount edges { node { id } } } } }"
        found = (await buyer.data(query, t=tab, s=search))["me"]["orders"]
        assert found["totalCount"] == len(found["edges"])
        return [names[edge["node"]["id"]] for edge in found["edges"]]

    assert set(await tab("ALL")) == set(told)
    assert (await tab("ALL"))[0] == "AWAITING_PAYMENT" and (await tab("ALL"))[-1] == "OLD"
    assert await tab("AWAITING_PAYMENT") == ["AWAITING_PAYMENT", "PAYMENT_REVIEW"]
    assert await tab("AWAITING_SHIPMENT") == ["AWAITING_SHIPMENT"]
    assert set(await tab("SHIPPED")) == {"SHIPPED", "DELIVERED"}
    assert await tab("AWAITING_REVIEW") == ["COMPLETED"]
    assert await tab("FINISHED") == ["COMPLETED", "OLD"]
    assert await tab("CANCELLED") == ["CANCELLED"]
    assert await tab("DISPUTED") == []
    number = told["SHIPPED"][0]["externalId"]
    assert await tab("ALL", number.lower()) == ["SHIPPED"]
    assert len(await tab("ALL", "ord-")) == len(told)
    assert len(await tab("ALL", "лампа")) == len(told)
    assert await tab("FINISHED", "ВОЛНА") == ["COMPLETED", "OLD"]
    assert await tab("ALL", "%") == []
    home = (await buyer.data(HOME))["me"]["home"]
    assert {c["status"]: c["count"] for c in home["orderCounts"]} == {
        "AWAITING_PAYMENT": 1, "PAYMENT_REVIEW": 1, "AWAITING_SHIPMENT": 1, "PARTLY_SHIPPED": 0, "SHIPPED": 1, "DELIVERED": 1,
        "COMPLETED": 2, "CANCELLED": 1, "CLOSED": 0,
    }  # fmt: skip
    assert home["attention"] == {"awaitingPayment": 1, "protectionEnding": 0, "couponsEnding": 0}
    assert (home["disputeCount"], home["reviewCount"], home["unreadMessageCount"], home["favoriteStores"]) == (0, 0, 0, [])


HOME = """{ me { home { orderCounts { status count } disputeCount reviewCount unreadMessageCount favoriteStores { name }
  attention { awaitingPayment protectionEnding couponsEnding } } } }"""


async def test_receipt_is_confirmed_once(shop: Shop) -> None:
    buyer = await shop.buyer()
    row, order_id = await put_order(shop, buyer, ago=2 * DAY, paidAt=2 * DAY, shippedAt=DAY)
    answers = await asyncio.gather(*(buyer.data(CONFIRM, id=order_id) for _ in range(4)))
    kinds = sorted(answer["confirmReceipt"]["__typename"] for answer in answers)
    assert kinds == ["ReceiptConfirmed", "Unavailable", "Unavailable", "Unavailable"]
    assert await phase(buyer, order_id) == ("COMPLETED", "AFTER_SALE")
    assert await Activity.filter(subject_kind="order", verb="receipt_confirmed", subject_id=(await Order.get(external_id=row["externalId"])).id).count() == 1
    again = (await buyer.data(CONFIRM, id=order_id))["confirmReceipt"]
    assert again == {"__typename": "Unavailable", "code": "WRONG_STATE", "field": None, "message": "The state does not allow this."}


async def test_what_is_not_shipped_is_not_confirmed(shop: Shop) -> None:
    buyer = await shop.buyer()
    _, order_id = await put_order(shop, buyer)
    assert (await buyer.data(CONFIRM, id=order_id))["confirmReceipt"]["code"] == "WRONG_STATE"
    assert await phase(buyer, order_id) == ("AWAITING_PAYMENT", "NOT_STARTED")


async def test_a_strangers_order_is_no_order(shop: Shop) -> None:
    buyer, stranger = await shop.buyer(), await shop.buyer()
    _, order_id = await put_order(shop, buyer, ago=2 * DAY, paidAt=2 * DAY, shippedAt=DAY)
    answers = [await stranger.run("query($id: ID!) { order(id: $id) { id } }", id=wrong) for wrong in (order_id, "nonsense", buyer.id)]
    for answer in answers:
        assert answer["data"] == {"order": None}
        assert [(e["message"], e["extensions"]["code"]) for e in answer["errors"]] == [("There is no such object.", "NOT_FOUND")]
    assert (await stranger.data(CONFIRM, id=order_id))["confirmReceipt"]["__typename"] == "NotFound"
    assert (await stranger.data(ASK, id=order_id, days=3))["requestProtectionExtension"]["__typename"] == "NotFound"
    assert await stranger.data("query($id: ID!) { node(id: $id) { id } }", id=order_id) == {"node": None}
    assert await phase(buyer, order_id) == ("SHIPPED", "IN_TRANSIT")
    for query in (ORDER, CONFIRM):
        assert await shop.nobody.codes(query, id=order_id) == ["UNAUTHENTICATED"]
    assert await id_of(buyer, "ORD-") == order_id
