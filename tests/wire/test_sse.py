"""Event streams as they are on the wire: lines and bytes of a real server."""

import asyncio
import json
from contextlib import asynccontextmanager
from urllib.parse import quote, unquote

import pytest

from auth.sessions import Tokens
from tests.delivery.test_bus import until
from tests.wire.small_service import served, small_service
from wire import sockets, sse
from wire.handshake import credentials_of
from wire.hosts import Proxies


def app_of(service):
    """A bare front: the document is in the path's query, the rest of HTTP is tested elsewhere."""

    async def app(scope, receive, send):
        query, _, cursor = bytes(scope["query_string"]).decode().partition("&after=")
        context = service.context(await service.viewer(credentials_of(scope, service.settings, Proxies(service.settings))))
        context.resume_after = cursor or None
        prepared = service.documents.prepare(unquote(query), None, {})
        await sse.respond(service, prepared, {}, context, scope, receive, send, [(b"cache-control", b"no-store"), (b"content-type", b"x/y")])

    return app


@pytest.fixture
async def service():
    async with small_service() as service:
        yield service


@pytest.fixture
async def port(service):
    async with served(app_of(service)) as port:
        yield port


class Stream:
    def __init__(self, reader, writer, head):
        self.reader, self.writer = reader, writer
        self.status, *lines = head.decode().split("\r\n")
        self.headers = dict(line.lower().split(": ", 1) for line in lines if line)

    async def chunk(self, seconds=30.0):
        """One HTTP chunk; empty at the end."""
        async with asyncio.timeout(seconds):
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            return (await self.reader.readexactly(size + 2))[:-2]

    async def rest(self):
        chunks = []
        while chunk := await self.chunk():
            chunks.append(chunk)
        return b"".join(chunks)


@asynccontextmanager
async def opened(port, query, token=None):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    bearer = f"Authorization: Bearer {token}\r\n" if token else ""
    writer.write(f"GET /graphql?{quote(query)} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n{bearer}\r\n".encode())
    stream = Stream(reader, writer, await reader.readuntil(b"\r\n\r\n"))
    assert await stream.chunk() == b":\n\n"
    try:
        yield stream
    finally:
        writer.close()


async def test_a_subscription_is_a_stream_of_next_and_complete(port):
    async with opened(port, "subscription{count(to:2)}") as stream:
        assert stream.status == "HTTP/1.1 200 OK"
        assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert stream.headers["cache-control"] == "no-store" and stream.headers["x-accel-buffering"] == "no"
        assert await stream.rest() == (
            b'id: 1\nevent: next\ndata: {"data":{"count":"0"}}\n\n'
            b'id: 1\nevent: next\ndata: {"data":{"count":"1"}}\n\n'
            b"event: complete\ndata:\n\n"
        )


async def test_a_query_is_a_stream_of_one(port):
    async with opened(port, "{hello}") as stream:
        assert await stream.rest() == b'event: next\ndata: {"data":{"hello":"Hello, world"}}\n\nevent: complete\ndata:\n\n'


@pytest.mark.parametrize(
    ("query", "code"),
    [("subscription{mine}", "UNAUTHENTICATED"), ("mutation{write}", "OPERATION_NOT_SUPPORTED"), ("subscription{bug}", "INTERNAL_SERVER_ERROR")],
)  # fmt: skip
async def test_what_fails_is_told_in_the_stream(port, query, code):
    async with opened(port, query) as stream:
        body = await stream.rest()
    event, rest = body.split(b"\n\n", 1)
    assert rest == b"event: complete\ndata:\n\n"
    answer = json.loads(event.removeprefix(b"event: next\ndata: "))
    assert set(answer) == {"errors"} and answer["errors"][0]["extensions"]["code"] == code
    assert b"secret" not in body


async def test_a_silent_stream_beats(port, monkeypatch):
    monkeypatch.setattr(sse, "HEARTBEAT_SECONDS", 0.05)
    async with opened(port, "subscription{mine}", "ann") as stream:
        assert [await stream.chunk(), await stream.chunk()] == [b":\n\n"] * 2


async def test_nothing_runs_on_when_the_client_has_left(port, service):
    async with opened(port, "subscription{mine}", "ann") as stream:
        await until(lambda: service.running == 1 and service.sockets._sessions and service.bus._listeners)
        stream.writer.transport.abort()
        await until(lambda: service.running == 0 and not service.sockets._sessions and not service.bus._listeners)


async def test_news_reaches_its_buyer_only(port, service):
    async with opened(port, "subscription{mine}", "ann") as ann, opened(port, "subscription{mine}", "bob") as bob:
        await until(lambda: len(service.bus._listeners) == 2)
        service.said = "hello"
        service.bus.publish("account:1")
        assert b'"mine":"1: hello"' in await ann.chunk()
        with pytest.raises(TimeoutError):
            await bob.chunk(0.1)


async def test_a_revoked_session_ends_the_stream_at_once(port, service):
    async with opened(port, "subscription{mine}", "ann") as stream:
        await until(lambda: service.bus._listeners)
        service.ended.add(11)
        service.bus.publish("session:11")
        async with asyncio.timeout(5):
            body = await stream.rest()
        assert b"UNAUTHENTICATED" in body and body.endswith(b"event: complete\ndata:\n\n")
    assert service.running == 0


async def test_no_news_reaches_a_session_that_ended_unheard(port, service, monkeypatch):
    monkeypatch.setattr(sockets, "FRESH_SECONDS", -1.0)
    async with opened(port, "subscription{mine}", "ann") as stream:
        await until(lambda: service.bus._listeners)
        service.bus.publish("account:1")
        assert b'"mine"' in await stream.chunk()
        service.ended.add(11)
        service.bus.publish("account:1")
        body = await stream.rest()
        assert b'"mine"' not in body and b"UNAUTHENTICATED" in body


async def test_a_client_that_does_not_read_holds_up_only_itself_and_not_for_ever(service, monkeypatch):
    monkeypatch.setattr(sse, "STALL_SECONDS", 1.0)
    async with served(app_of(service)) as port, opened(port, "subscription{count(to:100000,size:1000)}") as stream:
        stream.writer.transport.pause_reading()
        await asyncio.sleep(0.2)
        assert service.running == 1
        async with opened(port, "{hello}") as other:
            assert b"Hello" in await other.rest()
        await until(lambda: service.running == 0)


async def test_a_buyer_has_so_many_streams_and_not_one_more(port, service, monkeypatch):
    monkeypatch.setattr(sockets, "STREAMS_A_BUYER", 1)
    async with opened(port, "subscription{mine}", "ann"), opened(port, "subscription{mine}", "ann") as second:
        assert b"RATE_LIMITED" in await second.rest()


async def test_a_network_has_so_many_streams_of_nobody_and_not_one_more():
    async with small_service(max_visitors_a_network=1) as service, served(app_of(service)) as port:
        async with opened(port, 'subscription{news(of:"1")}'):
            async with opened(port, 'subscription{news(of:"1")}') as second, opened(port, "subscription{mine}", "ann") as buyers:
                assert b"RATE_LIMITED" in await second.rest()
                with pytest.raises(TimeoutError):
                    await buyers.chunk(0.1)
    assert not service.sockets._taken


async def test_a_stream_of_a_replaced_token_ends_so_that_its_client_comes_back(port, service, monkeypatch):
    monkeypatch.setattr(sockets, "RENEWAL_SECONDS", 1.0)
    async with opened(port, "subscription{mine}", "ann") as stream:
        await until(lambda: service.bus._listeners)
        service.tokens[11] = Tokens("new", None)
        service.bus.publish("session:11", "account:1")
        assert b'"mine"' in await stream.chunk()
        assert await stream.rest() == b""
    await until(lambda: service.running == 0 and not service.sockets._sessions)


async def test_a_session_that_ended_while_its_stream_opened_ends_it_at_once(port, service):
    read = service.viewer

    async def read_just_before(credentials):
        viewer = await read(credentials)
        service.ended.add(11)
        return viewer

    service.viewer = read_just_before
    async with opened(port, "subscription{mine}", "ann") as stream, asyncio.timeout(5):
        assert b"UNAUTHENTICATED" in await stream.rest()


async def test_stopping_the_service_ends_streams_so_that_clients_come_back(port, service):
    async with opened(port, "subscription{mine}", "ann") as signed_in, opened(port, 'subscription{news(of:"1")}') as public:
        await until(lambda: len(service.bus._listeners) == 2)
        service.sockets.drain()
        assert await signed_in.rest() == b"" and await public.rest() == b""
    assert service.running == 0 and not service.sockets.event_streams
