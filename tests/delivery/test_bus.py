"""The bus: hints arrive at once, are coalesced, and Redis may die without anyone noticing more than a delay."""

import asyncio
import os
import shutil
import signal
import time
import uuid

import pytest
from redis.asyncio import Redis

from delivery.bus import MAX_UNSENT_TOPICS, QUIET_POLL_SECONDS, Bus, open_bus
from settings import read_settings
from tests.shop import free_port

needs_redis = pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server on this machine")


async def until(true, seconds=30.0):
    """Wait for it to come true, which on a machine that is busy may take long."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "did not happen in time"
        await asyncio.sleep(0.01)


async def test_news_wakes_only_those_who_listen_to_the_topic():
    bus = Bus()
    with bus.listen("account:1") as one, bus.listen("account:1") as same, bus.listen("account:2") as other:
        bus.publish("account:1", "product:9")
        assert await one.wait(1) and await same.wait(1)
        assert not await other.wait(0.02)


async def test_a_waiting_listener_wakes_at_once_and_a_silent_one_by_time():
    bus = Bus()
    with bus.listen("account:1") as listener:
        asyncio.get_running_loop().call_later(0.02, bus.publish, "account:1")
        began = time.monotonic()
        assert await listener.wait(10)
        assert time.monotonic() - began < 5
        assert not await listener.wait(0.02)


async def test_hints_that_come_meanwhile_are_one():
    bus = Bus()
    with bus.listen("account:1") as listener:
        for _ in range(100):
            bus.publish("account:1")
        assert await listener.wait(0)
        assert not await listener.wait(0)


async def test_a_cancelled_wait_loses_no_news():
    bus = Bus()
    with bus.listen("account:1") as listener:
        waiting = asyncio.create_task(listener.wait(5))
        await asyncio.sleep(0)
        bus.publish("account:1")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await listener.wait(0)


async def test_nothing_is_kept_of_those_who_left():
    bus = Bus()
    for _ in range(10):
        with bus.listen("account:1"):
            pass
    assert bus._listeners == {}


async def test_a_hearer_gets_every_topic_of_its_kind_and_may_fail():
    bus, heard = Bus(), []

    def broken(topic):
        raise ValueError(topic)

    with bus.hear("session", heard.append), bus.hear("session", broken):
        bus.publish("session:1", "account:1", "session:2")
    bus.publish("session:3")
    assert heard == ["session:1", "session:2"]


class OwnRedis:
    """A redis-server of this test's own, on a free port, that can be killed and started again."""

    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"

    async def start(self):
        self.process = await asyncio.create_subprocess_exec(
            "redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder),
            stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        async with Redis.from_url(self.url) as redis:
            async with asyncio.timeout(60):
                while True:
                    try:
                        return await redis.ping()
                    except Exception:
                        await asyncio.sleep(0.02)

    async def kill(self):
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    def freeze(self):
        os.kill(self.process.pid, signal.SIGSTOP)


@pytest.fixture
async def redis(tmp_path):
    own = OwnRedis(tmp_path)
    await own.start()
    yield own
    await own.kill()


def over(redis):
    return open_bus(read_settings(redis_url=redis.url, redis_prefix=f"test-{uuid.uuid4().hex}", bus_poll_seconds=0.5))


def two_nodes(redis):
    settings = read_settings(redis_url=redis.url, redis_prefix=f"test-{uuid.uuid4().hex}", bus_poll_seconds=0.5)
    return open_bus(settings), open_bus(settings)


@needs_redis
async def test_news_reaches_the_other_process_and_the_own_listener_hears_it_once(redis):
    first, second = two_nodes(redis)
    async with first as here, second as there:
        await until(lambda: here.healthy and there.healthy)
        assert here.poll_seconds == QUIET_POLL_SECONDS
        with here.listen("account:1") as own, there.listen("account:1") as other:
            await own.wait(0), await other.wait(0)
            here.publish("account:1")
            assert await own.wait(0)
            assert await other.wait(10)
            assert not await own.wait(0.1)


@needs_redis
async def test_two_installations_on_one_redis_do_not_hear_each_other(redis):
    async with over(redis) as ours, over(redis) as theirs:
        await until(lambda: ours.healthy and theirs.healthy)
        with theirs.listen("account:1") as listener:
            await listener.wait(0)
            ours.publish("account:1")
            assert not await listener.wait(0.2)


@needs_redis
async def test_a_killed_connection_comes_back_and_wakes_everybody(redis):
    first, second = two_nodes(redis)
    async with first as here, second as there, Redis.from_url(redis.url) as operator:
        await until(lambda: here.healthy and there.healthy)
        with there.listen("account:1") as other:
            await other.wait(0)
            await operator.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            assert await other.wait(10)
            await until(lambda: here.healthy and there.healthy)
            await asyncio.sleep(0.05)
            await other.wait(0)
            here.publish("account:1")
            assert await other.wait(10)


@needs_redis
async def test_without_redis_the_own_process_goes_on_and_the_rest_is_told_when_it_is_back(redis):
    first, second = two_nodes(redis)
    async with first as here, second as there:
        await until(lambda: here.healthy and there.healthy)
        with here.listen("account:1") as own, there.listen("account:2") as other:
            await redis.kill()
            await until(lambda: not here.healthy and not there.healthy)
            assert here.poll_seconds == 0.5
            await own.wait(0), await other.wait(0)
            began = time.monotonic()
            for number in range(MAX_UNSENT_TOPICS + 10):
                here.publish("account:1", f"account:{number}")
            assert time.monotonic() - began < 5
            assert await own.wait(0)
            assert not await other.wait(0.1)
            await redis.start()
            await until(lambda: other._news)
            await until(lambda: here.healthy and there.healthy)
            await until(lambda: not here._unsent)
            await asyncio.sleep(0.1)
            await other.wait(0)
            here.publish("account:2")
            assert await other.wait(10)


@needs_redis
async def test_a_redis_that_hangs_is_noticed(redis, monkeypatch):
    monkeypatch.setattr("delivery.bus.IDLE_SECONDS", 0.2)
    async with over(redis) as bus:
        await until(lambda: bus.healthy)
        redis.freeze()
        await until(lambda: not bus.healthy)
        began = time.monotonic()
        bus.publish("account:1")
        assert time.monotonic() - began < 1


async def test_the_service_starts_and_stops_while_redis_is_away():
    async with open_bus(read_settings(redis_url="redis://127.0.0.1:1")) as bus:
        with bus.listen("account:1") as listener:
            bus.publish("account:1")
            assert await listener.wait(0)
        assert not bus.healthy


@needs_redis
async def test_what_was_published_last_is_sent_before_the_process_ends(redis):
    first, second = two_nodes(redis)
    async with second as there:
        await until(lambda: there.healthy)
        with there.listen("session:7") as other:
            await other.wait(0)
            async with first as here:
                here.publish("session:7")
            assert await other.wait(10)
