"""Free text on values."""

import pytest

from models.free_text import cleaned, holds_card_number, passes_luhn
from models.refusals import BadUserInput, ErrorCode, Refusal


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("  Where is it? \n", "Where is it?"),
        ("one\r\ntwo\rthree\nfour", "one\ntwo\nthree\nfour"),
        ("a\x00b\x07c\x1b[31md\x7fe\x85f", "abc[31mdef"),
        ("Где «посылка»? 👩‍👩‍👧", "Где «посылка»? 👩‍👩‍👧"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("x" * 10, "x" * 10),
    ],
)
def test_text_is_kept_as_written_but_for_control_characters(written: str, kept: str) -> None:
    assert cleaned(written, "text", 50) == kept


@pytest.mark.parametrize("written", ["", "   \n\t ", "\x00\x01", "\u200b\u200d", "\ud800", "before \udfff after", "x" * 51])
def test_nothing_half_a_character_and_too_much_are_refused(written: str) -> None:
    with pytest.raises(BadUserInput) as refused:
        cleaned(written, "text", 50)
    assert refused.value.field == "text"


@pytest.mark.parametrize(
    "written",
    [
        "4111111111111111",
        "pay with 4111 1111 1111 1111, please",
        "4111-1111-1111-1111",
        "4111 1111\u20111111\u00a01111",
        "card:5555555555554444;",
        "3782 822463 10005",
        "6304000000000000000",
        "4222222222222",
        "2 x 4111 1111 1111 1111",
        "4111 1111 1111 1111 12/29 123",
        "order 80123456789012 4111111111111111",
        "٤١١١١١١١١١١١١١١١",
        "4111\u200b1111\u200b1111\u200b1111",
    ],
)
def test_card_numbers_are_refused_however_they_are_written(written: str) -> None:
    assert holds_card_number(written)
    with pytest.raises(Refusal) as refused:
        cleaned(written, "text", 100)
    assert (refused.value.code, refused.value.field) == (ErrorCode.CARD_DATA_REJECTED, "text")
    assert "1111" not in str(refused.value.args)


@pytest.mark.parametrize(
    "written",
    [
        "4111111111111112",
        "422222222222",
        "80123456789012340000",
        "+7 916 123 45 67 8 800 555 35 35",
        "4111 1111 1111, then 1111",
        "RB123456789CN",
        "12.11.2026 10:45",
    ],
)
def test_other_numbers_are_not_taken_for_cards(written: str) -> None:
    assert not holds_card_number(written)


def test_the_check_digit_is_that_of_the_standard() -> None:
    assert [digit for digit in "0123456789" if passes_luhn("7992739871" + digit)] == ["3"]
