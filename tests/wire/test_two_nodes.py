"""Two processes on one PostgreSQL and one Redis: news and revocations cross over, also while Redis is dead."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed

from delivery.bus import QUIET_POLL_SECONDS
from tests.delivery.test_bus import OwnRedis, needs_redis, until
from tests.resolvers.test_favorites import ADD
from tests.resolvers.test_passwords import OTHER, changed
from tests.shop import PASSWORD, Shop, free_port, open_shop
from tests.wire.test_live import DROPS, SIGN_OUT, as_buyer, follow
from tests.wire.test_websocket import Raw, client
from wire.sockets import LOOK_SECONDS, RENEWAL_SECONDS

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def second_node(shop: Shop) -> AsyncIterator[int]:
    """Another server process on the shop's database and Redis; its port."""
    settings, port = shop.service.settings, free_port()
    environment = {
        **os.environ,
        "KABINET_MODE": "demo",
        "KABINET_PORT": str(port),
        "KABINET_DATABASE_URL": settings.database_url,
        "KABINET_REDIS_URL": settings.redis_url,
        "KABINET_BUS_POLL_SECONDS": str(settings.bus_poll_seconds),
        "KABINET_WORKER": "false",
        "KABINET_REQUEST_SECONDS": "60",
    }
    node = await asyncio.create_subprocess_exec(
        sys.executable, "server.py", "serve", cwd=ROOT, env=environment, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
            await ready(http)
        yield port
    finally:
        node.terminate()
        await asyncio.wait_for(node.wait(), 60)


async def ready(http: httpx2.AsyncClient) -> None:
    async with asyncio.timeout(120):
        while True:
            try:
                if (await http.get("/health/ready")).status_code == 200:
                    return
            except httpx2.TransportError:
                pass
            await asyncio.sleep(0.1)


async def next_price(raw: Raw, seconds: float) -> str:
    message = await raw.hear(seconds)
    ((_, news),) = message["payload"]["data"].items()
    return news["newPrice"]["amount"]


async def well_begun(*sockets: Raw) -> None:
    """What was subscribed has read where it begins: several reads that were asked for later are answered."""
    for number in range(5):
        for raw in sockets:
            await raw.subscribe("{ me { id } products(first: 1) { totalCount } }", id=f"later-{number}")
            while (await raw.hear()).get("type") != "complete":
                pass
    await asyncio.sleep(0.3)


async def closing_code(raw: Raw, seconds: float) -> int:
    with pytest.raises(ConnectionClosed) as end:
        await raw.hear(seconds)
    assert end.value.rcvd is not None
    return end.value.rcvd.code


@needs_redis
async def test_news_and_revocations_cross_over_and_outlive_redis(tmp_path: Path) -> None:
    redis = OwnRedis(tmp_path)
    await redis.start()
    try:
        async with open_shop("postgres", tmp_path, redis_url=redis.url, bus_poll_seconds=1.0) as shop:
            await _cross_over(shop, redis)
    finally:
        await redis.kill()


async def _cross_over(shop: Shop, redis: OwnRedis) -> None:
    product, follower = await shop.product("50.00"), await shop.buyer()
    leaving, leaving_later, renewing = await shop.buyer(), await shop.buyer(), await shop.buyer()
    await follower.data(ADD, product=product.id)
    async with second_node(shop) as port, client(port) as public, client(port, **as_buyer(follower)) as own:
        async with client(port, **as_buyer(leaving)) as first, client(port, **as_buyer(leaving_later)) as second:
            await follow(public, product)
            await own.subscribe(DROPS)
            await own.settled()
            await well_begun(public, own)

            began = time.monotonic()
            await shop.set_price(product, "40.00")
            assert [await next_price(public, 10), await next_price(own, 10)] == ["40.00", "40.00"]
            assert time.monotonic() - began < QUIET_POLL_SECONDS
            began = time.monotonic()
            await leaving.data(SIGN_OUT)
            assert await closing_code(first, 10) == 4401
            assert time.monotonic() - began < LOOK_SECONDS  # two seconds, where no machine is busy

            async with client(port, **as_buyer(renewing)) as opened:
                assert (await changed(renewing, PASSWORD, OTHER))["__typename"] == "PasswordChanged"
                renewed = time.monotonic()
                assert await closing_code(opened, 20) == 1012
                assert RENEWAL_SECONDS - 1 < time.monotonic() - renewed < LOOK_SECONDS
            async with client(port, **as_buyer(renewing)) as opened:
                await opened.settled()

            await redis.kill()
            await until(lambda: not shop.service.bus.healthy)
            await leaving_later.data(SIGN_OUT)
            signed_out = time.monotonic()
            await shop.set_price(product, "39.00")
            assert await next_price(public, 30) == "39.00"
            assert await closing_code(second, 15) == 4401
            assert time.monotonic() - signed_out < 15

            await redis.start()
            await until(lambda: shop.service.bus.healthy)
            await shop.set_price(product, "38.00")
            assert await next_price(public, 30) == "38.00"
            await own.hear_nothing()
            missed = await follower.data("{ me { priceDrops { edges { node { newPrice { amount } } } } } }")
            assert len(missed["me"]["priceDrops"]["edges"]) == 1
