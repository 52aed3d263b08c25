"""Rules of messages, on values."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from models.messages import ConversationKind, require_answerable, require_kind, require_pace
from models.refusals import BadUserInput, ErrorCode, RateLimited

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def test_thirty_messages_a_minute_and_the_next_when_the_first_of_them_is_a_minute_old() -> None:
    sent_at = [NOW - timedelta(seconds=second) for second in range(30)]
    require_pace(sent_at[:29], NOW)
    with pytest.raises(RateLimited) as refused:
        require_pace(sent_at, NOW)
    assert refused.value.retry_after_seconds == 31
    with pytest.raises(RateLimited) as refused:
        require_pace(sent_at, NOW + timedelta(seconds=30, milliseconds=999))
    assert refused.value.retry_after_seconds == 1
    require_pace(sent_at, NOW + timedelta(seconds=31))


def test_a_promotion_is_not_answered() -> None:
    require_answerable(SimpleNamespace(kind=ConversationKind.ORDER))
    with pytest.raises(BadUserInput) as refused:
        require_answerable(SimpleNamespace(kind=ConversationKind.PROMOTION))
    assert refused.value.code is ErrorCode.WRONG_STATE


def test_a_kind_agrees_with_the_order() -> None:
    for kind, names_an_order in ((None, True), (None, False), (ConversationKind.ORDER, True), (ConversationKind.PROMOTION, False)):
        require_kind(kind, names_an_order)
    for kind, names_an_order in ((ConversationKind.ORDER, False), (ConversationKind.PROMOTION, True)):
        with pytest.raises(BadUserInput):
            require_kind(kind, names_an_order)
