"""uvicorn's HTTP protocol with bounds on what comes before a request is one.

Give the class to uvicorn as `http`. Against the stock protocol: a head that never ends or is not HTTP is refused in the
shape of every other refusal, a connection on which none comes is closed, and there are never so many connections that
the process cannot open a file.
"""

import asyncio
import enum
import secrets
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from delivery.texts import FALLBACK
from models.refusals import ErrorCode
from wire.errors import RequestError, request_errors
from wire.exchange import ALWAYS
from wire.http import MAX_HEADER_BYTES, MAX_QUERY_STRING
from wire.negotiation import JSON

try:
    import resource
except ImportError:  # Windows knows no such limit
    resource = None  # type: ignore[assignment]

HEAD_SECONDS = 10.0
MAX_HEAD_BYTES = MAX_HEADER_BYTES + MAX_QUERY_STRING + 16 * 1024  # what lies between is the endpoint's to refuse
LINGER_SECONDS = 1.0  # how long what was on its way is still read, so that no reset overtakes the refusal
ON_ITS_WAY_SECONDS = 0.2  # how long an idle connection is kept open when the server stops
FILES_KEPT_FREE = 100

REASONS = {400: b"Bad Request", 408: b"Request Timeout", 431: b"Request Header Fields Too Large", 503: b"Service Unavailable"}


class Stage(enum.Enum):
    IDLE = 1
    HEAD = 2
    BODY = 3


class OneWrite:
    """A response's transport: its head waits for its body until the end of the loop's turn, so that both are one call."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop):
        self.transport = transport
        self.loop = loop
        self.head: bytes | None = None
        self.begun = False

    def write(self, data: bytes) -> None:
        if not self.begun:
            self.begun, self.head = True, data
            self.loop.call_soon(self.flush)
        elif self.head is None:
            self.transport.write(data)
        else:
            head, self.head = self.head, None
            self.transport.write(head + data)

    def flush(self) -> None:
        if self.head is not None:
            head, self.head = self.head, None
            self.transport.write(head)

    def is_closing(self) -> bool:
        return self.transport.is_closing()

    def close(self) -> None:
        self.flush()
        self.transport.close()


class HttpProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stage = Stage.IDLE
        self.head_size = 0
        self.head_timer: asyncio.TimerHandle | None = None
        self.refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > most_connections():
            self.refuse(RequestError(503, ErrorCode.OVERLOADED, retry_after_seconds=1))
            return
        self.head_timer = self.loop.call_later(HEAD_SECONDS, self.head_is_late)

    def data_received(self, data: bytes) -> None:
        if self.refused:
            return
        super().data_received(data)
        if self.stage is Stage.HEAD:
            self.head_size += len(data)
            if self.head_size > MAX_HEAD_BYTES:
                self.refuse(RequestError(431, ErrorCode.HEADERS_TOO_LARGE))
            elif self.head_timer is None:
                self.head_timer = self.loop.call_later(HEAD_SECONDS, self.head_is_late)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.stage, self.head_size = Stage.HEAD, 0

    def on_headers_complete(self) -> None:
        self.stage = Stage.BODY
        self.stop_head_timer()
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before:
            self.cycle.transport = OneWrite(self.transport, self.loop)  # type: ignore[assignment]

    def on_message_complete(self) -> None:
        self.stage = Stage.IDLE
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self.stop_head_timer()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server stops. A request that is on its way is answered, so that its client need not guess what became of it."""
        if self.cycle is None or self.cycle.response_complete:
            self.loop.call_later(ON_ITS_WAY_SECONDS, super().shutdown)
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        self.refuse(RequestError(400, ErrorCode.BAD_REQUEST))

    def head_is_late(self) -> None:
        self.head_timer = None
        if self.stage is Stage.HEAD:
            self.refuse(RequestError(408, ErrorCode.REQUEST_TIMEOUT))
        elif not self.refused:
            self.transport.close()

    def stop_head_timer(self) -> None:
        if self.head_timer is not None:
            self.head_timer.cancel()
            self.head_timer = None

    def refuse(self, refused: RequestError) -> None:
        """Say so and hang up. Where an answer is on its way, nothing can be said any more."""
        self.stop_head_timer()
        if self.refused or self.transport.is_closing():
            return
        self.refused = True
        if self.cycle is not None:
            self.cycle.transport.flush()  # type: ignore[attr-defined]
        if self.cycle is None or self.cycle.response_complete:
            body = orjson.dumps({"errors": request_errors(refused, secrets.token_hex(8), FALLBACK)})
            headers = [(b"content-type", JSON), (b"content-length", b"%d" % len(body)), *ALWAYS, (b"connection", b"close")]
            if refused.retry_after_seconds is not None:
                headers.append((b"retry-after", b"%d" % refused.retry_after_seconds))
            head = b"".join(b"%s: %s\r\n" % header for header in headers)
            self.transport.write(b"HTTP/1.1 %d %s\r\n%s\r\n%s" % (refused.status, REASONS[refused.status], head, body))
            if self.transport.can_write_eof():
                self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)


def most_connections() -> int:
    """How many connections this process may have, so that it can always open another hundred files."""
    if resource is None:
        return 10_000
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1_000_000 if soft == resource.RLIM_INFINITY else max(soft - FILES_KEPT_FREE, 1)
