"""The cookie of a session: how long a browser keeps it, and that what changes an account's sign-in changes the token in it."""

from datetime import timedelta
from typing import Any

import httpx2
import pytest

from auth.sessions import token_hash
from models.instants import utc_now
from models.sessions import Session
from tests.resolvers.apps import SIGN_IN
from tests.resolvers.test_passwords import CHANGE, OTHER, changed
from tests.resolvers.test_phone_codes import VERIFY, sent
from tests.rows import change
from tests.shop import PASSWORD, Buyer, Client, Shop

ME = "{ me { id } }"
DAYS = "; Max-Age=2592000"


@pytest.fixture(autouse=True)
async def forgotten(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auth.phone_codes.RESEND_AFTER", timedelta(0))
    await change("DELETE FROM guess")


class Browser(Client):
    """A caller who brings a session's cookie along."""

    async def post(self, query: str, headers: dict[str, str] | None = None, **variables: Any) -> httpx2.Response:
        own = {"cookie": f"sid={self.token}", "x-requested-with": "x"}
        answer = await self.http.post("/graphql", json={"query": query, "variables": variables}, headers={**own, **(headers or {})})
        self.http.cookies.clear()
        return answer


async def browser_of(shop: Shop, buyer: Buyer, **given: Any) -> tuple[Browser, str]:
    """A browser in which the buyer has signed in, and the cookie that it was set."""
    answer = await shop.nobody.post(SIGN_IN, input={"email": buyer.email, "password": PASSWORD, **given})
    shop.http.cookies.clear()
    return Browser(shop.http, answer.json()["data"]["signIn"]["token"]), cookie_of(answer)


def cookie_of(answer: httpx2.Response) -> str:
    return next(cookie for cookie in answer.headers.get_list("set-cookie") if cookie.startswith("sid="))


async def row_of(token: str | None) -> Session:
    return await Session.get(token_hash=token_hash(token or ""))


@pytest.mark.parametrize(("remember", "lasts", "age"), [(True, timedelta(days=30), DAYS), (False, timedelta(hours=24), "")])
async def test_a_browser_that_is_not_to_remember_forgets_when_it_closes(shop: Shop, remember: bool, lasts: timedelta, age: str) -> None:
    buyer = await shop.buyer()
    browser, cookie = await browser_of(shop, buyer, remember=remember)
    assert cookie == f"sid={browser.token}; Path=/; HttpOnly; SameSite=Lax{age}"
    row = await row_of(browser.token)
    assert row.ends_at - row.created_at == lasts and row.remembered is remember
    await change("UPDATE session SET ends_at = $1 WHERE id = $2", utc_now(), row.id)
    assert await browser.codes(ME) == ["UNAUTHENTICATED"]


@pytest.mark.parametrize("remember", [True, False])
async def test_a_new_password_sets_the_cookie_anew_and_tells_scripts_nothing(shop: Shop, remember: bool) -> None:
    buyer = await shop.buyer()
    browser, _ = await browser_of(shop, buyer, remember=remember)
    before = await row_of(browser.token)
    answer = await browser.post(CHANGE, input={"current": PASSWORD, "new": OTHER, "newAgain": OTHER})
    assert answer.json()["data"]["changePassword"] == {"__typename": "PasswordChanged", "accepted": True, "newToken": None}
    cookie = cookie_of(answer)
    assert cookie.endswith(DAYS) is remember and ("Max-Age" in cookie) is remember
    assert await browser.codes(ME) == ["UNAUTHENTICATED"]
    browser.token = cookie.partition(";")[0].removeprefix("sid=")
    assert (await browser.data(ME))["me"] == {"id": buyer.id}
    after = await row_of(browser.token)
    assert (after.id, after.ends_at) == (before.id, before.ends_at)


async def test_a_bearer_gets_the_token_in_the_answer_and_no_cookie_but_in_place_of_its_own(shop: Shop) -> None:
    buyer = await shop.buyer()
    given = {"current": PASSWORD, "new": OTHER, "newAgain": OTHER}
    answer = await buyer.post(CHANGE, input=given)
    token = answer.json()["data"]["changePassword"]["newToken"]
    assert "set-cookie" not in answer.headers and await buyer.codes(ME) == ["UNAUTHENTICATED"]
    browser = Browser(shop.http, token)
    both = {"authorization": f"Bearer {token}"}
    answer = await browser.post(CHANGE, both, input={"current": OTHER, "new": PASSWORD, "newAgain": PASSWORD})
    assert cookie_of(answer).startswith(f"sid={answer.json()['data']['changePassword']['newToken']};")


async def test_a_linked_number_sets_the_cookie_anew(shop: Shop) -> None:
    buyer = await shop.buyer()
    browser, _ = await browser_of(shop, buyer)
    challenge, code = await sent(shop, "+79165550002", "LINK", browser)
    answer = await browser.post(VERIFY, input={"challengeId": challenge, "code": code})
    assert answer.json()["data"]["verifyPhoneCode"]["newToken"] is None
    assert await browser.codes(ME) == ["UNAUTHENTICATED"]
    browser.token = cookie_of(answer).partition(";")[0].removeprefix("sid=")
    assert (await browser.data(ME))["me"] == {"id": buyer.id}


async def test_a_refused_change_leaves_the_token(shop: Shop) -> None:
    buyer = await shop.buyer()
    token = buyer.token
    assert (await changed(buyer, "wrong", OTHER))["code"] == "INVALID_CREDENTIALS"
    assert buyer.token == token and (await buyer.data(ME))["me"] == {"id": buyer.id}
