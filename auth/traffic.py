"""Bounds on traffic: how often a network may ask for something, counted in memory, or in Redis by all processes together.

These counters slow strangers down and may be lost: what must outlive a restart is counted in the database (auth/guessing.py).
While Redis is away each process counts for itself, up to half of the bound, and nobody waits for Redis.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
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


class Traffic:
    """The counters of this process, and those in Redis where there is one."""

    def __init__(self, shared: RedisStorage | None = None):
        self._memory = MemoryStorage()
        self._own = Limiter(self._memory)
        self._shared = Limiter(shared) if shared else None
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
            return await call(self._own, bound.item())
        if not self.is_redis_away:
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    return await call(self._shared, bound.item())
            except AWAY as lost:
                if not self.is_redis_away:
                    log.warning("redis is away: each process counts traffic for itself, to half of its bounds (%s)", type(lost).__name__)
                self.is_redis_away = True
        return await call(self._own, bound.item(shares=2))

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
            for turn, key in enumerate(list(self._memory.expirations)):
                await self._memory.get(key)  # which forgets it
                if turn % SWEPT_AT_ONCE == 0:
                    await asyncio.sleep(0)

    def tasks(self, redis: Redis | None) -> list[asyncio.Task]:
        """What runs beside the counting."""
        # The library looks at all counters at every hit, as long as no such task of its own is running.
        self._memory.timer = asyncio.create_task(self.sweep(), name="traffic-sweep")
        return [self._memory.timer, *([asyncio.create_task(self.look_for(redis), name="traffic-redis")] if redis else [])]


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
