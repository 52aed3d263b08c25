"""Coupons: what was offered, and each buyer's own copy, which nobody ever deletes.

The state of a coupon is derived: by `state_of` from a row, by `in_states` in SQL; a test holds the two together.
"""

import enum
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from models.accounts import Account
from models.catalog import Store
from models.columns import dump_json, load_json
from models.instants import Instant
from models.orders import Order
from models.refusals import BadUserInput, ErrorCode, Refusal

ENDING_SOON = timedelta(hours=72)
LARGEST_SECONDS = 2**31 - 1


class CouponIssuer(enum.StrEnum):
    PLATFORM = "PLATFORM"
    STORE = "STORE"
    SPECIAL = "SPECIAL"


class CouponState(enum.StrEnum):
    SCHEDULED = "SCHEDULED"
    ACTIVE = "ACTIVE"
    RESERVED = "RESERVED"
    USED = "USED"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"


APPLICATION = (CouponIssuer.STORE, CouponIssuer.SPECIAL, CouponIssuer.PLATFORM)
VALUE = ("issuer", "store_id", "titles", "currency", "amount_off_minor", "percent_off", "maximum_off_minor", "minimum_spend_minor")


class CouponOffer(Model):
    """What coupons are issued from. Exactly one of `amount_off_minor` and `percent_off` is set, `maximum_off_minor` only
    beside the latter; `currency` is that of all amounts, null where there is none."""

    id = fields.BigIntField(primary_key=True)
    external_id = fields.CharField(120, unique=True)
    issuer = fields.CharEnumField(CouponIssuer, max_length=10)
    store: fields.ForeignKeyNullableRelation[Store] = fields.ForeignKeyField(
        "models.Store", on_delete=fields.RESTRICT, null=True
    )
    store_id: int | None
    titles: Any = fields.JSONField(encoder=dump_json, decoder=load_json)
    currency = fields.CharField(3, null=True)
    amount_off_minor = fields.BigIntField(null=True)
    percent_off = fields.IntField(null=True)
    maximum_off_minor = fields.BigIntField(null=True)
    minimum_spend_minor = fields.BigIntField(null=True)
    withdrawn_at = Instant(null=True)

    class Meta:
        table = "coupon_offer"
        indexes = (Index(fields=("store_id",)),)


class Coupon(Model):
    """One buyer's copy of an offer, with the value that the offer had when it was issued. It can be used from
    `starts_at` until `ends_at`. `order_id`, `reserved_at` and `reserved_until` (by when that order must be paid) are set
    while an order holds it, `used_at` too once the order is paid."""

    id = fields.BigIntField(primary_key=True)
    external_id = fields.CharField(120, unique=True)
    account: fields.ForeignKeyRelation[Account] = fields.ForeignKeyField("models.Account", on_delete=fields.RESTRICT)
    account_id: int
    offer: fields.ForeignKeyRelation[CouponOffer] = fields.ForeignKeyField("models.CouponOffer", on_delete=fields.RESTRICT)
    offer_id: int
    issuer = fields.CharEnumField(CouponIssuer, max_length=10)
    store: fields.ForeignKeyNullableRelation[Store] = fields.ForeignKeyField(
        "models.Store", on_delete=fields.RESTRICT, null=True
    )
    store_id: int | None
    titles: Any = fields.JSONField(encoder=dump_json, decoder=load_json)
    currency = fields.CharField(3, null=True)
    amount_off_minor = fields.BigIntField(null=True)
    percent_off = fields.IntField(null=True)
    maximum_off_minor = fields.BigIntField(null=True)
    minimum_spend_minor = fields.BigIntField(null=True)
    issued_at = Instant()
    starts_at = Instant()
    ends_at = Instant()
    revoked_at = Instant(null=True)
    order: fields.ForeignKeyNullableRelation[Order] = fields.ForeignKeyField(
        "models.Order", on_delete=fields.RESTRICT, null=True
    )
    order_id: int | None
    reserved_at = Instant(null=True)
    reserved_until = Instant(null=True)
    used_at = Instant(null=True)

    class Meta:
        table = "coupon"
        indexes = (
            Index(fields=("account_id", "ends_at", "id")),
            Index(fields=("offer_id",)),
            Index(fields=("store_id",)),
            Index(fields=("order_id",)),
        )


_HELD = "used_at IS NULL AND reserved_until > $now"
_FREE = "used_at IS NULL AND (reserved_until IS NULL OR reserved_until <= $now)"
_CONDITIONS = {
    CouponState.USED: "used_at IS NOT NULL",
    CouponState.RESERVED: _HELD,
    CouponState.REVOKED: f"{_FREE} AND revoked_at IS NOT NULL",
    CouponState.EXPIRED: f"{_FREE} AND revoked_at IS NULL AND ends_at <= $now",
    CouponState.SCHEDULED: f"{_FREE} AND revoked_at IS NULL AND starts_at > $now",
    CouponState.ACTIVE: f"{_FREE} AND revoked_at IS NULL AND starts_at <= $now AND ends_at > $now",
}


def state_of(coupon: Any, now: datetime) -> CouponState:
    """The state of a coupon's row at `now`: what an order did with it counts before a revocation, and that before time."""
    if coupon.used_at is not None:
        return CouponState.USED
    if coupon.reserved_until is not None and now < coupon.reserved_until:
        return CouponState.RESERVED
    if coupon.revoked_at is not None:
        return CouponState.REVOKED
    if now >= coupon.ends_at:
        return CouponState.EXPIRED
    return CouponState.ACTIVE if now >= coupon.starts_at else CouponState.SCHEDULED


def in_states(states: Collection[CouponState], now: str) -> str:
    """SQL for «the coupon is in one of `states`» at the instant whose placeholder is `now` ("$2"), which it may not name."""
    wanted = [condition for state, condition in _CONDITIONS.items() if state in states]
    return (" OR ".join(f"({condition})" for condition in wanted) or "1 = 0").replace("$now", now)


def seconds_left(coupon: Any, now: datetime) -> int | None:
    """Whole seconds in which an ACTIVE coupon can still be used; None in every other state."""
    if state_of(coupon, now) is not CouponState.ACTIVE:
        return None
    return min(int((coupon.ends_at - now).total_seconds()), LARGEST_SECONDS)


def comes_back(coupon: Any, cancelled_at: datetime) -> bool:
    """Whether a coupon returns to its owner when the order that holds it is cancelled: one that was used only in date."""
    return coupon.used_at is None or cancelled_at < coupon.ends_at


def require_free(coupon: Any, account_id: int, order_id: int | None, at: datetime) -> None:
    """Refuse a coupon that an order of `account_id` cannot have had at `at`; its dates do not count, for the platform
    that says so let it through. `order_id` None: a new order.

    Raises:
        Refusal: CONFLICT, it is another buyer's, another order's, or was revoked by then.
    """
    if coupon.order_id is not None and coupon.order_id == order_id:
        return
    is_elsewhere = state_of(coupon, at) in (CouponState.USED, CouponState.RESERVED)
    is_revoked = coupon.revoked_at is not None and coupon.revoked_at <= at
    if coupon.account_id != account_id or is_elsewhere or is_revoked:
        raise Refusal(ErrorCode.CONFLICT, field="couponExternalIds")


def require_value(offer: Any) -> None:
    """Refuse an offer that is worth nothing, or is worth two things.

    Raises:
        BadUserInput: names the field.
    """
    if (offer.amount_off_minor is None) == (offer.percent_off is None):
        raise BadUserInput(field="amountOff", text="ONE_VALUE")
    if offer.percent_off is not None and not 1 <= offer.percent_off <= 100:
        raise BadUserInput(field="percentOff")
    if offer.maximum_off_minor is not None and offer.percent_off is None:
        raise BadUserInput(field="maximumOff")
    amounts = {"amountOff": offer.amount_off_minor, "maximumOff": offer.maximum_off_minor, "minimumSpend": offer.minimum_spend_minor}
    for field, minor in amounts.items():
        if minor is not None and minor <= 0:
            raise BadUserInput(field=field)


def require_window(starts_at: datetime, ends_at: datetime) -> None:
    """Raises:
    BadUserInput: it ends before, or as, it starts.
    """
    if ends_at <= starts_at:
        raise BadUserInput(field="endsAt")


def discount_minor(coupons: Sequence[Any], goods_minor: int, currency: str) -> int:
    """What the coupons take off goods worth `goods_minor` of `currency`: store, special, platform, each from what the
    ones before it left, and only where that reaches its minimum spend. Percentages are rounded down."""
    left = goods_minor
    for coupon in sorted(coupons, key=lambda coupon: (APPLICATION.index(coupon.issuer), coupon.id)):
        if coupon.currency not in (None, currency) or left < (coupon.minimum_spend_minor or 0):
            continue
        off = coupon.amount_off_minor if coupon.percent_off is None else left * coupon.percent_off // 100
        left -= min(off, left, coupon.maximum_off_minor or off)
    return goods_minor - left
