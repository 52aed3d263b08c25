"""SIGTERM under traffic: nobody is cut off in the middle, nothing acknowledged is lost, and the process ends."""

import asyncio
import itertools
import json
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed

from models.database import fetch, open_database
from schema.scalars import global_id
from tests.databases import BOTH, settings_for
from tests.own_process import Node, filled_url, running, token_of
from tests.wire.test_websocket import Raw, client

PRICES = "subscription($of: ID!) { priceChanged(productId: $of) { newPrice { amount } } }"
DROPS = "subscription { priceDrops { cursor } }"
ADD = "mutation($of: ID!) { addFavorite(productId: $of) { __typename } }"
UNREADY = 2.0
REMOVE = "mutation($of: ID!) { removeFavoriteOf(productId: $of) { __typename } }"
READ = "{ me { displayName favorites(first: 20) { edges { node { product { title price { amount } } } } } } }"


@dataclass(frozen=True)
class Size:
    """`seconds` of traffic of `rate` requests a second go before the signal."""

    sockets: int
    rate: int
    seconds: float
    callers: int


SHORT = Size(sockets=60, rate=80, seconds=1.0, callers=8)
LONG = Size(sockets=1000, rate=200, seconds=8.0, callers=40)


@dataclass
class Traffic:
    """Requests at an even rate, each by the next caller; every caller keeps one connection and one order of requests."""

    node: Node
    size: Size
    outcomes: Counter[str] = field(default_factory=Counter)
    wished: dict[int, set[bool]] = field(default_factory=dict)  # of each caller: what may be true now
    unready: list[float] = field(default_factory=list)
    slowest: float = 0.0

    async def run(self) -> None:
        queues = [asyncio.Queue[None]() for _ in range(self.size.callers)]
        async with asyncio.TaskGroup() as tasks:
            callers = [tasks.create_task(self._caller(number + 1, queue)) for number, queue in enumerate(queues)]
            began = time.monotonic()
            for tick in itertools.count():
                queues[tick % len(queues)].put_nowait(None)
                await asyncio.sleep(began + tick / self.size.rate - time.monotonic())
                if all(caller.done() for caller in callers):
                    return

    async def _caller(self, buyer: int, due: asyncio.Queue[None]) -> None:
        """Ask until nobody listens any more: a connection that is closed is opened anew."""
        connection = None
        for turn in itertools.count():
            await due.get()
            if connection is not None and connection[0].at_eof():
                connection[1].close()
                connection = None
            if connection is None:
                try:
                    connection = await asyncio.open_connection("127.0.0.1", self.node.port)
                except OSError:
                    self.outcomes["refused to connect"] += 1
                    return
            query = READ if turn % 2 else (ADD if turn % 4 == 0 else REMOVE)
            began = time.monotonic()
            outcome, closing = await self._ask(*connection, buyer, query)
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.outcomes[outcome] += 1
            if query != READ:
                becomes = query == ADD
                self.wished[buyer] = {becomes} if outcome == "200" else self.wished.get(buyer, {False}) | {becomes}
            if closing:
                connection[1].close()
                connection = None

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, buyer: int, query: str) -> tuple[str, bool]:
        """How it went, and whether the connection is of no more use."""
        body = json.dumps({"query": query, "variables": {} if query == READ else {"of": global_id("Product", 1)}}).encode()
        head = (
            f"POST /graphql HTTP/1.1\r\nhost: 127.0.0.1:{self.node.port}\r\nauthorization: Bearer {token_of(buyer)}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        answer = b""
        try:
            async with asyncio.timeout(60):
                writer.write(head.encode() + body)
                answer = await reader.readuntil(b"\r\n\r\n")
                length = int(answer.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                data = json.loads(await reader.readexactly(length))
        except (OSError, asyncio.IncompleteReadError) as lost:
            return ("cut in the middle" if answer or getattr(lost, "partial", b"") else "no answer"), True
        status = answer.split(b" ")[1].decode()
        return status if "errors" not in data else f"{status} {data['errors'][0]['extensions']['code']}", b"\r\nconnection: close" in answer.lower()

    async def watch_readiness(self) -> None:
        """Note when the service says that it is not ready, as a balancer sees it."""
        async with httpx2.AsyncClient(timeout=60) as http:
            while True:
                try:
                    if (await http.get(f"{self.node.address}/health/ready", headers={"connection": "close"})).status_code == 503:
                        self.unready.append(time.monotonic())
                except httpx2.TransportError:
                    return
                await asyncio.sleep(0.1)


async def open_socket(node: Node, number: int, gate: asyncio.Semaphore) -> asyncio.Task[tuple[int, float]]:
    """A socket with a subscription; the task ends with its close code and when that came."""
    payload = {"authorization": f"Bearer {token_of(1 + number % 200)}"} if number % 2 else None
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def live() -> tuple[int, float]:
        async with client(node.port, payload=payload, begun=False, open_timeout=60, ping_interval=None) as raw:
            await begin(raw, payload)
            await (raw.subscribe(DROPS) if payload else raw.subscribe(PRICES, variables={"of": global_id("Product", 2)}))
            ready.set_result(None)
            try:
                while True:
                    await raw.hear(300)
            except ConnectionClosed as closed:
                return closed.rcvd.code if closed.rcvd else 1006, time.monotonic()

    async with gate:
        task = asyncio.create_task(live())
        begun: set[asyncio.Future[Any]] = {task, ready}
        await asyncio.wait(begun, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        return task


async def begin(raw: Raw, payload: dict | None) -> None:
    await raw.say({"type": "connection_init", **({"payload": payload} if payload else {})})
    assert await raw.hear(30) == {"type": "connection_ack"}


@pytest.mark.parametrize("size", [SHORT, pytest.param(LONG, marks=pytest.mark.long)], ids=["short", "long"])
@pytest.mark.parametrize("dialect", BOTH)
async def test_stopping_under_traffic_harms_nobody(dialect: str, size: Size, tmp_path: Path) -> None:
    async with filled_url(dialect, tmp_path, buyers=200, products=2) as url:
        node = Node(url, unready_seconds=UNREADY)
        async with running(node):
            gate = asyncio.Semaphore(30)
            sockets = await asyncio.gather(*(open_socket(node, number, gate) for number in range(size.sockets)))
            traffic = Traffic(node, size)
            running_traffic = [asyncio.create_task(traffic.run()), asyncio.create_task(traffic.watch_readiness())]
            await asyncio.sleep(size.seconds)
            asked = time.monotonic()
            node.send(signal.SIGTERM)
            code = await node.ended()
            stopped_in = time.monotonic() - asked
            await asyncio.gather(*running_traffic)
            closed = await asyncio.gather(*sockets)
        async with open_database(settings_for(url)):
            kept = {account for (account,) in await fetch("SELECT account_id FROM favorite")}
    assert {code for code, _ in closed} == {1012}
    assert set(traffic.outcomes) <= {"200", "refused to connect"}, traffic.outcomes
    assert all((buyer in kept) in may for buyer, may in traffic.wished.items())
    assert code == 0 and stopped_in < 30
    assert traffic.unready and traffic.unready[-1] - asked > UNREADY / 2  # for so long a balancer could see it
    came = [at - asked for _, at in closed]
    assert min(came) > UNREADY and max(came) < UNREADY + 10
    print(f"\n{dict(traffic.outcomes)}, slowest {traffic.slowest * 1000:.0f} ms; {dict(Counter(code for code, _ in closed))}")
    print(f"close frames {min(came):.2f} to {max(came):.2f} s after the signal, exit {code} after {stopped_in:.2f} s; {len(traffic.unready)} × 503 of readiness")


async def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    async with filled_url("sqlite", tmp_path, buyers=1, products=1) as url:
        node = Node(url, unready_seconds=60, drain_seconds=60)
        async with running(node):
            _, writer = await asyncio.open_connection("127.0.0.1", node.port)
            writer.write(b"POST /graphql HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{")
            await asyncio.sleep(0.2)
            node.send(signal.SIGTERM)
            with pytest.raises(TimeoutError):
                await node.ended(0.5)
            asked = time.monotonic()
            node.send(signal.SIGTERM)
            assert await node.ended() == 0
            assert time.monotonic() - asked < 20
            writer.close()
