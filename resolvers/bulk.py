"""Bulk calls of the staff half: one unit of work, one result for each row, in the order of the rows."""

import enum
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from models.refusals import BadUserInput, ErrorCode, Failure, Refusal
from models.storage_failures import is_taken

MOST_ROWS = 500
ATTEMPTS = 4

T = TypeVar("T")


class RowStatus(enum.Enum):
    CREATED = "CREATED"
    UPDATED = "UPDATED"
    UNCHANGED = "UNCHANGED"
    REFUSED = "REFUSED"


@dataclass(slots=True)
class RowResult:
    """What became of one row; `refusal` says why it was left out."""

    external_id: str
    status: RowStatus = RowStatus.UNCHANGED
    refusal: Refusal | None = None

    def refuse(self, refusal: Refusal) -> None:
        self.status, self.refusal = RowStatus.REFUSED, refusal


def results_of(rows: Sequence[Any], identity: Callable[[Any], Hashable] = lambda row: row.external_id) -> list[RowResult]:
    """A result for each row; empty external ids and second rows of the same identity are refused already.

    Raises:
        BadUserInput: more than 500 rows.
    """
    if len(rows) > MOST_ROWS:
        raise BadUserInput(field="rows", text="TOO_MANY_ROWS", most=MOST_ROWS)
    results, seen = [], set()
    for row in rows:
        result = RowResult(row.external_id)
        if not row.external_id or len(row.external_id) > 120:
            result.refuse(BadUserInput(field="externalId"))
        elif (own := identity(row)) in seen:
            result.refuse(Refusal(ErrorCode.DUPLICATE, field="externalId"))
        else:
            seen.add(own)
        results.append(result)
    return results


def pending(rows: Sequence[T], results: Sequence[RowResult]) -> list[tuple[T, RowResult]]:
    """The rows that are not refused, each with its result."""
    return [(row, result) for row, result in zip(rows, results, strict=True) if result.refusal is None]


async def repeated(unit: Callable[..., Awaitable[T]], *args: Any) -> T:
    """Run a bulk unit; where another call wrote the same row at the same time, read again what there is and go on."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return await unit(*args)
        except Exception as error:
            if not is_taken(error):
                raise
            if attempt == ATTEMPTS:
                raise Failure(ErrorCode.OVERLOADED, retry_after_seconds=1) from error
    raise AssertionError("unreachable")
