"""What is said over a socket: the graphql-transport-ws protocol, for queries and subscriptions.

Whatever a client sends, it is told by a message or by a close code of the protocol, never by 1006 or 1011. A document
that is wrong costs its operation only; a message that is wrong costs the socket.
"""

import asyncio
import logging
import time
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from starlette.types import Receive, Scope, Send

from auth.credentials import Credentials
from auth.viewer import Viewer
from models.refusals import ErrorCode
from wire.body import read_json
from wire.documents import Prepared
from wire.errors import RequestError
from wire.sockets import Place, TooMany
from wire.streams import Stream
from wire.transport_messages import BadMessage, Subscribe, bearer_of, checked, error_frame, frame, pong

if TYPE_CHECKING:
    from wire.process import Service

PROTOCOL = "graphql-transport-ws"
INIT_SECONDS = 5.0
MESSAGES_A_MINUTE = 120
MAX_SUBSCRIPTIONS = 20
MAX_QUERIES = 64
LEAVE_SECONDS = 5.0

log = logging.getLogger("kabinet.websocket")


class Closed(Exception):
    """The socket is to be closed with this code."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(reason)


class Gone(Exception):
    """The client is not there any more."""


class Conversation:
    """One socket from its acceptance to its end."""

    __slots__ = (
        "__weakref__",
        "_credentials",
        "_greeted",
        "_initialised",
        "_messages",
        "_minute_ends_at",
        "_operations",
        "_place",
        "_push",
        "_receive",
        "_send",
        "_service",
        "_tasks",
        "_viewer",
    )

    def __init__(self, service: "Service", credentials: Credentials, scope: Scope, receive: Receive, send: Send) -> None:
        self._service = service
        self._credentials = credentials
        self._receive = receive
        self._send = send
        self._push = scope.get("extensions", {}).get("kabinet.push")
        self._viewer: Viewer | None = None
        self._place: Place | None = None
        self._initialised = False
        self._greeted = False
        self._operations: dict[str, Stream | asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._minute_ends_at = 0.0
        self._messages = 0

    async def live(self) -> None:
        """Serve the connection until one side ends it."""
        try:
            await self._put({"type": "websocket.accept", "subprotocol": PROTOCOL})
            await self._converse()
        except Closed as closed:
            await self._close(closed.code, closed.reason)
        except Gone:
            pass
        except Exception:
            log.exception("a socket failed")
            await self._close(4500, "Internal error")
        finally:
            await self._leave()

    async def _converse(self) -> None:
        try:
            async with asyncio.timeout(INIT_SECONDS) as until_ready:
                while True:
                    message = await self._receive()
                    if message["type"] != "websocket.receive":
                        return
                    self._count_message()
                    await self._answer(message)
                    if self._viewer is not None and until_ready.when() is not None:
                        until_ready.reschedule(None)
        except TimeoutError:
            if not until_ready.expired():
                raise
            raise Closed(4408, "Connection initialisation timeout") from None

    def _count_message(self) -> None:
        now = time.monotonic()
        if now >= self._minute_ends_at:
            self._minute_ends_at, self._messages = now + 60, 0
        self._messages += 1
        if self._messages > MESSAGES_A_MINUTE:
            raise Closed(4429, "Too many messages")

    async def _answer(self, received: Any) -> None:
        raw = received.get("bytes")
        try:
            message = checked(read_json(received["text"].encode() if raw is None else raw))
        except (BadMessage, RequestError, UnicodeError) as wrong:
            raise Closed(4400, "Invalid message") from wrong
        match message["type"]:
            case "connection_init":
                await self._begin(message)
            case "ping":
                await self._say(pong(message))
            case "subscribe":
                await self._subscribe(Subscribe.of(message))
            case "complete":
                self._stop(message["id"])

    async def _begin(self, message: dict[str, Any]) -> None:
        if self._initialised:
            raise Closed(4429, "Too many initialisation requests")
        self._initialised = True
        try:
            bearer = bearer_of(message.get("payload") or {})
        except BadMessage:
            raise Closed(4401, "Unauthorized") from None
        if bearer is not None:
            self._credentials = replace(self._credentials, cookie=None, bearer=bearer)
        viewer = await self._present_viewer()
        if viewer.refused:
            raise Closed(4401, "Unauthorized")
        try:
            self._place = self._service.sockets.enter(viewer, self)
        except TooMany:
            raise Closed(4429, "Too many sockets") from None
        if self._place.session is not None:
            await self._look()  # it may have ended, or changed its token, since the viewer was read
        self._viewer = viewer
        # A turn or the end of an access token leaves the session, and with it the socket, alive.
        self._credentials = replace(self._credentials, session_id=viewer.session_id)
        self._be_greeted()
        await self._say(b'{"type":"connection_ack"}')

    async def _present_viewer(self) -> Viewer:
        """Who this is now: the clock runs and sessions end while a socket is open."""
        try:
            return await self._service.viewer(self._credentials)
        except Exception as failure:
            log.warning("a viewer could not be read: %s", type(failure).__name__)
            raise Closed(1013, "Try again later") from failure

    async def _subscribe(self, asked: Subscribe) -> None:
        if self._viewer is None:
            raise Closed(4401, "Unauthorized")
        if asked.id in self._operations:
            raise Closed(4409, f"Subscriber for {_shortened(asked.id)} already exists")
        try:
            prepared = self._service.documents.prepare(asked.query, asked.operation_name, asked.variables)
            self._require_room(prepared)
        except Exception as failure:
            await self._say(error_frame(asked.id, failure, self._viewer.language))
            return
        if prepared.kind == "subscription" and self._service.is_shared(prepared):
            self._operations[asked.id] = self._service.streams.join(
                self, asked.id, prepared, asked.variables, self._viewer.language
            )
        else:
            work = self._run_query if prepared.kind == "query" else self._run_subscription
            self._operations[asked.id] = self._spawn(self._run(asked, prepared, work), prepared.kind)

    def _require_room(self, prepared: Prepared) -> None:
        if prepared.kind == "mutation":
            raise RequestError(400, ErrorCode.OPERATION_NOT_SUPPORTED)
        queries = sum(isinstance(o, asyncio.Task) and o.get_name() == "query" for o in self._operations.values())
        full = queries >= MAX_QUERIES if prepared.kind == "query" else len(self._operations) - queries >= MAX_SUBSCRIPTIONS
        if full:
            raise RequestError(429, ErrorCode.LIMIT_REACHED)

    def _spawn(self, work: Any, name: str) -> asyncio.Task[Any]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _run(self, asked: Subscribe, prepared: Prepared, work: Any) -> None:
        """Run one operation of this socket's own, and say how it ended unless the client has stopped it."""
        request_id, language = None, self._credentials.language or "en"
        try:
            viewer = await self._present_viewer()
            if viewer.refused:
                raise Closed(4401, "session revoked")
            context = self._service.context(viewer)
            request_id, language = context.request_id, viewer.language
            last = await work(asked, prepared, context)
        except Closed as closed:
            await self._close(closed.code, closed.reason)
            return
        except Gone:
            return
        except Exception as failure:
            last = error_frame(asked.id, failure, language, request_id)
        if self._operations.get(asked.id) is asyncio.current_task():
            del self._operations[asked.id]
            await self._say_if_there(last)

    async def _run_query(self, asked: Subscribe, prepared: Prepared, context: Any) -> bytes:
        answer = await self._service.execute(prepared, asked.variables, context)
        await self._say(frame({"id": asked.id, "type": "next", "payload": answer}))
        return frame({"id": asked.id, "type": "complete"})

    async def _run_subscription(self, asked: Subscribe, prepared: Prepared, context: Any) -> bytes:
        async with aclosing(self._service.subscribe(prepared, asked.variables, context)) as events:
            async for event in events:
                if not self.may_read():
                    await self._look()
                await self._say(frame({"id": asked.id, "type": "next", "payload": event.payload}))
        return frame({"id": asked.id, "type": "complete"})

    def _stop(self, operation_id: str) -> None:
        operation = self._operations.pop(operation_id, None)
        if isinstance(operation, Stream):
            ending = self._service.streams.leave(self, operation_id, operation)
            if ending is not None:
                self._tasks.add(ending)
                ending.add_done_callback(self._tasks.discard)
        elif operation is not None:
            operation.cancel()

    # What the shared streams and the list of connections ask of a socket

    def push(self, text: bytes) -> None:
        if self._push is not None:
            self._push(text)
        else:
            self._tell(text)

    def may_read(self) -> bool:
        return self._place is None or self._place.session is None or self._place.session.fresh

    def push_after_a_look(self, text: bytes) -> None:
        self._spawn(self._look_and_say(text), "look")

    def over(self, operation_id: str, stream: Stream, failure: Exception | None) -> None:
        if self._operations.get(operation_id) is stream:
            del self._operations[operation_id]
            language = self._viewer.language if self._viewer else "en"
            ended = frame({"id": operation_id, "type": "complete"})
            self._tell(ended if failure is None else error_frame(operation_id, failure, language))

    def end(self) -> None:
        self._end(4401, "session revoked")

    def restart(self) -> None:
        self._end(1012, "sign in with the new token")

    def _end(self, code: int, reason: str) -> None:
        for operation_id in tuple(self._operations):
            self._stop(operation_id)
        self._spawn(self._close(code, reason), "end")

    # Sending

    async def _put(self, message: dict[str, Any]) -> None:
        try:
            await self._send(message)
        except (OSError, RuntimeError) as gone:  # servers raise the second for what comes after a close
            raise Gone from gone

    async def _say(self, text: bytes) -> None:
        await self._put({"type": "websocket.send", "text": text.decode()})

    async def _say_if_there(self, text: bytes) -> None:
        with suppress(Gone):
            await self._say(text)

    def _tell(self, text: bytes) -> None:
        self._spawn(self._say_if_there(text), "tell")

    async def _close(self, code: int, reason: str) -> None:
        with suppress(Gone):
            await self._put({"type": "websocket.close", "code": code, "reason": reason})

    async def _look(self) -> None:
        """Look whether the session still lives before it is sent news."""
        assert self._place is not None and self._place.session is not None
        try:
            live = await self._service.sockets.look(self._place.session)
        except Exception as failure:
            log.warning("a session could not be looked at: %s", type(failure).__name__)
            raise Closed(1013, "Try again later") from failure
        if not live:
            raise Closed(4401, "session revoked")

    async def _look_and_say(self, text: bytes) -> None:
        try:
            await self._look()
            await self._say_if_there(text)
        except Closed as closed:
            await self._close(closed.code, closed.reason)

    def _be_greeted(self) -> None:
        if not self._greeted:
            self._greeted = True
            self._service.sockets.greeted(self._credentials.address)

    async def _leave(self) -> None:
        """Stop everything that runs for this socket, and wait until it has."""
        self._be_greeted()
        for operation_id in tuple(self._operations):
            self._stop(operation_id)
        for task in self._tasks:
            task.cancel()
        try:
            if self._tasks:
                await asyncio.wait(tuple(self._tasks), timeout=LEAVE_SECONDS)
        finally:
            if self._place is not None:
                self._service.sockets.leave(self._place)


def _shortened(operation_id: str) -> str:
    """As much of it as fits into a close frame, whose reason has at most 123 bytes."""
    return operation_id.encode()[:80].decode(errors="ignore")
