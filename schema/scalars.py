"""Scalars of the contract: instants, exact decimals, and the opaque ids of the graph."""

import base64
import binascii
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NewType

import ciso8601
import orjson
import strawberry
from graphql import GraphQLError
from strawberry.types.scalar import ScalarDefinition

from models.money import parse_amount
from models.refusals import NotFound

Instant = NewType("Instant", datetime)
Amount = NewType("Amount", Decimal)

_LARGEST_ID = 2**63 - 1


def instant_text(value: datetime) -> str:
    """RFC 3339 in UTC: "2026-11-22T10:00:00Z", with microseconds where there are any."""
    if value.tzinfo is not UTC:
        value = value.astimezone(UTC)
    return orjson.dumps(value, None, orjson.OPT_UTC_Z)[1:-1].decode()  # a third of what isoformat takes


def parse_instant(value: Any) -> datetime:
    """An instant from RFC 3339 text with an offset.

    Raises:
        GraphQLError: anything else, a bare date and a time without an offset too.
    """
    try:
        if not isinstance(value, str) or "T" not in value.upper():
            raise ValueError
        parsed = ciso8601.parse_rfc3339(value)
        if not 1970 <= parsed.year <= 9998:
            raise ValueError
        return parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        raise GraphQLError("An instant is written in RFC 3339 with an offset, for example 2026-11-22T10:00:00Z.") from None


def parse_decimal(value: Any) -> Decimal:
    """An exact amount from text ("3.90") or a whole number.

    Raises:
        GraphQLError: a float, a sign, an exponent, NaN.
    """
    try:
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ValueError
        return parse_amount(str(value))
    except ValueError:
        raise GraphQLError('An amount is written as text with digits and a point, for example "3.90".') from None


SCALARS: dict[object, ScalarDefinition] = {
    Instant: strawberry.scalar(
        name="DateTime",
        description="An instant in RFC 3339 with an offset; answers are always in UTC.",
        specified_by_url="https://scalars.graphql.org/andimarek/date-time.html",
        serialize=instant_text,
        parse_value=parse_instant,
    ),
    Amount: strawberry.scalar(
        name="Decimal",
        description='An exact number as text, with all minor digits of its currency ("3.90"); never NaN, never an exponent.',
        serialize=str,
        parse_value=parse_decimal,
    ),
}


def global_id(kind: str, local: int) -> str:
    """The opaque id of an object: its type and number, in base64."""
    return binascii.b2a_base64(f"{kind}:{local}".encode(), newline=False).decode()


def split_id(text: str) -> tuple[str, int] | None:
    """Type and number of a global id; None where the text is none."""
    try:
        kind, _, local = base64.b64decode(text, validate=True).decode("ascii").partition(":")
        number = int(local) if local.isascii() and local.isdigit() and len(local) < 20 else 0
    except (binascii.Error, UnicodeError, ValueError):
        return None
    return (kind, number) if 0 < number <= _LARGEST_ID and global_id(kind, number) == text else None


def local_id(text: str, kind: str, field: str = "id") -> int:
    """The number in a global id of type `kind`.

    Raises:
        NotFound: malformed or another type's, like a missing one.
    """
    found = split_id(text)
    if found is None or found[0] != kind:
        raise NotFound(field=field)
    return found[1]


def row_id(text: str, kind: str) -> int:
    """The same for a row of a bulk call; 0, which nothing has, where it is none of this type: the row alone is refused."""
    found = split_id(text)
    return found[1] if found is not None and found[0] == kind else 0
