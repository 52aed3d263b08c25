"""One request and its answer: what every answer says, how a refusal is answered, and with which status."""

import secrets
from typing import Any

import orjson
from starlette.types import Receive, Scope, Send

from delivery.texts import FALLBACK
from models.refusals import ErrorCode, Failure
from schema.context import Context
from wire.errors import IN_GRAPHQL, TRY_AGAIN, RequestError, logged, request_errors
from wire.head import Head, language_of
from wire.negotiation import JSON, Accepted

Headers = list[tuple[bytes, bytes]]

RETRY_SECONDS = 1
_TRY_AGAIN = frozenset(code.value for code in TRY_AGAIN)

ALWAYS: Headers = [
    (b"cache-control", b"no-store"),
    (b"vary", b"Origin, Accept"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"strict-transport-security", b"max-age=63072000; includeSubDomains"),
]


class Exchange:
    """One request and what its answer needs whatever becomes of it."""

    __slots__ = ("accepted", "context", "head", "headers", "receive", "scope", "send")

    def __init__(self, scope: Scope, receive: Receive, send: Send, head: Head):
        self.scope = scope
        self.receive = receive
        self.send = send
        self.head = head
        self.headers: Headers = []  # besides those of every answer
        self.accepted: Accepted | None = None
        self.context: Context | None = None

    @property
    def language(self) -> str:
        if self.context is not None:
            return self.context.language
        return language_of(self.head.get(b"accept-language")) or FALLBACK

    async def answer(self, status: int, content_type: bytes | None, body: bytes) -> None:
        """Send the whole answer; a content type of None stands for one without a body."""
        length = (b"content-length", b"%d" % len(body))
        own = [length] if content_type is None else [(b"content-type", content_type), length]
        await self.send({"type": "http.response.start", "status": status, "headers": [*own, *ALWAYS, *self.headers]})
        await self.send({"type": "http.response.body", "body": body})


async def refuse(exchange: Exchange, refused: RequestError | Failure) -> None:
    """Answer what is not done as a whole, in the media type that the client takes, where it has got so far."""
    context = exchange.context
    request_id = context.request_id if context is not None else secrets.token_hex(8)
    status, content_type = _status_of_codes({refused.code.value}), JSON
    if isinstance(refused, RequestError):
        status = refused.status
        exchange.headers.extend((name.lower().encode(), value.encode()) for name, value in refused.headers.items())
        if refused.code in IN_GRAPHQL and exchange.accepted is not None and exchange.accepted.json is not None:
            content_type = exchange.accepted.json
            status = 200 if content_type is JSON else status
    if status in (429, 503):
        exchange.headers.append((b"retry-after", b"%d" % (refused.retry_after_seconds or RETRY_SECONDS)))
    body = orjson.dumps({"errors": request_errors(refused, request_id, exchange.language)})
    await exchange.answer(status, content_type, body)


def internal(bug: Exception, exchange: Exchange) -> list[dict[str, Any]]:
    """What a client is told of a bug, which goes into the log under the same request id."""
    request_id = exchange.context.request_id if exchange.context is not None else secrets.token_hex(8)
    logged(bug, request_id)
    return request_errors(Failure(ErrorCode.INTERNAL_SERVER_ERROR), request_id, exchange.language)


def status_of(result: dict[str, Any], headers: Headers) -> int:
    """503 or 429 where nothing came of the operation but the advice to try again later; else 200."""
    data = result.get("data")
    if data is not None and any(value is not None for value in data.values()):
        return 200
    extensions = [error["extensions"] for error in result["errors"]]
    status = _status_of_codes({extension["code"] for extension in extensions})
    if status != 200:
        seconds = max((extension.get("retryAfterSeconds", 0) for extension in extensions), default=0)
        headers.append((b"retry-after", b"%d" % (seconds or RETRY_SECONDS)))
    return status


def _status_of_codes(codes: set[str]) -> int:
    if codes & _TRY_AGAIN:
        return 503
    return 429 if ErrorCode.RATE_LIMITED.value in codes else 200
