"""The pages behind the links in mails: opening one changes nothing, its button does."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from models.accounts import Account
from models.sign_up import SignUp
from tests.auth.test_sign_in import attempt
from tests.resolvers.sign_ups import BROWSER, GOOD, sign_up, token_to
from tests.resolvers.test_email_changes import ASK
from tests.resolvers.test_exports import exported
from tests.resolvers.test_passwords import OTHER, request
from tests.rows import letters
from tests.shop import PASSWORD, Shop
from tests.wire.test_graphiql import FLAGS


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        (pytest.fail if os.environ.get("KABINET_TEST_SERVICES") == "required" else pytest.skip)("no Chromium")
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=chromium, args=FLAGS, timeout=120_000)
        yield launched
        await launched.close()


@asynccontextmanager
async def opened(browser: Browser, link: str) -> AsyncIterator[tuple[Page, list[str]]]:
    """The page of a link in a Russian browser, and what its console complains of."""
    context = await browser.new_context(locale="ru-RU")
    context.set_default_timeout(60_000)
    page, troubles = await context.new_page(), []
    page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    await page.goto(link)
    yield page, troubles
    await context.close()


async def test_opening_a_link_activates_nothing_and_tells_nothing(shop: Shop) -> None:
    await sign_up(shop, "scanned@new.example")
    before = await Account.all().count()
    link = (await letters("scanned@new.example"))[-1]["values"]["link"]
    answers = [await shop.http.request(method, link) for method in ("GET", "HEAD", "GET")]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert answers[0].content == (await shop.http.get("/activate?token=%22%3E%3Cscript%3E")).content
    assert await Account.all().count() == before
    assert await SignUp.filter(subject="scanned@new.example").exists()
    assert (await shop.http.post(link)).status_code == 405


@pytest.mark.parametrize("path", ["/activate", "/reset-password", "/second-factor", "/confirm-email", "/export"])
async def test_a_page_speaks_the_browsers_language_and_loads_from_here_alone(shop: Shop, path: str) -> None:
    pages = {language: await shop.http.get(path, headers={"accept-language": language}) for language in ("en", "ru")}
    assert pages["en"].content != pages["ru"].content and '<html lang="ru">' in pages["ru"].text
    for page in pages.values():
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';") and "frame-ancestors 'none'" in policy and "unsafe" not in policy
        assert (page.headers["cache-control"], page.headers["referrer-policy"]) == ("no-store", "no-referrer")
    script = await shop.http.get("/account/page.js")
    assert script.headers["content-type"].startswith("text/javascript") and script.headers["x-content-type-options"] == "nosniff"


async def test_the_button_activates_and_signs_in(shop: Shop, browser: Browser) -> None:
    await sign_up(shop, "pressed@new.example")
    link = (await letters("pressed@new.example"))[-1]["values"]["link"]
    async with opened(browser, link) as (page, troubles):
        await page.context.add_cookies([{"name": "bid", "value": BROWSER["cookie"].partition("=")[2], "url": shop.url}])
        await expect(page.get_by_role("link")).to_have_count(0)
        await page.get_by_role("button", name="Активировать и войти").click()
        await expect(page.get_by_role("status")).to_have_text("Профиль активирован, вы вошли.")
        await expect(page.get_by_role("link", name="Продолжить")).to_have_attribute("href", "/")
        assert {cookie["name"] for cookie in await page.context.cookies()} == {"bid", "sid", "did"}
        assert page.url == f"{shop.url}/activate"
        assert troubles == []
    assert (await attempt(shop, "pressed@new.example", GOOD))["__typename"] == "SignedIn"
    async with opened(browser, link) as (page, _):
        await page.get_by_role("button").click()
        await expect(page.get_by_role("status")).to_have_text("Код или ссылка не подходят или больше не действуют.")


async def test_another_browser_is_asked_for_a_password(shop: Shop, browser: Browser) -> None:
    await sign_up(shop, "elsewhere@new.example", password="strangers 71 porridge")
    async with opened(browser, (await letters("elsewhere@new.example"))[-1]["values"]["link"]) as (page, troubles):
        field, again = page.get_by_label("Новый пароль"), page.get_by_label("Ещё раз")
        await expect(field).to_be_hidden()
        await page.get_by_role("button").click()
        await expect(page.get_by_role("status")).to_have_text("Вы регистрировались в другом браузере: придумайте пароль здесь.")
        await field.fill(GOOD)
        await again.fill(GOOD)
        await page.get_by_role("button").click()
        await expect(page.get_by_role("status")).to_have_text("Профиль активирован, вы вошли.")
        assert troubles == []
    assert (await attempt(shop, "elsewhere@new.example", "strangers 71 porridge"))["__typename"] == "InvalidCredentials"
    assert (await attempt(shop, "elsewhere@new.example", GOOD))["__typename"] == "SignedIn"


async def test_an_address_is_confirmed_on_the_page_where_its_owner_is_signed_in(shop: Shop, browser: Browser) -> None:
    buyer = await shop.buyer()
    await buyer.data(ASK, input={"email": "confirmed@new.example"})
    async with opened(browser, (await letters("confirmed@new.example"))[-1]["values"]["link"]) as (page, troubles):
        await page.get_by_role("button", name="Подтвердить почту").click()
        await expect(page.get_by_role("status")).to_have_text("Сначала войдите.")
        await page.context.add_cookies([{"name": "sid", "value": buyer.token or "", "url": shop.url}])
        await page.get_by_role("button").click()
        await expect(page.get_by_role("status")).to_have_text("Почта подтверждена, теперь она ваша.")
        assert troubles == []
    assert (await attempt(shop, "confirmed@new.example", PASSWORD))["__typename"] == "SignedIn"


async def test_the_button_downloads_a_buyers_data(shop: Shop, browser: Browser) -> None:
    _, path = await exported(shop)
    async with opened(browser, f"{shop.url}{path}") as (page, troubles):
        async with page.expect_download() as download:
            await page.get_by_role("button", name="Скачать").click()
        file = await (await download.value).path()
        assert "tables" in orjson.loads(file.read_bytes())
        await expect(page.get_by_role("button")).to_be_disabled()
        assert troubles == []


async def test_a_new_password_is_set_on_the_page(shop: Shop, browser: Browser) -> None:
    buyer = await shop.buyer()
    await request(shop, buyer.email)
    async with opened(browser, f"{shop.url}/reset-password?token={await token_to(buyer.email)}") as (page, troubles):
        await page.get_by_label("Новый пароль").fill("iloveyou1")
        await page.get_by_label("Ещё раз").fill("iloveyou1")
        await page.get_by_role("button").click()
        await expect(page.get_by_role("status")).to_have_text("Этот пароль пробуют одним из первых. Выберите другой.")
        await page.get_by_label("Новый пароль").fill(OTHER)
        await page.get_by_label("Ещё раз").fill(OTHER)
        await page.get_by_role("button").click()
        await expect(page.get_by_role("status")).to_have_text("Новый пароль сохранён. Войдите с ним.")
        assert troubles == []
    assert (await attempt(shop, buyer.email, OTHER))["__typename"] == "SignedIn"
