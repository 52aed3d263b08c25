"""Protection: asking for more of it, answering that, and following what is left."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from auth.viewer import Viewer
from delivery.bus import Bus
from models import clock
from models.database import any_of
from models.orders import Order, facts_of
from models.protection import (
    MOST_EXTENSION_DAYS,
    ExtensionBy,
    Protection,
    ProtectionExtension,
    extension_state,
    next_change_at,
    open_request,
    protection,
    require_askable,
    require_extendable,
)
from models.protection import ExtensionState as State
from models.reads import reads
from models.refusals import BadUserInput, ErrorCode, NotFound, Refusal, Unavailable
from models.unit_of_work import Work, unit_of_work
from resolvers.bulk import RowResult, RowStatus, pending, repeated, results_of
from resolvers.orders import Change, extensions_of, locked, order, save, tell

LONGEST_WAIT_SECONDS = 15.0
CLOCK_MOVED = "clock:1"
LONGEST_REASON = 500
_COLUMNS = "order_id, days, by, reason, at, granted_at"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the seller or staff say about an order's protection: to the buyer's open request, or of their own accord.

    `days` None: as many as the buyer asked for. `reason` is needed from staff; the seller's has none.
    """

    external_id: str
    granted: bool = True
    days: int | None = None
    reason: str | None = None


@unit_of_work
async def request_extension(work: Work, viewer: Viewer, order_id: int, days: int) -> Order:
    """Ask the seller for more days of protection. An unanswered request lapses when protection ends.

    Raises:
        NotFound: no such order. BadUserInput: not 1 to 60 days. Unavailable: DISPUTE_OPEN, ALREADY_ASKED, TOO_LATE,
            WRONG_STATE; LIMIT_REACHED, more than 60 days in all.
    """
    account_id = viewer.require_buyer()
    found = await locked(work, "id = $1 AND account_id = $2", order_id, account_id)
    if not found:
        raise NotFound(field="orderId")
    if not 1 <= days <= MOST_EXTENSION_DAYS:
        raise BadUserInput(field="days", text="EXTENSION_DAYS", most=MOST_EXTENSION_DAYS)
    known = (await extensions_of([order_id])).get(order_id, [])
    left = require_askable(found[0], known, viewer.now)
    if days > left:
        raise Unavailable(ErrorCode.LIMIT_REACHED, field="days", text="EXTENSION_LEFT", left=left, available_until=found[0].ends_at)
    await work.execute(
        f"INSERT INTO protection_extension ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6)",
        order_id, days, ExtensionBy.BUYER.value, None, viewer.now, None,
    )  # fmt: skip
    await save(work, [Change(found[0], facts_of(found[0]), asked=True)], viewer.now)
    tell(work, viewer, found[0], "extension_requested", viewer.now, days=days)
    return await order(viewer, order_id, "orderId")


async def answer_extensions(viewer: Viewer, rows: Sequence[Answer]) -> list[RowResult]:
    """Answer requests for more protection, or extend it unasked; scope orders. A row is known by its order."""
    viewer.require_scope("orders")
    return await repeated(_answer, viewer, rows)


@unit_of_work
async def _answer(work: Work, viewer: Viewer, rows: Sequence[Answer]) -> list[RowResult]:
    results = results_of(rows)
    found = {o.external_id: o for o in await locked(work, any_of("external_id", 1, "text"), [row.external_id for row in rows])}
    known = await extensions_of([order.id for order in found.values()])
    changes = []
    for row, result in pending(rows, results):
        order = found.get(row.external_id)
        try:
            if order is None:
                raise Refusal(ErrorCode.UNKNOWN_REFERENCE, field="orderExternalId")
            change = await _answered(work, viewer, row, order, known.get(order.id, []))
        except Refusal as refusal:
            result.refuse(refusal)
            continue
        if change is not None:
            result.status = RowStatus.UPDATED
            changes.append(change)
    await save(work, changes, viewer.now)
    return results


async def _answered(work: Work, viewer: Viewer, row: Answer, order: Any, known: list[Any]) -> Change | None:
    """Do what the row says; None: it is done already.

    Raises:
        Refusal: why not.
    """
    require_answer(row)
    request = open_request(known)
    if request is None:
        return await _unasked(work, viewer, row, order, known)
    if not row.granted:
        await work.execute("UPDATE protection_extension SET declined_at = $2 WHERE id = $1", request.id, viewer.now)
        tell(work, viewer, order, "extension_declined", viewer.now, days=request.days)
        return Change(order, facts_of(order), was_asked=True)
    days = row.days or request.days
    _require_days(order, known, days, viewer.now)
    await work.execute(
        "UPDATE protection_extension SET granted_at = $2, days = $3, reason = $4 WHERE id = $1",
        request.id, viewer.now, days, row.reason,
    )  # fmt: skip
    tell(work, viewer, order, "extension_granted", viewer.now, days=days)
    return Change(order, facts_of(order)._replace(ends_at=order.ends_at + timedelta(days=days)), was_asked=True)


async def _unasked(work: Work, viewer: Viewer, row: Answer, order: Any, known: list[Any]) -> Change | None:
    """Extend protection of the seller's or staff's own accord; None: the same has been said before."""
    by = ExtensionBy.SELLER if row.reason is None else ExtensionBy.STAFF
    last_asked = next((extension for extension in reversed(known) if extension.by is ExtensionBy.BUYER), None)
    if last_asked is not None and (row.days is None or row.days == last_asked.days) and last_asked.reason == row.reason:
        state = extension_state(last_asked, order, viewer.now)
        if state is (State.GRANTED if row.granted else State.DECLINED):
            return None
    if not row.granted or row.days is None:
        raise _nothing_asked(last_asked, row)
    if any((extension.by, extension.days, extension.reason) == (by, row.days, row.reason) for extension in known):
        return None
    _require_days(order, known, row.days, viewer.now)
    await work.execute(
        f"INSERT INTO protection_extension ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6)",
        order.id, row.days, by.value, row.reason, viewer.now, viewer.now,
    )  # fmt: skip
    tell(work, viewer, order, "protection_extended", viewer.now, days=row.days, by=by.value, reason=row.reason)
    return Change(order, facts_of(order)._replace(ends_at=order.ends_at + timedelta(days=row.days)))


def _nothing_asked(last_asked: Any | None, row: Answer) -> Refusal:
    if last_asked is None:
        return Refusal(ErrorCode.WRONG_STATE, field="granted", text="NOTHING_ASKED")
    if last_asked.lapsed_at is not None:
        return Refusal(ErrorCode.TOO_LATE, field="granted")
    return Refusal(ErrorCode.CONFLICT, field="granted")


def require_answer(row: Answer) -> None:
    """Raises:
    BadUserInput: not 1 to 60 days, or a reason that is none or too long.
    """
    if row.days is not None and not 1 <= row.days <= MOST_EXTENSION_DAYS:
        raise BadUserInput(field="days", text="EXTENSION_DAYS", most=MOST_EXTENSION_DAYS)
    if row.reason is not None and not (row.reason.strip() and len(row.reason) <= LONGEST_REASON and row.reason.isprintable()):
        raise BadUserInput(field="reason")


def _require_days(order: Any, known: list[Any], days: int, now: datetime) -> None:
    left = require_extendable(order, known, now)
    if days > left:
        raise Unavailable(ErrorCode.LIMIT_REACHED, field="days", text="EXTENSION_LEFT", left=left)


async def extensions(shown: Sequence[Protection]) -> list[list[ProtectionExtension]]:
    """The extensions of each protection's order, in the order of time: one statement."""
    known = await extensions_of([one.order.id for one in shown])
    return [known.get(one.order.id, []) for one in shown]


async def follow_protection(viewer: Viewer, bus: Bus, order_id: int, poll_seconds: float) -> AsyncIterator[Protection]:
    """An order's protection: as it is, then at every change of its phase, deadline or freeze, and 7 days, 72, 24 and
    1 hours before its deadline.

    Raises:
        Unauthenticated: nobody is signed in. NotFound: no such order.
    """
    await order(viewer, order_id, "orderId")
    told: tuple | None = None
    with bus.listen(f"order:{order_id}", CLOCK_MOVED) as news:
        while True:
            found = await reads(Order).one("id = $1", order_id)
            shown = protection(found, await clock.now())
            upcoming = next_change_at(shown)
            state = (shown.phase, shown.ends_at, shown.frozen, upcoming)
            if state != told:
                told = state
                yield shown
            wait = min(poll_seconds, LONGEST_WAIT_SECONDS)
            if upcoming is not None:
                wait = min(wait, max((upcoming - shown.server_time).total_seconds(), 0) + 0.001)
            await news.wait(wait)
