"""POST, GET and HEAD /graphql: from bytes to an operation, from its result to bytes.

Checks come in one order and the first that fails answers: host, overload, method, size, media type, Accept, origin,
JSON, document, limits, validation, variables; who asks is looked at last. A plain ASGI endpoint: no request or
response objects, the head read in one loop, what does not change between answers encoded once.
"""

import asyncio
from typing import Any

import orjson
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from auth.credentials import LONGEST_AGENT, Credentials
from auth.origins import origin_allowed
from models.refusals import ErrorCode, Failure
from models.sessions import STAFF_PREFIX
from schema.context import Context
from settings import Mode
from wire import graphiql, sse
from wire.body import GraphQLRequest, asked, posted
from wire.cookies import (
    browser_cookie,
    browser_cookie_name,
    cookie_name,
    device_cookie,
    device_cookie_name,
    no_cookie,
    session_cookie,
)
from wire.documents import Prepared
from wire.errors import RequestError
from wire.exchange import ALWAYS, RETRY_SECONDS, Exchange, Headers, internal, refuse, status_of
from wire.head import Head, bearer_of, cookie_in, language_of, may_bring_cookies, read_head, require_origin
from wire.hosts import Hosts, Proxies
from wire.negotiation import Accepted, accepted, is_json
from wire.process import Service

MAX_HEADERS = 100
MAX_HEADER_BYTES = 32 * 1024
MAX_QUERY_STRING = 16 * 1024
ALLOWED = "GET, POST"
ORIGINS_KEPT = 1024

PREFLIGHT: Headers = [
    (b"access-control-allow-methods", b"GET, POST"),
    (
        b"access-control-allow-headers",
        b"Accept, Accept-Language, Authorization, Content-Type, GraphQL-Require-Preflight, Last-Event-ID, X-Requested-With",
    ),
    (b"access-control-max-age", b"600"),
]


class Gone(Exception):
    """The client left while it was sending."""


class Front:
    """The endpoint of one service. `running` is how many operations are at work in it."""

    def __init__(self, service: Service):
        self.service = service
        self.settings = service.settings
        self.hosts = Hosts(service.settings)
        self.proxies = Proxies(service.settings)
        self.origins: dict[tuple[bytes, bytes], bool] = {}
        self.cookie = cookie_name(service.settings).encode() + b"="
        self.device_cookie = device_cookie_name(service.settings).encode() + b"="
        self.browser_cookie = browser_cookie_name(service.settings).encode() + b"="
        self.has_page = service.settings.mode is not Mode.PRODUCTION
        self.running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head, size = read_head(scope["headers"])
        exchange = Exchange(scope, receive, send, head)
        origin = head.get(b"origin")
        allowed = origin is not None and self._is_allowed(origin, head.get(b"host", b""))
        if allowed:
            exchange.headers = [
                (b"access-control-allow-origin", origin),  # type: ignore[list-item]
                (b"access-control-allow-credentials", b"true"),
                (b"access-control-expose-headers", b"Retry-After"),
            ]
        try:
            if size > MAX_HEADER_BYTES or len(scope["headers"]) > MAX_HEADERS:
                raise RequestError(431, ErrorCode.HEADERS_TOO_LARGE)
            if not self.hosts.is_known(head.get(b"host")):
                raise RequestError(400, ErrorCode.BAD_REQUEST)
            if self.running >= self.settings.max_running:
                raise RequestError(503, ErrorCode.OVERLOADED, retry_after_seconds=RETRY_SECONDS)
            method = scope["method"]
            if method == "POST":
                await self._post(exchange, allowed)
            elif method in ("GET", "HEAD"):
                await self._get(exchange, allowed)
            elif method == "OPTIONS":
                await _options(exchange, allowed)
            else:
                raise RequestError(405, ErrorCode.METHOD_NOT_ALLOWED, headers={"Allow": ALLOWED})
        except (RequestError, Failure) as refused:
            await refuse(exchange, refused)
        except Gone:
            pass

    async def _post(self, exchange: Exchange, origin_is_allowed: bool) -> None:
        head = exchange.head
        body = await self._body(exchange)
        if head.get(b"content-encoding", b"identity").lower() != b"identity" or not is_json(head.get(b"content-type", b"")):
            raise RequestError(415, ErrorCode.UNSUPPORTED_MEDIA_TYPE)
        takes = exchange.accepted = accepted(head.get(b"accept"))
        if takes.json is None and not takes.stream:
            raise RequestError(406, ErrorCode.NOT_ACCEPTABLE)
        require_origin(head, origin_is_allowed)
        if b"cookie" in head and not may_bring_cookies(head):
            raise RequestError(403, ErrorCode.CSRF_REJECTED)
        await self._run(exchange, takes, posted(body), is_get=False)

    async def _get(self, exchange: Exchange, origin_is_allowed: bool) -> None:
        query_string = exchange.scope["query_string"]
        if len(query_string) > MAX_QUERY_STRING:
            raise RequestError(414, ErrorCode.URI_TOO_LONG)
        takes = exchange.accepted = accepted(exchange.head.get(b"accept"))
        names_document = b"query=" in query_string
        if takes.html and not names_document and self.has_page:
            await graphiql.page(self.service, exchange.scope, exchange.receive, exchange.send)
            return
        if takes.json is None and not takes.stream:
            raise RequestError(406, ErrorCode.NOT_ACCEPTABLE)
        require_origin(exchange.head, origin_is_allowed)
        request = asked(query_string)
        if request is None:
            raise RequestError(400, ErrorCode.BAD_REQUEST)
        await self._run(exchange, takes, request, is_get=True)

    async def _body(self, exchange: Exchange) -> bytes:
        """All of the body.

        Raises:
            RequestError: PAYLOAD_TOO_LARGE as soon as that is known, REQUEST_TIMEOUT, BAD_REQUEST.
        """
        limit = self.settings.max_body_bytes
        declared = exchange.head.get(b"content-length")
        if declared is not None:
            if not declared.isdigit() or len(declared) > 18:
                raise RequestError(400, ErrorCode.BAD_REQUEST)
            if int(declared) > limit:
                limit = await self._larger_limit(exchange.head, int(declared))
        try:
            async with asyncio.timeout(self.settings.request_seconds):
                parts: list[bytes] = []
                size, more = 0, True
                while more:
                    message = await exchange.receive()
                    if message["type"] == "http.disconnect":
                        raise Gone
                    parts.append(message.get("body", b""))
                    size, more = size + len(parts[-1]), message.get("more_body", False)
                    if size > limit:
                        limit = await self._larger_limit(exchange.head, size)
        except TimeoutError:
            raise RequestError(408, ErrorCode.REQUEST_TIMEOUT, headers={"Connection": "close"}) from None
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _larger_limit(self, head: Head, size: int) -> int:
        """How large a body may be that is larger than a buyer's.

        Raises:
            RequestError: PAYLOAD_TOO_LARGE.
        """
        limit, token = self.settings.max_staff_body_bytes, bearer_of(head)
        if size > limit or token is None or not token.startswith(STAFF_PREFIX) or not await self.service.is_staff_token(token):
            raise RequestError(413, ErrorCode.PAYLOAD_TOO_LARGE)
        return limit

    def _is_allowed(self, origin: bytes, host: bytes) -> bool:
        allowed = self.origins.get((origin, host))
        if allowed is None:
            if len(self.origins) >= ORIGINS_KEPT:
                self.origins.clear()
            allowed = origin_allowed(origin.decode("latin-1"), host.decode("latin-1").lower(), self.settings)
            self.origins[origin, host] = allowed
        return allowed

    async def _run(self, exchange: Exchange, takes: Accepted, request: GraphQLRequest, is_get: bool) -> None:
        prepared = self.service.documents.prepare(request.query, request.operation_name, request.variables)
        if is_get and prepared.kind == "mutation":
            raise RequestError(405, ErrorCode.METHOD_NOT_ALLOWED, headers={"Allow": "POST"})
        if prepared.kind == "subscription" and not takes.stream:
            raise RequestError(400, ErrorCode.OPERATION_NOT_SUPPORTED)
        if takes.json is None or prepared.kind == "subscription":
            await self._stream(exchange, prepared, request.variables)
            return
        self.running += 1
        try:
            result, body = await self._result(exchange, prepared, request.variables)
        finally:
            self.running -= 1
        status = status_of(result, exchange.headers) if "errors" in result else 200
        await exchange.answer(status, takes.json, body)

    async def _result(
        self, exchange: Exchange, prepared: Prepared, variables: dict[str, Any]
    ) -> tuple[dict[str, Any], bytes]:
        """What the operation answers, as it is and as JSON."""
        try:
            context = await self._context(exchange)
            result = await self.service.execute(prepared, variables, context)
            body = orjson.dumps(result)
        except (RequestError, Failure):
            raise
        except Exception as bug:
            result = {"data": None, "errors": internal(bug, exchange)}
            return result, orjson.dumps(result)
        if context.new_session_token is not None:
            exchange.headers = [h for h in exchange.headers if h[0] != b"set-cookie"]
            exchange.headers.append((b"set-cookie", session_cookie(context.new_session_token, self.settings, context.new_session_is_remembered)))
            if context.new_device_token is not None:
                exchange.headers.append((b"set-cookie", device_cookie(context.new_device_token, self.settings)))
        elif context.session_ended:
            exchange.headers.append((b"set-cookie", no_cookie(self.settings)))
            exchange.headers.append((b"clear-site-data", b'"cookies", "storage"'))
        if context.new_browser_token is not None and may_bring_cookies(exchange.head):
            exchange.headers.append((b"set-cookie", browser_cookie(context.new_browser_token, self.settings)))
        return result, body

    async def _stream(self, exchange: Exchange, prepared: Prepared, variables: dict[str, Any]) -> None:
        context = await self._context(exchange)
        headers = [*ALWAYS, *exchange.headers]
        await sse.respond(
            self.service, prepared, variables, context, exchange.scope, exchange.receive, exchange.send, headers
        )

    async def _context(self, exchange: Exchange) -> Context:
        head = exchange.head
        cookie = cookie_in(head.get(b"cookie"), self.cookie)
        viewer = await self.service.viewer(
            Credentials(
                cookie=cookie,
                bearer=bearer_of(head),
                address=self.proxies.address(exchange.scope, head.get(b"x-forwarded-for")),
                agent=head.get(b"user-agent", b"")[:LONGEST_AGENT].decode("latin-1"),
                language=language_of(head.get(b"accept-language")),
                device=cookie_in(head.get(b"cookie"), self.device_cookie),
                browser=cookie_in(head.get(b"cookie"), self.browser_cookie),
            )
        )
        if viewer.refused and cookie is not None:
            exchange.headers.append((b"set-cookie", no_cookie(self.settings)))
        resume_after = head.get(b"last-event-id")
        context = self.service.context(viewer, resume_after.decode("latin-1") if resume_after else None)
        exchange.context = context
        return context


def routes(service: Service) -> list[Route]:
    """The endpoint, for every method."""
    return [Route("/graphql", Front(service))]


async def _options(exchange: Exchange, origin_is_allowed: bool) -> None:
    if b"origin" in exchange.head and not origin_is_allowed:
        raise RequestError(403, ErrorCode.CSRF_REJECTED)
    if origin_is_allowed:
        exchange.headers.extend(PREFLIGHT)
    exchange.headers.append((b"allow", b"GET, HEAD, OPTIONS, POST"))
    await exchange.answer(204, None, b"")


