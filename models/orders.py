"""Orders: what was bought of one store, as facts; what an order's status is follows from them and the time."""

import enum
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from models.accounts import Account
from models.catalog import Product, Store
from models.columns import dump_json, load_json
from models.instants import Instant

PAY_WITHIN = timedelta(hours=24)
SHIP_WITHIN = timedelta(days=7)
REVIEW_WITHIN = timedelta(days=30)
MOST_ITEMS = 100


class OrderStatus(enum.StrEnum):
    AWAITING_PAYMENT = "AWAITING_PAYMENT"
    PAYMENT_REVIEW = "PAYMENT_REVIEW"
    AWAITING_SHIPMENT = "AWAITING_SHIPMENT"
    PARTLY_SHIPPED = "PARTLY_SHIPPED"
    SHIPPED = "SHIPPED"
    DELIVERED = "DELIVERED"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"
    CLOSED = "CLOSED"


OVER = frozenset({OrderStatus.COMPLETED, OrderStatus.CANCELLED, OrderStatus.CLOSED})


class OrderTab(enum.StrEnum):
    ALL = "ALL"
    AWAITING_PAYMENT = "AWAITING_PAYMENT"
    AWAITING_SHIPMENT = "AWAITING_SHIPMENT"
    SHIPPED = "SHIPPED"
    AWAITING_REVIEW = "AWAITING_REVIEW"
    FINISHED = "FINISHED"
    CANCELLED = "CANCELLED"
    DISPUTED = "DISPUTED"


class Completion(enum.StrEnum):
    BUYER_CONFIRMED = "BUYER_CONFIRMED"
    PROTECTION_ENDED = "PROTECTION_ENDED"
    SETTLED = "SETTLED"
    IMPORTED = "IMPORTED"


class Order(Model):
    """One buyer's order in one store. `region` is the country it goes to, an ISO 3166 code.

    What has happened and what was promised are instants. `ends_at` is the end of protection as it stands; it is set
    when the order first ships. `wholly_shipped_at` null with `shipped_at`: some of it is still to be shipped, until
    `ship_by_at` at most. `delivered_at` is the scan of the last parcel, set while every parcel that was sent has
    arrived; `scan_learned_at` when the service learned of it. While a dispute is open (`frozen_at`), `kept_seconds` is
    what is left of protection.
    """

    id = fields.BigIntField(primary_key=True)
    external_id = fields.CharField(120, unique=True)
    account: fields.ForeignKeyRelation[Account] = fields.ForeignKeyField("models.Account", on_delete=fields.RESTRICT)
    account_id: int
    store: fields.ForeignKeyRelation[Store] = fields.ForeignKeyField("models.Store", on_delete=fields.RESTRICT)
    store_id: int
    number = fields.CharField(120)
    number_folded = fields.CharField(240)
    region = fields.CharField(2)
    address = fields.TextField(null=True)
    currency = fields.CharField(3)
    total_minor = fields.BigIntField()
    discount_minor = fields.BigIntField(default=0)
    guarantee_days = fields.IntField()
    placed_at = Instant()
    pay_by_at = Instant()
    paid_at = Instant(null=True)
    payment_held_at = Instant(null=True)
    payment_cleared_at = Instant(null=True)
    ship_by_at = Instant(null=True)
    shipped_at = Instant(null=True)
    wholly_shipped_at = Instant(null=True)
    delivered_at = Instant(null=True)
    scan_learned_at = Instant(null=True)
    ends_at = Instant(null=True)
    completed_at = Instant(null=True)
    completion = fields.CharEnumField(Completion, max_length=20, null=True)
    cancelled_at = Instant(null=True)
    cancellation = fields.CharField(60, null=True)
    closed_at = Instant(null=True)
    frozen_at = Instant(null=True)
    kept_seconds = fields.IntField(null=True)

    class Meta:
        table = "orders"
        indexes = (Index(fields=("account_id", "placed_at", "id")), Index(fields=("store_id",)), Index(fields=("number_folded",)))


class OrderItem(Model):
    """So many of one product in an order, at the price of then. `title_folded` is what a search looks into: the
    item's title and the product's in every language, case-folded."""

    id = fields.BigIntField(primary_key=True)
    order: fields.ForeignKeyRelation[Order] = fields.ForeignKeyField("models.Order", on_delete=fields.RESTRICT)
    order_id: int
    product: fields.ForeignKeyRelation[Product] = fields.ForeignKeyField("models.Product", on_delete=fields.RESTRICT)
    product_id: int
    title = fields.CharField(500)
    title_folded = fields.TextField()
    quantity = fields.IntField()
    price_minor = fields.BigIntField()
    currency = fields.CharField(3)

    class Meta:
        table = "order_item"
        indexes = (Index(fields=("order_id",)), Index(fields=("product_id",)))


class GivenFacts(Model):
    """What the platform has said of an order so far, word for word: what it says next may only add to it."""

    order: fields.OneToOneRelation[Order] = fields.OneToOneField("models.Order", primary_key=True, on_delete=fields.RESTRICT)
    order_id: int
    facts: Any = fields.JSONField(encoder=dump_json, decoder=load_json)

    class Meta:
        table = "given_facts"


class Facts(NamedTuple):
    """The columns of an order that its status and protection follow from."""

    placed_at: datetime
    pay_by_at: datetime
    guarantee_days: int = 60
    paid_at: datetime | None = None
    payment_held_at: datetime | None = None
    payment_cleared_at: datetime | None = None
    ship_by_at: datetime | None = None
    shipped_at: datetime | None = None
    wholly_shipped_at: datetime | None = None
    delivered_at: datetime | None = None
    scan_learned_at: datetime | None = None
    ends_at: datetime | None = None
    completed_at: datetime | None = None
    completion: Completion | None = None
    cancelled_at: datetime | None = None
    cancellation: str | None = None
    closed_at: datetime | None = None
    frozen_at: datetime | None = None
    kept_seconds: int | None = None


def facts_of(order: Any) -> Facts:
    """The facts in an order's row."""
    return Facts(*(getattr(order, name) for name in Facts._fields))


def status(order: Any, now: datetime) -> OrderStatus:
    """What an order (a row, or `Facts`) is at `now`, whether or not its timers have run."""
    if order.cancelled_at is not None:
        return OrderStatus.CANCELLED
    if order.closed_at is not None:
        return OrderStatus.CLOSED
    if order.completed_at is not None:
        return OrderStatus.COMPLETED
    if order.shipped_at is not None:
        if order.frozen_at is None and now >= order.ends_at:
            return OrderStatus.COMPLETED
        if order.wholly_shipped_at is None and now < order.ship_by_at:
            return OrderStatus.PARTLY_SHIPPED
        return OrderStatus.SHIPPED if order.delivered_at is None else OrderStatus.DELIVERED
    if order.paid_at is None:
        return OrderStatus.AWAITING_PAYMENT if now < order.pay_by_at else OrderStatus.CANCELLED
    if is_in_review(order):
        return OrderStatus.PAYMENT_REVIEW
    return OrderStatus.AWAITING_SHIPMENT if now < order.ship_by_at else OrderStatus.CANCELLED


def is_in_review(order: Any) -> bool:
    """Whether the payment is held and has not been cleared."""
    return order.payment_held_at is not None and order.payment_cleared_at is None


def cancelled_at(order: Any, now: datetime) -> datetime | None:
    """Since when the order has been cancelled; None: it is not."""
    if order.cancelled_at is not None or status(order, now) is not OrderStatus.CANCELLED:
        return order.cancelled_at
    return order.pay_by_at if order.paid_at is None else order.ship_by_at


def cancellation(order: Any, now: datetime) -> str | None:
    """Why the order was cancelled, in a word; None: it is not, or nobody has said."""
    if order.cancelled_at is not None or status(order, now) is not OrderStatus.CANCELLED:
        return order.cancellation
    return "UNPAID" if order.paid_at is None else "NOT_SHIPPED"


def completed_at(order: Any, now: datetime) -> datetime | None:
    """Since when the order has been completed; None: it is not."""
    if order.completed_at is not None or status(order, now) is not OrderStatus.COMPLETED:
        return order.completed_at
    return order.ends_at


# The same in SQL, for pages and counts that are right before a timer has run. $2 is now.
# `OPEN` and `NOT_DONE` are the conditions of two partial indexes, worded so that neither serves for the other.
OPEN = "cancelled_at IS NULL AND closed_at IS NULL AND completed_at IS NULL"
NOT_DONE = "coalesce(completed_at, closed_at) IS NULL"
_HELD = "payment_held_at IS NOT NULL AND payment_cleared_at IS NULL"
_CLEARED = "(payment_held_at IS NULL OR payment_cleared_at IS NOT NULL)"
_UNPAID = f"{OPEN} AND shipped_at IS NULL AND paid_at IS NULL"
_PAID = f"{OPEN} AND shipped_at IS NULL AND paid_at IS NOT NULL"
UNDER_WAY = f"{OPEN} AND shipped_at IS NOT NULL AND (ends_at > $2 OR frozen_at IS NOT NULL)"
_PARTLY = "(wholly_shipped_at IS NULL AND ship_by_at > $2)"
RUN_OUT = f"{OPEN} AND shipped_at IS NOT NULL AND ends_at <= $2 AND frozen_at IS NULL"
LAPSED = f"({_UNPAID} AND pay_by_at <= $2) OR ({_PAID} AND {_CLEARED} AND ship_by_at <= $2)"

STATUS_SQL: dict[OrderStatus, str] = {
    OrderStatus.AWAITING_PAYMENT: f"{_UNPAID} AND pay_by_at > $2",
    OrderStatus.PAYMENT_REVIEW: f"{_PAID} AND {_HELD}",
    OrderStatus.AWAITING_SHIPMENT: f"{_PAID} AND {_CLEARED} AND ship_by_at > $2",
    OrderStatus.PARTLY_SHIPPED: f"{UNDER_WAY} AND {_PARTLY}",
    OrderStatus.SHIPPED: f"{UNDER_WAY} AND NOT {_PARTLY} AND delivered_at IS NULL",
    OrderStatus.DELIVERED: f"{UNDER_WAY} AND NOT {_PARTLY} AND delivered_at IS NOT NULL",
    OrderStatus.COMPLETED: f"(cancelled_at IS NULL AND closed_at IS NULL AND completed_at IS NOT NULL) OR ({RUN_OUT})",
    OrderStatus.CANCELLED: f"cancelled_at IS NOT NULL OR {LAPSED}",
    OrderStatus.CLOSED: "cancelled_at IS NULL AND closed_at IS NOT NULL",
}

# AWAITING_REVIEW has $3, the instant 30 days before now.
TAB_SQL: dict[OrderTab, str] = {
    OrderTab.AWAITING_PAYMENT: (
        f"{OPEN} AND shipped_at IS NULL AND ((paid_at IS NULL AND pay_by_at > $2) OR (paid_at IS NOT NULL AND {_HELD}))"
    ),
    OrderTab.AWAITING_SHIPMENT: STATUS_SQL[OrderStatus.AWAITING_SHIPMENT],
    OrderTab.SHIPPED: UNDER_WAY,
    OrderTab.AWAITING_REVIEW: (
        f"cancelled_at IS NULL AND closed_at IS NULL AND (completed_at > $3 OR ({RUN_OUT} AND ends_at > $3))"
    ),
    OrderTab.FINISHED: (
        "cancelled_at IS NULL AND (closed_at IS NOT NULL OR completed_at IS NOT NULL OR "
        "(shipped_at IS NOT NULL AND ends_at <= $2 AND frozen_at IS NULL))"
    ),
    OrderTab.CANCELLED: f"{NOT_DONE} AND ({STATUS_SQL[OrderStatus.CANCELLED]})",
    OrderTab.DISPUTED: "frozen_at IS NOT NULL",
}
