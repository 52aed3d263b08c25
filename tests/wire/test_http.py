import asyncio
import json
from typing import Any

import httpx2 as httpx
import pytest

from tests.wire.http_service import HttpService, answering

RESPONSE = "application/graphql-response+json"
JSON = "application/json"
HELLO = {"query": "{ hello }"}
ROW_27 = {
    "strict-transport-security": "max-age=63072000; includeSubDomains",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "vary": "Origin, Accept",
}


class Shop:
    """A client that sends exactly what it is told to."""

    def __init__(self, url: str, service: HttpService, client: httpx.AsyncClient):
        self.url, self.service, self.client = url + "/graphql", service, client

    async def post(self, content: Any = HELLO, headers: dict[str, str] | None = None, **more: str) -> httpx.Response:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        given = {"content-type": JSON, "accept": RESPONSE, **(headers or {}), **more}
        return await self.client.post(self.url, content=body, headers={k: v for k, v in given.items() if v is not None})

    async def get(self, query: str | None = None, accept: str = RESPONSE, **headers: str) -> httpx.Response:
        params = {} if query is None else {"query": query}
        return await self.client.get(self.url, params=params, headers={"accept": accept, **headers})


@pytest.fixture(scope="module")
async def demo():
    async with answering() as (url, service), httpx.AsyncClient(timeout=60) as client:
        yield Shop(url, service, client)


@pytest.fixture(scope="module")
async def shop():
    """In production, reached as shop.example."""
    settings = {"public_url": "https://shop.example", "allowed_origins": "https://app.example"}
    async with answering(mode="production", **settings) as (url, service):
        async with httpx.AsyncClient(headers={"host": "shop.example"}, timeout=60) as client:
            yield Shop(url, service, client)


def refused(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == {"errors"}
    for error in body["errors"]:
        assert error["extensions"]["code"] == code
        assert error["extensions"]["requestId"]
        assert error["message"]
    assert ROW_27.items() <= dict(response.headers).items()
    assert "server" not in response.headers
    return body


# ---------------------------------------------------------------- what works


async def test_a_query_is_answered_with_the_headers_of_every_answer(shop: Shop):
    response = await shop.post()
    assert (response.status_code, response.json()) == (200, {"data": {"hello": "Hello, world"}})
    assert response.headers["content-type"] == f"{RESPONSE}; charset=utf-8"
    assert ROW_27.items() <= dict(response.headers).items()
    assert {"server", "set-cookie", "access-control-allow-origin"}.isdisjoint(response.headers)


async def test_a_query_may_come_by_get_and_head_and_a_mutation_may_not(shop: Shop):
    response = await shop.get("{ hello }")
    assert response.json() == {"data": {"hello": "Hello, world"}}
    head = await shop.client.head(shop.url, params={"query": "{ hello }"}, headers={"accept": RESPONSE})
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == response.headers["content-length"]
    written = shop.service.written
    for query, more in [
        ("mutation { write }", {}),
        ("query A { hello } mutation B { write }", {"operationName": "B"}),
    ]:
        for headers in ({}, {"x-http-method-override": "POST"}):
            response = await shop.client.get(shop.url, params={"query": query, **more}, headers={"accept": JSON, **headers})
            refused(response, 405, "METHOD_NOT_ALLOWED")
            assert response.headers["allow"] == "POST"
    assert shop.service.written == written


@pytest.mark.parametrize(
    "accept, type_, status",
    [
        (None, JSON, 200),
        ("*/*", JSON, 200),
        ("application/*", JSON, 200),
        (JSON, JSON, 200),
        (f"{JSON}; charset=utf-8", JSON, 200),
        (RESPONSE, RESPONSE, 400),
        (RESPONSE.upper(), RESPONSE, 400),
        (f"{RESPONSE}, {JSON};q=0.9", RESPONSE, 400),
        (f"{RESPONSE};q=0.5, {JSON}", JSON, 200),
        (f"{JSON}, {RESPONSE}", RESPONSE, 400),
        (f"{RESPONSE}, application/graphql+json, {JSON}, text/event-stream, multipart/mixed", RESPONSE, 400),
        (f"text/event-stream, {JSON};q=0.1", JSON, 200),
        ("text/html, */*;q=0.1", JSON, 200),
        (f"{JSON};q=0, */*", RESPONSE, 400),
    ],
)
async def test_the_accepted_type_decides_the_type_and_the_status_of_a_fault(demo: Shop, accept, type_, status):
    for content, code in [
        ({"query": "{"}, "GRAPHQL_PARSE_FAILED"),
        ({"query": "{ helo }"}, "GRAPHQL_VALIDATION_FAILED"),
        ({"query": "query A { hello } query B { hello }"}, "OPERATION_RESOLUTION_FAILURE"),
        ({"query": "query ($s: Float!) { wait(seconds: $s) }"}, "BAD_USER_INPUT"),
    ]:
        headers = {"accept": accept} if accept is not None else {"accept": None}
        response = await demo.post(content, headers)
        refused(response, status, code)
        assert response.headers["content-type"] == f"{type_}; charset=utf-8"
        assert "mean" not in response.text


@pytest.mark.parametrize("accept", ["text/html", "text/plain", "image/*", f"{JSON};q=0", "*/*;q=0", "multipart/mixed", "x"])
async def test_what_cannot_be_produced_is_refused(demo: Shop, accept: str):
    refused(await demo.post(HELLO, accept=accept), 406, "NOT_ACCEPTABLE")
    refused(await demo.get("{ hello }", accept), 406, "NOT_ACCEPTABLE")


# ---------------------------------------------------------------- methods, bodies


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE"])
async def test_other_methods_are_refused(demo: Shop, method: str):
    response = await demo.client.request(method, demo.url, headers={"content-type": JSON})
    refused(response, 405, "METHOD_NOT_ALLOWED")
    assert response.headers["allow"] == "GET, POST"


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonx",
        "application/graphql",
        "text/plain; a=application/json",
        "application/json, text/plain",
        "application/json; charset=utf-16",
        "application/json; charset=iso-8859-1",
    ],
)
async def test_other_media_types_are_refused(demo: Shop, content_type: str | None):
    response = await demo.post(HELLO, {"content-type": content_type})
    refused(response, 415, "UNSUPPORTED_MEDIA_TYPE")
    assert response.headers["content-type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize("content_type", ["Application/JSON", "application/json;charset=UTF-8", 'application/json; charset="utf-8"'])
async def test_json_may_be_spelled_in_any_case(demo: Shop, content_type: str):
    assert (await demo.post(HELLO, {"content-type": content_type})).status_code == 200


async def test_a_compressed_body_is_refused(demo: Shop):
    refused(await demo.post(b"\x1f\x8b\x08", {"content-encoding": "gzip"}), 415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize(
    "raw, code",
    [
        (b"", "BAD_REQUEST"),
        (b"{", "BAD_REQUEST"),
        (b'{"query":"{hello}"} x', "BAD_REQUEST"),
        (b"null", "BAD_REQUEST"),
        (b"1", "BAD_REQUEST"),
        (b'"x"', "BAD_REQUEST"),
        (b"true", "BAD_REQUEST"),
        (b"[]", "BATCHING_DISABLED"),
        (b'[{"query":"{me}"}]', "BATCHING_DISABLED"),
        (b"{}", "BAD_REQUEST"),
        (b'{"query":1}', "BAD_REQUEST"),
        (b'{"query":null}', "BAD_REQUEST"),
        (b'{"query":"{hello}","variables":[]}', "BAD_REQUEST"),
        (b'{"query":"{hello}","variables":"x"}', "BAD_REQUEST"),
        (b'{"query":"{hello}","extensions":1}', "BAD_REQUEST"),
        (b'{"query":"{hello}","operationName":1}', "BAD_REQUEST"),
        (b'{"query":"{hello}","query":"mutation{write}"}', "BAD_REQUEST"),
        (b'{"query":"{hello}","variables":{"a":NaN}}', "BAD_REQUEST"),
        (b'{"query":"{hello(name:\\"\\ud800\\")}"}', "BAD_REQUEST"),
        (b"[" * 60_000, "BAD_REQUEST"),
        (b"\xff", "BAD_REQUEST"),
    ],
)
@pytest.mark.parametrize("accept", [JSON, RESPONSE])
async def test_what_is_no_request_is_400_whatever_is_accepted(demo: Shop, raw: bytes, code: str, accept: str):
    refused(await demo.post(raw, accept=accept), 400, code)


async def test_a_document_in_the_query_string_is_read_as_strictly(demo: Shop):
    for query_string in ("", "query=", "query=%7Bhello%7D&variables=[]", "query=%7Bhello%7D&query=%7Bhello%7D", "query=%FF"):
        response = await demo.client.get(f"{demo.url}?{query_string}", headers={"accept": JSON})
        refused(response, 400, "BAD_REQUEST")
    response = await demo.client.get(f"{demo.url}?query=%7Bhello%7D&operationName=&variables=", headers={"accept": JSON})
    assert response.json() == {"data": {"hello": "Hello, world"}}
    response = await demo.client.get(f"{demo.url}?query={'x' * 17_000}", headers={"accept": JSON})
    refused(response, 414, "URI_TOO_LONG")


async def test_headers_beyond_all_measure_are_refused(demo: Shop):
    refused(await demo.post(HELLO, {"x-large": "x" * 40_000}), 431, "HEADERS_TOO_LARGE")
    refused(await demo.post(HELLO, {f"x-{n}": "1" for n in range(120)}), 431, "HEADERS_TOO_LARGE")


def sized(size: int) -> bytes:
    start, end = b'{"query":"{hello}","x":"', b'"}'
    return start + b"x" * (size - len(start) - len(end)) + end


async def in_parts(body: bytes, size: int = 8192):
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def test_a_body_ends_at_64_kibibytes_however_it_comes(demo: Shop):
    for size, status in ((65536, 200), (65537, 413), (400_000, 413)):
        whole = await demo.post(sized(size))
        chunked = await demo.client.post(
            demo.url, content=in_parts(sized(size)), headers={"content-type": JSON, "accept": RESPONSE}
        )
        for response in (whole, chunked):
            if status == 413:
                refused(response, 413, "PAYLOAD_TOO_LARGE")
            else:
                assert response.status_code == 200


async def test_staff_may_send_two_mebibytes(demo: Shop):
    for token, size, status in (
        ("kst_good", 2 * 1024 * 1024, 200),
        ("kst_good", 2 * 1024 * 1024 + 1, 413),
        ("kst_bad", 65537, 413),
        ("good", 65537, 413),
    ):
        authorization = {"authorization": f"Bearer {token}"}
        assert (await demo.post(sized(size), authorization)).status_code == status
        headers = {"content-type": JSON, "accept": RESPONSE, **authorization}
        assert (await demo.client.post(demo.url, content=in_parts(sized(size)), headers=headers)).status_code == status


async def test_a_body_that_does_not_come_is_not_waited_for():
    async with answering(request_seconds=0.3) as (url, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
        writer.write(b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 20\r\n\r\n{")
        answer = await asyncio.wait_for(reader.read(), 30)
        writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"REQUEST_TIMEOUT"' in answer


# ---------------------------------------------------------------- origins


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "https://evil.example", "cookie": "__Host-sid=good"},
        {"origin": "https://evil.example", "sec-fetch-site": "same-origin"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://shop.example"},
        {"origin": "https://shop.example:8443"},
        {"origin": "https://shop.example.evil.example"},
        {"origin": "https://app.example/"},
        {"origin": "http://localhost:3000"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
async def test_a_foreign_page_is_refused(shop: Shop, headers: dict[str, str]):
    written = shop.service.written
    for response in (await shop.post({"query": "mutation { write }"}, headers), await shop.get("{ hello }", **headers)):
        refused(response, 403, "CSRF_REJECTED")
        assert {"set-cookie", "access-control-allow-origin"}.isdisjoint(response.headers)
    assert shop.service.written == written


async def test_a_cookie_without_a_word_of_the_browser_needs_a_header_of_its_own(shop: Shop):
    cookie = {"cookie": "__Host-sid=good"}
    refused(await shop.post(HELLO, cookie), 403, "CSRF_REJECTED")
    refused(await shop.post(HELLO, cookie | {"x-requested-with": ""}), 403, "CSRF_REJECTED")
    for header in ({"x-requested-with": "shop"}, {"graphql-require-preflight": "1"}, {"sec-fetch-site": "same-origin"}):
        assert (await shop.post({"query": "{ me }"}, cookie | header)).json() == {"data": {"me": 7}}


@pytest.mark.parametrize("origin", ["https://shop.example", "https://app.example"])
async def test_own_and_listed_pages_may_call(shop: Shop, origin: str):
    response = await shop.post({"query": "{ me }"}, {"origin": origin, "cookie": "__Host-sid=good", "sec-fetch-site": "cross-site"})
    assert response.json() == {"data": {"me": 7}}
    assert response.headers["access-control-allow-origin"] == origin
    assert response.headers["access-control-allow-credentials"] == "true"


async def test_a_listed_page_may_ask_first(shop: Shop):
    asks = {"origin": "https://app.example", "access-control-request-method": "POST"}
    response = await shop.client.options(shop.url, headers=asks)
    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["access-control-allow-origin"] == "https://app.example"
    assert response.headers["access-control-allow-methods"] == "GET, POST"
    assert response.headers["access-control-max-age"] == "600"
    refused(await shop.client.options(shop.url, headers=asks | {"origin": "https://evil.example"}), 403, "CSRF_REJECTED")
    assert "access-control-allow-origin" not in (await shop.client.options(shop.url)).headers


async def test_demo_mode_takes_pages_of_this_machine_and_no_others(demo: Shop):
    for origin in ("http://localhost:3000", "http://127.0.0.1:5173", "http://[::1]:8080", demo.url.removesuffix("/graphql")):
        assert (await demo.post(HELLO, {"origin": origin})).headers["access-control-allow-origin"] == origin
    for origin in ("http://localhost.evil.example", "null", "https://evil.example"):
        refused(await demo.post(HELLO, {"origin": origin}), 403, "CSRF_REJECTED")


@pytest.mark.parametrize("host", ["evil.example", "shop.example.evil.example", "shop.example:8443", "", "127.0.0.1"])
async def test_an_unknown_host_is_refused(shop: Shop, host: str):
    refused(await shop.post(HELLO, {"host": host}), 400, "BAD_REQUEST")


# ---------------------------------------------------------------- cookies, who asks


async def test_the_session_cookie_is_set_and_taken_away(shop: Shop):
    entered = await shop.post({"query": "mutation { signIn }"})
    assert entered.headers["set-cookie"] == "__Host-sid=fresh; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=2592000"
    left = await shop.post({"query": "mutation { signOut }"})
    assert left.headers["set-cookie"] == "__Host-sid=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"
    assert left.headers["clear-site-data"] == '"cookies", "storage"'


async def test_demo_mode_sets_a_cookie_that_works_without_tls(demo: Shop):
    entered = await demo.post({"query": "mutation { signIn }"})
    assert entered.headers["set-cookie"] == "sid=fresh; Path=/; HttpOnly; SameSite=Lax; Max-Age=2592000"
    demo.client.cookies.clear()


async def test_a_cookie_that_is_not_valid_is_taken_away_once_and_a_new_session_wins(shop: Shop):
    stale = {"cookie": "a=b; __Host-sid=stale; c=d", "x-requested-with": "shop"}
    response = await shop.post({"query": "{ me }"}, stale)
    assert response.status_code == 200
    assert response.json()["data"] == {"me": None}
    assert response.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert "Max-Age=0" in response.headers["set-cookie"]
    entered = await shop.post({"query": "mutation { signIn }"}, stale)
    assert entered.headers.get_list("set-cookie") == [
        "__Host-sid=fresh; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=2592000"
    ]


async def test_addresses_are_taken_from_our_own_proxies_only():
    for trusted, said, address in (
        ("", "9.9.9.9", "127.0.0.1"),
        ("10.0.0.0/8", "9.9.9.9", "127.0.0.1"),
        ("127.0.0.1", "9.9.9.9", "9.9.9.9"),
        ("127.0.0.1", "1.1.1.1, 9.9.9.9", "9.9.9.9"),
        ("127.0.0.1,10.0.0.0/8", "1.1.1.1, 9.9.9.9, 10.1.2.3", "9.9.9.9"),
        ("127.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("127.0.0.1,10.0.0.0/8", "1.1.1.1, 9.9.9.9, ::ffff:10.1.2.3", "9.9.9.9"),
        ("127.0.0.1", "nonsense", "127.0.0.1"),
    ):
        async with answering(forwarded_allow_ips=trusted) as (url, service), httpx.AsyncClient(timeout=60) as client:
            await Shop(url, service, client).post(HELLO, {"x-forwarded-for": said, "user-agent": "a" * 300})
            assert (service.asked_by[-1].address, len(service.asked_by[-1].agent)) == (address, 200)


async def test_refusals_speak_the_callers_language(demo: Shop):
    response = await demo.post(b"{", {"accept-language": "de, ru;q=0.9, en;q=0.1"})
    assert "JSON" in response.json()["errors"][0]["message"]
    assert any("а" <= letter <= "я" for letter in response.json()["errors"][0]["message"])


# ---------------------------------------------------------------- trouble


async def test_a_bug_is_told_by_its_request_id_alone(demo: Shop):
    response = await demo.post({"query": "{ bug }"})
    assert response.status_code == 200
    body = response.json()
    assert body["data"] is None
    (error,) = body["errors"]
    assert error["message"] == "Internal error"
    assert error["extensions"] == {"code": "INTERNAL_SERVER_ERROR", "requestId": "r1"}


@pytest.mark.parametrize(
    "code, status",
    [("OVERLOADED", 503), ("STORAGE_UNAVAILABLE", 503), ("TIMEOUT", 503), ("UPSTREAM_UNAVAILABLE", 503), ("RATE_LIMITED", 429)],
)
async def test_try_again_later_is_a_status_where_nothing_came_of_it(demo: Shop, code: str, status: int):
    response = await demo.post({"query": f'{{ fail(code: "{code}") }}'})
    assert (response.status_code, response.headers["retry-after"]) == (status, "3")
    assert response.json()["errors"][0]["extensions"]["retryAfterSeconds"] == 3
    partly = await demo.post({"query": f'{{ hello fail(code: "{code}") }}'})
    assert partly.status_code == 200
    assert partly.json()["data"] == {"hello": "Hello, world", "fail": None}


async def test_more_than_can_be_worked_on_is_refused_at_once():
    async with answering(max_running=2) as (url, service), httpx.AsyncClient(timeout=60) as client:
        shop = Shop(url, service, client)
        slow = [asyncio.create_task(shop.post({"query": "{ wait(seconds: 3) }"})) for _ in range(2)]
        while service.begun < 2:  # noqa: ASYNC110  the service of a test rings no bell
            await asyncio.sleep(0.01)
        response = await shop.post()
        refused(response, 503, "OVERLOADED")
        assert response.headers["retry-after"] == "1"
        assert [r.status_code for r in await asyncio.gather(*slow)] == [200, 200]
        assert (await shop.post()).status_code == 200


async def test_a_client_that_leaves_while_sending_is_forgotten(demo: Shop):
    port = int(demo.url.split(":")[2].split("/")[0])
    for _ in range(20):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 20\r\n\r\n{")
        await writer.drain()
        writer.close()
    assert (await demo.post()).status_code == 200


async def test_a_subscription_needs_an_event_stream(demo: Shop):
    refused(await demo.post({"query": "subscription { count }"}), 400, "OPERATION_NOT_SUPPORTED")
    refused(await demo.post({"query": "subscription { count }"}, accept=JSON), 200, "OPERATION_NOT_SUPPORTED")


async def test_the_page_is_for_browsers_and_never_in_production(demo: Shop, shop: Shop):
    browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    page = await demo.get(None, browser, **{"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"})
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert (await demo.get("{ hello }", browser)).json() == {"data": {"hello": "Hello, world"}}
    refused(await shop.get(None, "text/html"), 406, "NOT_ACCEPTABLE")
    refused(await shop.get(None, browser), 400, "BAD_REQUEST")
