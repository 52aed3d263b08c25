"""uvicorn's socket protocol, made safe for thousands of readers of whom some are slow, gone or hostile.

Give the class to uvicorn as `ws`. Against the stock protocol it differs where a bad client would otherwise hold memory
for ever, or would be told 1006 or 1011: who does not read is dropped with 1013 and, in the end, cut off; after a
close frame the rest of the input is read away, so that the frame is not lost in a reset.
"""

import asyncio
from typing import Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import OPEN

MAX_WAITING_EVENTS = 256
MAX_WAITING_BYTES = 1024 * 1024
MAX_PIECES = 1000  # frames of one message
STALL_SECONDS = 20.0  # a client that reads nothing for so long is dropped
CLOSE_SECONDS = 5.0  # how long the other side may take to answer a close frame
LINGER_SECONDS = 0.25  # silence after which a failed connection is closed

MESSAGE_TOO_BIG = 1009
TRY_AGAIN_LATER = 1013
SERVICE_RESTART = 1012


class SocketProtocol(WebSocketsSansIOProtocol):
    """One connection. The application finds `push` in `scope["extensions"]["kabinet.push"]`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.waiting_events = 0
        self.stall_timer: asyncio.TimerHandle | None = None
        self.linger_timer: asyncio.TimerHandle | None = None

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if not self.close_sent:
            self.scope["extensions"]["kabinet.push"] = self.push  # type: ignore[assignment]

    def push(self, text: bytes) -> None:
        """Write a text frame now or never: for news that goes to many, none of whom may hold up the others.

        A client that has fallen 256 messages or 1 MiB behind is dropped; one that is gone is passed over.
        """
        if self.close_sent or self.disconnected or self.conn.state is not OPEN:
            return
        if not self.writable.is_set():
            self.waiting_events += 1
            if self.waiting_events > MAX_WAITING_EVENTS or self.transport.get_write_buffer_size() > MAX_WAITING_BYTES:
                self.drop(TRY_AGAIN_LATER, "slow consumer")
                return
        size = len(text)
        if size < 126:
            head = b"\x81%c" % size
        elif size < 65536:
            head = b"\x81\x7e" + size.to_bytes(2, "big")
        else:
            head = b"\x81\x7f" + size.to_bytes(8, "big")
        self.transport.write(head + text)

    async def send(self, message: Any) -> None:
        if message["type"] == "websocket.close":
            self.writable.set()  # a close frame does not wait for a client that does not read
            await super().send(message)
            self._cut_off_in(CLOSE_SECONDS)
        elif self.close_sent:
            raise ClientDisconnected
        elif message["type"] == "websocket.send" and self.handshake_complete:
            await self.writable.wait()
            if self.close_sent or self.disconnected or self.conn.state is not OPEN:
                raise ClientDisconnected
            self.push(message["text"].encode())
        else:
            await super().send(message)

    def drop(self, code: int, reason: str) -> None:
        """Close without waiting for anybody: a close frame, and a few seconds later the end."""
        if self.close_sent or self.transport.is_closing():
            return
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        if self.conn.state is OPEN:
            self.conn.send_close(code, reason)
            self.transport.write(b"".join(self.conn.data_to_send()))
        self._has_closed()

    def _has_closed(self) -> None:
        self.close_sent = True
        self.stop_keepalive()
        self.writable.set()
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self._cut_off_in(CLOSE_SECONDS)

    def _cut_off_in(self, seconds: float) -> None:
        if self.close_timer is not None:
            self.close_timer.cancel()
        if not self.disconnected:
            self.close_timer = self.loop.call_later(seconds, self.transport.abort)

    def pause_writing(self) -> None:
        if not self.close_sent:
            super().pause_writing()
            self.stall_timer = self.loop.call_later(STALL_SECONDS, self.drop, TRY_AGAIN_LATER, "slow consumer")

    def resume_writing(self) -> None:
        super().resume_writing()
        self.waiting_events = 0
        self._stop_stall_timer()

    def _stop_stall_timer(self) -> None:
        if self.stall_timer is not None:
            self.stall_timer.cancel()
            self.stall_timer = None

    def data_received(self, data: bytes) -> None:
        if self.conn.parser_exc is None:
            super().data_received(data)
        elif self.linger_timer is not None:
            self.linger_timer.cancel()
            self.linger_timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def handle_parser_exception(self) -> None:
        """The frame was too large or broken: say so, and read on until nothing more comes."""
        close = self.conn.close_sent
        code, reason = (close.code, close.reason) if close is not None else (1002, "")
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self._has_closed()
        self.linger_timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def send_receive_event_to_app(self) -> None:
        """Hand on the bytes as they came; whether they are UTF-8 is for the application to say."""
        data = b"".join(self.frames)
        self.frames = []
        if self.close_sent:
            return
        self.queue.put_nowait({"type": "websocket.receive", "bytes": data})
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def keepalive_timeout(self) -> None:
        self.pong_timer = None
        self.pending_ping_payload = None
        self.drop(TRY_AGAIN_LATER, "no answer to pings")

    def handle_cont(self, event: Any) -> None:
        if len(self.frames) < MAX_PIECES:
            super().handle_cont(event)
        else:
            self.drop(MESSAGE_TOO_BIG, "too many pieces")

    def handle_ping(self) -> None:
        super().handle_ping()
        if self.transport.get_write_buffer_size() > MAX_WAITING_BYTES:
            self.drop(TRY_AGAIN_LATER, "slow consumer")

    def handle_close(self, event: Any) -> None:
        super().handle_close(event)
        self._cut_off_in(CLOSE_SECONDS)

    def shutdown(self) -> None:
        if self.handshake_complete and not self.close_sent:
            self.drop(SERVICE_RESTART, "restart")
        else:
            super().shutdown()
            self._cut_off_in(CLOSE_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_stall_timer()
        if self.linger_timer is not None:
            self.linger_timer.cancel()
