"""priceDrops to 5,000 buyers, an alert row each: `python -m bench.price_drops`.

A real server process with its worker, 5,000 WebSockets of 5,000 buyers from another process, one product on all their
wish lists. A price falls by setPrices over HTTP; measured is the time from that request to the last alert, the CPU time of
the server an alert, and afterwards that each buyer has exactly one alert row for each price.
"""

import asyncio
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import httpx2
from pydantic import SecretStr
from tqdm import tqdm
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from auth.sessions import token_hash
from bench.lab.load import make_empty
from bench.shop import database, fill_buyers, fill_catalogue, fill_favorites, insert, settle, shop_settings
from models.database import fetch, open_database
from models.instants import utc_now
from models.migrate import migrate
from models.sessions import SCOPES
from models.unit_of_work import Work, unit_of_work
from settings import Settings

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = "subscription { priceDrops { cursor newPrice { amount } product { id title } } }"
SET = 'mutation($a: Decimal!) { setPrices(input: { rows: [{ externalId: "p1", amount: $a, currency: "USD" }] }) { results { status } } }'
CONNECTING = 50


@click.command()
@database
@click.option("--buyers", default=5000, show_default=True)
@click.option("--drops", default=3, show_default=True, help="How many prices fall, one after the other.")
@click.option("--port", default=8047, show_default=True)
def main(database: str | None, buyers: int, drops: int, port: int) -> None:
    """Print how soon and at what cost the alerts arrive."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="kabinet-bench-") as folder:
        settings = shop_settings(database, folder, worker=True, port=port)
        asyncio.run(fill(settings, buyers))
        server = subprocess.Popen([sys.executable, str(ROOT / "server.py"), "serve"], cwd=folder, env=environment(settings))
        try:
            asyncio.run(measure(settings, server.pid, buyers, drops))
        finally:
            server.terminate()
            server.wait(30)
        asyncio.run(check(settings, buyers, drops))


def environment(settings: Settings) -> dict[str, str]:
    """Those settings that are not the defaults, as the server reads them."""
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    told = {name: value.get_secret_value() if isinstance(value, SecretStr) else getattr(value, "value", value) for name, value in given.items()}
    return {"PATH": "/usr/bin:/bin"} | {f"KABINET_{name.upper()}": ",".join(value) if isinstance(value, tuple) else str(value) for name, value in told.items()}


async def fill(settings: Settings, buyers: int) -> None:
    await make_empty(settings)
    await migrate(settings)
    async with open_database(settings):
        await fill_catalogue(1)
        await fill_buyers(buyers)
        await fill_favorites([(n, 1) for n in range(1, buyers + 1)])
        scopes = json.dumps(SCOPES)
        rows = [("bench", token_hash("kst_bench"), scopes, utc_now())]
        await insert("staff_token", "name, token_hash, scopes, created_at", "text text jsonb timestamptz", rows)
    await settle(settings)


class Arrivals:
    """When each alert came."""

    def __init__(self, buyers: int):
        self.buyers, self.times = buyers, list[float]()
        self.all = asyncio.Event()

    def note(self) -> None:
        self.times.append(time.perf_counter())
        if len(self.times) == self.buyers:
            self.all.set()

    def begin(self) -> None:
        self.times.clear()
        self.all.clear()


async def measure(settings: Settings, pid: int, buyers: int, drops: int) -> None:
    async with httpx2.AsyncClient(base_url=settings.base_url, headers={"authorization": "Bearer kst_bench"}) as staff:
        await ready(staff)
        arrivals, gate = Arrivals(buyers), asyncio.Semaphore(CONNECTING)
        before, began = memory_kb(pid), time.perf_counter()
        sockets = await asyncio.gather(*(subscribed(settings, n, gate) for n in range(1, buyers + 1)))
        listening = [asyncio.create_task(listen(socket, arrivals)) for socket in sockets]
        connected = time.perf_counter() - began
        await asyncio.sleep(3)
        held = (memory_kb(pid) - before) / buyers
        print(f"{buyers:,} sockets connected and subscribed in {connected:.1f} s, {held:.1f} kB each in the server")
        last, half, costs = [], [], []
        for turn in tqdm(range(drops), desc="prices", leave=False, disable=None):
            # An alert is followed by silence for a day: every price comes to favourites that have had none.
            arrivals.begin()
            cpu, began = cpu_seconds(pid), time.perf_counter()
            answer = await staff.post("/graphql", json={"query": SET, "variables": {"a": str(90 - turn)}})
            assert answer.json()["data"]["setPrices"]["results"] == [{"status": "CREATED"}], answer.text
            await asyncio.wait_for(arrivals.all.wait(), 120)
            times = sorted(arrivals.times)
            last.append(times[-1] - began)
            half.append(times[len(times) // 2] - began)
            await asyncio.sleep(1)
            costs.append((cpu_seconds(pid) - cpu) / buyers * 1e6)
            if turn + 1 < drops:
                await wake_watches(settings)
        m = statistics.median
        print(f"price to last alert {m(last) * 1000:,.0f} ms, to half of them {m(half) * 1000:,.0f} ms; {m(costs):.0f} µs of CPU an alert")
        for task in listening:
            task.cancel()


async def ready(staff: httpx2.AsyncClient) -> None:
    for _ in range(100):
        try:
            await staff.post("/graphql", json={"query": "{ serverTime }"})
            return
        except httpx2.TransportError:
            await asyncio.sleep(0.1)
    raise RuntimeError("the server did not start")


async def subscribed(settings: Settings, buyer: int, gate: asyncio.Semaphore) -> ClientConnection:
    async with gate:
        address = settings.base_url.replace("http", "ws", 1) + "/graphql"
        protocol = Subprotocol("graphql-transport-ws")
        socket = await connect(address, subprotocols=[protocol], compression=None, ping_interval=None, open_timeout=60)
        await socket.send(json.dumps({"type": "connection_init", "payload": {"authorization": f"Bearer bench-{buyer}"}}))
        assert json.loads(await socket.recv())["type"] == "connection_ack"
        await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": DOCUMENT}}))
        return socket


async def listen(socket: ClientConnection, arrivals: Arrivals) -> None:
    async for message in socket:
        if '"next"' in message:  # type: ignore[operator]
            arrivals.note()


async def wake_watches(settings: Settings) -> None:
    """Take the day's silence from the watches, as a day would."""
    async with open_database(settings):
        await _wake()


@unit_of_work
async def _wake(work: Work) -> None:
    await work.execute("UPDATE favorite SET armed = $1, alerted_minor = NULL, alerted_at = NULL, peak_minor = NULL", True)


async def check(settings: Settings, buyers: int, drops: int) -> None:
    async with open_database(settings):
        found = await fetch("SELECT count(*), count(DISTINCT account_id), count(DISTINCT point_id) FROM price_drop")
    print(f"{found[0][0]:,} alert rows of {found[0][1]:,} buyers for {found[0][2]} prices: {'none missing, none twice' if tuple(found[0]) == (buyers * drops, buyers, drops) else 'WRONG'}")


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and all its threads (Linux)."""
    return sum(int(Path(task, "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e9


def memory_kb(pid: int) -> int:
    """Resident memory (Linux)."""
    return int(next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")).split()[1])


if __name__ == "__main__":
    main()
