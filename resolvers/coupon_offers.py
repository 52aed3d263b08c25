"""Coupon offers, and the coupons that the platform issues from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import orjson

from auth.viewer import Viewer
from delivery.texts import LANGUAGES
from models.accounts import Account
from models.catalog import Store
from models.coupons import VALUE, Coupon, CouponIssuer, CouponOffer, require_value, require_window
from models.database import for_update
from models.money import currency_code, money
from models.reads import reads
from models.refusals import BadUserInput, ErrorCode, Refusal
from models.rows import insert_rows
from models.unit_of_work import Work, unit_of_work
from resolvers.bulk import RowResult, RowStatus, pending, repeated, results_of

VALUE_TYPES = "text bigint jsonb text bigint int bigint bigint"


@dataclass(frozen=True, slots=True)
class GivenOffer:
    """An offer as the platform knows it. Amounts are of `currency`; `withdrawn_at` None: nothing new is said of it."""

    external_id: str
    issuer: CouponIssuer
    titles: dict[str, str]
    store_external_id: str | None = None
    currency: str | None = None
    amount_off: Decimal | None = None
    percent_off: int | None = None
    maximum_off: Decimal | None = None
    minimum_spend: Decimal | None = None
    withdrawn_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class GivenCoupon:
    """One buyer's coupon as the platform knows it. `revoked_at` None: nothing new is said of it."""

    external_id: str
    account_external_id: str
    offer_external_id: str
    starts_at: datetime
    ends_at: datetime
    revoked_at: datetime | None = None


class Value(NamedTuple):
    """What an offer is worth and to whom: the columns that its coupons keep a copy of, in the order of `VALUE`."""

    issuer: CouponIssuer
    store_id: int | None
    titles: dict[str, str]
    currency: str | None
    amount_off_minor: int | None
    percent_off: int | None
    maximum_off_minor: int | None
    minimum_spend_minor: int | None

    @property
    def columns(self) -> tuple:
        """As they are written."""
        return (self.issuer.value, self.store_id, orjson.dumps(self.titles).decode(), *self[3:])


def value_of(row: Any) -> Value:
    """The value in an offer's or a coupon's row."""
    return Value(*(getattr(row, column) for column in VALUE))


async def put_coupon_offers(viewer: Viewer, rows: Sequence[GivenOffer]) -> list[RowResult]:
    """Create or change offers by external id; scope coupons. Coupons issued before keep what they are worth."""
    viewer.require_scope("coupons")
    return await repeated(_put_offers, viewer, rows)


@unit_of_work
async def _put_offers(work: Work, viewer: Viewer, rows: Sequence[GivenOffer]) -> list[RowResult]:
    results = results_of(rows)
    stores = await reads(Store).by_external_id([row.store_external_id for row in rows if row.store_external_id])
    known = await reads(CouponOffer).by_external_id([row.external_id for row in rows], for_update())
    created, changed = [], []
    for row, result in pending(rows, results):
        present = known.get(row.external_id)
        try:
            value = require_offer(row, stores)
            withdrawn_at = _added(present and present.withdrawn_at, row.withdrawn_at, viewer.now, "withdrawnAt")
        except Refusal as refusal:
            result.refuse(refusal)
            continue
        if present is None:
            result.status = RowStatus.CREATED
            created.append((row.external_id, *value.columns, withdrawn_at))
        elif (value, withdrawn_at) != (value_of(present), present.withdrawn_at):
            result.status = RowStatus.UPDATED
            changed.append((present.id, *value.columns, withdrawn_at))
    await _write_offers(work, viewer, created, changed)
    return results


async def _write_offers(work: Work, viewer: Viewer, created: list[tuple], changed: list[tuple]) -> None:
    columns = ", ".join(VALUE)
    if created:
        await insert_rows(
            work.connection, "coupon_offer", f"external_id, {columns}, withdrawn_at", f"text {VALUE_TYPES} timestamptz", created
        )
        for offer in (await reads(CouponOffer).by_external_id([row[0] for row in created])).values():
            work.record(viewer, "coupon_offer_created", "coupon_offer", offer.id)
    await work.execute_each(
        "UPDATE coupon_offer SET issuer = $2, store_id = $3, titles = $4, currency = $5, amount_off_minor = $6, "
        "percent_off = $7, maximum_off_minor = $8, minimum_spend_minor = $9, withdrawn_at = $10 WHERE id = $1",
        changed,
    )
    for offer_id, *_ in changed:
        work.record(viewer, "coupon_offer_updated", "coupon_offer", offer_id)


def require_offer(row: GivenOffer, stores: dict[str, Any]) -> Value:
    """What the row is worth.

    Raises:
        BadUserInput: names the field. Refusal: UNKNOWN_REFERENCE, no such store.
    """
    if not row.titles or not row.titles.keys() <= set(LANGUAGES):
        raise BadUserInput(field="titles")
    if any(not title.strip() or len(title) > 500 or any(ord(c) < 32 for c in title) for title in row.titles.values()):
        raise BadUserInput(field="titles")
    if (row.store_external_id is None) if row.issuer is CouponIssuer.STORE else _is_platform_with_store(row):
        raise BadUserInput(field="storeExternalId")
    if row.store_external_id is not None and row.store_external_id not in stores:
        raise Refusal(ErrorCode.UNKNOWN_REFERENCE, field="storeExternalId")
    value = Value(
        issuer=row.issuer,
        store_id=stores[row.store_external_id].id if row.store_external_id is not None else None,
        titles=row.titles,
        currency=None if row.currency is None else currency_code(row.currency),
        amount_off_minor=_minor(row.amount_off, row.currency, "amountOff"),
        percent_off=row.percent_off,
        maximum_off_minor=_minor(row.maximum_off, row.currency, "maximumOff"),
        minimum_spend_minor=_minor(row.minimum_spend, row.currency, "minimumSpend"),
    )
    require_value(value)
    return value


def _is_platform_with_store(row: GivenOffer) -> bool:
    return row.issuer is CouponIssuer.PLATFORM and row.store_external_id is not None


def _minor(amount: Decimal | None, currency: str | None, field: str) -> int | None:
    return None if amount is None else money(amount, currency or "", field).minor


def _added(present: datetime | None, given: datetime | None, now: datetime, field: str) -> datetime | None:
    """A fact after what is given of it.

    Raises:
        BadUserInput: it is in the future. Refusal: CONFLICT, it was another before.
    """
    if given is None or given == present:
        return present
    if present is not None:
        raise Refusal(ErrorCode.CONFLICT, field=field)
    if given > now:
        raise BadUserInput(field=field, text="FUTURE")
    return given


async def issue_coupons(viewer: Viewer, rows: Sequence[GivenCoupon]) -> list[RowResult]:
    """Give buyers coupons, worth what their offer is worth now; scope coupons. An update may widen the dates of a
    coupon and revoke it; its owner and its offer stay."""
    viewer.require_scope("coupons")
    return await repeated(_issue, viewer, rows)


@unit_of_work
async def _issue(work: Work, viewer: Viewer, rows: Sequence[GivenCoupon]) -> list[RowResult]:
    results = results_of(rows)
    accounts = await reads(Account).by_external_id([row.account_external_id for row in rows])
    offers = await reads(CouponOffer).by_external_id([row.offer_external_id for row in rows])
    known = await reads(Coupon).by_external_id([row.external_id for row in rows], for_update())
    created, changed = [], []
    for row, result in pending(rows, results):
        account, offer = accounts.get(row.account_external_id), offers.get(row.offer_external_id)
        present = known.get(row.external_id)
        try:
            if account is None or offer is None:
                field = "accountExternalId" if account is None else "offerExternalId"
                raise Refusal(ErrorCode.UNKNOWN_REFERENCE, field=field)
            require_window(row.starts_at, row.ends_at)
            revoked_at = _added(present and present.revoked_at, row.revoked_at, viewer.now, "revokedAt")
            if present is not None:
                require_same(present, row, account.id, offer.id, revoked_at)
            elif offer.withdrawn_at is not None:
                raise Refusal(ErrorCode.WRONG_STATE, field="offerExternalId")
        except Refusal as refusal:
            result.refuse(refusal)
            continue
        if present is None:
            result.status = RowStatus.CREATED
            created.append(
                (row.external_id, account.id, offer.id, *value_of(offer).columns, viewer.now, row.starts_at, row.ends_at, revoked_at)
            )
        elif (row.starts_at, row.ends_at, revoked_at) != (present.starts_at, present.ends_at, present.revoked_at):
            result.status = RowStatus.UPDATED
            changed.append((present, row.starts_at, row.ends_at, revoked_at))
    await _write_coupons(work, viewer, created, changed)
    return results


def require_same(present: Any, row: GivenCoupon, account_id: int, offer_id: int, revoked_at: datetime | None) -> None:
    """Refuse a row that takes something away from the coupon which is there.

    Raises:
        Refusal: CONFLICT, another owner or offer, narrower dates, or a revocation of what has been used.
    """
    if present.account_id != account_id:
        raise Refusal(ErrorCode.CONFLICT, field="accountExternalId")
    if present.offer_id != offer_id:
        raise Refusal(ErrorCode.CONFLICT, field="offerExternalId")
    if row.starts_at > present.starts_at:
        raise Refusal(ErrorCode.CONFLICT, field="startsAt")
    if row.ends_at < present.ends_at:
        raise Refusal(ErrorCode.CONFLICT, field="endsAt")
    if present.used_at is not None and revoked_at != present.revoked_at:
        raise Refusal(ErrorCode.CONFLICT, field="revokedAt")


async def _write_coupons(work: Work, viewer: Viewer, created: list[tuple], changed: list[tuple]) -> None:
    if created:
        await insert_rows(
            work.connection,
            "coupon",
            f"external_id, account_id, offer_id, {', '.join(VALUE)}, issued_at, starts_at, ends_at, revoked_at",
            f"text bigint bigint {VALUE_TYPES} timestamptz timestamptz timestamptz timestamptz",
            created,
        )
        for coupon in (await reads(Coupon).by_external_id([row[0] for row in created])).values():
            work.record(viewer, "coupon_issued", "coupon", coupon.id, account_id=coupon.account_id)
            work.event(coupon.account_id, "coupon_issued", coupon.id, viewer.now)
    await work.execute_each(
        "UPDATE coupon SET starts_at = $2, ends_at = $3, revoked_at = $4 WHERE id = $1",
        [(present.id, *facts) for present, *facts in changed],
    )
    for present, _, _, revoked_at in changed:
        kind = "coupon_updated" if revoked_at == present.revoked_at else "coupon_revoked"
        work.record(viewer, kind, "coupon", present.id)
        work.event(present.account_id, kind, present.id, viewer.now)
