"""Requests offered at a fixed rate to a server on this machine, whatever becomes of those before: `python -m bench.offered`.

A process of its own that does little: what is sent was written beforehand, and of what comes back only the first code or
type is looked at. A request's time counts from when it was due, so that a server that stands still does not look quick.
"""

import asyncio
import json
import re
import sys
import time
from collections import Counter
from pathlib import Path
from typing import cast

import click
import uvloop

ANSWER = re.compile(rb'"(?:__typename|code)":"(\w+)"')
LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)


class Connection(asyncio.Protocol):
    """One kept-alive connection: a request, its answer, the next request."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.received = b""
        self.answered: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, found, body = self.received.partition(b"\r\n\r\n")
        length = LENGTH.search(head + b"\r\n")
        if found and length and len(body) >= int(length[1]) and self.answered and not self.answered.done():
            self.received = b""
            self.answered.set_result(body)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self.answered and not self.answered.done():
            self.answered.set_exception(exc or ConnectionResetError())

    def ask(self, request: bytes) -> asyncio.Future[bytes]:
        self.answered = asyncio.get_running_loop().create_future()
        if self.transport is None:
            raise ConnectionResetError
        self.transport.write(request)
        return self.answered


class Offer:
    """The requests one after the other, their times in milliseconds, and what was answered how often."""

    def __init__(self, port: int, requests: list[bytes]):
        self.port, self.requests = port, requests
        self.idle: list[Connection] = []
        self.times: list[float] = []
        self.answers: Counter[str] = Counter()

    async def run(self, rate: float, seconds: float) -> None:
        began, asked = time.perf_counter(), []
        for turn in range(int(rate * seconds)):
            due = began + turn / rate
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            asked.append(asyncio.create_task(self.one(self.requests[turn % len(self.requests)], due)))
        await asyncio.gather(*asked)

    async def one(self, request: bytes, due: float) -> None:
        body = await self.answer(request)
        self.times.append((time.perf_counter() - due) * 1000)
        found = ANSWER.search(body)
        self.answers[found[1].decode() if found else "data"] += 1

    async def answer(self, request: bytes) -> bytes:
        """On a connection that is idle or a new one; the server closes those that are idle for long, maybe just now."""
        while True:
            connection = self.idle.pop() if self.idle else await self.connect()
            try:
                body = await connection.ask(request)
            except ConnectionError:
                continue
            self.idle.append(connection)
            return body

    async def connect(self) -> Connection:
        return (await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", self.port))[1]


def written(body: dict[str, object], port: int, **headers: str) -> str:
    """A POST of GraphQL as it goes over the wire."""
    payload = json.dumps(body)
    own = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"POST /graphql HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n{own}content-length: {len(payload.encode())}"
    return f"{head}\r\n\r\n{payload}"


@click.command()
@click.argument("requests", type=click.Path(path_type=Path))
@click.option("--port", required=True, type=int)
@click.option("--rate", required=True, type=float, help="Requests a second.")
@click.option("--seconds", required=True, type=float)
def main(requests: Path, port: int, rate: float, seconds: float) -> None:
    """Offer the requests of a JSON list in turn; print times and answers as JSON."""
    offer = Offer(port, [request.encode() for request in json.loads(requests.read_text())])
    uvloop.run(offer.run(rate, seconds))
    json.dump({"times": offer.times, "answers": offer.answers}, sys.stdout)


if __name__ == "__main__":
    main()
