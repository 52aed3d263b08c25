"""The clients that shops use, unmodified, against a real server. `npm ci` in tests/wire/clients installs them."""

import asyncio
import json
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.wire.small_service import served, small_service, sockets_app

CLIENTS = Path(__file__).parent / "clients"


pytestmark = pytest.mark.usefixtures("clients")

@pytest.fixture
async def service():
    async with small_service() as service:
        yield service


@pytest.fixture
async def port(service):
    async with served(sockets_app(service)) as port:
        yield port


class Run:
    """A client's run: what it has said so far."""

    def __init__(self, process):
        self.process = process
        self.said = []

    async def until(self, fits):
        """Read on until the client says what `fits`."""
        with self.killed_on_failure():
            async with asyncio.timeout(60):
                while not any(fits(line) for line in self.said):
                    self.said.append(json.loads(await self.process.stdout.readline()))

    async def end(self):
        with self.killed_on_failure():
            async with asyncio.timeout(60):
                async for line in self.process.stdout:
                    self.said.append(json.loads(line))
                assert await self.process.wait() == 0
        return self.said

    @contextmanager
    def killed_on_failure(self):
        """A client that stayed would hold up the server's end."""
        try:
            yield
        except BaseException:
            self.process.kill()
            raise

    def of(self, i):
        return [{key: value for key, value in line.items() if key != "i"} for line in self.said if line.get("i") == i]


async def run(script, url, *operations, token=None):
    plan = json.dumps({"token": token, "operations": operations})
    return Run(await asyncio.create_subprocess_exec("node", script, url, plan, cwd=CLIENTS, stdout=asyncio.subprocess.PIPE))


async def over_ws(port, *operations, token=None):
    return await run("over_ws.mjs", f"ws://127.0.0.1:{port}/graphql", *operations, token=token)


async def over_sse(port, *operations, token=None):
    return await run("over_sse.mjs", f"http://127.0.0.1:{port}/graphql", *operations, token=token)


def code(line):
    return line["error"][0]["extensions"]["code"]


async def test_graphql_ws_runs_queries_and_subscriptions_and_a_wrong_document_costs_nothing_else(port, service):
    client = await over_ws(
        port,
        {"query": "subscription($of: ID!) { news(of: $of) }", "variables": {"of": "1"}, "take": 2},
        {"query": "{ me hello }"},
        {"query": "{ helo }"},
        {"query": "query A { hello } query B { hello }"},
        {"query": "query A { hello } query B { me }", "operationName": "B"},
        {"query": "mutation { write }"},
        {"query": "subscription { count(to: 3) }"},
        token="ann",
    )
    await client.until(lambda line: line.get("i") == 6 and "complete" in line)
    for said in ("one", "two"):
        service.said = said
        service.bus.publish("product:1")
        await client.until(lambda line: line.get("i") == 0 and line.get("next") == {"data": {"news": said}})  # noqa: B023
    assert (await client.end())[-1]["closed"] == 1000
    assert client.of(0) == [{"next": {"data": {"news": said}}} for said in ("one", "two")] + [{"complete": True}]
    assert client.of(1) == [{"next": {"data": {"me": 1, "hello": "Hello, world"}}}, {"complete": True}]
    assert [code(client.of(i)[0]) for i in (2, 3, 5)] == [
        "GRAPHQL_VALIDATION_FAILED", "OPERATION_RESOLUTION_FAILURE", "OPERATION_NOT_SUPPORTED",
    ]  # fmt: skip
    assert client.of(4) == [{"next": {"data": {"me": 1}}}, {"complete": True}]
    assert client.of(6) == [{"next": {"data": {"count": str(n)}}} for n in range(3)] + [{"complete": True}]


async def test_graphql_ws_takes_bad_credentials_as_final(port):
    client = await over_ws(port, {"query": "{ me }"}, token="nobody")
    await client.end()
    assert {"closed": 4401, "reason": "Unauthorized"} in client.said
    assert client.of(0) == [{"error": {"code": 4401, "reason": "Unauthorized"}}]


async def test_graphql_ws_takes_a_revoked_session_as_final(port, service):
    client = await over_ws(port, {"query": "subscription { mine }"}, {"query": "{ hello }"}, token="ann")
    await client.until(lambda line: line.get("i") == 1 and "complete" in line)
    service.ended.add(11)
    service.bus.publish("session:11")
    await client.end()
    assert client.of(0) == [{"error": {"code": 4401, "reason": "session revoked"}}]
