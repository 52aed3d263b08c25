"""The answer to every bulk call of the staff half."""

from collections.abc import Awaitable
from typing import Any

import strawberry

from delivery.texts import text
from models.refusals import Refusal
from resolvers.bulk import RowResult as Result
from resolvers.bulk import RowStatus as Status
from schema.context import Context
from schema.edges import listed
from schema.errors import ErrorCodeEnum

RowStatus = Status
strawberry.enum(RowStatus, name="RowStatus", description="What became of one row of a bulk call.")


@strawberry.type(description="What became of one row.")
class RowResult:
    external_id: str = strawberry.field(description="As it was sent.")
    status: RowStatus = strawberry.field(description="UNCHANGED: it was there already, and nothing happened.")
    code: ErrorCodeEnum | None = strawberry.field(description="Why the row was refused; null otherwise.")
    message: str | None = strawberry.field(description="The same for people; null otherwise.")


@strawberry.type(description="The results of a bulk call.")
class BulkResult:
    results: list[RowResult] = listed("One for each row, in the order of the rows.", size=5)


async def bulk(context: Context, work: Awaitable[list[Result]]) -> BulkResult:
    """The answer to a bulk call; what refuses the whole call is a top-level error."""
    return BulkResult(results=[_shown(result, context.language) for result in await work])


def _shown(result: Result, language: str) -> RowResult:
    refusal: Refusal | None = result.refusal
    return RowResult(
        external_id=result.external_id,
        status=result.status,
        code=refusal.code if refusal else None,
        message=text(refusal.text, language, **refusal.values) if refusal else None,
    )


def given(value: Any) -> Any:
    """An optional input's value: None where it was left out."""
    return None if value is strawberry.UNSET else value
