"""What one process has for answering: put together once by the server, handed to every front."""

import itertools
import secrets
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

from graphql import FieldNode, OperationDefinitionNode, TypeInfo, TypeInfoVisitor, Visitor, visit

from auth.credentials import Credentials, is_staff_token, viewer_of
from auth.passwords import Passwords
from auth.providers.configured import configured
from auth.providers.outbound import Outbound
from auth.providers.provider import Provider
from auth.sessions import Tokens, tokens_of
from auth.viewer import Viewer
from delivery.bus import Bus
from models import clock
from schema.context import Context
from schema.edges import PERSONAL
from schema.root import graphql_schema
from settings import Settings
from wire import execution
from wire.budget import Budget
from wire.costs import check_list_sizes
from wire.documents import Documents, Prepared
from wire.execution import Engine, Event
from wire.sockets import Sockets
from wire.streams import Streams

_request_numbers = itertools.count(secrets.randbits(64))  # told apart between processes, without asking the system each time


@dataclass
class Service:
    """One process's. `demo` is what the page of demo mode may know: the buyers to sign in as and the staff token."""

    settings: Settings
    engine: Engine
    documents: Documents
    passwords: Passwords
    bus: Bus = field(default_factory=Bus)
    outbound: Outbound = field(default_factory=Outbound)
    demo: dict[str, Any] | None = None
    draining: bool = False
    budget: Budget | None = field(init=False)
    sockets: Sockets = field(init=False)
    streams: Streams = field(init=False)
    providers: dict[str, Provider] = field(init=False)

    def __post_init__(self) -> None:
        self.sockets = Sockets(self.tokens_of, self.settings)
        self.streams = Streams(self)
        self.providers = configured(self.settings, self.outbound)
        self.budget = Budget(self.settings) if self.settings.bounds_cost else None

    @classmethod
    def put_together(cls, settings: Settings) -> "Service":
        """A service with these settings; its database, bus and worker are the server's to open."""
        schema = graphql_schema(demo=settings.is_demo)
        check_list_sizes(schema)
        return cls(settings, Engine(schema, settings), Documents(schema, settings), Passwords(settings))

    async def viewer(self, credentials: Credentials) -> Viewer:
        """Who asks, at the domain's instant of now."""
        return await viewer_of(credentials, self.settings, await clock.now())

    async def tokens_of(self, session_id: int) -> Tokens | None:
        """What a session goes by now; None where it counts no longer."""
        return await tokens_of(session_id, self.settings)

    async def is_staff_token(self, token: str) -> bool:
        return await is_staff_token(token)

    def context(self, viewer: Viewer, resume_after: str | None = None) -> Context:
        """A new operation's context, with a request id of its own."""
        return Context(
            viewer=viewer,
            settings=self.settings,
            bus=self.bus,
            passwords=self.passwords,
            request_id=f"{next(_request_numbers) & 0xFFFF_FFFF_FFFF_FFFF:016x}",
            resume_after=resume_after,
        )

    async def execute(self, prepared: Prepared, variables: dict[str, Any], context: Context) -> dict[str, Any]:
        """See `wire.execution.execute`.

        Raises, besides:
            Failure: RATE_LIMITED, the caller has asked for too much lately.
        """
        if self.budget is not None:
            self.budget.spend(context.viewer, prepared.reach.cost(prepared.operation, variables))
        return await execution.execute(self.engine, prepared, variables, context)

    def subscribe(self, prepared: Prepared, variables: dict[str, Any], context: Context) -> AsyncGenerator[Event, None]:
        """See `wire.execution.subscribe`."""
        return execution.subscribe(self.engine, prepared, variables, context)

    def is_shared(self, prepared: Prepared) -> bool:
        """Whether everybody who subscribes so gets the same answers: no field of it depends on the viewer."""
        shared = prepared.plans.get("shared")
        if shared is None:
            shared = prepared.plans["shared"] = not _asks_personal(self.engine, prepared)
        return shared


def _asks_personal(engine: Engine, prepared: Prepared) -> bool:
    info, found = TypeInfo(engine.schema), []

    class Look(Visitor):
        def enter_field(self, node: FieldNode, *_: Any) -> None:
            definition = info.get_field_def()
            declared = definition.extensions.get("strawberry-definition") if definition else None
            if declared is not None and declared.metadata.get(PERSONAL):
                found.append(node)

        def enter_operation_definition(self, node: OperationDefinitionNode, *_: Any) -> Any:
            return None if node is prepared.operation else False

    visit(prepared.document, TypeInfoVisitor(info, Look()))
    return bool(found)
