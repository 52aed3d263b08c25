"""Bounds on traffic, in memory and in a Redis of the test's own that dies, hangs and comes back."""

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
from redis.asyncio import Redis

from auth.guessing import OF_NETWORK, subject_of
from auth.traffic import Bound, Traffic, open_traffic
from models.database import fetch
from tests.auth.test_sign_in import SIGN_IN, attempt
from tests.databases import BOTH, migrated_url, settings_for
from tests.delivery.test_bus import OwnRedis, needs_redis, until
from tests.shop import open_shop
from tests.traffic import fill
from tests.wire.test_two_nodes import second_node

THIRTY = Bound("tries", 30, timedelta(minutes=5))
SHORT = Bound("short", 3, timedelta(seconds=1))


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[OwnRedis]:
    own = OwnRedis(tmp_path)
    await own.start()
    yield own
    await own.kill()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis that is slow because the machine is busy counts as present."""
    monkeypatch.setattr("auth.traffic.ANSWER_SECONDS", 10.0)


@pytest.fixture
async def two_nodes(redis: OwnRedis, patient: None) -> AsyncIterator[list[Traffic]]:
    """The counters of two processes that share a Redis, under a prefix of the test's own."""
    settings = settings_for("sqlite:///unused.db", redis_url=redis.url, redis_prefix=f"test-{uuid.uuid4().hex}")
    async with AsyncExitStack() as nodes:
        yield [await nodes.enter_async_context(open_traffic(settings)) for _ in range(2)]


@pytest.fixture
async def alone() -> AsyncIterator[Traffic]:
    async with open_traffic(settings_for("sqlite:///unused.db")) as opened:
        yield opened


@pytest.fixture(params=["memory", pytest.param("redis", marks=needs_redis)])
def node(request: pytest.FixtureRequest) -> Traffic:
    return request.getfixturevalue("alone") if request.param == "memory" else request.getfixturevalue("two_nodes")[0]


async def taken(node: Traffic, bound: Bound, who: str, tries: int) -> int:
    """How many of so many tries at once are let through."""
    return [await one for one in asyncio.as_completed([node.take(bound, who) for _ in range(tries)])].count(0)


async def test_a_bound_holds_for_each_by_itself(node: Traffic) -> None:
    assert await taken(node, THIRTY, "10.0.0.1", 30) == 30
    assert await node.is_reached(THIRTY, "10.0.0.1")
    assert 1 <= await node.take(THIRTY, "10.0.0.1") <= 300
    assert not await node.is_reached(THIRTY, "10.0.0.2")
    assert await node.take(THIRTY, "10.0.0.2") == await node.take(SHORT, "10.0.0.1") == 0


async def test_what_is_given_back_may_be_taken_once_more(node: Traffic) -> None:
    await taken(node, THIRTY, "a", 30)
    for _ in range(2):
        await node.give_back(THIRTY, "a")
    assert await taken(node, THIRTY, "a", 5) == 2
    await node.forget(THIRTY, "a")
    assert await taken(node, THIRTY, "a", 40) == 30


async def test_after_the_seconds_that_it_names_one_more_is_taken(node: Traffic) -> None:
    while not (wait := await node.take(SHORT, "a")):
        pass
    await asyncio.sleep(wait)
    assert await node.take(SHORT, "a") == 0


async def test_a_bound_of_nothing_is_always_reached(node: Traffic) -> None:
    none = Bound("none", 0, timedelta(minutes=5))
    assert await node.is_reached(none, "all")
    assert await node.take(none, "all")


async def test_counters_in_memory_that_are_over_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auth.traffic.SWEEP_SECONDS", 0.05)
    async with open_traffic(settings_for("sqlite:///unused.db")) as node:
        await taken(node, THIRTY, "a", 1)
        for number in range(2500):
            await node.take(SHORT, f"n{number}")
        kept, lasting = node._own["short"].kept, node._own["tries"].kept
        assert len(kept.storage) >= 2500  # and hits have not swept: that would look at all of them each time
        await until(lambda: not (kept.storage or kept.expirations or kept.locks))
        assert len(lasting.storage) == 1


async def test_a_flood_from_ever_more_networks_fills_no_memory_and_has_nothing_else_forgotten(
    alone: Traffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auth.traffic.MOST_KEPT", 3000)
    flooded = Bound("flooded", 2, timedelta(days=1))
    await taken(alone, THIRTY, "10.0.0.1", 30)
    for number in range(10_000):
        await taken(alone, flooded, f"n{number}", 2)
        kept = alone._own["flooded"].kept
        assert max(len(kept.storage), len(kept.expirations), len(kept.locks)) <= 3000
    assert await alone.take(flooded, "n0") == 0  # the oldest
    assert all([await alone.take(flooded, f"n{number}") for number in range(9_000, 10_000)])
    assert await alone.take(THIRTY, "10.0.0.1")


@needs_redis
async def test_two_nodes_allow_together_what_one_does(two_nodes: list[Traffic]) -> None:
    allowed = await asyncio.gather(*(taken(node, THIRTY, "10.0.0.1", 50) for node in two_nodes))
    assert sum(allowed) == 30


@needs_redis
async def test_two_nodes_without_redis_allow_half_each_and_know_when_it_is_back(two_nodes: list[Traffic], redis: OwnRedis) -> None:
    first, second = two_nodes
    assert await taken(first, THIRTY, "before", 3) == 3
    await redis.kill()
    for node in two_nodes:
        assert await taken(node, THIRTY, "meanwhile", 50) == 15
        assert node.is_redis_away
    await redis.start()
    await until(lambda: not first.is_redis_away and not second.is_redis_away)
    assert sum([await taken(node, THIRTY, "after", 20) for node in two_nodes]) == 30


@needs_redis
async def test_a_redis_that_hangs_holds_nobody_up(redis: OwnRedis) -> None:
    async with open_traffic(settings_for("sqlite:///unused.db", redis_url=redis.url)) as node:
        await node.take(THIRTY, "before")
        redis.freeze()
        async with asyncio.timeout(60):
            assert await taken(node, THIRTY, "frozen", 100) == 15
            assert await taken(node, THIRTY, "others", 100) == 15
        assert node.is_redis_away
        os.kill(redis.process.pid, signal.SIGCONT)
        await until(lambda: not node.is_redis_away)
        assert await node.take(THIRTY, "thawed") == 0


async def test_counters_open_while_redis_is_away() -> None:
    async with open_traffic(settings_for("sqlite:///unused.db", redis_url="redis://127.0.0.1:1")) as node:
        assert await taken(node, THIRTY, "a", 50) == 15


# ---------------------------------------------------------------- signing in


@needs_redis
async def test_sign_ins_on_two_nodes_are_counted_together_and_go_on_without_redis(tmp_path: Path, redis: OwnRedis, patient: None) -> None:
    async with open_shop("postgres", tmp_path, redis_url=redis.url) as shop:
        await shop.buyer()  # so that the other node has no demo world to make
        async with second_node(shop) as port, Redis.from_url(redis.url) as operator:
            both = [shop.url, f"http://127.0.0.1:{port}"]
            assert await fill(OF_NETWORK, "127.0.0.1") == 30
            assert await status_of(shop.http, both[0], 0) == 429
            tries = 1
            while await status_of(shop.http, both[1], 0) != 429:  # it may be impatient while the machine is busy, and look again later
                tries += 1
                await asyncio.sleep(1)
            assert tries < OF_NETWORK.most // 2  # which it would allow by itself
            await operator.flushall()
            assert [await status_of(shop.http, url, 1) for url in both] == [200, 200]
            keys = [key.decode() for key in await operator.keys("*")]
            assert all(key.startswith("kabinet:traffic:") and "@" not in key for key in keys)
            assert any(subject_of("n1@shop.example") in key for key in keys)
            await redis.kill()
            answers = await asyncio.gather(*(status_of(shop.http, url, 2 + number) for number in range(4) for url in both))
            assert answers == [200] * 8


async def status_of(http: httpx2.AsyncClient, node: str, number: int) -> int:
    """What the node answers to somebody who guesses a password."""
    given = {"email": f"n{number}@shop.example", "password": "wrong"}
    return (await http.post(f"{node}/graphql", json={"query": SIGN_IN, "variables": {"input": given}})).status_code


@pytest.mark.parametrize("dialect", BOTH)
async def test_what_an_account_waits_for_outlives_a_restart(dialect: str, tmp_path: Path) -> None:
    async with migrated_url(dialect, tmp_path) as url:
        async with open_shop(dialect, tmp_path, url) as shop:
            for _ in range(5):
                assert (await attempt(shop, "known@shop.example", "wrong"))["__typename"] == "InvalidCredentials"
        async with open_shop(dialect, tmp_path, url) as shop:
            assert (await attempt(shop, "known@shop.example", "wrong"))["__typename"] == "RateLimited"
            assert [tuple(row) for row in await fetch("SELECT failures FROM guess")] == [(5,)]


@pytest.mark.parametrize("dialect", BOTH)
async def test_attempts_made_at_once_are_five_and_a_sign_in_gives_its_network_the_attempt_back(dialect: str, tmp_path: Path) -> None:
    async with open_shop(dialect, tmp_path) as shop:
        answers = await asyncio.gather(*(attempt(shop, "many@shop.example", "wrong") for _ in range(20)))
        assert [answer.get("__typename") for answer in answers].count("InvalidCredentials") == 5
        buyer = {"externalId": "x", "email": "x@shop.example", "password": "correct horse battery"}
        await shop.buyer(email=buyer["email"])
        for _ in range(3):
            await shop.sign_in(buyer)
        assert await fill(OF_NETWORK, "127.0.0.1") in (25, 26)  # five have failed; what waited and what succeeded is not counted
