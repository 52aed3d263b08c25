"""Buyer protection on plain values."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from models.accounts import Level
from models.order_actions import actions_of
from models.orders import Completion, Facts
from models.protection import (
    PROTECTION_END,
    SHIP_BY,
    UNANSWERED_24H,
    UNANSWERED_72H,
    UNPAID,
    ExtensionBy,
    ExtensionState,
    ProtectionPhase,
    after_delivery,
    after_shipment,
    extension_state,
    guarantee_days,
    next_change_at,
    protection,
    require_askable,
    require_under_way,
    seconds_until,
    timers_of,
)
from models.refusals import ErrorCode, Unavailable

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
DAY, HOUR, TICK = timedelta(days=1), timedelta(hours=1), timedelta(microseconds=1)
UNPAID_ORDER = Facts(NOON, NOON + DAY)
PAID = UNPAID_ORDER._replace(paid_at=NOON, ship_by_at=NOON + 7 * DAY)
SHIPPED = after_shipment(PAID, NOON + DAY, whole=True)
END = NOON + 61 * DAY
TRUSTED = SimpleNamespace(standing_level=Level.GOOD)


@dataclass
class Extended:
    days: int
    by: ExtensionBy = ExtensionBy.BUYER
    granted_at: datetime | None = None
    declined_at: datetime | None = None
    lapsed_at: datetime | None = None


def shown(order: Facts, now: datetime) -> tuple:
    """Phase, start, end, seconds left, ending, frozen, release of the money."""
    return protection(order, now)[1:5] + protection(order, now)[6:]


@pytest.mark.parametrize(
    ("promised", "region", "days"),
    [(None, "US", 60), (None, "RU", 90), (None, "BR", 120), (15, "US", 15), (75, "US", 60), (75, "RU", 75), (200, "BR", 120)],
)
def test_the_guarantee_is_capped_by_destination(promised, region, days):
    assert guarantee_days(promised, region) == days


def test_each_phase_shows_what_the_table_says():
    assert shown(UNPAID_ORDER, NOON) == (ProtectionPhase.NOT_STARTED, None, None, None, False, False, None)
    assert shown(PAID._replace(payment_held_at=NOON), NOON) == (ProtectionPhase.NOT_STARTED, None, None, None, False, False, None)
    assert shown(PAID, NOON) == (ProtectionPhase.AWAITING_SHIPMENT, NOON, NOON + 7 * DAY, 7 * 86400, False, False, None)
    assert shown(SHIPPED, NOON + DAY) == (ProtectionPhase.IN_TRANSIT, NOON + DAY, END, 60 * 86400, False, False, None)
    delivered = after_delivery(SHIPPED, NOON + 2 * DAY, NOON + 3 * DAY)
    assert shown(delivered, NOON + 3 * DAY) == (ProtectionPhase.INSPECTION, NOON + 2 * DAY, NOON + 8 * DAY, 5 * 86400, False, False, None)
    release = END + 15 * DAY
    assert shown(SHIPPED, END) == (ProtectionPhase.AFTER_SALE, END, release, 15 * 86400, False, False, release)
    assert shown(SHIPPED, release) == (ProtectionPhase.ENDED, release, None, None, False, False, release)
    frozen = SHIPPED._replace(frozen_at=NOON + 2 * DAY, kept_seconds=1000)
    assert shown(frozen, END + DAY) == (ProtectionPhase.IN_TRANSIT, NOON + DAY, None, 1000, False, True, None)
    assert shown(UNPAID_ORDER, NOON + 2 * DAY) == (ProtectionPhase.ENDED, NOON + DAY, None, None, False, False, None)


def test_ending_is_under_72_hours_and_seconds_are_whole_and_never_negative():
    assert protection(SHIPPED, END - 72 * HOUR).ending is False
    assert protection(SHIPPED, END - 72 * HOUR + TICK).ending is True
    assert protection(SHIPPED, END - TICK).seconds_left == 0
    assert protection(SHIPPED, END - timedelta(seconds=1)).seconds_left == 1
    assert protection(PAID, NOON + 7 * DAY - 2 * HOUR).ending is False
    assert seconds_until(NOON, NOON + DAY) == 0
    assert seconds_until(datetime(9000, 1, 1, tzinfo=UTC), NOON) == 2**31 - 1


def test_a_scan_shortens_and_never_lengthens():
    assert after_delivery(SHIPPED, NOON + 2 * DAY, NOON + 3 * DAY).ends_at == NOON + 8 * DAY
    assert after_delivery(SHIPPED, END - 2 * DAY, END - DAY).ends_at == END
    assert after_delivery(SHIPPED, NOON + 2 * DAY, NOON + 3 * DAY, right_region=False).ends_at == END


def test_parcels_add_up_and_the_clock_runs_from_the_first():
    first = after_shipment(PAID._replace(guarantee_days=3), NOON + DAY, whole=False)
    assert (first.shipped_at, first.wholly_shipped_at) == (NOON + DAY, None)
    assert first.ends_at == PAID.ship_by_at  # what is still to be sent is not left without protection
    arrived = after_delivery(first, NOON + 2 * DAY, NOON + 2 * DAY)
    assert protection(arrived, NOON + 2 * DAY).phase is ProtectionPhase.IN_TRANSIT
    last = after_shipment(arrived, NOON + 4 * DAY, whole=True)
    assert (last.shipped_at, last.wholly_shipped_at, last.delivered_at) == (NOON + DAY, NOON + 4 * DAY, None)
    assert last.ends_at >= arrived.ends_at
    partly = after_delivery(after_shipment(PAID, NOON, whole=False), NOON + DAY, NOON + DAY)
    assert partly.ends_at == NOON + 12 * DAY  # five days from when the rest is given up
    assert protection(partly, NOON + 7 * DAY).phase is ProtectionPhase.INSPECTION


def test_each_stage_has_its_timers():
    assert timers_of(UNPAID_ORDER) == {UNPAID: NOON + DAY}
    assert timers_of(PAID) == {SHIP_BY: NOON + 7 * DAY}
    assert timers_of(PAID._replace(payment_held_at=NOON)) == {}
    assert timers_of(SHIPPED) == {PROTECTION_END: END}
    assert timers_of(SHIPPED, asked=True) == {PROTECTION_END: END, UNANSWERED_72H: END - 72 * HOUR, UNANSWERED_24H: END - 24 * HOUR}
    assert timers_of(after_shipment(PAID, NOON, whole=False)) == {PROTECTION_END: NOON + 60 * DAY, SHIP_BY: NOON + 7 * DAY}
    for over in ({"completed_at": NOON}, {"cancelled_at": NOON}, {"closed_at": NOON}, {"frozen_at": NOON, "kept_seconds": 1}):
        assert timers_of(SHIPPED._replace(**over), asked=True) == {}


def test_protection_speaks_7_days_72_24_and_1_hours_before_its_end():
    told, now = [], NOON + 2 * DAY
    while (at := next_change_at(protection(SHIPPED, now))) is not None and now < END:
        told.append(END - at)
        now = at
    assert told == [7 * DAY, 72 * HOUR, 24 * HOUR, HOUR, timedelta(0)]
    assert next_change_at(protection(UNPAID_ORDER, NOON)) is None


@pytest.mark.parametrize(
    ("order", "now", "code"),
    [
        (UNPAID_ORDER, NOON, ErrorCode.WRONG_STATE),
        (PAID, NOON, ErrorCode.WRONG_STATE),
        (SHIPPED, END, ErrorCode.TOO_LATE),
        (SHIPPED._replace(completed_at=END, completion=Completion.PROTECTION_ENDED), END, ErrorCode.TOO_LATE),
        (SHIPPED._replace(completed_at=NOON, completion=Completion.BUYER_CONFIRMED), END + DAY, ErrorCode.WRONG_STATE),
        (SHIPPED._replace(cancelled_at=NOON), NOON, ErrorCode.WRONG_STATE),
        (SHIPPED._replace(frozen_at=NOON, kept_seconds=1), NOON, ErrorCode.DISPUTE_OPEN),
    ],
)
def test_what_is_not_under_way_is_neither_confirmed_nor_extended(order, now, code):
    for rule in (lambda: require_under_way(order, now), lambda: require_askable(order, [], now)):
        with pytest.raises(Unavailable) as refused:
            rule()
        assert refused.value.code is code


def test_the_last_instant_before_the_end_is_still_in_time():
    assert require_askable(SHIPPED, [], END - TICK) == 60
    require_under_way(SHIPPED, END - TICK)
    allowed = [action.name for action in actions_of(SHIPPED, [], TRUSTED, END - TICK) if action.refusal is None]
    assert allowed == ["requestProtectionExtension", "confirmReceipt", "sendMessage"]
    assert [action.until for action in actions_of(SHIPPED, [], TRUSTED, NOON)] == [END, END, None]


def test_one_open_request_and_60_days_in_all():
    assert require_askable(SHIPPED, [Extended(40, granted_at=NOON), Extended(30, declined_at=NOON)], NOON + DAY) == 20
    for known, code in (
        ([Extended(5)], ErrorCode.ALREADY_ASKED),
        ([Extended(40, granted_at=NOON), Extended(20, ExtensionBy.SELLER, granted_at=NOON)], ErrorCode.LIMIT_REACHED),
    ):
        with pytest.raises(Unavailable) as refused:
            require_askable(SHIPPED, known, NOON + DAY)
        assert refused.value.code is code


def test_an_unanswered_request_lapses_at_the_end():
    assert extension_state(Extended(5), SHIPPED, END - TICK) is ExtensionState.ASKED
    assert extension_state(Extended(5), SHIPPED, END) is ExtensionState.LAPSED
    assert extension_state(Extended(5, granted_at=NOON), SHIPPED, END) is ExtensionState.GRANTED
    assert extension_state(Extended(5, declined_at=NOON), SHIPPED, END) is ExtensionState.DECLINED
