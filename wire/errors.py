"""What is not part of the schema goes wrong in one shape, over HTTP, event streams and sockets alike.

`{"message", "locations"?, "path"?, "extensions": {"code", "requestId", "field"?, "retryAfterSeconds"?}}`
"""

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

from delivery.texts import text
from models.refusals import ErrorCode, Failure, Refusal

IN_GRAPHQL = frozenset(
    {
        ErrorCode.GRAPHQL_PARSE_FAILED,
        ErrorCode.GRAPHQL_VALIDATION_FAILED,
        ErrorCode.OPERATION_RESOLUTION_FAILURE,
        ErrorCode.OPERATION_NOT_SUPPORTED,
        ErrorCode.QUERY_TOO_COMPLEX,
        ErrorCode.INTROSPECTION_DISABLED,
        ErrorCode.BAD_USER_INPUT,
    }
)
"""Codes of a request that was read and not run: 400, or 200 for a client that takes only application/json."""

TRY_AGAIN = frozenset(
    {ErrorCode.TIMEOUT, ErrorCode.OVERLOADED, ErrorCode.STORAGE_UNAVAILABLE, ErrorCode.UPSTREAM_UNAVAILABLE}
)

log = logging.getLogger("kabinet.wire")


class Detail(NamedTuple):
    """One of several faults of a document: a sentence for its author, without any value, and where (line, column)."""

    message: str
    locations: list[dict[str, int]]


class RequestError(Exception):
    """The request is refused as a whole before anything is run.

    `text` picks the sentence in `locales/` (default: the code). `details` are the faults of a document, one error each.
    """

    def __init__(
        self,
        status: int,
        code: ErrorCode,
        *,
        text: str | None = None,
        headers: dict[str, str] | None = None,
        retry_after_seconds: int | None = None,
        locations: list[dict[str, int]] | None = None,
        field: str | None = None,
        details: Sequence[Detail] = (),
    ):
        self.status = status
        self.code = code
        self.text = text or code.name
        self.headers = headers or {}
        self.retry_after_seconds = retry_after_seconds
        self.locations = locations
        self.field = field
        self.details = details
        self.values = {} if retry_after_seconds is None else {"retry_after_seconds": retry_after_seconds}
        super().__init__(self.text)


def error_body(
    problem: RequestError | Failure | Refusal,
    request_id: str,
    language: str,
    *,
    path: list[str | int] | None = None,
    detail: Detail | None = None,
) -> dict[str, Any]:
    """One member of `errors`, its message in `language`."""
    message = text(problem.text, language, **problem.values)
    extensions: dict[str, Any] = {"code": problem.code.value, "requestId": request_id}
    locations = getattr(problem, "locations", None)
    if detail is not None:
        message = f"{message} {detail.message}" if detail.message else message
        locations = detail.locations
    if (field := getattr(problem, "field", None)) is not None:
        extensions["field"] = field
    if (seconds := getattr(problem, "retry_after_seconds", None)) is not None:
        extensions["retryAfterSeconds"] = seconds
    body: dict[str, Any] = {"message": message}
    if locations:
        body["locations"] = locations
    if path is not None:
        body["path"] = path
    body["extensions"] = extensions
    return body


def request_errors(problem: RequestError | Failure, request_id: str, language: str) -> list[dict[str, Any]]:
    """The whole `errors` of a refused request."""
    details = getattr(problem, "details", ())
    if not details:
        return [error_body(problem, request_id, language)]
    return [error_body(problem, request_id, language, detail=detail) for detail in details]


def logged(problem: BaseException, request_id: str) -> None:
    """Leave a bug in the log, under the id that its victim was given."""
    log.error("Internal error in request %s", request_id, exc_info=problem, extra={"request_id": request_id})
