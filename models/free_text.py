"""Free text: what people write, as it is kept, and what is refused: nothing, too much, and card numbers."""

import unicodedata

from models.refusals import BadUserInput, ErrorCode, Refusal

CARD_DIGITS = range(13, 20)
SHORTEST_GROUP, MOST_GROUPS = 4, 4  # of the digits on a card: "4111 1111 1111 1111", "3782 822463 10005"


def cleaned(text: str, field: str, most: int) -> str:
    """`text` without control characters (lines stay) and without white space around it; `most` code points.

    Raises:
        BadUserInput: half a character (a lone surrogate), nothing to see, or too long. Refusal: CARD_DATA_REJECTED.
    """
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise BadUserInput(field=field)
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    kept = "".join(char for char in lines if char == "\n" or unicodedata.category(char) != "Cc").strip()
    if not any(char.isprintable() and not char.isspace() for char in kept):
        raise BadUserInput(field=field, text="EMPTY_TEXT")
    if len(kept) > most:
        raise BadUserInput(field=field, text="TOO_LONG_TEXT", most=most)
    if holds_card_number(kept):
        raise Refusal(ErrorCode.CARD_DATA_REJECTED, field=field)
    return kept


def holds_card_number(text: str) -> bool:
    """Whether 13 to 19 digits in it, spaces and dashes between them ignored, pass the card companies' check.

    A longer or another run is looked at by its groups too, so that "1 x 4111 1111 1111 1111 12" hides nothing; groups
    shorter than a card's are not, or every second pair of telephone numbers would be taken for one.
    """
    return any(_is_card("".join(groups)) or _has_card_among(groups) for groups in _digit_groups(text))


def passes_luhn(digits: str) -> bool:
    """ISO/IEC 7812: every second digit from the right doubled, the sum of all digits a multiple of ten."""
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(doubled) + sum(int(digit) for digit in digits[-1::-2])) % 10 == 0


def _is_card(digits: str) -> bool:
    return len(digits) in CARD_DIGITS and passes_luhn(digits)


def _has_card_among(groups: list[str]) -> bool:
    for first in range(len(groups)):
        digits = ""
        for group in groups[first : first + MOST_GROUPS]:
            if len(group) < SHORTEST_GROUP:
                break
            digits += group
            if _is_card(digits):
                return True
    return False


def _digit_groups(text: str) -> list[list[str]]:
    """The runs of digits, in any script, each split at its spaces and dashes."""
    runs: list[list[str]] = [[]]
    group = ""
    for char in text + "\n":
        digit = unicodedata.decimal(char, None)
        if digit is not None:
            group += str(digit)
            continue
        if group:
            runs[-1].append(group)
            group = ""
        if unicodedata.category(char) not in ("Zs", "Pd", "Cf") and char != "\N{MINUS SIGN}" and runs[-1]:
            runs.append([])
    return [run for run in runs if run]
