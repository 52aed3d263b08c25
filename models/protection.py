"""Buyer protection: how long it runs, what it shows, and how it is made longer (rules.md section 2)."""

import enum
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from models.instants import Instant
from models.orders import Completion, Facts, Order, OrderStatus, cancelled_at, completed_at, is_in_review, status
from models.refusals import ErrorCode, Unavailable

LONGEST_GUARANTEE_DAYS = {"RU": 90, "BR": 120}
LONGEST_GUARANTEE_ELSEWHERE = 60
INSPECT_WITHIN = timedelta(days=5)
AFTER_SALE = timedelta(days=15)
ENDING = timedelta(hours=72)
MOST_EXTENSION_DAYS = 60
TOLD_BEFORE_END = (timedelta(days=7), timedelta(hours=72), timedelta(hours=24), timedelta(hours=1))
LARGEST_SECONDS = 2**31 - 1

UNPAID, SHIP_BY, PROTECTION_END = "order_unpaid", "order_ship_by", "protection_end"
UNANSWERED_72H, UNANSWERED_24H = "extension_unanswered_72h", "extension_unanswered_24h"
REMINDERS = {UNANSWERED_72H: timedelta(hours=72), UNANSWERED_24H: timedelta(hours=24)}
ORDER_TIMERS = (UNPAID, SHIP_BY, PROTECTION_END, *REMINDERS)


class ProtectionPhase(enum.StrEnum):
    NOT_STARTED = "NOT_STARTED"
    AWAITING_SHIPMENT = "AWAITING_SHIPMENT"
    IN_TRANSIT = "IN_TRANSIT"
    INSPECTION = "INSPECTION"
    AFTER_SALE = "AFTER_SALE"
    ENDED = "ENDED"


class ExtensionState(enum.StrEnum):
    ASKED = "ASKED"
    GRANTED = "GRANTED"
    DECLINED = "DECLINED"
    LAPSED = "LAPSED"


class ExtensionBy(enum.StrEnum):
    BUYER = "BUYER"
    SELLER = "SELLER"
    STAFF = "STAFF"


class ProtectionExtension(Model):
    """Days that were added to an order's protection, or that its buyer asked for.

    At most one of `granted_at`, `declined_at` and `lapsed_at` is set; none: the request is open. An order has one
    open request at most.
    """

    id = fields.BigIntField(primary_key=True)
    order: fields.ForeignKeyRelation[Order] = fields.ForeignKeyField("models.Order", on_delete=fields.RESTRICT)
    order_id: int
    days = fields.IntField()
    by = fields.CharEnumField(ExtensionBy, max_length=6)
    reason = fields.CharField(500, null=True)
    at = Instant()
    granted_at = Instant(null=True)
    declined_at = Instant(null=True)
    lapsed_at = Instant(null=True)

    class Meta:
        table = "protection_extension"
        indexes = (Index(fields=("order_id", "id")),)


class Protection(NamedTuple):
    """An order's protection at `server_time`. `seconds_left` is whole seconds, never negative."""

    order: Any
    phase: ProtectionPhase
    starts_at: datetime | None
    ends_at: datetime | None
    seconds_left: int | None
    server_time: datetime
    ending: bool
    frozen: bool
    funds_release_at: datetime | None


def guarantee_days(promised: int | None, region: str) -> int:
    """The days of protection from shipment on: what the seller promised, at most what the destination allows."""
    longest = LONGEST_GUARANTEE_DAYS.get(region, LONGEST_GUARANTEE_ELSEWHERE)
    return longest if promised is None else min(promised, longest)


def protection(order: Any, now: datetime) -> Protection:
    """What an order's protection is at `now`, whether or not its timers have run."""
    stage = status(order, now)
    if stage in _UNDER_WAY:
        return _under_way(order, stage, now)
    match stage:
        case OrderStatus.COMPLETED:
            return _completed(order, now)
        case OrderStatus.CANCELLED | OrderStatus.CLOSED:
            over = cancelled_at(order, now) or order.closed_at
            return Protection(order, ProtectionPhase.ENDED, over, None, None, now, False, False, None)
        case OrderStatus.AWAITING_SHIPMENT:
            left = seconds_until(order.ship_by_at, now)
            phase = ProtectionPhase.AWAITING_SHIPMENT
            return Protection(order, phase, order.paid_at, order.ship_by_at, left, now, False, False, None)
        case _:
            return Protection(order, ProtectionPhase.NOT_STARTED, None, None, None, now, False, False, None)


_UNDER_WAY = frozenset({OrderStatus.PARTLY_SHIPPED, OrderStatus.SHIPPED, OrderStatus.DELIVERED})


def _under_way(order: Any, stage: OrderStatus, now: datetime) -> Protection:
    if stage is OrderStatus.DELIVERED:
        phase, starts_at = ProtectionPhase.INSPECTION, order.delivered_at
    else:
        phase, starts_at = ProtectionPhase.IN_TRANSIT, order.shipped_at
    if order.frozen_at is not None:
        return Protection(order, phase, starts_at, None, order.kept_seconds or 0, now, False, True, None)
    ends_at = order.ends_at
    ending = ends_at - now < ENDING
    return Protection(order, phase, starts_at, ends_at, seconds_until(ends_at, now), now, ending, False, None)


def _completed(order: Any, now: datetime) -> Protection:
    since = completed_at(order, now)
    assert since is not None
    until = since + AFTER_SALE
    if order.frozen_at is not None:
        return Protection(order, ProtectionPhase.AFTER_SALE, since, None, order.kept_seconds or 0, now, False, True, None)
    if now < until:
        left = seconds_until(until, now)
        return Protection(order, ProtectionPhase.AFTER_SALE, since, until, left, now, False, False, until)
    return Protection(order, ProtectionPhase.ENDED, until, None, None, now, False, False, until)


def seconds_until(deadline: datetime, now: datetime) -> int:
    """Whole seconds, rounded down, 0 once it is over; what GraphQL's Int holds at most."""
    left = deadline - now
    return min(max(left.days * 86400 + left.seconds, 0), LARGEST_SECONDS)


def next_change_at(shown: Protection) -> datetime | None:
    """When a protection next has something to say by itself: its end, or one of the moments before it."""
    if shown.ends_at is None:
        return None
    moments = (shown.ends_at - before for before in TOLD_BEFORE_END)
    return min((moment for moment in moments if moment > shown.server_time), default=shown.ends_at)


def after_shipment(order: Facts, at: datetime, whole: bool, granted_days: int = 0) -> Facts:
    """The order once a parcel was sent at `at`; `whole`: nothing is left to send.

    The clock runs from the first parcel. While some of the order is still to be sent, protection lasts until that is
    decided at least; a parcel that follows a delivery is inspected on its own time again.
    """
    first = order.shipped_at is None
    shipped_at = at if order.shipped_at is None else min(order.shipped_at, at)
    ends_at = order.ends_at
    if first or order.delivered_at is not None:
        promised = shipped_at + timedelta(days=order.guarantee_days + granted_days)
        ends_at = promised if ends_at is None else max(ends_at, promised)
    assert ends_at is not None
    if not whole and order.ship_by_at is not None:
        ends_at = max(ends_at, order.ship_by_at)
    return order._replace(
        shipped_at=shipped_at,
        wholly_shipped_at=at if whole else None,
        delivered_at=None,
        scan_learned_at=None,
        ends_at=ends_at,
    )


def after_delivery(order: Facts, at: datetime, learned_at: datetime, *, right_region: bool = True) -> Facts:
    """The order once the last of the parcels sent so far was scanned as delivered.

    What is then left of protection is at most five days from when the service learned of it; where the rest of the
    order is still to be sent, from when that is decided. A parcel that went to the wrong region shortens nothing.
    """
    assert order.ends_at is not None
    ends_at = order.ends_at
    if right_region:
        counted_from = learned_at
        if order.wholly_shipped_at is None and order.ship_by_at is not None:
            counted_from = max(learned_at, order.ship_by_at)
        ends_at = min(ends_at, counted_from + INSPECT_WITHIN)
    return order._replace(delivered_at=at, scan_learned_at=learned_at, ends_at=ends_at)


def timers_of(order: Any, *, asked: bool = False) -> dict[str, datetime]:
    """The deadlines at which something happens to an order by itself. `asked`: the buyer's request is unanswered."""
    if order.cancelled_at or order.completed_at or order.closed_at or order.frozen_at:
        return {}
    if order.shipped_at is not None:
        timers = {PROTECTION_END: order.ends_at}
        if order.wholly_shipped_at is None:
            timers[SHIP_BY] = order.ship_by_at
        if asked:
            timers |= {kind: order.ends_at - before for kind, before in REMINDERS.items()}
        return timers
    if order.paid_at is None:
        return {UNPAID: order.pay_by_at}
    return {} if is_in_review(order) else {SHIP_BY: order.ship_by_at}


def require_under_way(order: Any, now: datetime) -> None:
    """Refuse what needs a shipped order whose protection runs.

    Raises:
        Unavailable: DISPUTE_OPEN; TOO_LATE, protection has run out; WRONG_STATE.
    """
    if order.frozen_at is not None:
        raise Unavailable(ErrorCode.DISPUTE_OPEN)
    stage = status(order, now)
    if stage in _UNDER_WAY:
        return
    ran_out = order.completion in (None, Completion.PROTECTION_ENDED) and order.ends_at is not None and now >= order.ends_at
    if stage is OrderStatus.COMPLETED and ran_out:
        raise Unavailable(ErrorCode.TOO_LATE, available_until=order.ends_at)
    raise Unavailable(ErrorCode.WRONG_STATE)


def require_extendable(order: Any, extensions: Sequence[Any], now: datetime) -> int:
    """How many days may still be added to an order's protection.

    Raises:
        Unavailable: DISPUTE_OPEN, TOO_LATE, WRONG_STATE; LIMIT_REACHED, 60 days have been added.
    """
    require_under_way(order, now)
    left = MOST_EXTENSION_DAYS - granted_days(extensions)
    if left <= 0:
        raise Unavailable(ErrorCode.LIMIT_REACHED)
    return left


def require_askable(order: Any, extensions: Sequence[Any], now: datetime) -> int:
    """How many days more the buyer may ask for.

    Raises:
        Unavailable: as for `require_extendable`; ALREADY_ASKED, a request waits for its answer.
    """
    require_under_way(order, now)
    if open_request(extensions) is not None:
        raise Unavailable(ErrorCode.ALREADY_ASKED, available_until=order.ends_at)
    return require_extendable(order, extensions, now)


def granted_days(extensions: Sequence[Any]) -> int:
    return sum(extension.days for extension in extensions if extension.granted_at is not None)


def open_request(extensions: Sequence[Any]) -> Any | None:
    """The request that waits for its answer, as far as has been written down."""
    for extension in extensions:
        if extension.granted_at is None and extension.declined_at is None and extension.lapsed_at is None:
            return extension
    return None


def extension_state(extension: Any, order: Any, now: datetime) -> ExtensionState:
    """What became of an extension by `now`; a request that nobody has answered lapses when protection stops running."""
    if extension.granted_at is not None:
        return ExtensionState.GRANTED
    if extension.declined_at is not None:
        return ExtensionState.DECLINED
    if extension.lapsed_at is not None or status(order, now) not in _UNDER_WAY:
        return ExtensionState.LAPSED
    return ExtensionState.ASKED
