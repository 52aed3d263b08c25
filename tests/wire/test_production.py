"""What production mode does differently, at a running shop."""

from collections.abc import AsyncIterator

import pytest

from models.database import opened
from models.sessions import DEMO_STAFF_TOKEN
from resolvers.staff import create_token
from settings import Mode
from tests.shop import Client, Shop, open_shop
from tests.wire.auditing import failed_audits

THOSE_THAT_INTROSPECT = {"2EA1", "28B9", "D6D5", "6A70"}
RESPONSE = "application/graphql-response+json"
PUT = "mutation { putAccounts(input: { rows: [] }) { results { status } } }"


@pytest.fixture(scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    async with open_shop("sqlite", tmp_path_factory.mktemp("shop"), mode="production") as opened:
        yield opened


def code(response) -> str:
    return response.json()["errors"][0]["extensions"]["code"]


async def test_audits_fail_only_where_they_introspect(shop: Shop) -> None:
    assert (await failed_audits(shop.url)).keys() == THOSE_THAT_INTROSPECT


@pytest.mark.parametrize("query", ["{ __schema { types { name } } }", '{ __type(name: "Account") { name } }', "{ ...A } fragment A on Query { __schema { description } }"])
async def test_nobody_introspects(shop: Shop, query: str) -> None:
    for accept, status in ((RESPONSE, 400), ("application/json", 200)):
        response = await shop.nobody.post(query, {"accept": accept})
        assert (response.status_code, code(response)) == (status, "INTROSPECTION_DISABLED")
    assert (await shop.nobody.data("{ __typename }")) == {"__typename": "Query"}


async def test_there_is_no_page(shop: Shop) -> None:
    response = await shop.http.get("/graphql", headers={"accept": "text/html"})
    assert (response.status_code, code(response)) == (406, "NOT_ACCEPTABLE")


async def test_only_the_public_name_is_answered(shop: Shop) -> None:
    for host in ("evil.example", "localhost:1", "127.0.0.1"):
        response = await shop.nobody.post("{ __typename }", {"host": host})
        assert (response.status_code, code(response)) == (400, "BAD_REQUEST")


async def test_the_session_cookie_is_bound_to_this_host_and_tls(shop: Shop) -> None:
    for cookie, is_read in (("sid=stale", False), ("__Host-sid=stale", True)):
        response = await shop.nobody.post("{ me { id } }", {"cookie": cookie, "x-requested-with": "test"})
        assert ("set-cookie" in response.headers) == is_read
        if is_read:
            assert response.headers["set-cookie"] == "__Host-sid=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"


async def test_the_demo_worlds_staff_token_counts_in_a_demo_alone(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    staff = Client(shop.http, await create_token("demo", ("accounts",), DEMO_STAFF_TOKEN))
    assert code(await staff.post(PUT)) == "UNAUTHENTICATED"
    assert code(await staff.post("#" * 70_000)) == "PAYLOAD_TOO_LARGE"
    monkeypatch.setattr(opened(), "settings", opened().settings.model_copy(update={"mode": Mode.DEMO}))
    assert (await staff.data(PUT))["putAccounts"] == {"results": []}


async def test_pages_of_this_machine_are_strangers(shop: Shop) -> None:
    for origin in ("http://localhost:3000", "http://127.0.0.1:3000", "null"):
        response = await shop.nobody.post("{ __typename }", {"origin": origin})
        assert (response.status_code, code(response)) == (403, "CSRF_REJECTED")
    assert (await shop.nobody.post("{ __typename }", {"origin": shop.url})).status_code == 200
