"""Event streams: graphql-sse in its distinct connections mode, one operation a request.

`event: next` with `data:` JSON, and `id:` its cursor where it has one, which a browser sends back as Last-Event-ID;
`event: complete` at the end. Lines end in LF: clients split on nothing else. A request that fails is told so by a
`next` with errors, since the stream has begun by then.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import orjson
from starlette.types import Receive, Scope, Send

from models.refusals import ErrorCode, RateLimited, Unauthenticated
from schema.context import Context
from wire.documents import Prepared
from wire.errors import RequestError
from wire.sockets import Place, Session, TooMany
from wire.transport_messages import errors_of

if TYPE_CHECKING:
    from wire.process import Service

HEARTBEAT_SECONDS = 15.0
STALL_SECONDS = 30.0  # a client that reads nothing for so long is let go
COMPLETE = b"event: complete\ndata:\n\n"
HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")]


class StreamEnd:
    """What ends an event stream from outside: its session's end, or another token and the service's end (`restarting`)."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.restarting = False

    def end(self) -> None:
        self.ended.set()

    def restart(self) -> None:
        self.restarting = True
        self.ended.set()


async def respond(
    service: "Service",
    prepared: Prepared,
    variables: dict[str, Any],
    context: Context,
    scope: Scope,
    receive: Receive,
    send: Send,
    headers: list[tuple[bytes, bytes]],
) -> None:
    """Answer one operation as an event stream until it ends, the client leaves or its session ends.

    `headers` are those of every answer; a content type among them is replaced.
    """
    kept = [(name, value) for name, value in headers if name.lower() not in (b"content-type", b"content-length")]
    await send({"type": "http.response.start", "status": 200, "headers": kept + HEADERS})
    end = StreamEnd()
    place: Place | None = None
    try:
        await _put(send, b":\n\n")
        service.sockets.event_streams.add(end)
        place = service.sockets.enter(context.viewer, end, "stream")
        if place.session is not None and prepared.kind == "subscription":
            service.sockets.look_soon(place.session)
        await _until_over(service, prepared, variables, context, receive, send, end, place.session)
    except TooMany:
        await _put(send, _errors(RateLimited(1), context) + COMPLETE, last=True)
    except _Gone:
        pass
    finally:
        service.sockets.event_streams.discard(end)
        if place is not None:
            service.sockets.leave(place)


async def _until_over(
    service: "Service",
    prepared: Prepared,
    variables: dict[str, Any],
    context: Context,
    receive: Receive,
    send: Send,
    end: StreamEnd,
    session: Session | None,
) -> None:
    answers = _answers(service, prepared, variables, context, session)
    writing = asyncio.create_task(_write(answers, context, send), name="event-stream")
    others = [asyncio.create_task(work) for work in (_heartbeat(send), _gone(receive), end.ended.wait())]
    try:
        await asyncio.wait([writing, *others], return_when=asyncio.FIRST_COMPLETED)
        was_ended = end.ended.is_set() and not writing.done()
    finally:
        for task in (writing, *others):
            task.cancel()
        await asyncio.gather(writing, *others, return_exceptions=True)
    if was_ended:
        last = b"" if end.restarting else _errors(Unauthenticated(), context) + COMPLETE
        await _put(send, last, last=True)  # a stream that ends without complete is taken up again by clients
    elif not writing.cancelled():
        writing.result()
        await _put(send, b"", last=True)


async def _answers(
    service: "Service", prepared: Prepared, variables: dict[str, Any], context: Context, session: Session | None
) -> AsyncGenerator[tuple[dict[str, Any], str | None]]:
    """Each answer with its cursor."""
    if prepared.kind == "mutation":
        raise RequestError(400, ErrorCode.OPERATION_NOT_SUPPORTED)
    if prepared.kind == "query":
        yield await service.execute(prepared, variables, context), None
        return
    async with aclosing(service.subscribe(prepared, variables, context)) as events:
        async for event in events:
            if session is not None and not session.fresh and not await service.sockets.look(session):
                raise Unauthenticated
            yield event.payload, event.cursor


async def _write(answers: AsyncGenerator[tuple[dict[str, Any], str | None]], context: Context, send: Send) -> None:
    try:
        async with aclosing(answers):
            async for payload, cursor in answers:
                await _put(send, _next(payload, cursor))
    except _Gone:
        raise
    except Exception as failure:
        await _put(send, _errors(failure, context))
    await _put(send, COMPLETE)


def _next(payload: dict[str, Any], cursor: str | None = None) -> bytes:
    mark = b"" if cursor is None else b"id: " + cursor.encode() + b"\n"
    return mark + b"event: next\ndata: " + orjson.dumps(payload) + b"\n\n"


def _errors(failure: Exception, context: Context) -> bytes:
    return _next({"errors": errors_of(failure, context.language, context.request_id)})


class _Gone(Exception):
    """The client is not there any more, or does not read."""


async def _put(send: Send, body: bytes, last: bool = False) -> None:
    try:
        async with asyncio.timeout(STALL_SECONDS):
            await send({"type": "http.response.body", "body": body, "more_body": not last})
    except (OSError, TimeoutError) as gone:
        raise _Gone from gone


async def _heartbeat(send: Send) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT_SECONDS)
        await _put(send, b":\n\n")


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
