"""Money in the graph."""

from decimal import Decimal
from functools import lru_cache
from typing import Any

import strawberry
from babel.numbers import format_currency

from models import money
from schema.context import Context
from schema.edges import attribute, derived
from schema.scalars import Amount


@lru_cache(maxsize=8192)
def _written(minor: int, currency: str, language: str) -> str:
    return format_currency(Decimal(money.Money(minor, currency).amount), currency, locale=language)


def _formatted(row: Any, context: Context) -> str:
    return _written(row.minor, row.currency, context.language)


@strawberry.type(description="An amount of money in one currency.")
class Money:
    amount: Amount = attribute('Exact, with all minor digits of the currency: "3.90".')
    currency: str = attribute("ISO 4217 code.")
    formatted: str = derived(_formatted, description="As a person reads it, in the viewer's language.")


@strawberry.input(description="An amount of money that a client gives.")
class MoneyInput:
    amount: Amount = strawberry.field(description='Exact text, no more digits than the currency has: "3.90".')
    currency: str = strawberry.field(description="ISO 4217 code.")

    def given(self, field: str) -> money.Money:
        return money.money(self.amount, self.currency, field)


def of(minor: int | None, currency: str) -> money.Money | None:
    """The amount, where there is one."""
    return None if minor is None else money.Money(minor, currency)
