"""What passwords are refused, and how long that takes at worst."""

import random
import string
import time

import pytest
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from auth.passwords import LONGEST
from auth.strength import weakness_of
from models.refusals import Weakness

ABOUT = ("kabinet", "Anna Петрова", "anna.petrova@mail.example", "+79161234567")


def test_thirty_thousand_common_passwords_are_refused_in_any_case() -> None:
    common = FREQUENCY_LISTS["passwords"]
    assert len(common) >= 20_000
    assert {weakness_of(password, (), 1) for password in common} == {Weakness.COMMON}
    assert {weakness_of(password.upper(), (), 1) for password in common} == {Weakness.COMMON}
    assert None not in {weakness_of(password, ABOUT, 8) for password in common}


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("x7Kq9vL", Weakness.TOO_SHORT),
        ("паролль", Weakness.TOO_SHORT),
        ("p@ssw0rd1", Weakness.COMMON),
        ("drowssap1", Weakness.COMMON),
        ("annapetrova", Weakness.PERSONAL),
        ("Петрова1", Weakness.PERSONAL),
        ("79161234567", Weakness.PERSONAL),
        ("KABINET1", Weakness.PERSONAL),
        ("kabinetkabinet", Weakness.PERSONAL),
        ("aaaaaaaaaaaa", Weakness.GUESSABLE),
        ("abcdefghijkl", Weakness.GUESSABLE),
        ("qwertyuiop[]", Weakness.GUESSABLE),
        ("a" * LONGEST, Weakness.GUESSABLE),
        ("x7Kq9vLm", None),
        ("correct horse battery", None),
        ("ёжик в тумане", None),
        ("anna sells 40 green lamps", None),
        ("a" * 100 + "x7Kq9vLm-trombone", None),
        ("日本語のパスワード", None),
    ],
)
def test_weaknesses(password: str, reason: Weakness | None) -> None:
    assert weakness_of(password, ABOUT, 8) == reason


def test_nothing_that_fits_takes_long() -> None:
    """zxcvbn reads every sign as every letter that it may stand for: left alone, 64 characters of them take seconds."""
    random.seed(1)
    alphabets = ["4@8({[<369!1|0$5+7%2", "1!|7+469", "4836910572", string.printable[:94], "ab", "1990"]
    tried = ["".join(random.choice(alphabet) for _ in range(LONGEST)) for alphabet in alphabets for _ in range(5)]
    took = []
    for password in tried:
        began = time.process_time()
        weakness_of(password, ABOUT, 8)
        took.append(time.process_time() - began)
    assert max(took) < 0.25
