"""Leaving: a copy of all that is kept of a buyer, and the end of an account."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from models.accounts import Account
from models.instants import Instant
from models.orders import OrderStatus, status
from models.protection import AFTER_SALE, ProtectionPhase, protection
from models.refusals import ErrorCode, Unavailable

EXPORT_LASTS = timedelta(hours=24)
MOST_EXPORTS_A_DAY = 3
GRACE = timedelta(days=7)
LOOK_AGAIN = timedelta(days=1)
ERASURE, LATECOMERS = "account_erasure", "erased_account_latecomers"


class DataExport(Model):
    """A copy of all that is kept of a buyer, made by the worker and taken by a link, once. Instants are the machine's.

    `content` is JSON, compressed by gzip; there while the copy is ready and has not been taken. `due_at` is when the
    worker (another one, after the lease of the first) begins with it; null once it is made. `ends_at` is that of the link,
    which counts as long as the address or number that it was sent to is the account's: `identity_id`.
    """

    id = fields.BigIntField(primary_key=True)
    account: fields.ForeignKeyRelation[Account] = fields.ForeignKeyField("models.Account", on_delete=fields.CASCADE)
    account_id: int
    identity_id = fields.BigIntField(null=True)
    requested_at = Instant()
    due_at = Instant(null=True)
    ready_at = Instant(null=True)
    taken_at = Instant(null=True)
    ends_at = Instant(null=True)
    token_hash = fields.CharField(64, null=True, unique=True)
    content = fields.BinaryField(null=True)

    class Meta:
        table = "data_export"
        indexes = (Index(fields=("account_id", "requested_at")), Index(fields=("due_at",)), Index(fields=("ends_at",)))


class AccountDeletion(Model):
    """A buyer who leaves: the account is erased at `erase_at`, unless they keep it. `put_off_at`: when money or a dispute
    stood in the way last. Instants are the domain's."""

    account: fields.OneToOneRelation[Account] = fields.OneToOneField("models.Account", primary_key=True, on_delete=fields.RESTRICT)
    account_id: int
    requested_at = Instant()
    erase_at = Instant()
    put_off_at = Instant(null=True)

    class Meta:
        table = "account_deletion"


class Erasure(Model):
    """An account that was erased. Kept for good, with nothing that says whose it was.

    `external_id_hash` is an HMAC of the platform's id, so that the platform does not bring the buyer back unawares.
    `wiped_at` (the machine's): since when the database's files hold nothing of it either.
    """

    account: fields.OneToOneRelation[Account] = fields.OneToOneField("models.Account", primary_key=True, on_delete=fields.RESTRICT)
    account_id: int
    external_id_hash = fields.CharField(64, null=True, unique=True)
    requested_at = Instant()
    erased_at = Instant()
    wiped_at = Instant(null=True)

    class Meta:
        table = "erasure"
        indexes = (Index(fields=("wiped_at",)),)


class Hold(NamedTuple):
    """What keeps an account from being erased, and until when as things stand; None: nobody knows."""

    code: ErrorCode
    until: datetime | None


# Orders that may be in the way; $2 is the instant 15 days before now. `hold_of` decides.
UNSETTLED = (
    "account_id = $1 AND (frozen_at IS NOT NULL OR (cancelled_at IS NULL AND closed_at IS NULL "
    "AND (completed_at IS NULL OR completed_at > $2)))"
)


def hold_of(order: Any, now: datetime) -> Hold | None:
    """How an order keeps its buyer: by an open dispute, or by money that was paid and is not the seller's yet.

    Money of an order that is still to be shipped is the seller's, at the latest, when protection counted from the last
    moment of shipping is over, and after-sale.
    """
    shown = protection(order, now)
    if order.frozen_at is not None:
        return Hold(ErrorCode.DISPUTE_OPEN, None)
    match shown.phase:
        case ProtectionPhase.ENDED:
            return None
        case ProtectionPhase.AFTER_SALE:
            return Hold(ErrorCode.WRONG_STATE, shown.ends_at)
        case ProtectionPhase.AWAITING_SHIPMENT:
            return Hold(ErrorCode.WRONG_STATE, order.ship_by_at + timedelta(days=order.guarantee_days) + AFTER_SALE)
        case ProtectionPhase.NOT_STARTED:
            return None if order.paid_at is None else Hold(ErrorCode.WRONG_STATE, None)
        case _:
            return Hold(ErrorCode.WRONG_STATE, order.ends_at + AFTER_SALE)


def hold_on(orders: Iterable[Any], now: datetime) -> Hold | None:
    """What of all these orders keeps their buyer: a dispute before money, and until the last of them."""
    holds = [hold for order in orders if (hold := hold_of(order, now))]
    if not holds:
        return None
    dates = [hold.until for hold in holds]
    disputed = any(hold.code is ErrorCode.DISPUTE_OPEN for hold in holds)
    until = None if None in dates else max(date for date in dates if date)
    return Hold(ErrorCode.DISPUTE_OPEN if disputed else ErrorCode.WRONG_STATE, until)


def require_free(orders: Iterable[Any], now: datetime) -> None:
    """Refuse to let a buyer leave whose money is held, or who is in a dispute.

    Raises:
        Unavailable: DISPUTE_OPEN, or WRONG_STATE; with the date where it is known.
    """
    hold = hold_on(orders, now)
    if hold is not None:
        text = "LEAVING_DISPUTE_OPEN" if hold.code is ErrorCode.DISPUTE_OPEN else "LEAVING_MONEY_HELD"
        raise Unavailable(hold.code, text=text, available_from=hold.until)


def erasure_put_off_to(orders: Iterable[Any], now: datetime) -> datetime | None:
    """When to try again to erase an account with these orders; None: nothing is in the way.

    An order that can still be paid is waited for too: nobody would own it.
    """
    given = list(orders)
    hold = hold_on(given, now)
    if hold is not None:
        return hold.until or now + LOOK_AGAIN
    unpaid = [order.pay_by_at for order in given if status(order, now) is OrderStatus.AWAITING_PAYMENT]
    return max(unpaid, default=None)
