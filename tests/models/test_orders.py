"""What an order is at a moment: the rule, and the same in SQL."""

import itertools
import random
from datetime import UTC, datetime, timedelta

import pytest

from models.accounts import Account
from models.catalog import Store
from models.database import fetch
from models.orders import (
    REVIEW_WITHIN,
    STATUS_SQL,
    TAB_SQL,
    Facts,
    Order,
    OrderStatus,
    OrderTab,
    cancellation,
    cancelled_at,
    completed_at,
    status,
)
from models.protection import protection
from models.reads import reads
from models.unit_of_work import Work, unit_of_work
from resolvers.orders import figures
from tests.databases import BOTH, migrated_database

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
DAY, TICK = timedelta(days=1), timedelta(microseconds=1)
PAID = Facts(NOON, NOON + DAY, paid_at=NOON, ship_by_at=NOON + 7 * DAY)
SHIPPED = PAID._replace(shipped_at=NOON, wholly_shipped_at=NOON, ends_at=NOON + 60 * DAY)


@pytest.mark.parametrize(
    ("facts", "deadline", "before", "after"),
    [
        (Facts(NOON, NOON + DAY), NOON + DAY, OrderStatus.AWAITING_PAYMENT, OrderStatus.CANCELLED),
        (PAID, NOON + 7 * DAY, OrderStatus.AWAITING_SHIPMENT, OrderStatus.CANCELLED),
        (PAID._replace(payment_held_at=NOON), NOON + 7 * DAY, OrderStatus.PAYMENT_REVIEW, OrderStatus.PAYMENT_REVIEW),
        (SHIPPED, NOON + 60 * DAY, OrderStatus.SHIPPED, OrderStatus.COMPLETED),
        (SHIPPED._replace(delivered_at=NOON), NOON + 60 * DAY, OrderStatus.DELIVERED, OrderStatus.COMPLETED),
        (SHIPPED._replace(wholly_shipped_at=None), NOON + 7 * DAY, OrderStatus.PARTLY_SHIPPED, OrderStatus.SHIPPED),
        (SHIPPED._replace(wholly_shipped_at=None, delivered_at=NOON), NOON + 7 * DAY, OrderStatus.PARTLY_SHIPPED, OrderStatus.DELIVERED),
        (SHIPPED._replace(frozen_at=NOON, kept_seconds=9), NOON + 60 * DAY, OrderStatus.SHIPPED, OrderStatus.SHIPPED),
        (SHIPPED._replace(completed_at=NOON), NOON, OrderStatus.COMPLETED, OrderStatus.COMPLETED),
        (SHIPPED._replace(closed_at=NOON), NOON, OrderStatus.CLOSED, OrderStatus.CLOSED),
        (SHIPPED._replace(cancelled_at=NOON), NOON, OrderStatus.CANCELLED, OrderStatus.CANCELLED),
    ],
)
def test_a_deadline_changes_the_status_at_its_instant_and_not_before(facts, deadline, before, after):
    assert status(facts, deadline - TICK) is before
    assert status(facts, deadline) is after


def test_what_happened_by_itself_has_its_instant_and_reason():
    assert cancelled_at(Facts(NOON, NOON + DAY), NOON) is None
    assert (cancelled_at(Facts(NOON, NOON + DAY), NOON + 2 * DAY), cancellation(Facts(NOON, NOON + DAY), NOON + 2 * DAY)) == (NOON + DAY, "UNPAID")
    assert (cancelled_at(PAID, NOON + 9 * DAY), cancellation(PAID, NOON + 9 * DAY)) == (NOON + 7 * DAY, "NOT_SHIPPED")
    assert completed_at(SHIPPED, NOON) is None
    assert completed_at(SHIPPED, NOON + 99 * DAY) == NOON + 60 * DAY


def every_kind() -> list[Facts]:
    """Orders of every kind whose deadlines are at NOON or a tick beside it, and some by chance."""
    orders = []
    for edge in (-TICK, timedelta(0), TICK):
        at = NOON + edge
        unpaid = Facts(at - DAY, at)
        paid = unpaid._replace(paid_at=at - DAY, ship_by_at=at)
        sent = paid._replace(shipped_at=at - DAY, ends_at=at, ship_by_at=at + DAY)
        partly = paid._replace(shipped_at=at - DAY, ends_at=at + DAY)
        soon = sent._replace(wholly_shipped_at=at - DAY, ends_at=at + timedelta(hours=72))
        over = [sent._replace(wholly_shipped_at=at - DAY), partly, partly._replace(delivered_at=at - DAY), soon]
        orders += [unpaid, paid, paid._replace(payment_held_at=at), paid._replace(payment_held_at=at, payment_cleared_at=at), *over]
        orders += [one._replace(frozen_at=at, kept_seconds=5) for one in over]
        for one in (unpaid, paid, *over):
            orders += [one._replace(completed_at=at - back) for back in (timedelta(0), REVIEW_WITHIN)]
            orders += [one._replace(cancelled_at=at), one._replace(closed_at=at)]
        orders.append(sent._replace(wholly_shipped_at=at - DAY, ends_at=at - REVIEW_WITHIN))
        orders.append(soon._replace(completed_at=at - DAY, frozen_at=at, kept_seconds=0))
    return orders


IN_TAB = {
    OrderTab.AWAITING_PAYMENT: {OrderStatus.AWAITING_PAYMENT, OrderStatus.PAYMENT_REVIEW},
    OrderTab.AWAITING_SHIPMENT: {OrderStatus.AWAITING_SHIPMENT},
    OrderTab.SHIPPED: {OrderStatus.PARTLY_SHIPPED, OrderStatus.SHIPPED, OrderStatus.DELIVERED},
    OrderTab.FINISHED: {OrderStatus.COMPLETED, OrderStatus.CLOSED},
    OrderTab.CANCELLED: {OrderStatus.CANCELLED},
}


def is_in_tab(order, tab: OrderTab, now: datetime) -> bool:
    if tab is OrderTab.DISPUTED:
        return order.frozen_at is not None
    if tab is OrderTab.AWAITING_REVIEW:
        done = completed_at(order, now)
        return status(order, now) is OrderStatus.COMPLETED and done is not None and done > now - REVIEW_WITHIN
    return status(order, now) in IN_TAB[tab]


@pytest.mark.parametrize("dialect", BOTH)
async def test_sql_and_rule_agree_on_every_order_at_every_edge(dialect, tmp_path):
    async with migrated_database(dialect, tmp_path):
        account_id = await write(every_kind())
        rows = await reads(Order).where("account_id = $1", account_id)
        for now in (NOON - TICK, NOON, NOON + TICK, NOON + REVIEW_WITHIN):
            for stage, condition in STATUS_SQL.items():
                by_rule = {row.id for row in rows if status(row, now) is stage}
                assert await matching(account_id, condition, now) == by_rule, (stage, now)
            for tab, condition in TAB_SQL.items():
                by_rule = {row.id for row in rows if is_in_tab(row, tab, now)}
                assert await matching(account_id, condition, now) == by_rule, (tab, now)
            counted = await figures(account_id, now)
            assert counted.counts == {stage: sum(status(row, now) is stage for row in rows) for stage in OrderStatus}
            assert counted.disputed == sum(row.frozen_at is not None for row in rows)
            assert counted.protection_ending == sum(protection(row, now).ending for row in rows)


@unit_of_work
async def write(work: Work, orders: list[Facts]) -> int:
    """A buyer with these orders."""
    account = await Account.create(display_name="A", language="en", region="US", currency="USD", created_at=NOON)
    store = await Store.create(external_id="s", name="S")
    for number, facts in enumerate(orders):
        await Order.create(
            external_id=f"o{number}", number=f"O{number}", number_folded=f"o{number}", account=account, store=store, region="US",
            currency="USD", total_minor=1, **facts._asdict(),
        )  # fmt: skip
    return account.id


async def matching(account_id: int, condition: str, now: datetime) -> set[int]:
    params = [instant for place, instant in (("$2", now), ("$3", now - REVIEW_WITHIN)) if place in condition]
    found = await fetch(f"SELECT id FROM orders WHERE account_id = $1 AND ({condition})", account_id, *params)
    return {order_id for (order_id,) in found}


def test_no_order_has_two_statuses_or_none():
    chance = random.Random(1)
    instants = [None, NOON - DAY, NOON, NOON + DAY]
    for _ in range(2000):
        pick = lambda: chance.choice(instants)  # noqa: E731
        shipped = pick()
        facts = PAID._replace(
            paid_at=pick(), payment_held_at=pick(), payment_cleared_at=pick(), ship_by_at=chance.choice(instants[1:]), shipped_at=shipped,
            wholly_shipped_at=pick() if shipped else None, delivered_at=pick() if shipped else None,
            ends_at=chance.choice(instants[1:]) if shipped else None,
        )  # fmt: skip
        for now in itertools.chain(instants[1:]):
            shown = protection(facts, now)
            assert status(facts, now) in OrderStatus
            assert shown.seconds_left is None or 0 <= shown.seconds_left < 2**31
