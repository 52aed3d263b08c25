"""Buyers who are cut off again and again, and servers that are killed: every alert arrives, in order, once."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import httpx2
import pytest
from websockets.exceptions import InvalidHandshake, WebSocketException

from models.database import open_database
from models.favorites import PriceDrop
from resolvers.price_watch import DROPS as LISTED
from tests.databases import BOTH, settings_for
from tests.delivery.test_bus import OwnRedis
from tests.own_process import Node, filled_url, running, set_price, staff_client, token_of
from tests.wire.test_websocket import client

DROPS = "subscription($after: String) { priceDrops(after: $after) { cursor } }"
CUT_OFF = (OSError, TimeoutError, WebSocketException, InvalidHandshake, httpx2.TransportError, EOFError)


@dataclass(frozen=True)
class Size:
    """`seconds` is how long prices fall, `alerts` how many products do; each buyer has one alert more from before."""

    buyers: int
    alerts: int
    cuts: int
    kills: int
    seconds: float


SHORT = Size(buyers=12, alerts=6, cuts=3, kills=1, seconds=1.5)
LONG = Size(buyers=500, alerts=40, cuts=20, kills=5, seconds=120)


class Reader:
    """A buyer's client: it keeps the cursor of what it heard last and comes back with it whenever it is cut off."""

    def __init__(self, buyer: int, nodes: list[Node], size: Size, random: Random, http: httpx2.AsyncClient):
        self.buyer, self.nodes, self.size, self.random, self.http = buyer, nodes, size, random, http
        self.heard: list[str] = []
        self.cuts = self.lost = 0
        self.over_stream = buyer % 4 == 0  # as a browser's EventSource does it

    async def read(self, first: str) -> None:
        """Read until all have arrived and the cuts are over."""
        self.heard.append(first)
        tries = 0
        while len(self.heard) <= self.size.alerts or self.cuts < self.size.cuts:
            node, before = self.random.choice(self.nodes), len(self.heard)
            until_cut = self.random.uniform(0, 2 * self.size.seconds / self.size.cuts) if self.cuts < self.size.cuts else 3600.0
            try:
                async with asyncio.timeout(until_cut) as cut:
                    await (self._stream(node) if self.over_stream else self._socket(node))
            except CUT_OFF:
                tries = tries if len(self.heard) == before else 0
                if cut.expired():
                    self.cuts += 1
                else:
                    self.lost += 1
                    await asyncio.sleep(self.random.uniform(0.1, 0.5) * min(2**tries, 8))
                    tries += 1

    async def _socket(self, node: Node) -> None:
        payload = {"authorization": f"Bearer {token_of(self.buyer)}"}
        async with client(node.port, payload=payload, open_timeout=60, ping_interval=None, close_timeout=0.1) as raw:
            try:
                await raw.subscribe(DROPS, variables={"after": self.heard[-1]})
                while len(self.heard) <= self.size.alerts or self.cuts < self.size.cuts:
                    message = await raw.hear(3600)
                    if is_passing(message):
                        raise EOFError
                    assert message["type"] == "next", message
                    self.heard.append(message["payload"]["data"]["priceDrops"]["cursor"])
            finally:
                raw.socket.transport.abort()  # nobody says goodbye

    async def _stream(self, node: Node) -> None:
        headers = {
            "accept": "text/event-stream", "authorization": f"Bearer {token_of(self.buyer)}", "last-event-id": self.heard[-1],
        }  # fmt: skip
        body = {"query": "subscription { priceDrops { cursor } }"}
        async with self.http.stream("POST", f"{node.address}/graphql", json=body, headers=headers) as stream:
            if stream.status_code == 503:
                raise EOFError
            assert stream.status_code == 200, await stream.aread()
            async for line in stream.aiter_lines():
                if line.startswith("data:") and "priceDrops" in line:
                    self.heard.append(json.loads(line[5:])["data"]["priceDrops"]["cursor"])
                    if len(self.heard) > self.size.alerts and self.cuts >= self.size.cuts:
                        return
        raise EOFError  # the server has ended it: it is being restarted


def is_passing(message: dict) -> bool:
    """Whether the service asks to come back later, as it does where a machine is busy."""
    return message["type"] == "error" and message["payload"][0]["extensions"]["code"] in ("OVERLOADED", "TIMEOUT")


async def falling_prices(nodes: list[Node], size: Size) -> None:
    """One price after the other falls; whoever is told nothing asks again, as a platform does."""
    began = time.monotonic()
    for number in range(size.alerts):
        await asyncio.sleep(began + number * size.seconds / size.alerts - time.monotonic())
        turn = number
        while not await price_fell(nodes[turn % len(nodes)], number + 2):
            turn += 1
            await asyncio.sleep(0.2)


async def price_fell(node: Node, number: int) -> bool:
    try:
        async with staff_client(node) as staff:
            return await set_price(staff, number, "90.00") in ("CREATED", "UPDATED", "UNCHANGED")
    except httpx2.TransportError:
        return False


async def kills(nodes: list[Node], size: Size) -> None:
    for kill in range(size.kills):
        await asyncio.sleep(size.seconds / (size.kills + 1))
        node = nodes[kill % len(nodes)]
        await node.kill()
        await node.start()


async def told_of_the_first(node: Node, buyers: int) -> None:
    """Every buyer has an alert, so that there is a cursor to begin with."""
    async with staff_client(node) as staff:
        assert await set_price(staff, 1, "90.00") == "CREATED"
        async with asyncio.timeout(120):
            while not await first_cursor(node, buyers):  # noqa: ASYNC110 - it comes to pass in another process
                await asyncio.sleep(0.05)


async def first_cursor(node: Node, buyer: int) -> str | None:
    async with httpx2.AsyncClient(base_url=node.address, headers={"authorization": f"Bearer {token_of(buyer)}"}, timeout=60) as http:
        answer = await http.post("/graphql", json={"query": "{ me { priceDrops { edges { cursor } } } }"})
    edges = answer.json()["data"]["me"]["priceDrops"]["edges"]
    return edges[0]["cursor"] if edges else None


@asynccontextmanager
async def some_nodes(dialect: str, url: str, folder: Path) -> AsyncIterator[list[Node]]:
    """One process on SQLite; two that share PostgreSQL and a Redis."""
    if dialect == "sqlite":
        node = Node(url)
        async with running(node):
            yield [node]
        return
    redis = OwnRedis(folder)
    await redis.start()
    try:
        nodes = [Node(url, redis_url=redis.url), Node(url, redis_url=redis.url)]
        async with running(*nodes):
            yield nodes
    finally:
        await redis.kill()


@pytest.mark.parametrize("size", [SHORT, pytest.param(LONG, marks=pytest.mark.long)], ids=["short", "long"])
@pytest.mark.parametrize("dialect", BOTH)
async def test_nothing_is_lost_or_told_twice_over_cuts_and_kills(dialect: str, size: Size, tmp_path: Path) -> None:
    seed = time.time_ns()
    random = Random(seed)
    async with (
        filled_url(dialect, tmp_path, size.buyers, size.alerts + 1, everything_wished=True) as url,
        some_nodes(dialect, url, tmp_path) as nodes,
    ):
        await told_of_the_first(nodes[0], size.buyers)
        first = await first_cursor(nodes[0], 1)
        assert first is not None
        no_limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
        async with (
            httpx2.AsyncClient(timeout=3600, limits=no_limits) as http,
            asyncio.timeout(size.seconds * 2 + 240),
            asyncio.TaskGroup() as tasks,
        ):
            readers = [Reader(buyer, nodes, size, random, http) for buyer in range(1, size.buyers + 1)]
            for work in (falling_prices(nodes, size), kills(nodes, size), *(reader.read(first) for reader in readers)):
                tasks.create_task(work)
        async with open_database(settings_for(url)):
            rows = await PriceDrop.all().order_by("number")
    written: dict[int, list[str]] = {}
    for row in rows:
        written.setdefault(row.account_id, []).append(LISTED.cursor(row))
    assert len(rows) == size.buyers * (size.alerts + 1)
    for reader in readers:
        assert reader.heard == written[reader.buyer], f"buyer {reader.buyer}, seed {seed}"
    assert all(reader.cuts == size.cuts for reader in readers)
    print(f"{len(rows)} alerts, {sum(r.cuts for r in readers)} cuts, {sum(r.lost for r in readers)} connections lost to kills")
