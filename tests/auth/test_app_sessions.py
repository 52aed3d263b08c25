"""Refresh tokens on values: which is turned, which is told again, and what follows one."""

from datetime import UTC, datetime, timedelta

import pytest

from auth.app_sessions import successor
from auth.sessions import ACCESS_PREFIX, REFRESH_PREFIX, family_hash, new_refresh_token, token_hash
from models.sessions import GRACE, Turn, turn_of

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)
KEY, SALT = b"k" * 32, "5a17"


@pytest.mark.parametrize(
    ("presented", "after", "turn"),
    [
        ("now", timedelta(0), Turn.NEXT),
        ("now", timedelta(days=14), Turn.NEXT),
        ("before", timedelta(0), Turn.AGAIN),
        ("before", GRACE, Turn.AGAIN),
        ("before", GRACE + TICK, Turn.REUSED),
        ("long ago", timedelta(0), Turn.REUSED),
    ],
)
def test_the_token_is_turned_its_predecessor_told_again_for_ten_seconds_and_any_other_is_a_theft(
    presented: str, after: timedelta, turn: Turn
) -> None:
    assert turn_of(presented, "now", "before", AT, AT + after) is turn


def test_before_the_first_turn_there_is_no_predecessor() -> None:
    assert turn_of("before", "now", None, AT, AT) is Turn.REUSED


def test_what_follows_a_token_is_the_same_whoever_computes_it_and_another_for_each_token_salt_and_key() -> None:
    first = new_refresh_token()
    pair = successor(KEY, first, SALT, AT)
    assert successor(KEY, first, SALT, AT) == pair
    others = [successor(KEY, new_refresh_token(), SALT, AT), successor(KEY, first, "other", AT), successor(b"x" * 32, first, SALT, AT)]
    others.append(successor(KEY, pair.refresh, SALT, AT))
    told = [token for tokens in (pair, *others) for token in (tokens.access, tokens.refresh)]
    assert len(set(told)) == len(told)


def test_a_family_is_known_by_its_beginning_and_tokens_say_what_they_are() -> None:
    first = new_refresh_token()
    pair = successor(KEY, first, SALT, AT)
    assert family_hash(first) == family_hash(pair.refresh) != family_hash(new_refresh_token())
    assert first.startswith(REFRESH_PREFIX) and pair.refresh.startswith(REFRESH_PREFIX) and pair.access.startswith(ACCESS_PREFIX)
    assert len(pair.refresh) == len(first) and len(pair.access.removeprefix(ACCESS_PREFIX)) == 43  # 256 bits
    assert token_hash(pair.refresh) != token_hash(first)
