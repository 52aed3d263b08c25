"""Refusals: what may not be done, as exceptions that roll back and as codes that clients read.

`ErrorCode` is the closed list of `core.graphql`; nothing leaves it. A rule or a resolver raises a `Refusal`
where the buyer can do something about it (a member of the operation's union), a `Failure` where the whole
call fails (a top-level error). Texts are in `locales/`, by code.
"""

import enum
from datetime import datetime
from typing import Any


class ErrorCode(enum.Enum):
    BAD_REQUEST = "BAD_REQUEST"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    NOT_ACCEPTABLE = "NOT_ACCEPTABLE"
    UNSUPPORTED_MEDIA_TYPE = "UNSUPPORTED_MEDIA_TYPE"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    HEADERS_TOO_LARGE = "HEADERS_TOO_LARGE"
    URI_TOO_LONG = "URI_TOO_LONG"
    REQUEST_TIMEOUT = "REQUEST_TIMEOUT"
    BATCHING_DISABLED = "BATCHING_DISABLED"
    CSRF_REJECTED = "CSRF_REJECTED"
    GRAPHQL_PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
    GRAPHQL_VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
    OPERATION_RESOLUTION_FAILURE = "OPERATION_RESOLUTION_FAILURE"
    OPERATION_NOT_SUPPORTED = "OPERATION_NOT_SUPPORTED"
    QUERY_TOO_COMPLEX = "QUERY_TOO_COMPLEX"
    INTROSPECTION_DISABLED = "INTROSPECTION_DISABLED"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    BAD_USER_INPUT = "BAD_USER_INPUT"
    RATE_LIMITED = "RATE_LIMITED"
    INVALID_CREDENTIALS = "INVALID_CREDENTIALS"
    CODE_INVALID = "CODE_INVALID"
    CODE_ATTEMPTS_EXCEEDED = "CODE_ATTEMPTS_EXCEEDED"
    IDENTITY_TAKEN = "IDENTITY_TAKEN"
    REAUTH_REQUIRED = "REAUTH_REQUIRED"
    SECOND_FACTOR_REQUIRED = "SECOND_FACTOR_REQUIRED"
    SIGN_UP_CLOSED = "SIGN_UP_CLOSED"
    LAST_SIGN_IN_METHOD = "LAST_SIGN_IN_METHOD"
    OAUTH_STATE_INVALID = "OAUTH_STATE_INVALID"
    ACCOUNT_LINK_REQUIRES_SIGN_IN = "ACCOUNT_LINK_REQUIRES_SIGN_IN"
    SIGN_IN_DECLINED = "SIGN_IN_DECLINED"
    CAPTCHA_FAILED = "CAPTCHA_FAILED"
    PASSWORD_TOO_WEAK = "PASSWORD_TOO_WEAK"
    PASSWORD_NEEDED = "PASSWORD_NEEDED"
    ACCOUNT_BLOCKED = "ACCOUNT_BLOCKED"
    ACCOUNT_RESTRICTED = "ACCOUNT_RESTRICTED"
    CONFLICT = "CONFLICT"
    DUPLICATE = "DUPLICATE"
    UNKNOWN_REFERENCE = "UNKNOWN_REFERENCE"
    CURRENCY_MISMATCH = "CURRENCY_MISMATCH"
    CARD_DATA_REJECTED = "CARD_DATA_REJECTED"
    TOO_EARLY = "TOO_EARLY"
    TOO_LATE = "TOO_LATE"
    WRONG_STATE = "WRONG_STATE"
    DISPUTE_OPEN = "DISPUTE_OPEN"
    ALREADY_ASKED = "ALREADY_ASKED"
    LIMIT_REACHED = "LIMIT_REACHED"
    RESYNC_REQUIRED = "RESYNC_REQUIRED"
    TIMEOUT = "TIMEOUT"
    OVERLOADED = "OVERLOADED"
    STORAGE_UNAVAILABLE = "STORAGE_UNAVAILABLE"
    UPSTREAM_UNAVAILABLE = "UPSTREAM_UNAVAILABLE"
    INTERNAL_SERVER_ERROR = "INTERNAL_SERVER_ERROR"


class Weakness(enum.Enum):
    """Why a password is refused."""

    TOO_SHORT = "TOO_SHORT"
    COMMON = "COMMON"
    PERSONAL = "PERSONAL"
    GUESSABLE = "GUESSABLE"


class Refusal(Exception):
    """What the buyer asked for is not done, and they can be told why.

    `text` picks the sentence in `locales/` (default: the code); `values` fill it. `field` names the argument.
    """

    code = ErrorCode.BAD_USER_INPUT

    def __init__(self, code: ErrorCode | None = None, *, field: str | None = None, text: str | None = None, **values: Any):
        self.code = code or type(self).code
        self.field = field
        self.text = text or self.code.name
        self.values = values
        super().__init__(self.text)


class NotFound(Refusal):
    """Missing, malformed, another type's or another buyer's: one answer for all."""

    code = ErrorCode.NOT_FOUND


class BadUserInput(Refusal):
    code = ErrorCode.BAD_USER_INPUT


class InvalidCredentials(Refusal):
    code = ErrorCode.INVALID_CREDENTIALS


class CaptchaFailed(Refusal):
    """Not a solution, not of a challenge of ours, too old, or used before: one answer for all."""

    code = ErrorCode.CAPTCHA_FAILED


class CodeInvalid(Refusal):
    """A code or a link's token that is wrong, used, expired or somebody else's: one answer for all."""

    code = ErrorCode.CODE_INVALID


class PasswordTooWeak(Refusal):
    code = ErrorCode.PASSWORD_TOO_WEAK

    def __init__(self, reason: Weakness, *, field: str, least: int):
        super().__init__(field=field, text=f"PASSWORD_{reason.name}", least=least)
        self.reason = reason


class PasswordNeeded(Refusal):
    """The link is good, and opened elsewhere than where it was asked for: it needs a password typed here."""

    code = ErrorCode.PASSWORD_NEEDED


class CodeAttemptsExceeded(Refusal):
    code = ErrorCode.CODE_ATTEMPTS_EXCEEDED


class IdentityTaken(Refusal):
    """Another account is signed in to by this."""

    code = ErrorCode.IDENTITY_TAKEN


class ReauthRequired(Refusal):
    """The last proof of who the buyer is lies too far back for this."""

    code = ErrorCode.REAUTH_REQUIRED


class SecondFactorRequired(Refusal):
    """The first proof was right, and the account has a second factor: `challenge` waits for a code of it."""

    code = ErrorCode.SECOND_FACTOR_REQUIRED

    def __init__(self, challenge: str, expires_at: datetime, recovery_codes_left: int):
        super().__init__()
        self.challenge, self.expires_at, self.recovery_codes_left = challenge, expires_at, recovery_codes_left


class SignUpClosed(Refusal):
    """The policy closes this way of signing in in the region; `open_kinds` are those that it opens for the same."""

    code = ErrorCode.SIGN_UP_CLOSED

    def __init__(self, open_kinds: list[str]):
        super().__init__()
        self.open_kinds = open_kinds


class RateLimited(Refusal):
    code = ErrorCode.RATE_LIMITED

    def __init__(self, retry_after_seconds: int, *, field: str | None = None):
        super().__init__(field=field, retry_after_seconds=retry_after_seconds)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(Refusal):
    """The action is not allowed now; `code` says why, the instants (UTC) when it is."""

    code = ErrorCode.WRONG_STATE

    def __init__(
        self,
        code: ErrorCode,
        *,
        field: str | None = None,
        text: str | None = None,
        available_from: datetime | None = None,
        available_until: datetime | None = None,
        **values: Any,
    ):
        super().__init__(code, field=field, text=text, **values)
        self.available_from = available_from
        self.available_until = available_until


class Failure(Exception):
    """The whole call fails: a top-level error with a code, and a time to try again where that helps."""

    def __init__(self, code: ErrorCode, *, text: str | None = None, retry_after_seconds: int | None = None, **values: Any):
        self.code = code
        self.text = text or code.name
        self.retry_after_seconds = retry_after_seconds
        self.values = {"retry_after_seconds": retry_after_seconds, **values}
        super().__init__(self.text)


class Unauthenticated(Failure):
    def __init__(self) -> None:
        super().__init__(ErrorCode.UNAUTHENTICATED)


class Forbidden(Failure):
    def __init__(self, scope: str) -> None:
        super().__init__(ErrorCode.FORBIDDEN, scope=scope)
