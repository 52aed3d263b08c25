"""The service as an operator runs it: `server.py serve` in processes of its own, which a test may stop, kill and start anew."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2

from auth.sessions import token_hash
from bench.shop import fill_buyers, fill_catalogue, fill_favorites, insert
from models.database import open_database
from models.instants import utc_now
from models.sessions import SCOPES
from tests.databases import migrated_url, settings_for
from tests.shop import free_port

ROOT = Path(__file__).parents[1]
STAFF = "kst_tests"


class Node:
    """One process on `url`, in production mode. `under` is a command that it runs under."""

    def __init__(self, url: str, under: Sequence[str] = (), **settings: object):
        self.port, self.under = free_port(), under
        self.address = f"http://127.0.0.1:{self.port}"
        given = {"mode": "production", "port": self.port, "database_url": url, "cost_bucket": False, "request_seconds": 60, "secret_key": "s" * 32, **settings}
        self.environment = {**os.environ, **{f"KABINET_{name.upper()}": str(value) for name, value in given.items()}}
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> float:
        """Start and wait until it is ready; the seconds that took."""
        began = time.monotonic()
        command = [*self.under, sys.executable, "server.py", "serve"]
        self.process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=self.environment, start_new_session=True)
        async with httpx2.AsyncClient() as http, asyncio.timeout(120):
            while not await self.is_ready(http):
                assert self.process.returncode is None, "the server has ended"
                await asyncio.sleep(0.02)
        return time.monotonic() - began

    async def is_ready(self, http: httpx2.AsyncClient) -> bool:
        try:
            return (await http.get(f"{self.address}/health/ready")).status_code == 200
        except httpx2.TransportError:
            return False

    def send(self, sent: signal.Signals) -> None:
        """Signal the process and what it runs under."""
        assert self.process is not None
        if self.process.returncode is None:
            os.killpg(self.process.pid, sent)

    async def ended(self, seconds: float = 60) -> int:
        """Its exit code."""
        assert self.process is not None
        return await asyncio.wait_for(self.process.wait(), seconds)

    async def kill(self) -> None:
        self.send(signal.SIGKILL)
        await self.ended()


@asynccontextmanager
async def running(*nodes: Node) -> AsyncIterator[None]:
    """These processes, started; whichever lives at the end is killed."""
    try:
        await asyncio.gather(*(node.start() for node in nodes))
        yield
    finally:
        for node in nodes:
            if node.process is not None:
                await node.kill()


@asynccontextmanager
async def filled_url(dialect: str, folder: Path, buyers: int, products: int, everything_wished: bool = False) -> AsyncIterator[str]:
    """The address of a new database with all tables, filled."""
    async with migrated_url(dialect, folder) as url:
        await fill(url, buyers, products, everything_wished)
        yield url


async def fill(url: str, buyers: int, products: int, everything_wished: bool = False) -> None:
    """So many buyers (tokens `bench-1`, …), products (`p1`, …) at 100.00, and a staff token."""
    async with open_database(settings_for(url)):
        await fill_catalogue(products)
        await fill_buyers(buyers)
        if everything_wished:
            await fill_favorites([(buyer, product) for buyer in range(1, buyers + 1) for product in range(1, products + 1)])
        row = ("tests", token_hash(STAFF), json.dumps(SCOPES), utc_now())
        await insert("staff_token", "name, token_hash, scopes, created_at", "text text jsonb timestamptz", [row])


def token_of(buyer: int) -> str:
    return f"bench-{buyer}"


def staff_client(node: Node) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=node.address, headers={"authorization": f"Bearer {STAFF}"}, timeout=60)


async def set_price(staff: httpx2.AsyncClient, number: int, amount: str) -> str:
    """Set the price of product `p{number}`; the row's status."""
    query = "mutation($input: SetPricesInput!) { setPrices(input: $input) { results { status } } }"
    row = {"externalId": f"p{number}", "amount": amount, "currency": "USD"}
    answer = await staff.post("/graphql", json={"query": query, "variables": {"input": {"rows": [row]}}})
    (result,) = answer.json()["data"]["setPrices"]["results"]
    return result["status"]
