"""The bus: «there is news about this topic», within a process and, over Redis, between processes.

It is a hint and carries nothing else. What happened stands in the tables; whoever listens reads them, and also looks
there from time to time without being told (`poll_seconds`), so that a lost hint costs time and never an event.
Topics are `account:ID`, `product:ID`, `order:ID`, `session:ID`.
"""

import asyncio
import logging
import random
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from settings import Settings

Hearer = Callable[[str], None]

QUIET_POLL_SECONDS = 15.0  # how often to look when every hint is expected to arrive
MAX_UNSENT_TOPICS = 10_000
TOPICS_A_MESSAGE = 500
IDLE_SECONDS = 5.0  # a Redis connection without news for so long is asked for a sign of life
LONGEST_PAUSE_SECONDS = 2.0

log = logging.getLogger("kabinet.bus")


class Listener:
    """One who waits for news of a topic. Hints that come while he is busy are kept as one."""

    __slots__ = ("_bus", "_news", "_waiter")

    def __init__(self, bus: "Bus") -> None:
        self._bus = bus
        self._news = False
        self._waiter: asyncio.Future[None] | None = None

    def wake(self) -> None:
        self._news = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self, timeout: float) -> bool:  # noqa: ASYNC109  a timer is cheaper than a cancel scope, and there are thousands
        """Wait for news at most `timeout` seconds, and no longer than hints can be trusted now (`Bus.poll_seconds`).

        True if any came since the last wait. A cancelled wait loses none.
        """
        if not self._news and timeout > 0:
            waiter = self._waiter = asyncio.get_running_loop().create_future()
            timer = waiter.get_loop().call_later(min(timeout, self._bus.poll_seconds), _end, waiter)
            try:
                await waiter
            finally:
                timer.cancel()
                self._waiter = None
        news, self._news = self._news, False
        return news


def _end(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class Bus:
    """News within one process."""

    healthy = True
    poll_seconds = QUIET_POLL_SECONDS

    def __init__(self) -> None:
        self._listeners: dict[str, set[Listener]] = {}
        self._hearers: dict[str, set[Hearer]] = {}

    def publish(self, *topics: str) -> None:
        """Tell everybody that there is news of `topics`. Returns at once and never raises."""
        for topic in topics:
            self._tell(topic)

    @contextmanager
    def listen(self, *topics: str) -> Iterator[Listener]:
        """A listener to these topics: news that comes after this line is not missed."""
        listener = Listener(self)
        for topic in topics:
            self._listeners.setdefault(topic, set()).add(listener)
        try:
            yield listener
        finally:
            for topic in topics:
                others = self._listeners[topic]
                others.discard(listener)
                if not others:
                    del self._listeners[topic]

    @contextmanager
    def hear(self, kind: str, hearer: Hearer) -> Iterator[None]:
        """Call `hearer(topic)` at once for all news of topics that begin with `kind:`. It must be quick."""
        self._hearers.setdefault(kind, set()).add(hearer)
        try:
            yield
        finally:
            self._hearers[kind].discard(hearer)

    def _tell(self, topic: str) -> None:
        for listener in self._listeners.get(topic, ()):
            listener.wake()
        for hearer in tuple(self._hearers.get(topic.partition(":")[0], ())):
            try:
                hearer(topic)
            except Exception:
                log.exception("a hearer of the bus failed")

    def _tell_everybody(self) -> None:
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.wake()


class RedisBus(Bus):
    """News between processes, over one channel of Redis.

    While Redis is away this process's own listeners still get its own news at once, and `poll_seconds` is short.
    All are woken when the connection is lost and when it is back, since what was said meanwhile went unheard.
    """

    def __init__(self, redis: Redis, channel: str, poll_seconds: float) -> None:
        super().__init__()
        self._redis = redis
        self._channel = channel
        self._poll_seconds = poll_seconds
        self._node = uuid.uuid4().hex
        self._unsent: dict[str, None] = {}
        self._to_send = asyncio.Event()
        self._hearing = asyncio.Event()

    @property
    def healthy(self) -> bool:  # type: ignore[override]
        return self._hearing.is_set()

    @property
    def poll_seconds(self) -> float:  # type: ignore[override]
        return QUIET_POLL_SECONDS if self.healthy else self._poll_seconds

    def publish(self, *topics: str) -> None:
        super().publish(*topics)
        for topic in topics:
            if len(self._unsent) < MAX_UNSENT_TOPICS:
                self._unsent[topic] = None
        self._to_send.set()

    async def receive(self) -> None:
        """Hear the other processes for ever, whatever becomes of Redis."""
        pause = 0.05
        while True:
            try:
                await self._hear_until_lost()
            except Exception as lost:  # whatever it is, this loop must outlive it
                if self.healthy:
                    log.warning("redis is away: %s", type(lost).__name__)
                    pause = 0.05
                    self._hearing.clear()
                    self._tell_everybody()
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _hear_until_lost(self) -> None:
        async with self._redis.pubsub() as channel:
            await channel.subscribe(self._channel)
            asked = False
            while True:
                message = await channel.get_message(timeout=IDLE_SECONDS)
                if message is None:
                    if asked:
                        raise TimeoutError
                    await channel.ping()
                elif message["type"] == "subscribe":
                    log.info("redis is here")
                    self._hearing.set()
                    self._tell_everybody()
                elif message["type"] == "message":
                    self._pass_on(message["data"])
                asked = message is None

    def _pass_on(self, message: bytes) -> None:
        node, *topics = message.decode(errors="replace").split(" ")
        if node != self._node:
            for topic in topics:
                self._tell(topic)

    async def send(self) -> None:
        """Tell the other processes for ever; what could not be said is said when Redis is back."""
        while True:
            await self._to_send.wait()
            await self._hearing.wait()
            with suppress(RedisError, OSError, TimeoutError):
                await self.flush()
                continue
            await asyncio.sleep(random.uniform(0.1, 0.5))

    async def flush(self) -> None:
        """Send what is waiting.

        Raises:
            RedisError, OSError, TimeoutError: Redis is away; what was not sent is kept.
        """
        while self._unsent:
            topics = list(self._unsent)[:TOPICS_A_MESSAGE]
            for topic in topics:
                del self._unsent[topic]
            try:
                await self._redis.publish(self._channel, " ".join((self._node, *topics)))
            except BaseException:
                self._unsent = {**dict.fromkeys(topics), **self._unsent}
                raise
        self._to_send.clear()


@asynccontextmanager
async def open_bus(settings: Settings) -> AsyncIterator[Bus]:
    """The bus of this process until the block ends: over Redis where one is set. It opens also while Redis is away."""
    if not settings.redis_url:
        yield Bus()
        return
    async with Redis.from_url(
        settings.redis_url, socket_connect_timeout=2, socket_timeout=5, retry=Retry(NoBackoff(), 0), max_connections=8
    ) as redis:
        bus = RedisBus(redis, f"{settings.redis_prefix}:news", settings.bus_poll_seconds)
        tasks = [asyncio.create_task(bus.receive(), name="bus-receive"), asyncio.create_task(bus.send(), name="bus-send")]
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(bus._hearing.wait(), 1)
            yield bus
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            with suppress(RedisError, OSError, TimeoutError):
                await asyncio.wait_for(bus.flush(), 1)
