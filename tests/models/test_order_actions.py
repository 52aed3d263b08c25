"""What may be done with an order, in every state of it, by the rules that the mutations follow."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from models.accounts import Level
from models.order_actions import Action, actions_of
from models.orders import Completion, Facts
from models.protection import after_delivery, after_shipment
from models.refusals import ErrorCode, Unavailable
from schema.orders import ShownAction

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
UNPAID = Facts(NOON, NOON + DAY)
PAID = UNPAID._replace(paid_at=NOON, ship_by_at=NOON + 7 * DAY)
SHIPPED = after_shipment(PAID, NOON + DAY, whole=True)
END = NOON + 61 * DAY
TRUSTED = SimpleNamespace(standing_level=Level.GOOD)
STATES = [
    (UNPAID, NOON, ErrorCode.WRONG_STATE),
    (UNPAID, NOON + DAY, ErrorCode.WRONG_STATE),
    (PAID._replace(payment_held_at=NOON), NOON, ErrorCode.WRONG_STATE),
    (PAID, NOON, ErrorCode.WRONG_STATE),
    (PAID, NOON + 7 * DAY, ErrorCode.WRONG_STATE),
    (after_shipment(PAID, NOON + DAY, whole=False), NOON + 2 * DAY, None),
    (SHIPPED, NOON + 2 * DAY, None),
    (after_delivery(SHIPPED, NOON + 2 * DAY, NOON + 3 * DAY), NOON + 3 * DAY, None),
    (SHIPPED._replace(frozen_at=NOON + 2 * DAY, kept_seconds=1000), NOON + 3 * DAY, ErrorCode.DISPUTE_OPEN),
    (SHIPPED, END, ErrorCode.TOO_LATE),
    (SHIPPED, END + 15 * DAY, ErrorCode.TOO_LATE),
    (SHIPPED._replace(completed_at=NOON + 3 * DAY, completion=Completion.BUYER_CONFIRMED), NOON + 4 * DAY, ErrorCode.WRONG_STATE),
    (PAID._replace(cancelled_at=NOON), NOON, ErrorCode.WRONG_STATE),
    (SHIPPED._replace(closed_at=NOON + 3 * DAY), NOON + 4 * DAY, ErrorCode.WRONG_STATE),
]


@pytest.mark.parametrize(("order", "now", "code"), STATES)
def test_no_rule_of_orders_knows_from_when_on(order: Facts, now: datetime, code: ErrorCode | None) -> None:
    """What a buyer waits for is the seller's shipping, an answer or the end of a dispute: none has a date."""
    for action in actions_of(order, [], TRUSTED, now):
        expected = None if action.name == "sendMessage" else code
        assert (action.refusal and action.refusal.code) is expected
        assert action.refusal is None or action.refusal.available_from is None


def test_what_a_rule_says_of_the_time_is_shown_with_the_action() -> None:
    early = Unavailable(ErrorCode.TOO_EARLY, available_from=NOON, available_until=END)
    shown = ShownAction(Action("openDispute", early, END), "en")
    assert (shown.allowed, shown.code, shown.available_from, shown.available_until) == (False, ErrorCode.TOO_EARLY, NOON, END)
