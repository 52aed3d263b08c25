"""What each standing allows, when it ends, and what staff, buyers and signals may make of it."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from models.accounts import Level, StandingReason
from models.appeals import AppealState, require_answerable, require_appealable, require_next
from models.refusals import BadUserInput, ErrorCode, Refusal, Unavailable
from models.standing import MAY, Deed, NotInStanding, Standing, require_decision, require_may, standing_of
from models.standing_cases import disputes_too_often, is_news

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
INSTANT = timedelta(microseconds=1)
RULES = StandingReason.RULES


def account(level: Level, until: datetime | None = None) -> Any:
    return SimpleNamespace(
        id=7, standing_level=level, standing_reason=RULES, standing_text="Spam", standing_since=NOON - DAY, standing_until=until
    )


def test_the_blocked_come_and_go_stay_safe_read_appeal_have_their_data_and_nothing_else() -> None:
    assert {deed for deed in Deed if Level.BLOCKED in MAY[deed]} == {Deed.COME_AND_GO, Deed.STAY_SAFE, Deed.READ, Deed.APPEAL, Deed.HAVE_ONES_DATA}
    assert all({Level.GOOD, Level.WARNED} <= MAY[deed] and Level.CLOSED not in MAY[deed] for deed in Deed)


def test_a_refusal_says_why_and_until_when() -> None:
    with pytest.raises(NotInStanding) as refused:
        require_may(account(Level.BLOCKED, NOON + DAY), Deed.WISH, NOON)
    assert refused.value.code is ErrorCode.ACCOUNT_BLOCKED
    assert refused.value.available_from == NOON + DAY
    assert refused.value.standing == Standing(7, Level.BLOCKED, RULES, "Spam", NOON - DAY, NOON + DAY)


def test_what_the_restricted_may_not_is_told_as_restricted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what exists they may all; checkout, coupon claims and reviews will say `{GOOD, WARNED}` in the table."""
    for deed in Deed:
        require_may(account(Level.RESTRICTED), deed, NOON)
    monkeypatch.setitem(MAY, Deed.WISH, frozenset({Level.GOOD, Level.WARNED}))
    with pytest.raises(NotInStanding) as refused:
        require_may(account(Level.RESTRICTED), Deed.WISH, NOON)
    assert refused.value.code is ErrorCode.ACCOUNT_RESTRICTED


def test_a_standing_ends_at_its_end_and_not_before() -> None:
    blocked = account(Level.BLOCKED, NOON)
    assert standing_of(blocked, NOON - INSTANT).level is Level.BLOCKED
    assert standing_of(blocked, NOON) == Standing(7, Level.GOOD)
    require_may(blocked, Deed.WISH, NOON)
    assert standing_of(account(Level.BLOCKED), NOON + 1000 * DAY).level is Level.BLOCKED


@pytest.mark.parametrize(
    ("level", "reason", "until", "field"),
    [
        (Level.CLOSED, None, None, "level"),
        (Level.CLOSED, RULES, None, "level"),
        (Level.BLOCKED, None, None, "reason"),
        (Level.GOOD, RULES, None, "reason"),
        (Level.GOOD, None, NOON + DAY, "until"),
        (Level.WARNED, RULES, NOON, "until"),
    ],
)
def test_a_decision_says_what_it_needs_and_no_more(level: Level, reason: StandingReason | None, until: datetime | None, field: str) -> None:
    with pytest.raises(BadUserInput) as refused:
        require_decision(level, reason, until, NOON)
    assert refused.value.field == field


def test_decisions_that_may_be_made() -> None:
    require_decision(Level.GOOD, None, None, NOON)
    require_decision(Level.RESTRICTED, RULES, None, NOON)
    require_decision(Level.BLOCKED, RULES, NOON + INSTANT, NOON)


def appeal_in(state: AppealState, opened_at: datetime = NOON) -> Any:
    return SimpleNamespace(state=state, opened_at=opened_at)


BLOCKED, GOOD = Standing(7, Level.BLOCKED), Standing(7, Level.GOOD)


@pytest.mark.parametrize(
    ("standing", "latest", "now", "code"),
    [
        (GOOD, None, NOON, ErrorCode.WRONG_STATE),
        (BLOCKED, appeal_in(AppealState.OPEN), NOON + 99 * DAY, ErrorCode.ALREADY_ASKED),
        (BLOCKED, appeal_in(AppealState.IN_REVIEW), NOON + 99 * DAY, ErrorCode.ALREADY_ASKED),
        (BLOCKED, appeal_in(AppealState.NEEDS_INFO), NOON + 99 * DAY, ErrorCode.ALREADY_ASKED),
        (BLOCKED, appeal_in(AppealState.REJECTED), NOON + 30 * DAY - INSTANT, ErrorCode.TOO_EARLY),
        (BLOCKED, appeal_in(AppealState.GRANTED), NOON, ErrorCode.TOO_EARLY),
    ],
)
def test_an_appeal_needs_a_cause_and_its_time(standing: Standing, latest: Any, now: datetime, code: ErrorCode) -> None:
    with pytest.raises(Unavailable) as refused:
        require_appealable(standing, latest, now)
    assert refused.value.code is code
    assert refused.value.available_from == (NOON + 30 * DAY if code is ErrorCode.TOO_EARLY else None)


def test_an_appeal_is_heard_again_after_thirty_days_and_at_every_level_but_good() -> None:
    require_appealable(BLOCKED, appeal_in(AppealState.REJECTED), NOON + 30 * DAY)
    for level in (Level.WARNED, Level.RESTRICTED, Level.BLOCKED):
        require_appealable(Standing(7, level), None, NOON)


def test_staff_take_an_appeal_along_these_ways_alone() -> None:
    open_, review, info, granted, rejected = AppealState
    assert (open_.value, review.value, info.value) == ("OPEN", "IN_REVIEW", "NEEDS_INFO")
    ways = {(open_, review), (review, granted), (review, rejected), (review, info), (info, granted), (info, rejected)}
    for present in AppealState:
        for wanted in AppealState:
            if (present, wanted) in ways:
                require_next(present, wanted)
                continue
            with pytest.raises(Refusal) as refused:
                require_next(present, wanted)
            assert refused.value.code is ErrorCode.WRONG_STATE


def test_only_a_question_is_answered() -> None:
    require_answerable(appeal_in(AppealState.NEEDS_INFO))
    for latest in (None, *(appeal_in(state) for state in AppealState if state is not AppealState.NEEDS_INFO)):
        with pytest.raises(Unavailable):
            require_answerable(latest)


def test_too_many_disputes_are_over_half_of_five_orders_at_least() -> None:
    assert not disputes_too_often(4, 4)
    assert not disputes_too_often(5, 2)
    assert disputes_too_often(5, 3)
    assert not disputes_too_often(6, 3)
    assert disputes_too_often(6, 4)


def test_evidence_that_was_seen_is_no_news() -> None:
    assert is_news([1], [])
    assert not is_news([1, 2], [{"evidence": [1]}, {"evidence": [2, 3]}])
    assert is_news([1, 4], [{"evidence": [1, 2, 3]}])
