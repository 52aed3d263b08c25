"""Connections on which no request comes about, against a real server."""

import asyncio
import json
import resource

import httpx2
import pytest
from starlette.applications import Starlette

from settings import read_settings
from tests.wire.http_service import SCHEMA, HttpService
from tests.wire.small_service import served
from wire import http, http_protocol
from wire.documents import Documents
from wire.http_protocol import HttpProtocol


@pytest.fixture
async def port():
    settings = read_settings(mode="demo")
    app = Starlette(routes=http.routes(HttpService(settings, Documents(SCHEMA, settings))))  # type: ignore[arg-type]
    async with served(app, http=HttpProtocol, server_header=False) as port:
        yield port


async def answers(port: int, *parts: bytes, pause: float = 0.0) -> bytes:
    """What the server says to these bytes until it hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(60):
        for part in parts:
            writer.write(part)
            await asyncio.sleep(pause)
        said = await reader.read()
    writer.close()
    return said


def refused(answer: bytes, status: int, code: str) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode()), answer[:200]
    assert b"\r\ncontent-type: application/json; charset=utf-8\r\n" in head
    assert b"\r\ncache-control: no-store\r\n" in head
    assert json.loads(body)["errors"][0]["extensions"]["code"] == code


@pytest.mark.parametrize("raw", [b"\x16\x03\x01\x02\x00\x01", b"nonsense\r\n\r\n", b"POST /graphql HTTP/9.9\r\n\r\n", b"GET \xff HTTP/1.1\r\n\r\n"])
async def test_what_is_not_http_is_refused_in_our_shape(port: int, raw: bytes) -> None:
    refused(await answers(port, raw), 400, "BAD_REQUEST")


async def test_a_head_does_not_grow_for_ever(port: int) -> None:
    start = b"POST /graphql HTTP/1.1\r\nhost: x\r\n"
    refused(await answers(port, start + b"x-one: ", *[b"x" * 10_000] * 8), 431, "HEADERS_TOO_LARGE")
    refused(await answers(port, start, *[b"x-many: " + b"x" * 9_000 + b"\r\n"] * 9), 431, "HEADERS_TOO_LARGE")
    refused(await answers(port, b"GET /graphql?query=" + b"x" * 9_000, *[b"x" * 9_000] * 9), 431, "HEADERS_TOO_LARGE")


async def test_a_head_that_does_not_come_is_not_waited_for(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.3)
    assert await answers(port) == b""
    refused(await answers(port, b"POST /gra"), 408, "REQUEST_TIMEOUT")
    refused(await answers(port, b"POST /graphql HTTP/1.1\r\n", b"host: x\r\n", b"a: b\r\n", pause=0.15), 408, "REQUEST_TIMEOUT")
    request = b"GET /graphql?query=%7Bhello%7D HTTP/1.1\r\nhost: x\r\n\r\n"
    second = await answers(port, request, b"GET /gra", pause=0.1)
    assert second.startswith(b"HTTP/1.1 200 ")
    assert b"REQUEST_TIMEOUT" in second


async def test_a_slow_operation_is_not_taken_for_a_slow_head(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.2)
    async with httpx2.AsyncClient(timeout=60) as client:
        for _ in range(2):
            response = await client.get(f"http://127.0.0.1:{port}/graphql", params={"query": "{ wait(seconds: 0.5) }"})
            assert response.json() == {"data": {"wait": 1}}


async def test_connections_beyond_the_limit_of_files_are_turned_away_until_others_go(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "most_connections", lambda: 5)
    held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
    await asyncio.sleep(0.1)
    refused(await answers(port), 503, "OVERLOADED")
    for _, writer in held:
        writer.close()
    await asyncio.sleep(0.1)
    request = b"GET /graphql?query=%7Bhello%7D HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    assert (await answers(port, request)).startswith(b"HTTP/1.1 200 ")


def test_a_hundred_files_stay_free() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert http_protocol.most_connections() in (soft - 100, 1_000_000)
