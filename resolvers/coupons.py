"""Coupons: as their buyers read them, and as orders hold, use and give them back."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from auth.viewer import Viewer
from models.coupons import ENDING_SOON, Coupon, CouponState, comes_back, in_states, require_free, state_of
from models.database import any_of, fetch, for_update
from models.pages import Key, Keyset, Page, Window, page_of
from models.reads import reads
from models.refusals import BadUserInput, ErrorCode, NotFound, Refusal
from models.unit_of_work import Work

USABLE, REST = 0, 1


class Place(NamedTuple):
    """Where a cursor stands: in the list as it was at `now`, among the usable coupons or the rest."""

    now: datetime
    part: int
    ends_at: datetime
    id: int


def order_at(now: datetime) -> Keyset:
    """The order of a buyer's coupons at `now`: what can be used, soonest-ending first; then the rest, latest-ending first."""

    def part(row: Any) -> int:
        return USABLE if state_of(row, now) is CouponState.ACTIVE else REST

    keys = (Key("now", datetime, lambda row: now), Key("part", int, part), Key("ends_at", datetime), Key("id", int))
    return Keyset("coupons", keys)


async def coupons(viewer: Viewer, account_id: int, states: Collection[CouponState] | None, window: Window) -> Page:
    """The account's coupons in `states` (None: all), usable ones first: one statement. A page behind a cursor keeps
    the instant of the first page, so that nothing comes twice or is left out because time went on.

    Raises:
        BadUserInput: a size out of bounds, or a cursor of another list.
    """
    wanted = frozenset(CouponState if states is None else states)
    now, after, before = _places(viewer.now, window)
    rows = partial(_nearest, account_id, wanted, window, now, after, before)
    condition, params = _at(f"account_id = $1 AND ({in_states(wanted, '$now')})", now, [account_id])
    return page_of(reads(Coupon), condition, params, order_at(now), window, rows)


def _places(now: datetime, window: Window) -> tuple[datetime, Place | None, Place | None]:
    """The instant of the list, and where the window's cursors stand in it."""
    keyset = order_at(now)
    after = Place(*keyset.place(window.after, "after")) if window.after is not None else None
    before = Place(*keyset.place(window.before, "before")) if window.before is not None else None
    if after and before and after.now != before.now:
        raise BadUserInput(field="before", text="WRONG_CURSOR")
    return next((place.now for place in (after, before) if place), now), after, before


async def _nearest(
    account_id: int, wanted: frozenset[CouponState], window: Window, now: datetime, after: Place | None, before: Place | None
) -> list[Any]:
    """The window's rows and one more, nearest to its cursor first. Each part of the list is read along its own index."""
    source, params, selects = reads(Coupon), [account_id], []
    for part in (USABLE, REST):
        states = wanted & {CouponState.ACTIVE} if part == USABLE else wanted - {CouponState.ACTIVE}
        bounds = _bounds(part, after, before, params)
        if states and bounds is not None:
            way = "ASC" if (part == USABLE) != window.backwards else "DESC"
            selects.append(
                f"SELECT {source.columns} FROM (SELECT {source.columns} FROM coupon WHERE account_id = $1 "
                f"AND ({in_states(states, '$now')}){bounds} ORDER BY ends_at {way}, id {way} LIMIT {window.size + 1}) AS part{part}"
            )
    if not selects:
        return []
    sql, params = _at(" UNION ALL ".join(selects), now, params)
    rows = sorted(source.decode(await fetch(sql, *params)), key=lambda row: (row.ends_at, row.id), reverse=window.backwards)
    usable = [row for row in rows if state_of(row, now) is CouponState.ACTIVE]
    rest = [row for row in reversed(rows) if state_of(row, now) is not CouponState.ACTIVE]
    return (rest + usable if window.backwards else usable + rest)[: window.size + 1]


def _bounds(part: int, after: Place | None, before: Place | None, params: list[Any]) -> str | None:
    """SQL that keeps a part of the list between two places, whose values join `params`; None: nothing of it is there."""
    found = ""
    for place, is_after in ((after, True), (before, False)):
        if place is None:
            continue
        if place.part == part:
            sign = ">" if is_after == (part == USABLE) else "<"
            params += [place.ends_at, place.id]
            found += f" AND (ends_at, id) {sign} (${len(params) - 1}, ${len(params)})"
        elif (place.part > part) == is_after:
            return None
    return found


def _at(sql: str, now: datetime, params: list[Any]) -> tuple[str, list[Any]]:
    """SQL and parameters with `now` for `$now`, where it is named: PostgreSQL takes no parameter that is not."""
    return (sql.replace("$now", f"${len(params) + 1}"), [*params, now]) if "$now" in sql else (sql, params)


async def coupon(viewer: Viewer, coupon_id: int) -> Coupon:
    """Raises:
    NotFound: there is none, or it is another buyer's.
    """
    found = await reads(Coupon).one("id = $1 AND account_id = $2", coupon_id, viewer.require_buyer())
    if found is None:
        raise NotFound(field="id")
    return found


async def ending_counts(account_ids: Iterable[int], now: datetime) -> dict[int, int]:
    """How many ACTIVE coupons end within 72 hours, by account; none where there are none: one statement."""
    found = await fetch(
        f"SELECT account_id, count(*) FROM coupon WHERE {any_of('account_id', 1)} AND {in_states([CouponState.ACTIVE], '$2')} "
        "AND ends_at < $3 GROUP BY account_id",
        list(set(account_ids)),
        now,
        now + ENDING_SOON,
    )
    return {account_id: count for account_id, count in found}


async def coupons_of_orders(order_ids: Iterable[int]) -> dict[int, list[Coupon]]:
    """The coupons that each order holds or has used, in the order of their ids; no entry where there are none: one
    statement."""
    return await reads(Coupon).by("order_id", order_ids, "id")


@dataclass(slots=True)
class NamedCoupons:
    """The coupons that orders of one call name, by external id, locked. `takers` says which order of the call took one."""

    rows: dict[str, Any]
    takers: dict[str, str] = field(default_factory=dict)

    def take(
        self,
        external_ids: Sequence[str],
        order_external_id: str,
        order_id: int | None,
        account_id: int,
        at: datetime,
        told: Collection[str] = (),
    ) -> list[Any]:
        """The rows of the coupons that the order names, taken for it; `order_id` None: the order is new. Of those that
        it named before (`told`), only what it still holds: the others were given back, and may be another order's now.

        Nothing is written yet (`hold_coupons` does). Call it as an order's last check: a coupon taken for an order that
        is refused afterwards stays taken in this call.

        Raises:
            Refusal: UNKNOWN_REFERENCE, no such coupon. CONFLICT: another buyer's, another order's, revoked by `at`, or
                named twice.
        """
        if len(set(external_ids)) != len(external_ids):
            raise Refusal(ErrorCode.CONFLICT, field="couponExternalIds")
        new = [external_id for external_id in external_ids if external_id not in told]
        for external_id in new:
            if external_id not in self.rows:
                raise Refusal(ErrorCode.UNKNOWN_REFERENCE, field="couponExternalIds")
            if self.takers.get(external_id, order_external_id) != order_external_id:
                raise Refusal(ErrorCode.CONFLICT, field="couponExternalIds")
            require_free(self.rows[external_id], account_id, order_id, at)
        self.takers.update(dict.fromkeys(new, order_external_id))
        named = [self.rows[external_id] for external_id in external_ids]
        return [row for row in named if row.external_id in new or row.order_id == order_id]


async def named_coupons(work: Work, external_ids: Iterable[str]) -> NamedCoupons:
    """The coupons with these external ids, locked until the unit ends: one statement."""
    source = reads(Coupon)
    wanted = sorted(set(external_ids))
    if not wanted:
        return NamedCoupons({})
    found = source.decode(
        await work.fetch(
            f"SELECT {source.columns} FROM coupon WHERE {any_of('external_id', 1, 'text')} ORDER BY id{for_update()}", wanted
        )
    )
    return NamedCoupons({row.external_id: row for row in found})


class Hold(NamedTuple):
    """A coupon's row to be reserved for an order, from the instant of the order until it must be paid."""

    coupon: Any
    order_id: int
    reserved_at: datetime
    reserved_until: datetime


async def hold_coupons(work: Work, viewer: Viewer, holds: Sequence[Hold]) -> None:
    """Reserve coupons that `NamedCoupons.take` gave for their orders, which are written already. Those that an order
    holds already stay as they are."""
    new = [hold for hold in holds if hold.coupon.order_id != hold.order_id]
    await work.execute_each(
        "UPDATE coupon SET order_id = $2, reserved_at = $3, reserved_until = $4 WHERE id = $1 AND used_at IS NULL",
        [(hold.coupon.id, *hold[1:]) for hold in new],
    )
    for hold in new:
        work.record(viewer, "coupon_reserved", "coupon", hold.coupon.id, order_id=hold.order_id)


async def use_coupons(work: Work, viewer: Viewer | None, paid_at: dict[int, datetime]) -> None:
    """Mark the coupons that these orders hold as used, at the instant at which each order was paid."""
    source = reads(Coupon)
    held = source.decode(
        await work.fetch(
            f"SELECT {source.columns} FROM coupon WHERE {any_of('order_id', 1)} AND used_at IS NULL ORDER BY id{for_update()}",
            list(paid_at),
        )
    )
    await work.execute_each("UPDATE coupon SET used_at = $2 WHERE id = $1", [(row.id, paid_at[row.order_id]) for row in held])
    for row in held:
        work.record(viewer, "coupon_used", "coupon", row.id, order_id=row.order_id)


async def release_coupons(work: Work, viewer: Viewer | None, cancelled_at: dict[int, datetime]) -> None:
    """Give the coupons of orders back that were cancelled, unpaid or with a refund, at these instants. What was used
    comes back only while it is in date; a reserved one always, to be EXPIRED if it is out of date."""
    source = reads(Coupon)
    held = source.decode(
        await work.fetch(
            f"SELECT {source.columns} FROM coupon WHERE {any_of('order_id', 1)} ORDER BY id{for_update()}", list(cancelled_at)
        )
    )
    back = [row for row in held if comes_back(row, cancelled_at[row.order_id])]
    if back:
        await work.execute(
            f"UPDATE coupon SET order_id = NULL, reserved_at = NULL, reserved_until = NULL, used_at = NULL WHERE {any_of('id', 1)}", [row.id for row in back]
        )
    for row in back:
        work.record(viewer, "coupon_released", "coupon", row.id, order_id=row.order_id)
