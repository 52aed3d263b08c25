"""A small schema behind the real HTTP front: what it answers, how slowly and for whom is in the tests' hands."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from graphql import ExecutionResult, build_schema, execute, get_variable_values
from starlette.applications import Starlette

from auth.credentials import Credentials
from auth.viewer import Viewer
from models.refusals import ErrorCode, Failure
from schema.context import Context
from settings import Settings, read_settings
from tests.wire.small_service import as_awaited, served
from wire import http
from wire.documents import Documents, Prepared
from wire.errors import RequestError, error_body

SCHEMA = build_schema("""
enum Colour { RED }
input Thing { name: String! colour: Colour size: Int }
type Query { hello(name: String): String! me: Int wait(seconds: Float!): Int! bug: Int fail(code: String!): Int things(of: [Thing!]): Int }
type Mutation { write: Int signIn(email: String): Int signOut: Int }
type Subscription { count: Int! }
""")


@dataclass
class HttpService:
    settings: Settings
    documents: Documents
    demo: None = None
    written: int = 0
    begun: int = 0
    asked_by: list[Credentials] = field(default_factory=list)

    async def viewer(self, credentials: Credentials) -> Viewer:
        self.asked_by.append(credentials)
        viewer = Viewer(now=datetime.now(UTC), language=credentials.language or "en")
        token = credentials.bearer or credentials.cookie
        viewer.account_id = 7 if token == "good" else None
        viewer.refused = token is not None and token not in ("good", "kst_good")
        return viewer

    async def is_staff_token(self, token: str) -> bool:
        return token == "kst_good"

    def context(self, viewer: Viewer, resume_after: str | None = None) -> Context:
        return Context(viewer, self.settings, None, None, request_id="r1", resume_after=resume_after)  # type: ignore[arg-type]

    async def execute(self, prepared: Prepared, variables: dict[str, Any], context: Context) -> dict[str, Any]:
        definitions = prepared.operation.variable_definitions or []
        if isinstance(get_variable_values(SCHEMA, definitions, variables), list):
            raise RequestError(400, ErrorCode.BAD_USER_INPUT)
        self.begun += 1
        name = prepared.operation.name.value if prepared.operation.name else None
        result = await as_awaited(execute(SCHEMA, prepared.document, Root(self), context, variables, operation_name=name))
        return answer(result, context)


def answer(result: ExecutionResult, context: Context) -> dict[str, Any]:
    errors = []
    for error in result.errors or ():
        cause = error.original_error
        if not isinstance(cause, Failure):
            assert cause is not None
            raise cause
        errors.append(error_body(cause, context.request_id, context.language, path=error.path))
    return {"data": result.data, "errors": errors} if errors else {"data": result.data}


@dataclass
class Root:
    """The resolvers: graphql-core finds them by name."""

    service: HttpService

    def hello(self, info: Any, name: str = "world") -> str:
        return f"Hello, {name}"

    def me(self, info: Any) -> int | None:
        return info.context.viewer.require_buyer()

    async def wait(self, info: Any, seconds: float) -> int:
        await asyncio.sleep(seconds)
        return 1

    def bug(self, info: Any) -> int:
        raise ValueError("SELECT secret")

    def fail(self, info: Any, code: str) -> int:
        raise Failure(ErrorCode[code], retry_after_seconds=3)

    def write(self, info: Any) -> int:
        self.service.written += 1
        return self.service.written

    def signIn(self, info: Any, email: str | None = None) -> int:
        info.context.new_session_token = "fresh"
        return 1

    def signOut(self, info: Any) -> int:
        info.context.session_ended = True
        return 1


@asynccontextmanager
async def answering(**settings: Any) -> AsyncIterator[tuple[str, HttpService]]:
    """The front on a real server; yields its address and the service behind it."""
    given = read_settings(**{"mode": "demo", **settings})
    service = HttpService(given, Documents(SCHEMA, given))
    app = Starlette(routes=http.routes(service))  # type: ignore[arg-type]
    async with served(app, server_header=False, proxy_headers=False) as port:
        yield f"http://127.0.0.1:{port}", service
