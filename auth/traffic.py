"""Bounds on traffic: how often a network may ask for something, counted in memory, or in Redis by all processes together.

These counters slow strangers down and may be lost: what must outlive a restart is counted in the database (auth/guessing.py).
While Redis is away each process counts for itself, up to half of the bound, and nobody waits for Redis. In memory a bound keeps
so many counters and no more: who has still more networks to ask from gains little by the oldest being forgotten.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import TypeVar

from limits import RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from settings import Settings

ANSWER_SECONDS = 0.5
CONNECTIONS = 20
LOOK_AGAIN_SECONDS = 0.5
SWEEP_SECONDS, SWEPT_AT_ONCE = 60.0, 1000
MOST_KEPT, FORGOTTEN_AT_ONCE = 50_000, 1000
AWAY = (RedisError, OSError, TimeoutError)

T = TypeVar("T")
Limiter = SlidingWindowCounterRateLimiter

log = logging.getLogger("kabinet.traffic")


@dataclass(frozen=True, slots=True)
class Bound:
    """At most `most` of `what` in a window, which slides."""

    what: str
    most: int
    window: timedelta

    def item(self, shares: int = 1) -> RateLimitItemPerSecond:
        """The library's word for it; of a bound that several count for themselves, one's share."""
        return RateLimitItemPerSecond(-(-self.most // shares), int(self.window.total_seconds()), self.what)


class Counters:
    """The counters of one bound in this process: 50,000 at most, some 16 MB."""

    def __init__(self, sweeper: asyncio.Task | None):
        self.kept = MemoryStorage()
        # The library looks at all counters at every hit, as long as no such task of its own is running.
        self.kept.timer = sweeper
        self.limiter = Limiter(self.kept)

    async def make_room(self) -> None:
        """Where it is full, forget what began first; many at once, for a dict looks for its first key from where it once began."""
        if len(self.kept.storage) >= MOST_KEPT:
            for oldest in list(islice(self.kept.storage, FORGOTTEN_AT_ONCE)):
                await self.kept.clear(oldest)


class Traffic:
    """The counters of this process, and those in Redis where there is one."""

    def __init__(self, shared: RedisStorage | None = None):
        self._own: dict[str, Counters] = {}
        self._shared = Limiter(shared) if shared else None
        self._sweeper: asyncio.Task | None = None
        self.is_redis_away = False

    async def take(self, bound: Bound, who: str) -> int:
        """Count one more of `who`; the seconds to wait where the bound is reached and nothing was counted, else 0."""

        async def hit(limiter: Limiter, item: RateLimitItemPerSecond) -> int:
            if await limiter.hit(item, who):
                return 0
            seconds = (await limiter.get_window_stats(item, who)).reset_time - time.time()
            return min(max(1, -(-int(seconds * 1000) // 1000)), item.get_expiry())

        return await self._ask(bound, hit)

    async def give_back(self, bound: Bound, who: str) -> None:
        """Count one less: it was none of those that are bounded."""
        await self._ask(bound, lambda limiter, item: limiter.hit(item, who, cost=-1))

    async def forget(self, bound: Bound, who: str) -> None:
        """Begin anew."""
        await self._ask(bound, lambda limiter, item: limiter.clear(item, who))

    async def is_reached(self, bound: Bound, who: str) -> bool:
        """Whether one more would be too many; counts nothing."""
        return not await self._ask(bound, lambda limiter, item: limiter.test(item, who))

    async def _ask(self, bound: Bound, call: Callable[[Limiter, RateLimitItemPerSecond], Awaitable[T]]) -> T:
        if self._shared is None:
            return await self._ask_own(bound, 1, call)
        if not self.is_redis_away:
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    return await call(self._shared, bound.item())
            except AWAY as lost:
                if not self.is_redis_away:
                    log.warning("redis is away: each process counts traffic for itself, to half of its bounds (%s)", type(lost).__name__)
                self.is_redis_away = True
        return await self._ask_own(bound, 2, call)

    async def _ask_own(self, bound: Bound, shares: int, call: Callable[[Limiter, RateLimitItemPerSecond], Awaitable[T]]) -> T:
        """Each bound has counters apart: a flood of one has nothing forgotten that another has counted."""
        own = self._own.get(bound.what)
        if own is None:
            own = self._own[bound.what] = Counters(self._sweeper)
        await own.make_room()
        return await call(own.limiter, bound.item(shares))

    async def look_for(self, redis: Redis) -> None:
        """For ever: where Redis was away, notice that it is back."""
        while True:
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
            if self.is_redis_away:
                with suppress(*AWAY):
                    async with asyncio.timeout(ANSWER_SECONDS):
                        await redis.ping()
                    self.is_redis_away = False
                    log.info("redis is here: traffic is counted by all processes together")

    async def sweep(self) -> None:
        """For ever: forget counters that are over."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            for own in list(self._own.values()):
                for turn, key in enumerate(list(own.kept.expirations)):
                    await own.kept.get(key)  # which forgets it
                    if turn % SWEPT_AT_ONCE == 0:
                        await asyncio.sleep(0)

    def tasks(self, redis: Redis | None) -> list[asyncio.Task]:
        """What runs beside the counting."""
        self._sweeper = asyncio.create_task(self.sweep(), name="traffic-sweep")
        return [self._sweeper, *([asyncio.create_task(self.look_for(redis), name="traffic-redis")] if redis else [])]


_traffic = Traffic()


def traffic() -> Traffic:
    """This process's counters; one that has opened none counts in memory."""
    return _traffic


@asynccontextmanager
async def open_traffic(settings: Settings) -> AsyncIterator[Traffic]:
    """New counters for this process until the block ends, in Redis where one is set. They open also while Redis is away."""
    global _traffic
    before, pool = _traffic, _pool(settings) if settings.redis_url else None
    _traffic = Traffic(_storage(settings, pool) if pool else None)
    tasks = _traffic.tasks(Redis(connection_pool=pool) if pool else None)
    try:
        yield _traffic
    finally:
        _traffic = before
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if pool is not None:
            with suppress(*AWAY):
                await pool.disconnect()


def _pool(settings: Settings) -> BlockingConnectionPool:
    return BlockingConnectionPool.from_url(
        settings.redis_url,
        max_connections=CONNECTIONS,
        timeout=ANSWER_SECONDS,
        socket_connect_timeout=ANSWER_SECONDS,
        socket_timeout=ANSWER_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


def _storage(settings: Settings, pool: BlockingConnectionPool) -> RedisStorage:
    where = "async+" + settings.redis_url.replace("unix://", "redis+unix://", 1)
    prefix = f"{settings.redis_prefix}:traffic"
    return RedisStorage(where, implementation="redispy", key_prefix=prefix, connection_pool=pool)  # type: ignore[arg-type]
