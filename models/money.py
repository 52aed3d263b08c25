"""Money: whole minor units and a currency; never a float."""

import re
from decimal import Decimal
from functools import cache
from typing import NamedTuple

from babel.core import get_global

from models.refusals import BadUserInput

LARGEST_MINOR = 10**15
_AMOUNT = re.compile(r"^(0|[1-9]\d{0,14})(\.\d{1,8})?$")


@cache
def minor_digits(currency: str) -> int | None:
    """How many digits follow the point in `currency` (ISO 4217); None where there is no such currency.

    Source: CLDR's currency data, as Babel ships it.
    """
    if currency not in get_global("all_currencies"):
        return None
    fractions = get_global("currency_fractions")
    return int((fractions.get(currency) or fractions["DEFAULT"])[0])


class Money(NamedTuple):
    """`minor` units (kopecks, cents) of `currency`, an ISO 4217 code."""

    minor: int
    currency: str

    @property
    def amount(self) -> str:
        """The exact amount as text with all minor digits: "3.90"."""
        digits = minor_digits(self.currency) or 0
        if digits == 2 and self.minor >= 100:
            text = str(self.minor)
            return f"{text[:-2]}.{text[-2:]}"
        if not digits:
            return str(self.minor)
        sign, units = ("-", -self.minor) if self.minor < 0 else ("", self.minor)
        whole, part = divmod(units, 10**digits)
        return f"{sign}{whole}.{part:0{digits}d}"


def currency_code(text: str, field: str = "currency") -> str:
    """`text`, if it is an ISO 4217 code.

    Raises:
        BadUserInput: it is not.
    """
    if minor_digits(text) is None:
        raise BadUserInput(field=field, text="UNKNOWN_CURRENCY")
    return text


def money(amount: Decimal, currency: str, field: str = "amount") -> Money:
    """The amount a client gave, in minor units.

    Raises:
        BadUserInput: no such currency, a negative amount, more digits than the currency has, or too much.
    """
    digits = minor_digits(currency_code(currency))
    assert digits is not None
    minor = amount.scaleb(digits)
    if minor != minor.to_integral_value():
        raise BadUserInput(field=field, text="TOO_MANY_DIGITS", digits=digits)
    if not 0 <= minor <= LARGEST_MINOR:
        raise BadUserInput(field=field, text="AMOUNT_OUT_OF_RANGE")
    return Money(int(minor), currency)


def parse_amount(text: str) -> Decimal:
    """A decimal number written plainly ("3.90").

    Raises:
        ValueError: a sign, an exponent, NaN, or too long.
    """
    if not _AMOUNT.match(text):
        raise ValueError("not a plain decimal number")
    return Decimal(text)
