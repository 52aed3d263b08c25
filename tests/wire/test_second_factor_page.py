"""A sign-in by a provider to an account with a second factor: the callback signs nobody in, a page asks for the code."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Browser as Chromium
from playwright.async_api import async_playwright, expect

from demo.idp import PEOPLE
from models.accounts import Account, Identity
from models.activity import Activity
from models.instants import utc_now
from models.second_factor import SecondFactorChallenge
from tests.authenticators import Authenticator, turn_on
from tests.providers import Browser, browsing, counted
from tests.resolvers.standings import decide
from tests.rows import account_of, change, letters
from tests.shop import Buyer, Shop
from tests.wire.test_graphiql import FLAGS

ANSWER = """mutation($input: AnswerSecondFactorInput!) { answerSecondFactor(input: $input) { __typename ... on Refusal { code } } }"""

GRIGORY, NUMBER = next((person.email or "", person.number("google")) for person in PEOPLE if person.key == "grigory")


@pytest.fixture(autouse=True)
async def no_letters() -> None:
    await change("DELETE FROM outbox")


@pytest.fixture(scope="module")
async def chromium() -> AsyncIterator[Chromium]:
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        (pytest.fail if os.environ.get("KABINET_TEST_SERVICES") == "required" else pytest.skip)("no Chromium")
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=path, args=FLAGS, timeout=120_000)
        yield launched
        await launched.close()


async def nina(shop: Shop, browser: Browser, provider: str) -> tuple[Buyer, Authenticator]:
    """A buyer who signs in by the provider as Nina, and has a second factor."""
    await browser.sign_in(provider, "nina")
    browser.http.cookies.clear()
    buyer = await shop.buyer()
    await change("UPDATE identity SET account_id = $1 WHERE kind = $2", await account_of(buyer), provider.upper())
    return buyer, await turn_on(buyer)


@pytest.mark.parametrize("provider", ["google", "vk", "ok", "mailru"])
async def test_a_callback_signs_nobody_in_and_leads_to_the_page(provided: Shop, browser: Browser, provider: str) -> None:
    buyer, authenticator = await nina(provided, browser, provider)
    before = await counted()
    answer = await browser.sign_in(provider, "nina", "?returnTo=/orders?page=2%23top")
    assert answer.status_code == 303 and "set-cookie" not in answer.headers
    assert await counted() == before and await browser.me() is None
    place = urlsplit(answer.headers["location"])
    waiting = {name: value for name, (value,) in parse_qs(place.fragment).items()}
    assert (place.scheme, place.netloc, place.path, place.query) == ("", "", "/second-factor", "")
    assert waiting == {"challenge": waiting["challenge"], "returnTo": "/orders?page=2#top"}
    variables = {"input": {"challengeId": waiting["challenge"], "code": await authenticator.code()}}
    signed = await browser.http.post("/graphql", json={"query": ANSWER, "variables": variables}, headers={"x-requested-with": "x"})
    assert signed.json()["data"]["answerSecondFactor"] == {"__typename": "SignedIn"}
    assert (await browser.me() or {})["id"] == buyer.id


async def arrived(browser: Browser, person: str = "grigory") -> str:
    """The challenge of a sign-in by Google whose code is asked for."""
    answer = await browser.sign_in("google", person)
    assert answer.status_code == 303 and "set-cookie" not in answer.headers
    (challenge,) = parse_qs(urlsplit(answer.headers["location"]).fragment)["challenge"]
    return challenge


async def answer(browser: Browser, challenge: str, code: str) -> str:
    """What the page's mutation answers: its type, or the refusal's code."""
    variables = {"input": {"challengeId": challenge, "code": code}}
    response = await browser.http.post("/graphql", json={"query": ANSWER, "variables": variables}, headers={"x-requested-with": "x"})
    told = response.json()["data"]["answerSecondFactor"]
    return told.get("code") or told["__typename"]


@asynccontextmanager
async def grigory(shop: Shop) -> AsyncIterator[tuple[Buyer, Authenticator]]:
    """A buyer with a second factor whose mailbox is Google's, and who has never signed in by Google."""
    buyer = await shop.buyer(email=GRIGORY)
    yield buyer, await turn_on(buyer)
    await change("UPDATE account SET email = NULL WHERE id = $1", await account_of(buyer))


async def added(account_id: int) -> tuple[list[str], list[str]]:
    """The providers of the account, and the letters that say that there is one more."""
    kinds = [identity.kind.value for identity in await Identity.filter(account_id=account_id).exclude(kind="EMAIL")]
    return kinds, [letter["values"]["kind"] for letter in await letters(GRIGORY) if letter["template"] == "sign_in_method_added"]


async def test_who_has_the_mailbox_and_not_the_authenticator_leaves_nothing_behind(provided: Shop, browser: Browser) -> None:
    async with grigory(provided) as (_, authenticator):
        before, account_id = await counted(), authenticator.account_id
        told = len(await letters(GRIGORY))
        challenge = await arrived(browser)
        assert "GOOGLE" not in challenge and NUMBER not in challenge
        assert await answer(browser, challenge, authenticator.wrong()) == "CODE_INVALID"
        assert await counted() == before and await browser.me() is None
        assert len(await letters(GRIGORY)) == told
        assert await Activity.filter(verb="identity_added", subject_id=account_id).count() == 0
        await change("UPDATE second_factor_challenge SET ends_at = $1", utc_now())
        assert await answer(browser, challenge, await authenticator.code()) == "CODE_INVALID"
        assert await added(account_id) == ([], [])


async def test_the_mailbox_and_the_code_add_the_provider_once_with_a_mail(provided: Shop, browser: Browser) -> None:
    async with grigory(provided) as (buyer, authenticator), browsing(provided) as other:
        first, second = await arrived(browser), await arrived(other)
        assert await answer(browser, first, await authenticator.code()) == "SignedIn"
        assert (await browser.me() or {})["id"] == buyer.id
        assert await answer(other, second, authenticator.recovery_codes[0]) == "SignedIn"
        assert await added(authenticator.account_id) == (["GOOGLE"], ["GOOGLE"])
        challenge = await arrived(other)  # from now on it is the subject that counts
        assert len(challenge) == 43
        assert await answer(other, challenge, await authenticator.code()) == "SignedIn"
        assert await added(authenticator.account_id) == (["GOOGLE"], ["GOOGLE"])


async def test_what_a_challenge_carries_counts_for_its_own_sign_in_alone(provided: Shop, browser: Browser) -> None:
    async with grigory(provided) as (_, authenticator):
        challenge = await arrived(browser)
        plain, _, sealed = challenge.partition(".")
        for forged in (plain, f"{plain}.", f"{plain}.{sealed[:-1]}", f".{sealed}", f"{'x' * 43}.{sealed}"):
            assert await answer(browser, forged, await authenticator.code()) == "CODE_INVALID"
        assert await added(authenticator.account_id) == ([], [])
        assert await answer(browser, challenge, await authenticator.code()) == "SignedIn"


@pytest.mark.parametrize("what", ["moved", "unproved"])
async def test_a_mailbox_that_was_given_up_before_the_code_came_opens_nothing(provided: Shop, browser: Browser, what: str) -> None:
    async with grigory(provided) as (buyer, authenticator):
        challenge = await arrived(browser)
        if what == "moved":
            row = {"externalId": buyer.external_id, "displayName": "x", "email": "moved@shop.example", "language": "en", "region": "US", "currency": "USD"}
            assert (await provided.put("putAccounts", [row]))[0]["status"] == "UPDATED"
        else:
            await change("UPDATE identity SET verified_at = NULL WHERE account_id = $1", authenticator.account_id)
        assert await answer(browser, challenge, await authenticator.code()) == "CODE_INVALID"
        assert await added(authenticator.account_id) == ([], []) and await browser.me() is None


async def test_what_another_account_has_added_before_the_code_came_opens_nothing(provided: Shop, browser: Browser) -> None:
    async with grigory(provided) as (_, authenticator), browsing(provided) as other:
        challenge = await arrived(browser)
        second = await provided.buyer()
        other.bring(second.token)
        await other.sign_in("google", "grigory", "?link=1", sec_fetch_site="same-origin")
        assert await answer(browser, challenge, await authenticator.code()) == "CODE_INVALID"
        assert await added(authenticator.account_id) == ([], []) and await browser.me() is None
        assert (await Identity.get(kind="GOOGLE")).account_id == (await Account.get(external_id=second.external_id)).id


async def test_who_is_blocked_before_the_code_comes_gets_in_and_no_further_way(provided: Shop, browser: Browser) -> None:
    async with grigory(provided) as (buyer, authenticator):
        challenge = await arrived(browser)
        await decide(provided, buyer, f"s-{buyer.external_id}")
        assert await answer(browser, challenge, await authenticator.code()) == "SignedIn"
        assert await added(authenticator.account_id) == ([], [])


async def test_a_provider_is_added_without_a_code(provided: Shop, browser: Browser) -> None:
    buyer = await provided.buyer()
    account_id = (await turn_on(buyer)).account_id
    browser.bring(buyer.token)
    answer = await browser.sign_in("vk", "nina", "?link=1&returnTo=/settings", sec_fetch_site="same-origin")
    assert answer.headers["location"] == "/settings"
    assert await Identity.filter(account_id=account_id, kind="VK").count() == 1
    assert await SecondFactorChallenge.filter(account_id=account_id).count() == 0


async def test_an_owner_who_claims_an_account_is_not_asked_for_its_makers_code(provided: Shop, browser: Browser) -> None:
    squatter = await provided.buyer(email="grigory.demo@gmail.com")
    authenticator = await turn_on(squatter)
    await change("UPDATE identity SET verified_at = NULL WHERE account_id = $1", authenticator.account_id)
    await browser.sign_in("google", "grigory")
    query = "{ me { id secondFactor { recoveryCodesLeft } } }"
    answer = await browser.http.post("/graphql", json={"query": query}, headers={"x-requested-with": "x"})
    assert answer.json()["data"]["me"] == {"id": squatter.id, "secondFactor": None}


async def test_the_page_asks_for_the_code_and_goes_on(provided: Shop, browser: Browser, chromium: Chromium) -> None:
    _, authenticator = await nina(provided, browser, "google")
    context = await chromium.new_context(locale="ru-RU")
    context.set_default_timeout(60_000)
    page, troubles = await context.new_page(), []
    await page.goto(f"{provided.url}/auth/google/login?returnTo=/reset-password?token=x")
    await page.get_by_role("button", name="Нина Лебедева").click()
    await expect(page.get_by_role("heading")).to_have_text("Ещё один шаг")
    page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    assert "sid" not in {cookie["name"] for cookie in await context.cookies()}
    await page.get_by_label("Код").fill(authenticator.wrong())
    await page.get_by_role("button", name="Войти").click()
    await expect(page.get_by_role("status")).to_have_text("Код или ссылка не подходят или больше не действуют.")
    await page.get_by_label("Код").fill(await authenticator.code())
    await page.get_by_role("button", name="Войти").click()
    await page.wait_for_url(f"{provided.url}/reset-password?token=x")
    assert "sid" in {cookie["name"] for cookie in await context.cookies()}
    assert troubles == []
    await page.go_back()
    assert "second-factor" not in page.url  # a page that has had its use
    await context.close()


@pytest.mark.parametrize("hostile", ["//evil.example", "https://evil.example/", "javascript:alert(1)", "/\\evil.example", "/\t/evil.example", "", None])
async def test_the_page_leads_nowhere_else(provided: Shop, browser: Browser, chromium: Chromium, hostile: str | None) -> None:
    context = await chromium.new_context(locale="en-US")
    context.set_default_timeout(60_000)
    page = await context.new_page()
    await page.goto(f"{provided.url}/second-factor#returnTo={hostile}" if hostile is not None else f"{provided.url}/second-factor")
    led = await page.evaluate("ownPath(waiting.get('returnTo'))")
    assert urlsplit(led)._replace(path="", query="", fragment="").geturl() == provided.url, led
    await context.close()


async def test_a_page_that_was_opened_without_a_sign_in_says_that_the_code_is_no_good(provided: Shop, browser: Browser, chromium: Chromium) -> None:
    context = await chromium.new_context(locale="en-US")
    context.set_default_timeout(60_000)
    page = await context.new_page()
    await page.goto(f"{provided.url}/second-factor")
    await page.get_by_label("Code").fill("123456")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("status")).to_have_text("The code or the link is not valid or no longer so.")
    await context.close()
