"""Whose connections are open: sockets and event streams by session, so that a session's end ends them too.

A hint on the bus (`session:ID`) has a session looked at again at once, as has the instant of its end; without the bus
every session that has connections is looked at again within 15 s.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Protocol

from auth.guessing import network_of
from auth.viewer import Viewer
from delivery.bus import Bus
from models.instants import utc_now

SOCKETS_A_BUYER = 10
STREAMS_A_BUYER = 60
UNREADY_AN_ADDRESS = 200
FRESH_SECONDS = 15.0  # a session that was seen alive within this time may be sent news
LOOK_SECONDS = 10.0
EXPIRY_SLACK_SECONDS = 0.05  # the loop's clock is not the machine's

IsLive = Callable[[int], Awaitable[bool]]

log = logging.getLogger("kabinet.sockets")


class TooMany(Exception):
    """This buyer or this address has as many connections as it may."""


class EventStream(Protocol):
    """An open event stream. `restart` has it end, so that its client comes back."""

    def restart(self) -> None: ...


class Connection(Protocol):
    """What has to end when its session ends. `end` returns at once."""

    def end(self) -> None: ...


class Session:
    """A buyer's session as far as this process has connections of it. `seen_at` is monotonic."""

    __slots__ = ("account_id", "connections", "expiry", "id", "seen_at")

    def __init__(self, session_id: int, account_id: int) -> None:
        self.id = session_id
        self.account_id = account_id
        self.connections: set[Connection] = set()
        self.seen_at = time.monotonic()
        self.expiry: asyncio.TimerHandle | None = None

    @property
    def fresh(self) -> bool:
        return time.monotonic() - self.seen_at <= FRESH_SECONDS


class Sockets:
    """The open connections of this process."""

    def __init__(self, is_live: IsLive) -> None:
        self._is_live = is_live
        self._sessions: dict[int, Session] = {}
        self._of_buyer: Counter[tuple[str, int]] = Counter()
        self._unready: Counter[str] = Counter()
        self._looking: set[asyncio.Task[bool]] = set()
        self.event_streams: set[EventStream] = set()

    def greet(self, address: str) -> None:
        """Count a socket that has not yet said who it is.

        Raises:
            TooMany: the address (the /64 of an IPv6 one) has 200 of them.
        """
        network = network_of(address)
        if self._unready[network] >= UNREADY_AN_ADDRESS:
            raise TooMany
        self._unready[network] += 1

    def greeted(self, address: str) -> None:
        """The socket has said who it is, or is gone."""
        network = network_of(address)
        self._unready[network] -= 1
        if not self._unready[network]:
            del self._unready[network]

    def enter(self, viewer: Viewer, connection: Connection, kind: str = "socket") -> Session | None:
        """Keep `connection` (kind `socket` or `stream`) with the viewer's session; None where there is no session.

        Raises:
            TooMany: the buyer has 10 sockets, or 60 event streams.
        """
        if viewer.session_id is None or viewer.account_id is None:
            return None
        most = SOCKETS_A_BUYER if kind == "socket" else STREAMS_A_BUYER
        if self._of_buyer[kind, viewer.account_id] >= most:
            raise TooMany
        self._of_buyer[kind, viewer.account_id] += 1
        session = self._sessions.get(viewer.session_id)
        if session is None:
            session = self._sessions[viewer.session_id] = Session(viewer.session_id, viewer.account_id)
            if viewer.session_until is not None:
                lasts = (viewer.session_until - utc_now()).total_seconds() + EXPIRY_SLACK_SECONDS
                session.expiry = asyncio.get_running_loop().call_later(lasts, self.heard, f"session:{session.id}")
        session.connections.add(connection)
        return session

    def leave(self, session: Session, connection: Connection, kind: str = "socket") -> None:
        """Forget a connection that `enter` has kept."""
        session.connections.discard(connection)
        if not session.connections and self._sessions.get(session.id) is session:
            del self._sessions[session.id]
            if session.expiry is not None:
                session.expiry.cancel()
        self._of_buyer[kind, session.account_id] -= 1
        if not self._of_buyer[kind, session.account_id]:
            del self._of_buyer[kind, session.account_id]

    async def look(self, session: Session) -> bool:
        """Read whether `session` still lives; if not, its connections are ended."""
        live = await self._is_live(session.id)
        if live:
            session.seen_at = time.monotonic()
        else:
            for connection in tuple(session.connections):
                connection.end()
        return live

    def heard(self, topic: str) -> None:
        """There is news of a session: look at it soon."""
        _, _, number = topic.partition(":")
        session = self._sessions.get(int(number)) if number.isdecimal() else None
        if session is not None:
            task = asyncio.create_task(self.look(session))
            self._looking.add(task)
            task.add_done_callback(self._looked)

    def _looked(self, task: asyncio.Task[bool]) -> None:
        self._looking.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.warning("a session could not be looked at: %s", type(task.exception()).__name__)

    async def look_around(self) -> None:
        """Look at every session that nobody has looked at for a while."""
        for session in tuple(self._sessions.values()):
            if time.monotonic() - session.seen_at > LOOK_SECONDS / 2:
                await self.look(session)
                await asyncio.sleep(0)

    async def _look_for_ever(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            # A task of its own each time: what a broken database leaves in its context goes with it.
            round_ = asyncio.create_task(self.look_around())
            try:
                await round_
            except Exception as failure:
                log.warning("sessions could not be looked at: %s", type(failure).__name__)

    def drain(self) -> None:
        """The service is about to stop: have event streams end. The server itself closes the sockets (1012)."""
        for stream in tuple(self.event_streams):
            stream.restart()


@asynccontextmanager
async def open_sockets(bus: Bus, is_live: IsLive) -> AsyncIterator[Sockets]:
    """The process's connections, of which those are ended whose session ends, until the block ends."""
    sockets = Sockets(is_live)
    with bus.hear("session", sockets.heard):
        watching = asyncio.create_task(sockets._look_for_ever(), name="sockets-look")
        try:
            yield sockets
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
