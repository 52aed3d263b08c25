"""Refusals as part of the contract: one type for each, all of them `Refusal`."""

from collections.abc import Awaitable
from typing import Any

import strawberry

from delivery.texts import text
from models import refusals
from models.refusals import ErrorCode
from schema.context import Context
from schema.scalars import Instant

ErrorCodeEnum = strawberry.enum(
    ErrorCode,
    name="ErrorCode",
    description="Every code that an answer can carry, in `errors[].extensions.code` or in a refusal; nothing leaves this list.",
)


@strawberry.interface(description="Why something was not done: nothing has been changed.")
class Refusal:
    code: ErrorCodeEnum = strawberry.field(description="For programs; never changes.")
    message: str = strawberry.field(description="For people, in the viewer's language.")
    field: str | None = strawberry.field(description="The argument or input field that it is about; null when none.")


@strawberry.type(description="No account has this address with this password. The same whether or not the address is known.")
class InvalidCredentials(Refusal):
    pass


@strawberry.type(description="Too many attempts in a short time.")
class RateLimited(Refusal):
    retry_after_seconds: int = strawberry.field(description="How long to wait before the next attempt.")


@strawberry.type(description="No such object, or not the viewer's: one answer for both.")
class NotFound(Refusal):
    pass


@strawberry.type(description="A value of the input is not valid.")
class BadUserInput(Refusal):
    pass


@strawberry.type(description="The action is not allowed now; `code` says why.")
class Unavailable(Refusal):
    available_from: Instant | None = strawberry.field(description="When it becomes allowed; null when that is not known.")
    available_until: Instant | None = strawberry.field(description="Until when it was or is allowed, exclusive; null when there is no end.")


def shown(refusal: refusals.Refusal, language: str) -> Refusal:
    """The type that shows `refusal` to a client."""
    said: dict[str, Any] = {
        "code": refusal.code,
        "message": text(refusal.text, language, **refusal.values),
        "field": refusal.field,
    }
    match refusal:
        case refusals.InvalidCredentials():
            return InvalidCredentials(**said)
        case refusals.RateLimited():
            return RateLimited(**said, retry_after_seconds=refusal.retry_after_seconds)
        case refusals.NotFound():
            return NotFound(**said)
        case refusals.Unavailable():
            return Unavailable(**said, available_from=refusal.available_from, available_until=refusal.available_until)
        case _:
            return BadUserInput(**said)


async def answered(context: Context, work: Awaitable[Any], success: Any) -> Any:
    """`success(result)` of the awaited work, or the refusal that it raised, as a type of the contract."""
    try:
        result = await work
    except refusals.Refusal as refusal:
        return shown(refusal, context.language)
    return success(result)
