"""Refusals as part of the contract: one type for each, all of them `Refusal`."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import strawberry

from delivery.texts import text
from models import refusals
from models.accounts import IdentityKind
from models.refusals import ErrorCode
from models.standing import NotInStanding
from schema.context import Context
from schema.fields import listed
from schema.scalars import Instant

if TYPE_CHECKING:
    from schema.standing import Standing

ErrorCodeEnum = ErrorCode
strawberry.enum(
    ErrorCode,
    name="ErrorCode",
    description="Every code that an answer can carry, in `errors[].extensions.code` or in a refusal; nothing leaves this list.",
)

strawberry.enum(
    IdentityKind,
    name="IdentityKind",
    description="EMAIL: with a password; PHONE: with a code by SMS or a password; VK, OK, GOOGLE and MAILRU: by that provider; "
    "PASSKEY: by a key on the buyer's device.",
)


@strawberry.interface(description="Why something was not done: nothing has been changed.")
class Refusal:
    code: ErrorCodeEnum = strawberry.field(description="For programs; never changes.")
    message: str = strawberry.field(description="For people, in the viewer's language.")
    field: str | None = strawberry.field(description="The argument or input field that it is about; null when none.")
    standing: Annotated["Standing", strawberry.lazy("schema.standing")] | None = strawberry.field(
        default=None, description="The account's standing where that is why (ACCOUNT_RESTRICTED, ACCOUNT_BLOCKED); null otherwise."
    )


@strawberry.type(description="No account has this address with this password, or this passkey does not count. The same whether or not the account is known.")
class InvalidCredentials(Refusal):
    pass


@strawberry.type(description="The captcha's solution does not count: wrong, too old or used before. Ask for a new challenge.")
class CaptchaFailed(Refusal):
    pass


@strawberry.type(description="The code or the link is wrong, used or too old: one answer for all.")
class CodeInvalid(Refusal):
    pass


WeaknessEnum = refusals.Weakness
strawberry.enum(
    refusals.Weakness,
    name="PasswordWeakness",
    description="Why a password is refused: TOO_SHORT; COMMON, in lists of common passwords; PERSONAL, made of the buyer's own data or of the site's name; GUESSABLE, a simple pattern.",
)


@strawberry.type(description="The password would be guessed; `reason` says how.")
class PasswordTooWeak(Refusal):
    reason: WeaknessEnum = strawberry.field(description="For programs; `message` says it for people.")


@strawberry.type(description="The link is good, but this is not the browser that signed up: call again with a password typed here.")
class PasswordNeeded(Refusal):
    pass


@strawberry.type(description="The code has been tried five times and counts no longer: ask for another one.")
class CodeAttemptsExceeded(Refusal):
    pass


@strawberry.type(description="Another account is signed in to by this.")
class IdentityTaken(Refusal):
    pass


@strawberry.type(description="The last sign-in or `reauthenticate` lies more than 15 minutes back: prove again who you are.")
class ReauthRequired(Refusal):
    pass


@strawberry.type(description="The first proof was right; the account has a second factor. `answerSecondFactor` signs in, by a code of it.")
class SecondFactorRequired(Refusal):
    challenge_id: str = strawberry.field(description="For answerSecondFactor, five tries. Told once; in the browser that began, where it was known.")
    expires_at: Instant = strawberry.field(description="Until when it can be answered, exclusive: 5 minutes on.")
    has_recovery_codes: bool = strawberry.field(description="Whether there are recovery codes left, which do as well.")


@strawberry.type(description="This way of signing in is closed in the buyer's region.")
class SignUpClosed(Refusal):
    open_ways: list[IdentityKind] = listed("The ways that are open for the same there.", size=7)


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


def words_of(refusal: refusals.Refusal, language: str) -> dict[str, Any]:
    """What every type of refusal says."""
    return {
        "code": refusal.code,
        "message": text(refusal.text, language, **refusal.values),
        "field": refusal.field,
        "standing": refusal.standing if isinstance(refusal, NotInStanding) else None,
    }


def _nothing_more(refusal: refusals.Refusal) -> dict[str, Any]:
    return {}


def _second_factor(refusal: refusals.SecondFactorRequired) -> dict[str, Any]:
    return {
        "challenge_id": refusal.challenge,
        "expires_at": Instant(refusal.expires_at),
        "has_recovery_codes": refusal.recovery_codes_left > 0,
    }


def _availability(refusal: refusals.Unavailable) -> dict[str, Any]:
    return {"available_from": _instant(refusal.available_from), "available_until": _instant(refusal.available_until)}


SHOWN: dict[type[refusals.Refusal], tuple[type[Refusal], Callable[[Any], dict[str, Any]]]] = {
    refusals.InvalidCredentials: (InvalidCredentials, _nothing_more),
    refusals.CodeInvalid: (CodeInvalid, _nothing_more),
    refusals.PasswordNeeded: (PasswordNeeded, _nothing_more),
    refusals.CodeAttemptsExceeded: (CodeAttemptsExceeded, _nothing_more),
    refusals.IdentityTaken: (IdentityTaken, _nothing_more),
    refusals.ReauthRequired: (ReauthRequired, _nothing_more),
    refusals.CaptchaFailed: (CaptchaFailed, _nothing_more),
    refusals.NotFound: (NotFound, _nothing_more),
    refusals.SecondFactorRequired: (SecondFactorRequired, _second_factor),
    refusals.SignUpClosed: (SignUpClosed, lambda refusal: {"open_ways": [IdentityKind(kind) for kind in refusal.open_kinds]}),
    refusals.PasswordTooWeak: (PasswordTooWeak, lambda refusal: {"reason": refusal.reason}),
    refusals.RateLimited: (RateLimited, lambda refusal: {"retry_after_seconds": refusal.retry_after_seconds}),
    refusals.Unavailable: (Unavailable, _availability),
    refusals.Refusal: (BadUserInput, _nothing_more),
}
"""By which type each refusal is shown, and what it says besides; one that is not here is shown as what it derives from."""


def shown(refusal: refusals.Refusal, language: str) -> Refusal:
    """The type that shows `refusal` to a client."""
    kind, more = next(SHOWN[cls] for cls in type(refusal).__mro__ if cls in SHOWN)
    return kind(**words_of(refusal, language), **more(refusal))


def _instant(at: datetime | None) -> Instant | None:
    return None if at is None else Instant(at)


async def answered(context: Context, work: Awaitable[Any], success: Any) -> Any:
    """`success(result)` of the awaited work, or the refusal that it raised, as a type of the contract."""
    try:
        result = await work
    except refusals.Refusal as refusal:
        return shown(refusal, context.language)
    return success(result)
