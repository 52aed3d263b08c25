"""Streams that many share: subscriptions that are the same for everybody run once and are encoded once.

Two subscribers share a stream when document, operation, variables and language are the same. Each one's frame differs
only in its head, the subscriber's own id.
"""

import asyncio
import json
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from auth.credentials import Credentials
from wire.documents import Prepared

if TYPE_CHECKING:
    from wire.process import Service

SENDS_A_TURN = 250

Key = tuple[Any, ...]


class Reader(Protocol):
    """One who may read a stream under several ids."""

    def push(self, text: bytes) -> None:
        """Write a frame without waiting."""

    def may_read(self) -> bool:
        """Whether news may be sent now, without another look at the session."""

    def push_after_a_look(self, text: bytes) -> None:
        """Look at the session; send the frame if it lives."""

    def over(self, operation_id: str, stream: "Stream", failure: Exception | None) -> None:
        """The stream has ended, by itself or by `failure`."""


class Stream:
    """One subscription that is run for all its readers. Heads are `{"id":"…",` by reader and id."""

    __slots__ = ("heads", "key", "task")

    def __init__(self, key: Key) -> None:
        self.key = key
        self.heads: dict[tuple[Reader, str], bytes] = {}
        self.task: asyncio.Task[None] | None = None

    async def deliver(self, payload: dict[str, Any]) -> None:
        """Send `payload` to everybody; others get a turn after every 250 frames."""
        tail = b'"type":"next","payload":' + orjson.dumps(payload) + b"}"
        for sent, (whom, head) in enumerate(tuple(self.heads.items()), 1):
            if whom in self.heads:  # he may have left while others had their turn
                reader = whom[0]
                if reader.may_read():
                    reader.push(head + tail)
                else:
                    reader.push_after_a_look(head + tail)
            if sent % SENDS_A_TURN == 0:
                await asyncio.sleep(0)


class Streams:
    """The shared streams of this process, each for as long as it has a reader."""

    def __init__(self, service: "Service") -> None:
        self._service = service
        self._streams: dict[Key, Stream] = {}

    def join(self, reader: Reader, operation_id: str, prepared: Prepared, variables: dict[str, Any], language: str) -> Stream:
        """Let `reader` read, under `operation_id`, the stream of this subscription; it is begun where there is none."""
        key = (prepared.key, json.dumps(variables, sort_keys=True), language)
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = Stream(key)
            stream.task = asyncio.create_task(self._run(stream, prepared, variables, language))
        stream.heads[reader, operation_id] = b'{"id":' + orjson.dumps(operation_id) + b","
        return stream

    def leave(self, reader: Reader, operation_id: str, stream: Stream) -> asyncio.Task[None] | None:
        """Stop reading. The last one out ends the stream: its task, which is about to end, is returned."""
        stream.heads.pop((reader, operation_id), None)
        if stream.heads or self._streams.get(stream.key) is not stream:
            return None
        del self._streams[stream.key]
        assert stream.task is not None
        stream.task.cancel()
        return stream.task

    async def _run(self, stream: Stream, prepared: Prepared, variables: dict[str, Any], language: str) -> None:
        failure: Exception | None = None
        try:
            nobody = await self._service.viewer(Credentials(cookie=None, bearer=None, address="", agent="", language=language))
            async with aclosing(self._service.subscribe(prepared, variables, self._service.context(nobody))) as events:
                async for event in events:
                    await stream.deliver(event.payload)
        except Exception as raised:
            failure = raised
        if self._streams.get(stream.key) is stream:
            del self._streams[stream.key]
        for reader, operation_id in tuple(stream.heads):
            reader.over(operation_id, stream, failure)
        stream.heads.clear()
