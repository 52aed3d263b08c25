"""Orders as the platform tells them: what a row may say, and the facts that follow from it."""

from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

from models.money import LARGEST_MINOR, currency_code, money
from models.orders import MOST_ITEMS, PAY_WITHIN, SHIP_WITHIN, Completion, Facts, facts_of
from models.protection import after_delivery, after_shipment, guarantee_days
from models.refusals import BadUserInput, ErrorCode, Refusal

MOST_OF_ONE = 1_000_000
LONGEST_GUARANTEE = 365
LATEST_SHIPMENT = timedelta(days=400)


@dataclass(frozen=True, slots=True)
class GivenItem:
    """So many of a product, at `amount` each, in the order's currency."""

    product_external_id: str
    title: str
    quantity: int
    amount: Decimal


@dataclass(frozen=True, slots=True)
class GivenOrder:
    """What the platform knows of an order; None: it does not say. `discount` is what coupons took off the items; where
    it is not given, what the coupons named are worth."""

    external_id: str
    account_external_id: str
    store_external_id: str
    currency: str
    placed_at: datetime
    items: tuple[GivenItem, ...]
    number: str | None = None
    region: str | None = None
    address: str | None = None
    discount: Decimal | None = None
    guarantee_days: int | None = None
    paid_at: datetime | None = None
    payment_held_at: datetime | None = None
    payment_cleared_at: datetime | None = None
    ship_by_at: datetime | None = None
    shipped_at: datetime | None = None
    delivered_at: datetime | None = None
    completed_at: datetime | None = None
    cancelled_at: datetime | None = None
    cancel_reason: str | None = None
    coupon_external_ids: tuple[str, ...] | None = None


def require_order(row: GivenOrder, now: datetime) -> tuple[list[int], int | None]:
    """The prices of the row's items and its discount, where that is given, in minor units.

    Raises:
        BadUserInput: names the field.
    """
    currency_code(row.currency)
    _require_instants(row, now)
    if row.guarantee_days is not None and not 1 <= row.guarantee_days <= LONGEST_GUARANTEE:
        raise BadUserInput(field="guaranteeDays")
    for text, name, most in ((row.number, "number", 120), (row.cancel_reason, "cancelReason", 60), (row.address, "address", 1000)):
        if text is not None:
            _require_text(text, name, most)
    if row.region is not None and not (len(row.region) == 2 and row.region.isascii() and row.region.isupper()):
        raise BadUserInput(field="region")
    if not 1 <= len(row.items) <= MOST_ITEMS:
        raise BadUserInput(field="items")
    for item in row.items:
        _require_text(item.title, "title", 500)
        if not 1 <= item.quantity <= MOST_OF_ONE:
            raise BadUserInput(field="quantity")
    prices = [money(item.amount, row.currency).minor for item in row.items]
    goods = sum(price * item.quantity for price, item in zip(prices, row.items, strict=True))
    discount = None if row.discount is None else money(row.discount, row.currency, "discount").minor
    if goods > LARGEST_MINOR:
        raise BadUserInput(field="amount", text="AMOUNT_OUT_OF_RANGE")
    if discount is not None and discount > goods:
        raise BadUserInput(field="discount", text="AMOUNT_OUT_OF_RANGE")
    return prices, discount


def _require_text(text: str, field: str, most: int) -> None:
    if not text.strip() or len(text) > most or any(ord(c) < 32 and c != "\n" for c in text):
        raise BadUserInput(field=field)


_NEEDS = {
    "payment_held_at": "paid_at",
    "payment_cleared_at": "payment_held_at",
    "shipped_at": "paid_at",
    "delivered_at": "shipped_at",
    "completed_at": "paid_at",
}
_IN_ORDER = ("placed_at", "paid_at", "shipped_at", "delivered_at", "completed_at")


def _require_instants(row: GivenOrder, now: datetime) -> None:
    """Things happen one after the other, each after what it needs, and not tomorrow."""
    for name in (*_IN_ORDER, "payment_held_at", "payment_cleared_at", "cancelled_at"):
        at = getattr(row, name)
        if at is not None and at > now:
            raise BadUserInput(field=_camel(name), text="FUTURE")
        if at is not None and at < row.placed_at:
            raise BadUserInput(field=_camel(name), text="BEFORE_IT_COULD")
    for name, needed in _NEEDS.items():
        if getattr(row, name) is not None and getattr(row, needed) is None:
            raise BadUserInput(field=_camel(needed))
    happened = [(name, at) for name in _IN_ORDER if (at := getattr(row, name)) is not None]
    for (_, before), (name, at) in pairwise(happened):
        if at < before:
            raise BadUserInput(field=_camel(name), text="BEFORE_IT_COULD")
    if row.completed_at is not None and row.cancelled_at is not None:
        raise BadUserInput(field="cancelledAt")
    if row.ship_by_at is not None and not row.placed_at <= row.ship_by_at <= row.placed_at + LATEST_SHIPMENT:
        raise BadUserInput(field="shipByAt")


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def words_of(row: GivenOrder) -> dict[str, Any]:
    """What the row says, for comparison with what it said before: only what is given, items in any order."""
    words: dict[str, Any] = {}
    for one in fields(row):
        value = getattr(row, one.name)
        if value is None:
            continue
        if one.name == "items":
            value = sorted([i.product_external_id, i.title, i.quantity, str(i.amount.normalize())] for i in value)
        elif one.name == "coupon_external_ids":
            value = sorted(set(value))
        elif isinstance(value, datetime):
            value = value.isoformat()
        elif isinstance(value, Decimal):
            value = str(value.normalize())
        words[one.name] = value
    return words


def facts_given(row: GivenOrder, region: str, now: datetime) -> Facts:
    """The facts of an order that was not known before; a delivery counts as learned of when it happened."""
    facts = Facts(row.placed_at, row.placed_at + PAY_WITHIN, guarantee_days(row.guarantee_days, region))
    return _with_facts(facts, row, delivery_learned_at=row.delivered_at)


def _with_facts(facts: Facts, row: GivenOrder, delivery_learned_at: datetime | None) -> Facts:
    """`facts` and what the row says beyond them."""
    facts = facts._replace(
        paid_at=row.paid_at or facts.paid_at,
        payment_held_at=row.payment_held_at or facts.payment_held_at,
        payment_cleared_at=row.payment_cleared_at or facts.payment_cleared_at,
    )
    begins_at = facts.paid_at if facts.payment_held_at is None else facts.payment_cleared_at
    by_rule = begins_at + SHIP_WITHIN if begins_at is not None else None
    facts = facts._replace(ship_by_at=row.ship_by_at or facts.ship_by_at or by_rule)
    if row.shipped_at is not None and facts.shipped_at is None:
        facts = after_shipment(facts, row.shipped_at, whole=True)
    if row.delivered_at is not None and facts.delivered_at is None:
        facts = after_delivery(facts, row.delivered_at, delivery_learned_at or row.delivered_at)
    if row.completed_at is not None and facts.completed_at is None:
        facts = facts._replace(completed_at=row.completed_at, completion=Completion.IMPORTED)
    if row.cancelled_at is not None:
        facts = facts._replace(cancelled_at=row.cancelled_at)
    return facts._replace(cancellation=row.cancel_reason or facts.cancellation)


_KNOWN_BESIDES = ("paid_at", "payment_held_at", "payment_cleared_at", "shipped_at", "delivered_at", "completed_at", "cancelled_at")


def with_more(row: GivenOrder, present: Any, said: dict[str, Any], now: datetime) -> Facts:
    """The facts of a known order with what the row adds. `said`: what `words_of` gave for the rows before it.

    Raises:
        Refusal: CONFLICT, the row takes back or contradicts what was said or has happened.
    """
    words = words_of(row)
    for name, value in said.items():
        kept = set(value) <= set(words.get(name, ())) if name == "coupon_external_ids" else words.get(name) == value
        if not kept:
            raise _conflict(name)
    for name in _KNOWN_BESIDES:
        if getattr(row, name) is not None and getattr(present, name) not in (None, getattr(row, name)):
            raise _conflict(name)
    if present.cancelled_at is not None and "cancelled_at" not in said:
        _require_nothing_later(row, said, present.cancelled_at)
    if row.completed_at is not None and (present.cancelled_at or present.closed_at):
        raise _conflict("completed_at")
    if row.cancelled_at is not None and (present.completed_at or present.closed_at):
        raise _conflict("cancelled_at")
    if (row.number or present.number) != present.number or (row.region or present.region) != present.region:
        raise _conflict("number" if row.number not in (None, present.number) else "region")
    facts = facts_of(present)
    if row.guarantee_days is not None and "guarantee_days" not in said:
        promised = guarantee_days(row.guarantee_days, present.region)
        if present.shipped_at is not None and promised != present.guarantee_days:
            raise _conflict("guarantee_days")
        facts = facts._replace(guarantee_days=promised)
    return _with_facts(facts, row, delivery_learned_at=now)


def _require_nothing_later(row: GivenOrder, said: dict[str, Any], cancelled_at: datetime) -> None:
    """What the service has cancelled by itself is neither paid nor shipped afterwards."""
    for name in ("paid_at", "shipped_at"):
        if getattr(row, name) is not None and name not in said:
            raise _conflict(name)


def _conflict(name: str) -> Refusal:
    return Refusal(ErrorCode.CONFLICT, field=_camel(name))
