"""graphql-transport-ws as it is on the wire: raw frames against a real server."""

import asyncio
import base64
import json
import os
import time
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from auth.sessions import Tokens
from tests.delivery.test_bus import until
from tests.wire.small_service import served, small_service, sockets_app
from wire import conversation, socket_protocol, sockets
from wire.conversation import MAX_QUERIES, MAX_SUBSCRIPTIONS, MESSAGES_A_MINUTE, PROTOCOL

INIT = {"type": "connection_init"}


@pytest.fixture
async def service():
    async with small_service() as service:
        yield service


@pytest.fixture
async def port(service):
    async with served(sockets_app(service)) as port:
        yield port


class Raw:
    """A client that says what it is told to say."""

    def __init__(self, socket):
        self.socket = socket

    async def say(self, *messages):
        for message in messages:
            await self.socket.send(message if isinstance(message, str | bytes) else json.dumps(message))

    async def hear(self, seconds=30.0):
        async with asyncio.timeout(seconds):
            return json.loads(await self.socket.recv())

    async def hear_nothing(self, seconds=0.1):
        with pytest.raises(TimeoutError):
            await self.hear(seconds)

    async def begin(self, payload=None):
        await self.say(INIT if payload is None else {**INIT, "payload": payload})
        assert await self.hear() == {"type": "connection_ack"}

    async def subscribe(self, query, id="1", **payload):
        await self.say({"id": id, "type": "subscribe", "payload": {"query": query, **payload}})

    async def settled(self):
        """Everything said before this has been read, and begun where nothing has to be waited for."""
        await self.say({"type": "ping"})
        while await self.hear() != {"type": "pong"}:
            pass
        for _ in range(50):
            await asyncio.sleep(0)
        await asyncio.sleep(0.02)

    async def closed(self, seconds=30.0):
        """The code that the server closes with; whatever it says before is skipped."""
        async with asyncio.timeout(seconds):
            with pytest.raises(ConnectionClosed) as end:
                while True:
                    await self.socket.recv()
        return end.value.rcvd.code if end.value.rcvd else 1006


@asynccontextmanager
async def client(port, *, begun=True, payload=None, **options):
    options = {"subprotocols": [PROTOCOL], "compression": None, "max_size": None, **options}
    async with connect(f"ws://127.0.0.1:{port}/graphql", **options) as socket:
        raw = Raw(socket)
        if begun:
            await raw.begin(payload)
        yield raw


async def refused(port, **options):
    with pytest.raises(InvalidStatus) as refusal:
        async with client(port, **options):
            pass
    return refusal.value.response.status_code


# The handshake


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example", "file://"])
async def test_a_foreign_page_is_refused_before_the_socket_is_open(port, origin):
    assert await refused(port, origin=origin) == 403


async def test_a_host_that_is_not_ours_is_refused():
    async with small_service(allowed_hosts="shop.example") as service, served(sockets_app(service)) as port:
        assert await refused(port) == 403


async def test_a_cookie_without_an_origin_is_refused_and_a_bearer_is_not(port):
    assert await refused(port, additional_headers={"Cookie": "sid=ann"}) == 403
    async with client(port, payload={"Authorization": "Bearer ann"}) as raw:
        await raw.subscribe("{ me }")
        assert (await raw.hear())["payload"] == {"data": {"me": 1}}


async def test_an_allowed_page_with_a_cookie_is_signed_in(port):
    async with client(port, origin=f"http://127.0.0.1:{port}", additional_headers={"Cookie": "a=b; sid=ann"}) as raw:
        await raw.subscribe("{ me }")
        assert (await raw.hear())["payload"] == {"data": {"me": 1}}


async def test_with_a_cookie_and_a_bearer_the_bearer_alone_counts(port):
    options = {"origin": f"http://127.0.0.1:{port}", "additional_headers": {"Cookie": "sid=ann"}}
    async with client(port, payload={"authorization": "bearer bob"}, **options) as raw:
        await raw.subscribe("{ me }")
        assert (await raw.hear())["payload"] == {"data": {"me": 2}}
    async with client(port, begun=False, **options) as raw:
        await raw.say({**INIT, "payload": {"AUTHORIZATION": "Bearer nobody"}})
        assert await raw.closed() == 4401


@pytest.mark.parametrize("subprotocols", [None, ["graphql-ws"], ["mqtt", "graphql-ws"]])
async def test_only_the_new_subprotocol_is_spoken(port, subprotocols):
    async with connect(f"ws://127.0.0.1:{port}/graphql", compression=None) as socket:
        assert await Raw(socket).closed() == 4406


async def test_nothing_is_compressed(port):
    async with client(port, compression="deflate") as raw:
        assert "Sec-WebSocket-Extensions" not in raw.socket.response.headers


async def test_the_wrong_subprotocol_is_told_4406(port):
    head = (
        "GET /graphql HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\nSec-WebSocket-Protocol: graphql-ws\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.encode())
    await reader.readuntil(b"\r\n\r\n")
    frame = await reader.readexactly(4)
    assert frame[0] == 0x88 and int.from_bytes(frame[2:], "big") == 4406
    writer.close()


# connection_init


async def test_a_socket_without_credentials_is_acknowledged_and_may_do_public_things(port):
    async with client(port) as raw:
        await raw.subscribe("{ me }")
        assert await raw.hear() == {"id": "1", "type": "next", "payload": {"data": {"me": None}}}
        assert await raw.hear() == {"id": "1", "type": "complete"}
        await raw.subscribe("subscription { mine }", id="2")
        answer = await raw.hear()
        assert (answer["id"], answer["type"]) == ("2", "error")
        assert answer["payload"][0]["extensions"]["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize("payload", [None, {}, {"authorization": None}, {"Authorization": ""}, {"other": [1]}])
async def test_a_payload_without_credentials_is_fine(port, payload):
    async with client(port, begun=False) as raw:
        await raw.say({**INIT, "payload": payload})
        assert await raw.hear() == {"type": "connection_ack"}


@pytest.mark.parametrize("value", ["Bearer nobody", "Basic YTpi", "Bearer", "ann", 1, ["Bearer ann"], {"Bearer": "ann"}])
async def test_bad_credentials_close_the_socket(port, value):
    async with client(port, begun=False) as raw:
        await raw.say({**INIT, "payload": {"authorization": value}})
        assert await raw.closed() == 4401


async def test_who_does_not_begin_in_time_is_closed_although_he_pings(port, monkeypatch):
    monkeypatch.setattr(conversation, "INIT_SECONDS", 1.0)
    async with client(port, begun=False) as raw:
        await raw.say({"type": "ping"})
        assert await raw.hear() == {"type": "pong"}
        assert await raw.closed() == 4408


async def test_who_has_begun_may_stay(port, monkeypatch):
    monkeypatch.setattr(conversation, "INIT_SECONDS", 1.0)
    async with client(port) as raw:
        await asyncio.sleep(1.2)
        await raw.settled()


async def test_beginning_twice_closes_the_socket(port):
    async with client(port) as raw:
        await raw.say(INIT)
        assert await raw.closed() == 4429


async def test_subscribing_before_the_beginning_closes_the_socket(port):
    async with client(port, begun=False) as raw:
        await raw.subscribe("{ hello }")
        assert await raw.closed() == 4401


# Messages


@pytest.mark.parametrize(
    "message",
    [
        "", "{", "[]", "null", "1", '"x"', "true", "NaN", "{}", '{"type":null}', '{"type":1}', '{"type":"start"}', '{"type":"next"}', '{"type":["ping"]}',
        '{"type":"ping"} {"type":"ping"}', '{"type":"ping","type":"ping"}', '{"type":"ping","payload":1}', '{"type":"pong","payload":[]}',
        '{"type":"connection_ack"}', '{"type":"complete"}', '{"type":"complete","id":1}', '{"type":"complete","id":""}', '{"type":"connection_init","payload":[]}',
        '{"type":"subscribe"}', '{"type":"subscribe","id":"1"}', '{"type":"subscribe","id":"1","payload":null}', '{"type":"subscribe","id":"1","payload":[]}',
        '{"type":"subscribe","id":"1","payload":{}}', '{"type":"subscribe","id":"1","payload":{"query":1}}', '{"type":"subscribe","id":"1","payload":{"query":null}}',
        '{"type":"subscribe","payload":{"query":"{hello}"}}', '{"type":"subscribe","id":1,"payload":{"query":"{hello}"}}',
        '{"type":"subscribe","id":{},"payload":{"query":"{hello}"}}', '{"type":"subscribe","id":"","payload":{"query":"{hello}"}}',
        '{"type":"subscribe","id":"\\ud800","payload":{"query":"{hello}"}}', '{"type":"subscribe","id":"' + "i" * 300 + '","payload":{"query":"{hello}"}}',
        '{"type":"subscribe","id":"1","payload":{"query":"{hello}","variables":[]}}', '{"type":"subscribe","id":"1","payload":{"query":"{hello}","variables":"x"}}',
        '{"type":"subscribe","id":"1","payload":{"query":"{hello}","operationName":1}}', '{"type":"subscribe","id":"1","payload":{"query":"{hello}","extensions":1}}',
        '{"type":"ping","payload":{"a":' * 1 + "[" * 20_000 + "]" * 20_000 + "}}", '{"type":"ping","payload":{"n":' + "9" * 5000 + "}}",
        b"\xff\xfe\x00", b'{"type":"ping","payload":{"a":"\xff"}}', b"", b"\x1f\x8b\x08\x00", '{"type":"ping"}'.encode("utf-16"),
    ],
    ids=lambda message: repr(message)[:70],
)  # fmt: skip
@pytest.mark.parametrize("begun", [True, False])
async def test_what_is_not_a_message_closes_the_socket(port, message, begun):
    async with client(port, begun=begun) as raw:
        await raw.say(message)
        assert await raw.closed() == 4400


async def test_text_that_is_not_utf_8_closes_the_socket(port):
    async with client(port) as raw:
        await raw.socket.send(b'{"type":"ping","payload":{"a":"\xc3\x28"}}', text=True)
        assert await raw.closed() == 4400


async def test_a_message_in_pieces_is_one_message(port):
    async with client(port) as raw:
        await raw.socket.send(iter(['{"type":"pi', "ng", '","payload":{"é":1}}']))
        assert await raw.hear() == {"type": "pong", "payload": {"é": 1}}


async def test_pings_are_answered_with_what_they_carry(port):
    async with client(port, begun=False) as raw:
        await raw.say({"type": "ping"}, {"type": "pong"}, {"type": "ping", "payload": None})
        assert [await raw.hear(), await raw.hear()] == [{"type": "pong"}] * 2
        await raw.say('{"type":"ping","payload":{"n":123456789012345678901234567890}}')
        assert await raw.hear() == {"type": "pong", "payload": {"n": 123456789012345678901234567890}}


@pytest.mark.parametrize("size", [64 * 1024 + 1, 5_000_000])
async def test_a_message_that_is_too_large_is_told_1009(port, size):
    async with client(port) as raw:
        sending = asyncio.create_task(raw.socket.send("x" * size))
        assert await raw.closed() == 1009
        await asyncio.gather(sending, return_exceptions=True)


async def test_many_pieces_that_are_too_large_together_are_told_1009(port):
    async with client(port) as raw:
        sending = asyncio.create_task(raw.socket.send(iter(["x" * 60_000] * 30)))
        assert await raw.closed() == 1009
        await asyncio.gather(sending, return_exceptions=True)


async def test_the_largest_message_is_read(port):
    async with client(port) as raw:
        message = '{"type":"ping","payload":{"a":"' + "x" * (64 * 1024 - 34) + '"}}'
        assert len(message) == 64 * 1024
        await raw.say(message)
        assert (await raw.hear())["type"] == "pong"


@pytest.mark.parametrize("frame", [b"\xc1\x80....", b"\x83\x80....", b"\x81\x01a", b"\x80\x80....", b"\x89\xfe\x01\x00" + b"." * 260])
async def test_broken_framing_is_told_1002(port, frame):
    async with client(port) as raw:
        raw.socket.transport.write(frame)
        assert await raw.closed() == 1002


async def test_a_message_in_endless_empty_pieces_is_told_1009(port):
    async with client(port) as raw:
        sending = asyncio.create_task(raw.socket.send(iter([""] * 2000)))
        assert await raw.closed() == 1009
        await asyncio.gather(sending, return_exceptions=True)


async def test_who_pings_without_reading_the_pongs_is_dropped(port, service, monkeypatch):
    monkeypatch.setattr(socket_protocol, "MAX_WAITING_BYTES", 100_000)
    monkeypatch.setattr(socket_protocol, "CLOSE_SECONDS", 0.2)
    async with deaf(port) as raw:
        ping = b"\x89\xfd\0\0\0\0" + b"p" * 125
        for _ in range(2000):
            if raw.socket.transport.is_closing():
                break
            raw.socket.transport.write(ping * 100)
            await asyncio.sleep(0)
        raw.socket.transport.resume_reading()
        assert await raw.closed() in (1013, 1006)  # it may have been cut off before it read the close frame


CODES = {1000, 1002, 1003, 1005, 1007, 1009, 1013, 4400, 4401, 4408, 4409, 4429}


def mutated(random, message):
    """`message` with a few bytes changed, dropped or doubled."""
    raw = bytearray(message)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(raw))
        match random.randrange(4):
            case 0:
                raw[at] = random.randrange(256)
            case 1:
                del raw[at : at + random.randint(1, 8)]
            case 2:
                raw[at:at] = raw[at : at + random.randint(1, 20)]
            case _:
                raw[at:at] = random.choice([b"null", b"[", b'"', b"{}", b"\0", b"\xff", b"1e999", b"\\ud800"])
        raw = raw or bytearray(b"{")
    return bytes(raw)


async def test_whatever_is_said_is_answered_or_closed_with_a_code_of_the_protocol(port, service):
    random = Random(20261122)
    messages = [
        b'{"type":"connection_init","payload":{"authorization":"Bearer ann"}}',
        b'{"id":"1","type":"subscribe","payload":{"query":"query A($n: String) { hello(name: $n) }","variables":{"n":"x"},"operationName":"A"}}',
        b'{"id":"2","type":"subscribe","payload":{"query":"subscription { news(of: 1) }","extensions":{}}}',
        b'{"type":"ping","payload":{"a":[1,2.5,true,null]}}',
        b'{"id":"1","type":"complete"}',
    ]
    for number in range(150):
        async with client(port, begun=number % 3 > 0, close_timeout=1) as raw:
            try:
                for _ in range(random.randint(1, 5)):
                    said = mutated(random, random.choice(messages))
                    await raw.socket.send(said, text=random.random() < 0.7)
                while True:
                    answer = await raw.hear(0.03)
                    assert answer["type"] in ("connection_ack", "pong", "next", "error", "complete"), answer
                    assert "INTERNAL" not in json.dumps(answer)
            except TimeoutError:
                pass
            except ConnectionClosed as end:
                assert end.rcvd is not None and end.rcvd.code in CODES, end
    await until(lambda: service.running == 0 and not service.sockets._sessions)


async def test_broken_bytes_never_close_with_an_abnormal_code(port):
    random = Random(20261122)
    frame = b"\x81\x8f\0\0\0\0" + b'{"type":"ping"}'
    for _ in range(50):
        async with client(port, close_timeout=0.05) as raw:
            raw.socket.transport.write(b"".join(mutated(random, frame) for _ in range(3)) + b"\x88\x82\0\0\0\0\x03\xe8")
            try:
                while True:
                    await raw.hear(0.1)
            except TimeoutError:
                pass  # the server waits for the rest of a frame
            except ConnectionClosed as end:
                assert end.rcvd is not None and end.rcvd.code in CODES, end


async def test_too_many_messages_close_the_socket(port):
    async with client(port) as raw:
        await raw.say(*[{"type": "pong"}] * (MESSAGES_A_MINUTE - 2), {"type": "ping"})
        assert await raw.hear() == {"type": "pong"}
        await raw.say({"type": "pong"})
        assert await raw.closed() == 4429


# Operations


async def test_a_query_is_answered_once(port):
    async with client(port) as raw:
        query = "query Greet($name: String) { hello(name: $name) } query Other { me }"
        await raw.subscribe(query, variables={"name": "Ann"}, operationName="Greet", extensions=None)
        assert await raw.hear() == {"id": "1", "type": "next", "payload": {"data": {"hello": "Hello, Ann"}}}
        assert await raw.hear() == {"id": "1", "type": "complete"}
        await raw.subscribe("{ hello }")
        assert (await raw.hear())["payload"] == {"data": {"hello": "Hello, world"}}


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("", "GRAPHQL_PARSE_FAILED"),
        ("{ helo }", "GRAPHQL_VALIDATION_FAILED"),
        ("query A { hello } query B { me }", "OPERATION_RESOLUTION_FAILURE"),
        ("mutation { write }", "OPERATION_NOT_SUPPORTED"),
        ("subscription { bug }", "INTERNAL_SERVER_ERROR"),
    ],
)
async def test_a_wrong_document_costs_its_operation_only(port, service, document, code):
    async with client(port) as raw:
        await raw.subscribe('subscription { news(of: "1") }', id="kept")
        await raw.subscribe(document, id="wrong")
        answer = await raw.hear()
        assert (answer["id"], answer["type"]) == ("wrong", "error")
        assert [error["extensions"]["code"] for error in answer["payload"]] == [code]
        assert "secret" not in json.dumps(answer) and answer["payload"][0]["extensions"]["requestId"]
        await raw.settled()
        service.said = "still here"
        service.bus.publish("product:1")
        assert await raw.hear() == {"id": "kept", "type": "next", "payload": {"data": {"news": "still here"}}}
        await raw.subscribe("{ me }", id="wrong")
        assert (await raw.hear())["type"] == "next"


@pytest.mark.parametrize("id", ["1", "ж" * 255, "🜚" * 255])
async def test_the_same_id_twice_closes_the_socket(port, id):
    async with client(port) as raw:
        await raw.subscribe('subscription { news(of: "1") }', id=id)
        await raw.subscribe("{ hello }", id=id)
        assert await raw.closed() == 4409


async def test_an_id_is_free_again_after_complete(port, service):
    async with client(port) as raw:
        for _ in range(3):
            await raw.subscribe('subscription { news(of: "1") }')
            await raw.say({"id": "1", "type": "complete"})
        await raw.say({"id": "unknown", "type": "complete"})
        await raw.subscribe("subscription { count(to: 2) }")
        assert [(await raw.hear())["type"] for _ in range(3)] == ["next", "next", "complete"]
        await raw.settled()
        assert service.running == 0


async def test_a_stopped_operation_says_nothing_more(port, service):
    async with client(port, payload={"authorization": "Bearer ann"}) as raw:
        await raw.subscribe("{ wait(seconds: 0.2) }", id="q")
        await raw.subscribe("subscription { mine }", id="s")
        await raw.settled()
        assert service.running == 1
        await raw.say({"id": "q", "type": "complete"}, {"id": "s", "type": "complete"})
        await raw.settled()
        service.bus.publish("account:1")
        await raw.hear_nothing(0.4)
        assert service.running == 0


async def test_everything_stops_when_the_client_goes_politely_or_not(port, service):
    for abruptly in (False, True):
        async with client(port, payload={"authorization": "Bearer ann"}) as raw:
            await raw.subscribe("subscription { mine }", id="1")
            await raw.subscribe('subscription { news(of: "1") }', id="2")
            await raw.settled()
            assert service.running == 2
            if abruptly:
                raw.socket.transport.abort()
        await until(lambda: service.running == 0 and service.sockets._sessions == {})
        await until(lambda: service.bus._listeners == {} and service.streams._streams == {})
        assert not service.sockets._taken and not service.sockets._unready


async def test_a_storm_of_subscribing_and_stopping_leaves_nothing_behind(port, service):
    async with client(port, payload={"authorization": "Bearer ann"}) as raw:
        for number in range(50):
            query = "subscription { mine }" if number % 2 else 'subscription { news(of: "1") }'
            await raw.subscribe(query, id=str(number))
            await raw.say({"id": str(number), "type": "complete"})
        await raw.settled()
        assert service.running == 0 and service.bus._listeners == {}


async def test_a_socket_has_so_many_subscriptions_and_not_one_more(port):
    async with client(port) as raw:
        for number in range(MAX_SUBSCRIPTIONS + 1):
            await raw.subscribe('subscription { news(of: "1") }', id=str(number))
        answer = await raw.hear()
        assert (answer["id"], answer["payload"][0]["extensions"]["code"]) == (str(MAX_SUBSCRIPTIONS), "LIMIT_REACHED")
        await raw.say({"id": "0", "type": "complete"})
        await raw.subscribe('subscription { news(of: "1") }', id="again")
        await raw.settled()


async def test_a_socket_has_so_many_running_queries_and_not_one_more(port):
    async with client(port) as raw:
        for number in range(MAX_QUERIES + 1):
            await raw.subscribe("{ wait(seconds: 1) }", id=str(number))
        answer = await raw.hear()
        assert (answer["id"], answer["payload"][0]["extensions"]["code"]) == (str(MAX_QUERIES), "LIMIT_REACHED")
        assert {(await raw.hear())["type"] for _ in range(2 * MAX_QUERIES)} == {"next", "complete"}


async def test_a_buyer_has_so_many_sockets_and_not_one_more(port, monkeypatch):
    monkeypatch.setattr(sockets, "SOCKETS_A_BUYER", 2)
    ann = {"payload": {"authorization": "Bearer ann"}}
    async with client(port, **ann), client(port, payload={"authorization": "Bearer bob"}):
        async with client(port, payload={"authorization": "Bearer ann-elsewhere"}), client(port, begun=False) as third:
            await third.say({**INIT, **ann})
            assert await third.closed() == 4429
        async with client(port, **ann):
            pass


async def test_an_address_has_so_many_silent_sockets_and_not_one_more(port, monkeypatch):
    monkeypatch.setattr(sockets, "UNREADY_AN_ADDRESS", 2)
    async with client(port, begun=False) as first, client(port, begun=False), client(port, begun=False) as third:
        assert await third.closed() == 4429
        await first.begin()
        async with client(port):
            pass


async def test_a_network_has_so_many_sockets_of_nobody_and_all_together_have_so_many():
    settings = {"max_visitors_a_network": 2, "max_visitors": 3, "forwarded_allow_ips": "127.0.0.1"}
    async with small_service(**settings) as service, served(sockets_app(service)) as port, AsyncExitStack() as opened:

        async def begun(address, payload=None):
            raw = await opened.enter_async_context(client(port, begun=False, additional_headers={"X-Forwarded-For": address}))
            await raw.say({**INIT, "payload": payload})
            return raw

        first = await begun("203.0.113.1")
        assert await first.hear() == {"type": "connection_ack"}
        assert await (await begun("::ffff:203.0.113.1")).hear() == {"type": "connection_ack"}
        with pytest.raises(ConnectionClosed) as end:
            await (await begun("203.0.113.1")).hear()
        assert (end.value.rcvd.code, end.value.rcvd.reason) == (4429, "Too many sockets")
        assert await (await begun("203.0.113.2")).hear() == {"type": "connection_ack"}
        assert await (await begun("203.0.113.3")).closed() == 4429
        assert await (await begun("203.0.113.1", {"authorization": "Bearer ann"})).hear() == {"type": "connection_ack"}
        await first.socket.close()
        await asyncio.sleep(0.05)
        assert await (await begun("203.0.113.3")).hear() == {"type": "connection_ack"}
    assert not service.sockets._taken


# Sharing


async def test_those_who_ask_the_same_share_one_stream_and_each_gets_his_own_id(port, service):
    query = "subscription News($of: ID!) { news(of: $of) }"
    async with client(port) as one, client(port, payload={"authorization": "Bearer ann"}) as two:
        await one.subscribe(query, id="a", variables={"of": "1"})
        await one.subscribe(query, id='b"\\é', variables={"of": "1"})
        await two.subscribe(query, id="a", variables={"of": "1"})
        await two.subscribe(query, id="other", variables={"of": "2"})
        await one.settled(), await two.settled()
        assert service.begun == 2
        service.said = "«cheaper»"
        service.bus.publish("product:1")
        payload = {"data": {"news": "«cheaper»"}}
        for who, expected in ((one, "a"), (one, 'b"\\é'), (two, "a")):
            assert await who.hear() == {"id": expected, "type": "next", "payload": payload}
        await one.say({"id": "a", "type": "complete"})
        await one.settled()
        service.bus.publish("product:1")
        assert (await one.hear())["id"] == 'b"\\é'
        assert (await two.hear())["id"] == "a"
        await one.hear_nothing()


async def test_a_shared_stream_speaks_the_language_of_its_readers(port, service):
    russian = {"additional_headers": {"Accept-Language": "ru"}}
    async with client(port) as one, client(port, **russian) as two:
        await one.subscribe('subscription { news(of: "1") }')
        await two.subscribe('subscription { news(of: "1") }')
        await one.settled(), await two.settled()
        assert service.begun == 2


# The end of a session


async def test_a_revoked_session_closes_its_sockets_at_once_and_no_others(port, service):
    async with client(port, payload={"authorization": "Bearer ann"}) as gone:
        async with client(port, payload={"authorization": "Bearer ann-elsewhere"}) as same_buyer, client(port) as anybody:
            await gone.subscribe("subscription { mine }")
            await same_buyer.subscribe("subscription { mine }")
            await gone.settled(), await same_buyer.settled()
            service.ended.add(11)
            began = time.monotonic()
            service.bus.publish("session:11", "account:1")
            assert await gone.closed() == 4401
            assert time.monotonic() - began < 5  # a machine may be busy; who looks for himself does so after ten
            assert (await same_buyer.hear())["type"] == "next"
            await anybody.settled()
    assert service.sockets._sessions == {}


async def test_without_the_bus_a_revoked_session_is_noticed_by_looking(service, monkeypatch):
    monkeypatch.setattr(sockets, "LOOK_SECONDS", 0.2)
    async with small_service() as service, served(sockets_app(service)) as port:
        async with client(port, payload={"authorization": "Bearer ann"}) as gone:
            service.ended.add(11)
            assert await gone.closed() == 4401


@pytest.mark.parametrize("query", ["subscription { mine }", 'subscription { news(of: "1") }'])
async def test_no_news_reaches_a_session_that_was_not_looked_at_for_long(port, service, monkeypatch, query):
    async with client(port, payload={"authorization": "Bearer ann"}) as raw:
        await raw.subscribe(query)
        await raw.settled()
        monkeypatch.setattr(sockets, "FRESH_SECONDS", -1.0)
        service.bus.publish("account:1", "product:1")
        assert (await raw.hear())["type"] == "next"
        service.ended.add(11)
        service.bus.publish("account:1", "product:1")
        with pytest.raises(ConnectionClosed) as end:
            await raw.hear()
        assert end.value.rcvd.code == 4401


async def test_an_operation_after_the_end_of_the_session_closes_the_socket(port, service):
    async with client(port, payload={"authorization": "Bearer ann"}) as raw:
        service.ended.add(11)
        await raw.subscribe("{ me }")
        assert await raw.closed() == 4401


@pytest.mark.parametrize("ended", [True, False])
async def test_what_becomes_of_a_session_while_a_socket_opens_is_noticed_at_once(port, service, monkeypatch, ended):
    monkeypatch.setattr(sockets, "RENEWAL_SECONDS", 0.1)
    read = service.viewer

    async def read_just_before(credentials):
        viewer = await read(credentials)
        if ended:
            service.ended.add(11)
        else:
            service.tokens[11] = Tokens("new", None)
        service.bus.publish("session:11")  # nobody hears it: the socket is not among those of the session yet
        return viewer

    service.viewer = read_just_before
    async with client(port, begun=False) as raw:
        await raw.say({**INIT, "payload": {"authorization": "Bearer ann"}})
        assert await raw.closed(5) == (4401 if ended else 1012)
    await until(lambda: service.sockets._sessions == {} and not service.sockets._taken)


# Another token


async def test_a_socket_of_a_replaced_token_is_told_to_come_back_after_a_while(port, service, monkeypatch):
    monkeypatch.setattr(sockets, "RENEWAL_SECONDS", 1.5)
    async with client(port, payload={"authorization": "Bearer ann"}) as raw, client(port, payload={"authorization": "Bearer ann-elsewhere"}) as other:
        await raw.subscribe("subscription { mine }")
        await raw.settled()
        service.tokens[11] = Tokens("new", None)
        began = time.monotonic()
        for _ in range(3):  # more looks neither put it off nor close twice
            service.bus.publish("session:11", "account:1")
            assert (await raw.hear())["type"] == "next"
            await asyncio.sleep(0.1)
        with pytest.raises(ConnectionClosed) as end:
            await raw.hear()
        assert (end.value.rcvd.code, end.value.rcvd.reason) == (1012, "sign in with the new token")
        assert time.monotonic() - began > 1.4
        await other.settled()
    await until(lambda: service.sockets._sessions == {})


async def test_a_session_revoked_while_its_sockets_wait_for_the_new_token_closes_them_at_once(port, service):
    async with client(port, payload={"authorization": "Bearer ann"}) as raw:
        service.tokens[11] = Tokens("new", None)
        service.bus.publish("session:11")
        await raw.settled()
        service.ended.add(11)
        service.bus.publish("session:11")
        assert await raw.closed(4) == 4401


async def test_a_replaced_token_is_noticed_without_the_bus_by_looking(service, monkeypatch):
    monkeypatch.setattr(sockets, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(sockets, "RENEWAL_SECONDS", 0.2)
    async with small_service() as service, served(sockets_app(service)) as port:
        async with client(port, payload={"authorization": "Bearer ann"}) as raw:
            service.tokens[11] = Tokens("new", None)
            assert await raw.closed() == 1012


async def test_a_token_that_was_turned_within_its_family_keeps_its_sockets_and_another_family_does_not(port, service, monkeypatch):
    monkeypatch.setattr(sockets, "RENEWAL_SECONDS", 0.1)
    service.tokens[11] = Tokens("ann", "family")
    async with client(port, payload={"authorization": "Bearer ann"}) as raw:
        for turned in ("second", "third"):
            service.tokens[11] = Tokens(turned, "family")
            service.bus.publish("session:11")
            await asyncio.sleep(0.3)
            await raw.settled()
        service.tokens[11] = Tokens("fourth", "another family")
        service.bus.publish("session:11")
        assert await raw.closed() == 1012


# Slow clients


@asynccontextmanager
async def deaf(port, *messages):
    """A client that begins, says something and then reads nothing more."""
    async with client(port, close_timeout=0.2) as raw:
        raw.socket.transport.pause_reading()
        await raw.say(*messages)
        yield raw


async def test_a_client_that_does_not_read_is_dropped_and_nobody_waits_for_it(port, service):
    subscribe = {"id": "1", "type": "subscribe", "payload": {"query": 'subscription { news(of: "1") }'}}
    async with client(port) as quick, deaf(port, subscribe) as slow:
        await quick.subscribe('subscription { news(of: "1") }')
        await quick.settled()
        service.said = "x" * 60_000
        for _ in range(250):
            service.bus.publish("product:1")
            assert (await quick.hear())["type"] == "next"
            if len(service.streams._streams) and len(next(iter(service.streams._streams.values())).heads) == 1:
                break
        else:
            pytest.fail("the slow client was kept")
        slow.socket.transport.resume_reading()
        assert await slow.closed() == 1013


async def test_replay_waits_for_its_reader_instead_of_dropping_him(port, service):
    subscribe = {"id": "1", "type": "subscribe", "payload": {"query": "subscription { count(to: 3000, size: 1000) }"}}
    async with deaf(port, subscribe) as slow:
        await asyncio.sleep(0.3)
        slow.socket.transport.resume_reading()
        heard = [await slow.hear() for _ in range(3001)]
        assert [len(m["payload"]["data"]["count"]) for m in heard[:-1]][-1] == 4000
        assert heard[-1] == {"id": "1", "type": "complete"}


async def test_who_stalls_for_too_long_is_cut_off(port, service, monkeypatch):
    monkeypatch.setattr(socket_protocol, "STALL_SECONDS", 0.3)
    monkeypatch.setattr(socket_protocol, "CLOSE_SECONDS", 0.3)
    subscribe = {"id": "1", "type": "subscribe", "payload": {"query": "subscription { count(to: 100000, size: 1000) }"}}
    async with deaf(port, subscribe):
        await until(lambda: service.begun and not service.running)


async def test_who_does_not_answer_pings_is_told_1013(service):
    async with served(sockets_app(service), ws_ping_interval=0.1, ws_ping_timeout=0.2) as port:
        async with client(port, ping_interval=None) as raw:
            raw.socket.protocol.recv_frame, real = (lambda frame: None if frame.opcode == 9 else real(frame)), raw.socket.protocol.recv_frame
            assert await raw.closed() == 1013


# The end of the server


async def test_stopping_the_server_closes_sockets_with_1012_and_ends_what_runs(service):
    server = served(sockets_app(service))
    port = await server.__aenter__()
    async with client(port, payload={"authorization": "Bearer ann"}) as raw, client(port, begun=False) as silent:
        await raw.subscribe("subscription { mine }")
        await raw.settled()
        began = time.monotonic()
        stopping = asyncio.create_task(server.__aexit__(None, None, None))
        assert await raw.closed() == 1012 and await silent.closed() == 1012
        await stopping
        assert time.monotonic() - began < 4  # the server itself gives up after five
    assert service.running == 0


async def test_a_client_that_does_not_read_does_not_hold_up_the_end(service, monkeypatch):
    monkeypatch.setattr(socket_protocol, "CLOSE_SECONDS", 0.5)
    server = served(sockets_app(service))
    port = await server.__aenter__()
    subscribe = {"id": "1", "type": "subscribe", "payload": {"query": "subscription { count(to: 100000, size: 1000) }"}}
    async with deaf(port, subscribe):
        await asyncio.sleep(0.3)
        began = time.monotonic()
        await server.__aexit__(None, None, None)
        assert time.monotonic() - began < 4  # the server itself gives up after five
    assert service.running == 0
