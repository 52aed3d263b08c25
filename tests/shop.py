"""A running shop for tests: the real server on a real port, its clients, and factories that speak the staff half."""

import asyncio
import itertools
import os
import random
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import uvicorn

from models import clock
from models.database import opened
from models.sessions import SCOPES
from resolvers.jobs import JOBS
from resolvers.staff import create_token
from resolvers.worker import until_idle
from server import application, running
from tests.databases import migrated_url, settings_for
from wire.http_protocol import HttpProtocol
from wire.process import Service
from wire.socket_protocol import SocketProtocol

PASSWORD = "correct horse battery"
PORTS, MOST_WORKERS = range(11_000, 31_000), 10
_numbers = itertools.count(1)


class Client:
    """One caller over HTTP: a buyer, staff, or nobody."""

    def __init__(self, http: httpx2.AsyncClient, token: str | None = None):
        self.http, self.token = http, token

    async def post(self, query: str, headers: dict[str, str] | None = None, **variables: Any) -> httpx2.Response:
        """The raw answer to an operation."""
        own = {"authorization": f"Bearer {self.token}"} if self.token else {}
        return await self.http.post("/graphql", json={"query": query, "variables": variables}, headers={**own, **(headers or {})})

    async def run(self, query: str, **variables: Any) -> dict[str, Any]:
        """The whole answer: `data`, and `errors` where there are any."""
        return (await self.post(query, **variables)).json()

    async def data(self, query: str, **variables: Any) -> dict[str, Any]:
        """The data of an answer that must have no errors."""
        answer = await self.run(query, **variables)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    async def codes(self, query: str, **variables: Any) -> list[str]:
        """The codes of the answer's errors."""
        return [error["extensions"]["code"] for error in (await self.run(query, **variables)).get("errors", [])]


@dataclass
class Shop:
    """The running service with its clients. `url` is its address; the worker does not run: `work()` is its turn."""

    service: Service
    url: str
    nobody: Client
    staff: Client
    http: httpx2.AsyncClient
    buyers: list[Client] = field(default_factory=list)

    async def put(self, operation: str, rows: list[dict[str, Any]], **more: Any) -> list[dict[str, Any]]:
        """The results of a bulk call of the staff half: `put("Stores", rows)` runs putStores; see core.graphql."""
        name = operation[0].upper() + operation[1:]
        query = f"mutation($input: {name}Input!) {{ {operation}(input: $input) {{ results {{ externalId status code message }} }} }}"
        return (await self.staff.data(query, input={"rows": rows, **more}))[operation]["results"]

    async def staff_with(self, *scopes: str) -> Client:
        """A staff client that may do only this."""
        return Client(self.http, await create_token(f"tests {next(_numbers)}", scopes))

    async def work(self) -> None:
        """Let the worker do all that is due."""
        await until_idle(JOBS)

    async def followed(self, topic: str, streams: int = 1) -> None:
        """Wait until so many streams wait for news of the topic: each has read where it begins, and tells all that comes."""
        async with asyncio.timeout(30):
            while self.waits_for(topic) != streams:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)

    def waits_for(self, topic: str) -> int:
        """How many streams do so."""
        return sum(listener._waiter is not None for listener in self.service.bus._listeners.get(topic, ()))

    async def now(self) -> datetime:
        """The domain's instant."""
        return await clock.now()

    async def advance(self, **step: int) -> None:
        """Move the clock by days and hours, through the API."""
        query = "mutation($days: Int!, $hours: Int!) { advanceClock(days: $days, hours: $hours) { __typename } }"
        answer = await self.staff.data(query, days=step.get("days", 0), hours=step.get("hours", 0))
        assert answer["advanceClock"]["__typename"] == "ClockAdvanced"

    async def buyer(self, **given: Any) -> "Buyer":
        """A new buyer, signed in."""
        number = next(_numbers)
        row = {
            "externalId": f"buyer-{number}",
            "displayName": f"Buyer {number}",
            "email": f"buyer{number}@shop.example",
            "language": "en",
            "region": "US",
            "currency": "USD",
            "password": PASSWORD,
            **given,
        }
        (result,) = await self.put("putAccounts", [row])
        assert result["status"] == "CREATED", result
        return await self.sign_in(row)

    async def sign_in(self, row: dict[str, Any]) -> "Buyer":
        query = "mutation($input: SignInInput!) { signIn(input: $input) { ... on SignedIn { token account { id } } ... on Refusal { code } } }"
        answer = await self.nobody.data(query, input={"email": row["email"], "password": row["password"]})
        signed = answer["signIn"]
        self.http.cookies.clear()  # each client brings its own credentials along
        return Buyer(self.http, signed["token"], signed["account"]["id"], row["externalId"])

    async def again(self, buyer: "Buyer") -> "Buyer":
        """The same buyer, signed in once more."""
        return await self.sign_in({"email": buyer.email, "password": PASSWORD, "externalId": buyer.external_id})

    async def store(self) -> str:
        """A new store's external id."""
        number = next(_numbers)
        await self.put("putStores", [{"externalId": f"store-{number}", "name": f"Store {number}"}])
        return f"store-{number}"

    async def product(self, amount: str = "100.00", days_ago: int = 40, **given: Any) -> "Product":
        """A new product that has cost `amount` for so many days."""
        number = next(_numbers)
        row = {
            "externalId": f"product-{number}",
            "storeExternalId": given.pop("store", None) or await self.store(),
            "titles": [{"language": "en", "text": f"Product {number}"}, {"language": "ru", "text": f"Товар {number}"}],
            "amount": amount,
            "currency": "USD",
            "at": (await self.now() - timedelta(days=days_ago)).isoformat(),
            **given,
        }
        (result,) = await self.put("putProducts", [row])
        assert result["status"] == "CREATED", result
        found = await self.nobody.data("query($s: String!) { products(search: $s, first: 1) { edges { node { id } } } }", s=row["titles"][0]["text"])
        return Product(row["externalId"], found["products"]["edges"][0]["node"]["id"])

    async def set_price(self, product: "Product", amount: str, at: datetime | None = None) -> dict[str, Any]:
        """Set a price and let the worker fan it out; the row's result."""
        row = {"externalId": product.external_id, "amount": amount, "currency": "USD"}
        (result,) = await self.put("setPrices", [row | ({"at": at.isoformat()} if at else {})])
        await self.work()
        return result


@dataclass(frozen=True)
class Product:
    external_id: str
    id: str


class Buyer(Client):
    """A signed-in buyer."""

    def __init__(self, http: httpx2.AsyncClient, token: str, id: str, external_id: str):
        super().__init__(http, token)
        self.id, self.external_id = id, external_id

    @property
    def email(self) -> str:
        """The address that `shop.buyer` gives a buyer who wants no other."""
        return f"{self.external_id.replace('-', '')}@shop.example"


def _ports() -> Iterator[int]:
    """This process's, in turn: other processes of one run of the tests have others."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    mine = PORTS[number % MOST_WORKERS :: MOST_WORKERS]
    start = random.SystemRandom().randrange(len(mine))
    return itertools.cycle([*mine[start:], *mine[:start]])


_own_ports = _ports()


def free_port() -> int:
    """A port for a server that starts later: below those that the system gives to clients, and told to nobody else."""
    for port in itertools.islice(_own_ports, 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no port is free")


@asynccontextmanager
async def open_shop(dialect: str, folder: Path, url: str | None = None, **given: object) -> AsyncIterator[Shop]:
    """A shop in demo mode on an empty database of its own, or that of `url`; its worker works when a test says so."""
    async with nullcontext(url) if url else migrated_url(dialect, folder) as url:
        port = free_port()
        service = Service.put_together(settings_for(url, **{"port": port, "worker": False, **given}))
        async with served(service, port), httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
            token = await create_token("tests", SCOPES)
            yield Shop(service, f"http://127.0.0.1:{port}", Client(http), Client(http, token), http)


@asynccontextmanager
async def served(service: Service, port: int) -> AsyncIterator[None]:
    """The service on this port, in this process: tests look into its database."""
    config = uvicorn.Config(
        application(service, lifespan=False), host="127.0.0.1", port=port, log_level="error", lifespan="off", http=HttpProtocol, ws=SocketProtocol,
        ws_max_size=service.settings.max_body_bytes, ws_per_message_deflate=False,
    )  # fmt: skip
    server = uvicorn.Server(config)
    sockets = [config.bind_socket()]
    sockets[0].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as it is where uvicorn binds; else each answer takes 40 ms
    async with running(service):
        assert opened() is not None
        await start(server, sockets)
        try:
            yield
        finally:
            server.should_exit = True
            await stopped(server)


async def start(server: uvicorn.Server, sockets: list[socket.socket]) -> None:
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup(sockets=sockets)


async def stopped(server: uvicorn.Server) -> None:
    await server.shutdown(sockets=None)
