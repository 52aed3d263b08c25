"""Instants: moments in UTC, in columns, in raw rows and as text."""

from datetime import UTC, datetime
from typing import Any

from ciso8601 import parse_datetime
from tortoise import fields


def utc_now() -> datetime:
    """The machine's clock, UTC. The domain's is `models.clock.now`."""
    return datetime.now(UTC)


def as_utc(value: datetime) -> datetime:
    """Raises:
    ValueError: the value has no offset, so nobody knows which moment it is.
    """
    if value.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone")
    return value if value.tzinfo is UTC else value.astimezone(UTC)


def as_instant(value: datetime | str | None) -> datetime | None:
    """A value of a raw row, which is text on SQLite, as an instant in UTC."""
    if value is None:
        return None
    return as_utc(parse_datetime(value) if isinstance(value, str) else value)


def as_text(value: datetime) -> str:
    """The form SQLite keeps: `2026-05-01 03:00:00+00:00`, with microseconds where there are any; it sorts by time."""
    return as_utc(value).isoformat(" ")


class Instant(fields.DatetimeField):
    """A column of instants: refuses values without an offset, keeps and gives back UTC."""

    def to_db_value(self, value: Any, instance: Any) -> Any:
        if isinstance(value, datetime):
            value = as_utc(value)
        return super().to_db_value(value, instance)

    def to_python_value(self, value: Any) -> datetime | None:
        return as_instant(value)
