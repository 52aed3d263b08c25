"""Timers: what happens to orders by itself when a deadline is over, each thing once, at the instant of its deadline."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from models import clock
from models.database import any_of
from models.orders import Completion, Facts, facts_of
from models.protection import ORDER_TIMERS, PROTECTION_END, REMINDERS, SHIP_BY, UNPAID, timers_of
from models.timers import Timer, claim_timer, due_timers
from models.unit_of_work import Work, unit_of_work
from resolvers.coupons import release_coupons
from resolvers.orders import Change, asking, lapse, locked, save, tell

BATCH = 100


@unit_of_work
async def run_due_timers(work: Work) -> bool:
    """Act on timers that are due, the earliest first, up to 100. False when none is."""
    now = await clock.now()
    due = await due_timers(now, BATCH, ORDER_TIMERS)
    if not due:
        return False
    # Orders first, then timers: whoever changes an order does it in this sequence, so nobody waits for each other.
    order_ids = sorted({timer.subject_id for timer in due})
    found = {order.id: order for order in await locked(work, any_of("id", 1), order_ids)}
    asked = await asking(work, order_ids)
    turns = [Turn(order, facts_of(order), order.id in asked) for order in found.values()]
    by_order = {turn.order.id: turn for turn in turns}
    for timer in due:
        if await claim_timer(work, timer) and (turn := by_order.get(timer.subject_id)) is not None:
            await turn.act(work, timer)
    await _write(work, turns, now)
    return True


class Turn:
    """One order while its due timers run: its row, its facts as they become, and whether a request is open."""

    def __init__(self, order: Any, facts: Facts, asked: bool):
        self.order, self.facts = order, facts
        self.was_asked = self.asked = asked
        self.lapsed_at: datetime | None = None

    async def act(self, work: Work, timer: Timer) -> None:
        """Do what a timer calls for, if the order still calls for it."""
        if timers_of(self.facts, asked=self.asked).get(timer.kind) != timer.due_at:
            return
        match timer.kind:
            case kind if kind == UNPAID:
                self._cancel(work, timer.due_at, "UNPAID")
            case kind if kind == SHIP_BY and self.facts.shipped_at is None:
                self._cancel(work, timer.due_at, "NOT_SHIPPED")
            case kind if kind == SHIP_BY:
                self._go_without_the_rest(work, timer.due_at)
            case kind if kind == PROTECTION_END:
                self._complete(work, timer.due_at)
            case kind if kind in REMINDERS:
                hours = int(REMINDERS[kind].total_seconds() // 3600)
                payload = {"account_id": self.order.account_id, "order_id": self.order.id, "hours": hours}
                work.post("extension_unanswered", payload)

    def _cancel(self, work: Work, at: datetime, why: str) -> None:
        self.facts = self.facts._replace(cancelled_at=at, cancellation=why)
        tell(work, None, self.order, "order_cancelled", at, reason=why)

    def _go_without_the_rest(self, work: Work, at: datetime) -> None:
        """What is unshipped now is refunded; the order is what was shipped."""
        self.facts = self.facts._replace(wholly_shipped_at=at)
        tell(work, None, self.order, "rest_not_shipped", at)

    def _complete(self, work: Work, at: datetime) -> None:
        self.facts = self.facts._replace(completed_at=at, completion=Completion.PROTECTION_ENDED)
        tell(work, None, self.order, "protection_ended", at)
        if self.asked:
            self.asked, self.lapsed_at = False, at


async def _write(work: Work, turns: Sequence[Turn], now: datetime) -> None:
    await save(work, [Change(turn.order, turn.facts, turn.was_asked, turn.asked) for turn in turns], now)
    for turn in turns:
        if turn.lapsed_at is not None:
            await lapse(work, [turn.order.id], turn.lapsed_at)
    cancelled = {
        turn.order.id: turn.facts.cancelled_at
        for turn in turns
        if turn.facts.cancelled_at is not None and turn.order.cancelled_at is None
    }
    if cancelled:
        await release_coupons(work, None, cancelled)
