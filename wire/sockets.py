"""Whose connections are open: sockets and event streams by session, so that a session's end ends them too.

A session whose token is replaced goes on, its connections do not: whoever opened one with the old token has some seconds
to learn the new one, and comes back with it or not at all. A turn of an app's tokens replaces none in this sense.

A hint on the bus (`session:ID`) has a session looked at again at once, as has the instant of its end; without the bus
every session that has connections is looked at again within 15 s.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Protocol

from auth.guessing import network_of
from auth.sessions import Tokens
from auth.viewer import Viewer
from delivery.bus import Bus
from models.instants import utc_now
from settings import Settings

SOCKETS_A_BUYER = 10
STREAMS_A_BUYER = 60
UNREADY_AN_ADDRESS = 200
FRESH_SECONDS = 15.0  # a session that was seen alive within this time may be sent news
LOOK_SECONDS = 10.0
RENEWAL_SECONDS = 5.0  # the answer that carries the new token has arrived, and an app has turned it
EXPIRY_SLACK_SECONDS = 0.05  # the loop's clock is not the machine's

Bound = tuple[str, int | str]
TokensOf = Callable[[int], Awaitable[Tokens | None]]

log = logging.getLogger("kabinet.sockets")


class TooMany(Exception):
    """This buyer, this address or those who are not signed in have as many connections as they may."""


class EventStream(Protocol):
    """An open event stream. `restart` has it end, so that its client comes back."""

    def restart(self) -> None: ...


class Connection(Protocol):
    """What has to end when its session ends, or to `restart` when the session has another token. Both return at once."""

    def end(self) -> None: ...

    def restart(self) -> None: ...


class Place:
    """One connection: its session if it has one, and the bounds that it counts for.

    `token` is the hash of the token that it was opened with, `family` that of an app's, which outlasts its tokens; it is
    known once the session has been looked at.
    """

    __slots__ = ("bounds", "connection", "family", "renewal", "session", "token")

    def __init__(self, connection: Connection, bounds: tuple[Bound, ...], session: "Session | None", token: str | None) -> None:
        self.connection = connection
        self.bounds = bounds
        self.session = session
        self.token = token
        self.family: str | None = None
        self.renewal: asyncio.TimerHandle | None = None

    def goes_by(self, tokens: Tokens) -> bool:
        """Whether what it was opened with still counts, or was turned into what does."""
        if tokens.token == self.token:
            self.family = tokens.family
            return True
        return self.family is not None and tokens.family == self.family


class Session:
    """A buyer's session as far as this process has connections of it. `seen_at` is monotonic."""

    __slots__ = ("expiry", "id", "places", "seen_at")

    def __init__(self, session_id: int) -> None:
        self.id = session_id
        self.places: set[Place] = set()
        self.seen_at = time.monotonic()
        self.expiry: asyncio.TimerHandle | None = None

    @property
    def fresh(self) -> bool:
        return time.monotonic() - self.seen_at <= FRESH_SECONDS


class Sockets:
    """The open connections of this process."""

    def __init__(self, tokens_of: TokensOf, settings: Settings) -> None:
        self._tokens_of = tokens_of
        self._settings = settings
        self._sessions: dict[int, Session] = {}
        self._taken: Counter[Bound] = Counter()
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

    def enter(self, viewer: Viewer, connection: Connection, kind: str = "socket") -> Place:
        """Give `connection` (kind `socket` or `stream`) its place. Have its session looked at after that: what became of
        it since the viewer was read has been told to nobody.

        Raises:
            TooMany: the buyer has 10 sockets, or 60 event streams; or those who are not signed in, of this network or
                all, have as many of both as the settings allow.
        """
        bounds = self._bounds(viewer, kind)
        if any(self._taken[bound] >= most for bound, most in bounds):
            raise TooMany
        session = None if viewer.session_id is None else self._session(viewer.session_id, viewer.session_until)
        place = Place(connection, tuple(bound for bound, _ in bounds), session, viewer.token_hash)
        self._taken.update(place.bounds)
        if session is not None:
            session.places.add(place)
        return place

    def _bounds(self, viewer: Viewer, kind: str) -> tuple[tuple[Bound, int], ...]:
        if viewer.account_id is not None:
            return (((kind, viewer.account_id), SOCKETS_A_BUYER if kind == "socket" else STREAMS_A_BUYER),)
        network = network_of(viewer.address)
        return (("network", network), self._settings.max_visitors_a_network), (("visitors", ""), self._settings.max_visitors)

    def _session(self, session_id: int, until: datetime | None) -> Session:
        session = self._sessions.get(session_id)
        if session is None:
            session = self._sessions[session_id] = Session(session_id)
            if until is not None:
                lasts = (until - utc_now()).total_seconds() + EXPIRY_SLACK_SECONDS
                session.expiry = asyncio.get_running_loop().call_later(lasts, self.heard, f"session:{session_id}")
        return session

    def leave(self, place: Place) -> None:
        """Forget a connection that `enter` has given its place."""
        if place.renewal is not None:
            place.renewal.cancel()
        for bound in place.bounds:
            self._taken[bound] -= 1
            if not self._taken[bound]:
                del self._taken[bound]
        session = place.session
        if session is None:
            return
        session.places.discard(place)
        if not session.places and self._sessions.get(session.id) is session:
            del self._sessions[session.id]
            if session.expiry is not None:
                session.expiry.cancel()

    async def look(self, session: Session) -> bool:
        """Read whether `session` still lives; if not, its connections are ended.

        Those that were opened with a token that has been replaced are restarted some seconds later.
        """
        tokens = await self._tokens_of(session.id)
        if tokens is None:
            for place in tuple(session.places):
                place.connection.end()
            return False
        session.seen_at = time.monotonic()
        for place in session.places:
            if not place.goes_by(tokens) and place.renewal is None:
                place.renewal = asyncio.get_running_loop().call_later(RENEWAL_SECONDS, place.connection.restart)
        return True

    def look_soon(self, session: Session) -> None:
        """Look at `session` without waiting for what comes of it."""
        task = asyncio.create_task(self.look(session))
        self._looking.add(task)
        task.add_done_callback(self._looked)

    def heard(self, topic: str) -> None:
        """There is news of a session: look at it soon."""
        _, _, number = topic.partition(":")
        session = self._sessions.get(int(number)) if number.isdecimal() else None
        if session is not None:
            self.look_soon(session)

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
async def open_sockets(bus: Bus, tokens_of: TokensOf, settings: Settings) -> AsyncIterator[Sockets]:
    """The process's connections, of which those are ended whose session ends, until the block ends."""
    sockets = Sockets(tokens_of, settings)
    with bus.hear("session", sockets.heard):
        watching = asyncio.create_task(sockets._look_for_ever(), name="sockets-look")
        try:
            yield sockets
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
