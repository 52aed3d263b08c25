"""What bad input gets, fired at a running shop: status and code for both JSON types, and nothing written."""

import json
from typing import Any

import httpx2
import pytest

from models.database import dialect, fetch
from tests.resolvers.orders import put_order
from tests.shop import PASSWORD, Client, Shop

JSON, RESPONSE = "application/json", "application/graphql-response+json"
ADD = "mutation ($product: ID!) { addFavorite(productId: $product) { __typename } }"
SIGN_IN = "mutation ($input: SignInInput!) { signIn(input: $input) { __typename ... on Refusal { code message field } } }"
COUNTED_ON_PURPOSE = {"guess"}  # attempts to sign in


async def rows() -> dict[str, int]:
    """How many rows each table has."""
    names = {
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
        "postgres": "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'",
    }
    tables = [row[0] for row in await fetch(names[dialect()])]
    return {name: (await fetch(f'SELECT count(*) FROM "{name}"'))[0][0] for name in tables if name not in COUNTED_ON_PURPOSE}


@pytest.fixture(autouse=True)
async def nothing_is_written(shop: Shop):
    await shop.work()
    before = await rows()
    yield
    assert await rows() == before


async def send(shop: Shop, body: Any, accept: str = RESPONSE, **headers: str | bytes) -> httpx2.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"content-type": JSON, "accept": accept, **headers}
    return await shop.http.post("/graphql", content=content, headers={k: v for k, v in given.items() if v})


def check(response: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """The body of a refusal that nothing was executed for."""
    assert response.status_code == status, response.text
    body = response.json()
    assert "data" not in body
    assert {error["extensions"]["code"] for error in body["errors"]} == {code}
    assert all(error["message"] and error["extensions"]["requestId"] for error in body["errors"])
    assert response.headers["cache-control"] == "no-store"
    assert "set-cookie" not in response.headers
    return body


async def test_mutations_do_not_come_by_get(shop: Shop) -> None:
    queries = [
        {"query": "mutation { signOut { __typename } }"},
        {"query": "query A { serverTime } mutation B { signOut { __typename } }", "operationName": "B"},
    ]
    for params in queries:
        for headers in ({}, {"x-http-method-override": "POST"}):
            response = await shop.http.get("/graphql", params=params, headers={"accept": JSON, **headers})
            check(response, 405, "METHOD_NOT_ALLOWED")
            assert response.headers["allow"] == "POST"


async def test_other_methods_do_not_come_at_all(shop: Shop) -> None:
    for method in ("PUT", "DELETE", "PATCH"):
        response = await shop.http.request(method, "/graphql", json={"query": "{ serverTime }"})
        check(response, 405, "METHOD_NOT_ALLOWED")
        assert response.headers["allow"] == "GET, POST"


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a", "", "application/jsonx", "text/plain; a=application/json"],
)
async def test_other_media_types(shop: Shop, content_type: str) -> None:
    body = {"query": "mutation { signOut { __typename } }"}
    check(await send(shop, body, **{"content-type": content_type}), 415, "UNSUPPORTED_MEDIA_TYPE")


async def test_html_with_a_document(shop: Shop) -> None:
    check(await send(shop, {"query": "{ serverTime }"}, "text/html"), 406, "NOT_ACCEPTABLE")
    response = await shop.http.get("/graphql", params={"query": "{ serverTime }"}, headers={"accept": "text/html"})
    check(response, 406, "NOT_ACCEPTABLE")


@pytest.mark.parametrize(
    "headers", [{"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {}]
)
async def test_a_cookie_from_a_foreign_page(shop: Shop, headers: dict[str, str]) -> None:
    body = {"query": "mutation { signOut { __typename } }"}
    response = await send(shop, body, cookie="sid=" + "a" * 43, **headers)
    check(response, 403, "CSRF_REJECTED")
    assert "access-control-allow-origin" not in response.headers


async def test_large_bodies(shop: Shop) -> None:
    body = json.dumps({"query": "{ serverTime }", "x": ""}).encode()
    body = body[:-2] + b"x" * (64 * 1024 + 1 - len(body)) + b'"}'
    check(await send(shop, body), 413, "PAYLOAD_TOO_LARGE")

    async def chunks():
        yield body[:40_000]
        yield body[40_000:]

    response = await shop.http.post("/graphql", content=chunks(), headers={"content-type": JSON})
    check(response, 413, "PAYLOAD_TOO_LARGE")
    check(await send(shop, body, authorization="Bearer kst_" + "a" * 43), 413, "PAYLOAD_TOO_LARGE")
    assert (await send(shop, body, authorization=f"Bearer {shop.staff.token}")).json()["data"]["serverTime"]


@pytest.mark.parametrize(
    "raw, code",
    [
        *((raw, "BAD_REQUEST") for raw in (b"", b"{", b'{"query":"{me{id}}"} {}', b"null", b"1", b'"x"', b"true", b"\xff\xfe", b"\x1f\x8b")),
        *((raw, "BATCHING_DISABLED") for raw in (b"[]", b'[{"query":"{me{id}}"}]', b"[1]")),
        *(
            (json.dumps(value).encode(), "BAD_REQUEST")
            for value in (
                {"query": 1},
                {},
                {"query": None},
                {"query": "{me{id}}", "variables": []},
                {"query": "{me{id}}", "variables": "x"},
                {"query": "{me{id}}", "extensions": 1},
                {"query": "{me{id}}", "operationName": 1},
            )
        ),
        (b'{"query":"{me{id}}","variables":{"a":' + b"9" * 5000 + b"}}", "BAD_REQUEST"),
        (b'{"query":"{me{id}}","variables":' + b"[" * 20_000, "BAD_REQUEST"),
        (b'{"query":"{me{id}}","query":"{serverTime}"}', "BAD_REQUEST"),
        (b'{"query":"{me{id}}","variables":{"a":Infinity}}', "BAD_REQUEST"),
        (b'{"query":"query($s:String){products(search:$s){totalCount}}","variables":{"s":"\\ud800"}}', "BAD_REQUEST"),
    ],
)
async def test_what_is_no_request(shop: Shop, raw: bytes, code: str) -> None:
    for accept in (JSON, RESPONSE):
        check(await send(shop, raw, accept), 400, code)


INTS = "query ($n: Int) { products(first: $n) { totalCount } }"
KINDS = "mutation ($input: SetWatchInput!) { setWatch(input: $input) { __typename } }"


@pytest.mark.parametrize(
    "body, code",
    [
        ({"query": "{"}, "GRAPHQL_PARSE_FAILED"),
        ({"query": ""}, "GRAPHQL_PARSE_FAILED"),
        ({"query": '{ products(search: "\\ud800") { totalCount } }'}, "GRAPHQL_PARSE_FAILED"),
        ({"query": "{helo}"}, "GRAPHQL_VALIDATION_FAILED"),
        ({"query": "{ me { idd } }"}, "GRAPHQL_VALIDATION_FAILED"),
        ({"query": "{ products(frist: 1) { totalCount } }"}, "GRAPHQL_VALIDATION_FAILED"),
        ({"query": "query A { serverTime } query B { serverTime }"}, "OPERATION_RESOLUTION_FAILURE"),
        ({"query": "query A { serverTime }", "operationName": "B"}, "OPERATION_RESOLUTION_FAILURE"),
        ({"query": "query ($id: ID!) { product(id: $id) { id } }"}, "BAD_USER_INPUT"),
        ({"query": "query ($id: ID!) { product(id: $id) { id } }", "variables": {"id": None}}, "BAD_USER_INPUT"),
        ({"query": INTS, "variables": {"n": 99999999999}}, "BAD_USER_INPUT"),
        ({"query": INTS, "variables": {"n": 1.5}}, "BAD_USER_INPUT"),
        ({"query": INTS, "variables": {"n": "1"}}, "BAD_USER_INPUT"),
        ({"query": "{ products(first: 99999999999) { totalCount } }"}, "BAD_USER_INPUT"),
        ({"query": KINDS, "variables": {"input": {"favoriteId": "a", "kind": "hunter2"}}}, "BAD_USER_INPUT"),
        ({"query": KINDS, "variables": {"input": {"favoriteId": "a", "kind": "TARGET", "hunter2": 1}}}, "BAD_USER_INPUT"),
        ({"query": SIGN_IN, "variables": {"input": {"email": "a@b.example", "password": ["hunter2"]}}}, "BAD_USER_INPUT"),
        ({"query": SIGN_IN, "variables": {"input": {"email": "hunter2"}}}, "BAD_USER_INPUT"),
        ({"query": 'mutation { signIn(input: {email: "a", password: "hunter2", role: 1}) { __typename } }'}, "BAD_USER_INPUT"),
        ({"query": "query ($s: String) { products(search: $s) { totalCount } }", "variables": {"s": "x" * 10241}}, "BAD_USER_INPUT"),
        ({"query": "subscription { priceDrops { cursor } }"}, "OPERATION_NOT_SUPPORTED"),
        ({"query": "{" + " ".join(f"a{n}: serverTime" for n in range(21)) + "}"}, "QUERY_TOO_COMPLEX"),
        ({"query": "{" + "x " * 2100 + "}"}, "QUERY_TOO_COMPLEX"),
    ],
)
async def test_a_request_that_is_not_run_is_400_or_200_by_what_is_accepted(shop: Shop, body: dict[str, Any], code: str) -> None:
    for accept, status in ((RESPONSE, 400), (JSON, 200), ("*/*", 200)):
        response = await send(shop, body, accept)
        said = check(response, status, code)
        assert response.headers["content-type"] == f"{JSON if accept == '*/*' else accept}; charset=utf-8"
        assert len(said["errors"]) <= 6
        assert "mean" not in response.text
        assert "hunter2" not in response.text


async def test_more_than_500_rows(shop: Shop) -> None:
    query = "mutation ($input: PutStoresInput!) { putStores(input: $input) { results { status } } }"
    variables = {"input": {"rows": [{"externalId": f"many-{n}", "name": "x"} for n in range(501)]}}
    response = await send(shop, {"query": query, "variables": variables}, authorization=f"Bearer {shop.staff.token}")
    check(response, 400, "BAD_USER_INPUT")


@pytest.mark.parametrize(
    "arguments", ["first: 0", "first: -1", "first: 101", "last: 0", "first: 1, last: 1", 'after: "garbage"', 'before: "%%%"', 'after: ""']
)
async def test_pages_that_cannot_be(shop: Shop, arguments: str) -> None:
    for accept in (JSON, RESPONSE):
        response = await send(shop, {"query": f"{{ serverTime products({arguments}) {{ totalCount }} }}"}, accept)
        assert response.status_code == 200
        body = response.json()
        assert body["data"]["products"] is None
        assert body["data"]["serverTime"]
        assert [(error["extensions"]["code"], error["path"]) for error in body["errors"]] == [("BAD_USER_INPUT", ["products"])]


async def test_credentials_that_are_not_valid_get_one_answer_and_the_cookie_goes(shop: Shop) -> None:
    said = set()
    for headers in ({"cookie": "sid=" + "a" * 43}, {"authorization": "Bearer " + "a" * 43}, {"authorization": "Bearer kst_" + "a" * 43},
                    {"authorization": "Bearer " + "a" * 5000}, {"cookie": "sid=;"}, {"authorization": b"Bearer \xe9"}):  # fmt: skip
        response = await send(shop, {"query": "{ me { id } }"}, **{"x-requested-with": "test", **headers})
        assert response.status_code == 200
        body = response.json()
        if headers == {"cookie": "sid=;"}:
            assert body == {"data": {"me": None}}
            continue
        assert ("Max-Age=0" in response.headers.get("set-cookie", "")) == ("cookie" in headers)
        body["errors"][0]["extensions"].pop("requestId")
        said.add(json.dumps(body))
    assert len(said) == 1
    assert "UNAUTHENTICATED" in said.pop()


async def test_nobody_may_not_do_what_needs_a_buyer(shop: Shop) -> None:
    response = await send(shop, {"query": ADD, "variables": {"product": "UHJvZHVjdDo5OTk5OTk="}})
    assert response.status_code == 200
    assert response.json()["data"] is None
    assert response.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert (await send(shop, {"query": "{ me { id } }"})).json() == {"data": {"me": None}}
    assert (await send(shop, {"query": "{ __typename }"})).json() == {"data": {"__typename": "Query"}}


@pytest.fixture(scope="module")
async def stranger(shop: Shop) -> Client:
    return await shop.buyer()


@pytest.fixture(scope="module")
async def foreign_order(shop: Shop) -> str:
    """The id of an order of somebody else's."""
    _, order_id = await put_order(shop, await shop.buyer(), await shop.product())
    return order_id


async def test_objects_that_cannot_be_seen_are_byte_for_byte_the_same(shop: Shop, stranger: Client, foreign_order: str) -> None:
    missing, account, long, large = "T3JkZXI6OTk5OTk5", stranger.id, "x" * 5000, "T3JkZXI6" + "5" * 400
    for field, last in (("product", foreign_order), ("order", foreign_order)):
        said = set()
        for wrong in ("nonsense", "", missing, "UHJvZHVjdDo5OTk5OTk=", account, long, large, "T3JkZXI6MQ", last):
            query = f"query ($id: ID!) {{ {field}(id: $id) {{ id }} }}"
            body = (await stranger.post(query, id=wrong)).json()
            assert body["data"] == {field: None}, wrong
            body["errors"][0]["extensions"].pop("requestId")
            said.add(json.dumps(body))
            if wrong != account:
                assert (await stranger.run("query ($id: ID!) { node(id: $id) { id } }", id=wrong)) == {"data": {"node": None}}
        assert len(said) == 1
        assert "NOT_FOUND" in said.pop()


@pytest.fixture(scope="module")
async def known(shop: Shop) -> str:
    """The address of a buyer who exists."""
    await shop.buyer(email="known@shop.example")
    return "known@shop.example"


async def test_a_wrong_password_and_an_unknown_address_are_the_same_and_the_sixth_waits(shop: Shop, known: str) -> None:
    answers: dict[str, list[dict[str, Any]]] = {}
    for email in (known, "unknown@shop.example"):
        for _ in range(6):
            response = await send(shop, {"query": SIGN_IN, "variables": {"input": {"email": email, "password": "wrong" + PASSWORD}}})
            assert response.status_code == 200
            assert "set-cookie" not in response.headers
            answers.setdefault(email, []).append(response.json())
    assert answers[known] == answers["unknown@shop.example"]
    assert [answer["data"]["signIn"]["code"] for answer in answers[known]] == ["INVALID_CREDENTIALS"] * 5 + ["RATE_LIMITED"]
