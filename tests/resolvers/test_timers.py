"""Timers: each transition once, whoever runs them and however often."""

import asyncio
from collections import Counter
from datetime import timedelta

from models import clock
from models.activity import Activity
from models.database import fetch
from models.orders import Order
from models.timers import TimerRow
from models.unit_of_work import unit_of_work
from resolvers.timers import run_due_timers
from tests.resolvers.orders import order_row, phase, put_order, said
from tests.shop import Shop

DAY = timedelta(days=1)
ORDERS = 250


async def test_of_many_workers_one_does_each_thing(shop: Shop) -> None:
    buyer, product = await shop.buyer(), await shop.product()
    store = await shop.store()
    rows = [await order_row(shop, buyer, product, ago=timedelta(0), store=store) for _ in range(ORDERS)]
    await shop.put("putOrders", rows)
    await move_clock_only(shop, DAY)

    async def worker() -> None:
        while await run_due_timers():
            pass

    await asyncio.gather(*(worker() for _ in range(4)))
    ids = {order.id for order in await Order.filter(external_id__in=[row["externalId"] for row in rows])}
    done = await Activity.filter(subject_kind="order", verb="order_cancelled", subject_id__in=list(ids)).values_list("subject_id", flat=True)
    assert Counter(done) == dict.fromkeys(ids, 1)
    assert await TimerRow.filter(subject_id__in=list(ids)).count() == 0
    stored = await Order.filter(id__in=list(ids))
    assert all(order.cancelled_at == order.pay_by_at and order.cancellation == "UNPAID" for order in stored)
    assert await run_due_timers() is False


async def move_clock_only(shop: Shop, by: timedelta) -> None:
    """The clock has moved, and no worker has looked yet."""
    await unit_of_work(clock.advance)(by)


async def test_what_is_read_after_a_deadline_is_true_before_the_worker_ran(shop: Shop) -> None:
    buyer = await shop.buyer()
    row, order_id = await put_order(shop, buyer, ago=timedelta(0), paidAt=timedelta(0), shippedAt=timedelta(0), guaranteeDays=3)
    await move_clock_only(shop, 3 * DAY)
    assert await phase(buyer, order_id) == ("COMPLETED", "AFTER_SALE")
    assert (await Order.get(external_id=row["externalId"])).completed_at is None
    tabs = "{ me { orders(tab: FINISHED) { totalCount } home { orderCounts { status count } } } }"
    seen = await buyer.data(tabs)
    await shop.work()
    assert await buyer.data(tabs) == seen
    assert await phase(buyer, order_id) == ("COMPLETED", "AFTER_SALE")
    stored = await Order.get(external_id=row["externalId"])
    assert stored.completed_at == stored.ends_at


async def test_a_payment_and_the_deadline_at_once_end_in_one_of_the_two(shop: Shop) -> None:
    buyer = await shop.buyer()
    for _ in range(5):
        row, _ = await put_order(shop, buyer, ago=timedelta(0))
        await move_clock_only(shop, DAY)
        paid, _ = await asyncio.gather(shop.put("putOrders", [{**row, "paidAt": said(await shop.now())}]), shop.work())
        stored = await Order.get(external_id=row["externalId"])
        assert (paid[0]["status"] == "UPDATED") == (stored.paid_at is not None) == (stored.cancelled_at is None)


async def test_each_transition_is_an_event_and_a_repeat_is_none(shop: Shop) -> None:
    buyer = await shop.buyer()
    row, _ = await put_order(shop, buyer, ago=timedelta(0))
    await shop.put("putOrders", [row, row])
    stored = await Order.get(external_id=row["externalId"])
    await shop.advance(hours=24)
    events = await fetch("SELECT kind FROM event WHERE account_id = $1 AND subject_id = $2 ORDER BY number", stored.account_id, stored.id)
    assert [kind for (kind,) in events] == ["order_changed", "order_changed"]
