"""A small schema behind the real front: what it answers, how slowly and for whom is in the tests' hands."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import uvicorn
from graphql import build_schema, execute, subscribe
from starlette.applications import Starlette

from auth.credentials import Credentials
from auth.sessions import Tokens
from auth.viewer import Viewer
from delivery.bus import Bus
from models.refusals import Failure, Unauthenticated
from settings import Settings, read_settings
from wire import websocket
from wire.documents import Documents
from wire.errors import error_body
from wire.socket_protocol import SocketProtocol
from wire.sockets import Sockets, open_sockets
from wire.streams import Streams

SCHEMA = build_schema("""
type Query { hello(name: String): String! wait(seconds: Float!): Int! me: Int bug: Int text(size: Int!): String! }
type Mutation { write: Int! }
type Subscription { count(to: Int!, size: Int = 1): String! news(of: ID!): String! mine: String! bug: Int! }
""")

TOKENS = {"ann": (1, 11), "ann-elsewhere": (1, 12), "bob": (2, 21)}


@dataclass
class Event:
    payload: dict[str, Any]
    cursor: str | None = None


@dataclass
class Context:
    viewer: Viewer
    service: "SmallService"
    request_id: str = "request"
    resume_after: str | None = None

    @property
    def language(self) -> str:
        return self.viewer.language


@dataclass
class SmallService:
    settings: Settings
    bus: Bus
    sockets: Sockets
    documents: Documents
    streams: Streams = None  # type: ignore[assignment]
    ended: set[int] = field(default_factory=set)
    tokens: dict[int, Tokens] = field(default_factory=dict)
    running: int = 0
    begun: int = 0
    cancelled: int = 0
    said: str = ""
    agents: list[str] = field(default_factory=list)

    def is_shared(self, prepared: Any) -> bool:
        return prepared.operation.selection_set.selections[0].name.value == "news"

    async def viewer(self, credentials: Credentials) -> Viewer:
        viewer = Viewer(now=datetime.now(UTC), language=credentials.language or "en", address=credentials.address)
        token = credentials.bearer or credentials.cookie
        if token:
            account, session = TOKENS.get(token, (0, 0))
            if not account or session in self.ended:
                viewer.refused = True
            else:
                viewer.account_id, viewer.session_id, viewer.token_hash = account, session, token
        return viewer

    def context(self, viewer: Viewer) -> Context:
        return Context(viewer, self)

    async def execute(self, prepared: Any, variables: dict[str, Any], context: Context) -> dict[str, Any]:
        name = prepared.operation.name.value if prepared.operation.name else None
        result = await as_awaited(
            execute(SCHEMA, prepared.document, Root(), context, variables, operation_name=name)
        )
        return answer(result, context)

    async def subscribe(self, prepared: Any, variables: dict[str, Any], context: Context) -> AsyncIterator[Event]:
        name = prepared.operation.name.value if prepared.operation.name else None
        stream = await as_awaited(
            subscribe(SCHEMA, prepared.document, Root(), context, variables, operation_name=name)
        )
        if not hasattr(stream, "__anext__"):
            raise stream.errors[0].original_error or stream.errors[0]
        self.running += 1
        self.begun += 1
        try:
            async for result in stream:
                yield Event(answer(result, context), cursor=str(self.begun))
        except BaseException as end:
            self.cancelled += isinstance(end, asyncio.CancelledError | GeneratorExit)
            raise
        finally:
            self.running -= 1
            await stream.aclose()


async def as_awaited(value: Any) -> Any:
    return await value if hasattr(value, "__await__") else value


def answer(result: Any, context: Context) -> dict[str, Any]:
    if not result.errors:
        return {"data": result.data}
    errors = []
    for error in result.errors:
        cause = error.original_error if isinstance(error.original_error, Failure) else Unauthenticated()
        errors.append(error_body(cause, context.request_id, context.language, path=error.path))
    return {"data": result.data, "errors": errors}


class Root:
    """The resolvers: graphql-core finds them by name."""

    def hello(self, info: Any, name: str | None = None) -> str:
        return f"Hello, {name or 'world'}"

    async def wait(self, info: Any, seconds: float) -> int:
        await asyncio.sleep(seconds)
        return 1

    def me(self, info: Any) -> int | None:
        return info.context.viewer.account_id

    def bug(self, info: Any) -> Any:
        raise ValueError("secret")

    def text(self, info: Any, size: int) -> str:
        return "x" * size

    async def count(self, info: Any, to: int, size: int = 1) -> AsyncIterator[dict[str, Any]]:
        for number in range(to):
            yield {"count": str(number) * size}

    async def news(self, info: Any, of: str) -> AsyncIterator[dict[str, Any]]:
        service = info.context.service
        with service.bus.listen(f"product:{of}") as listener:
            while True:
                if await listener.wait(30):
                    yield {"news": service.said}

    async def mine(self, info: Any) -> AsyncIterator[dict[str, Any]]:
        context = info.context
        account = context.viewer.require_buyer()
        with context.service.bus.listen(f"account:{account}") as listener:
            while True:
                if await listener.wait(30):
                    yield {"mine": f"{account}: {context.service.said}"}


@asynccontextmanager
async def small_service(**settings: Any) -> AsyncIterator[SmallService]:
    """A service whose sessions end when they are put into `ended`, and go by what `tokens` says."""
    bus = Bus()
    ended: set[int] = set()
    tokens = {session: Tokens(token, None) for token, (_, session) in TOKENS.items()}

    async def tokens_of(session_id: int) -> Tokens | None:
        return None if session_id in ended else tokens[session_id]

    given = read_settings(**{"mode": "demo", **settings})
    async with open_sockets(bus, tokens_of, given) as sockets:
        service = SmallService(given, bus, sockets, Documents(SCHEMA, given), ended=ended, tokens=tokens)
        service.streams = Streams(service)  # type: ignore[arg-type]
        yield service


@asynccontextmanager
async def served(app: Any, **options: Any) -> AsyncIterator[int]:
    """The application on a real server of its own; yields the port."""
    with closing(socket.socket()) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        config = uvicorn.Config(
            app, ws=SocketProtocol, ws_max_size=64 * 1024, ws_per_message_deflate=False, log_level="warning", lifespan="off",
            timeout_graceful_shutdown=5, **options,
        )  # fmt: skip
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started:  # noqa: ASYNC110  uvicorn has no event for it
            await asyncio.sleep(0.01)
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            await serving


def sockets_app(service: Any) -> Starlette:
    return Starlette(routes=websocket.routes(service))
