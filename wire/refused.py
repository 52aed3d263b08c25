"""What is refused outside /graphql: a small page for a browser, the wire's JSON for a program; and requests by a Host that is not ours."""

import html
import secrets

import orjson
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from delivery.texts import FALLBACK, spoken, text
from models.refusals import ErrorCode, Failure
from settings import Settings
from wire.errors import TRY_AGAIN, RequestError, request_errors
from wire.exchange import ALWAYS
from wire.handshake import header
from wire.health import LIVE, READY
from wire.hosts import Hosts

PAGE = """<!doctype html>
<html lang="{language}"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Kabinet</title>
<p>{message}</p><p><small>{code}</small></p></html>
"""


def refusal(request: Request, refused: RequestError | Failure, request_id: str | None = None) -> Response:
    """The answer, without the headers of every answer."""
    language = spoken(header(request.scope, b"accept-language")) or FALLBACK
    if isinstance(refused, RequestError):
        status, headers = refused.status, dict(refused.headers)
    else:
        status, headers = 503 if refused.code in TRY_AGAIN else 429 if refused.code is ErrorCode.RATE_LIMITED else 500, {}
        if refused.retry_after_seconds is not None:
            headers["Retry-After"] = str(refused.retry_after_seconds)
    if "text/html" in (header(request.scope, b"accept") or ""):
        message = html.escape(text(refused.text, language, **refused.values))
        return HTMLResponse(PAGE.format(language=language, message=message, code=refused.code.value), status, headers)
    body = orjson.dumps({"errors": request_errors(refused, request_id or secrets.token_hex(8), language)})
    return Response(body, status, headers, media_type="application/json")


class OurHosts:
    """The application for requests by our own names; by another one nothing is shown, found or done, whatever the path is.

    Health answers everybody: balancers ask for it by an address, or by no name at all. Sockets look at their Host themselves.
    """

    def __init__(self, app: ASGIApp, settings: Settings):
        self.app, self.hosts = app, Hosts(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in (LIVE, READY) or self._is_ours(scope):
            await self.app(scope, receive, send)
            return
        response = refusal(Request(scope), RequestError(400, ErrorCode.BAD_REQUEST))
        kept = [pair for pair in ALWAYS if pair[0] != b"vary"]
        response.raw_headers.extend([*kept, (b"vary", b"Accept, Accept-Language")])
        await response(scope, receive, send)

    def _is_ours(self, scope: Scope) -> bool:
        return self.hosts.is_known((header(scope, b"host") or "").encode("latin-1"))
