"""A browser's way to a provider and back: each provider, and everything that is not this browser's own sign-in."""

import asyncio
import re
from datetime import timedelta

import httpx2
import pytest
from starlette.applications import Starlette

from auth.providers.ok import signature
from auth.sessions import token_hash
from demo.idp import PEOPLE
from models.accounts import Account, Identity, IdentityKind
from models.database import fetch
from models.instants import utc_now
from models.provider_sign_in import MOST_OPEN, ProviderSignIn
from models.refusals import ErrorCode
from models.sessions import Session
from settings import Mode, Settings
from tests.providers import Browser, Idp, browsing, code_of, counted, state_of
from tests.resolvers.standings import decide
from tests.rows import change
from tests.shop import Shop
from tests.wire.small_service import served
from wire.cookies import oauth_cookie
from wire.process import Service
from wire.provider_sign_in import return_path, routes, with_error

PROVIDERS = ["google", "vk", "ok", "mailru"]
NINA = next(person for person in PEOPLE if person.key == "nina")
HOSTILE = [
    "//evil.example", "/\\evil.example", "https://evil.example", "/\t/evil.example", "\t//evil.example", "/\n/evil.example",
    "evil.example", "javascript:alert(1)", "\\\\evil.example", "/ /evil.example", "", "/" + "a" * 500, "/\x00", "/a\r\nSet-Cookie: a=b",
]  # fmt: skip


async def refused(browser: Browser, url: str) -> None:
    """This callback signs nobody in and leaves nothing."""
    before = await counted()
    answer = await browser.get(url)
    assert answer.status_code == 400 and code_of(answer) == "OAUTH_STATE_INVALID"
    assert not [cookie for cookie in answer.headers.get_list("set-cookie") if "sid=" in cookie]
    assert await counted() == before


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_each_provider_signs_up_at_first_and_in_afterwards(provided: Shop, browser: Browser, provider: str) -> None:
    before = await counted()
    answer = await browser.sign_in(provider, "nina", "?returnTo=/orders?page=2%23top", accept_language="ru-RU,ru;q=0.9")
    assert answer.status_code == 303 and answer.headers["location"] == "/orders?page=2#top"
    device, session = answer.headers.get_list("set-cookie")
    assert re.fullmatch(r"did=[\w-]{43}; Path=/; HttpOnly; SameSite=Lax; Max-Age=31536000", device)
    assert re.fullmatch(r"sid=[\w-]{43}; Path=/; HttpOnly; SameSite=Lax; Max-Age=2592000", session)
    assert answer.headers["cache-control"] == "no-store" and answer.headers["referrer-policy"] == "no-referrer"
    me = await browser.me()
    assert me is not None
    assert me == {"id": me["id"], "displayName": NINA.name, "email": None, "region": "RU", "currency": "RUB", "language": "ru"}
    (identity,) = await Identity.all()
    assert (identity.kind.value.lower(), identity.subject) == (provider, NINA.number(provider))
    assert await ProviderSignIn.all().count() == 0
    async with browsing(provided) as elsewhere:
        assert (await elsewhere.sign_in(provider, "nina")).headers["location"] == "/"
        assert (await elsewhere.me() or {})["id"] == me["id"]
    added = {"Account": 1, "Identity": 1, "Session": 2, "KnownDevice": 2}
    assert await counted() == {name: before[name] + added[name] for name in before}


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_what_is_stored_of_a_sign_in_is_of_no_use_and_lasts_ten_minutes(browser: Browser, provider: str) -> None:
    url = await browser.start(provider)
    state, cookie = state_of(url), browser.http.cookies["oauth"]
    assert len(state) == len(cookie) == 43  # 256 bits each
    assert ("code_challenge_method=S256" in url) is (provider != "ok")
    assert ("nonce=" in url) is (provider == "google")
    (row,) = await fetch("SELECT * FROM provider_sign_in")
    stored = " ".join(str(value) for value in tuple(row))
    assert state not in stored and cookie not in stored
    assert token_hash(state) in stored and token_hash(cookie) in stored
    (begun,) = await ProviderSignIn.all()
    assert timedelta(minutes=9, seconds=50) < begun.ends_at - utc_now() <= timedelta(minutes=10)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_two_tabs_sign_in_beside_each_other(browser: Browser, provider: str) -> None:
    first, second = await browser.start(provider, "?returnTo=/first"), await browser.start(provider, "?returnTo=/second")
    callbacks = [await browser.choose(url, "nina") for url in (first, second)]
    assert [(await browser.get(url)).headers["location"] for url in callbacks] == ["/first", "/second"]


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_state_and_a_code_count_once(browser: Browser, provider: str) -> None:
    callback = await browser.choose(await browser.start(provider), "nina")
    assert (await browser.get(callback)).status_code == 303
    await refused(browser, callback)
    fresh = state_of(await browser.start(provider))
    await refused(browser, callback.replace(state_of(callback), fresh))


async def test_a_callback_raced_by_itself_signs_in_once(browser: Browser) -> None:
    callback = await browser.choose(await browser.start("google"), "nina")
    answers = await asyncio.gather(*(browser.get(callback) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [303, 400, 400, 400, 400]


@pytest.mark.parametrize("provider", ["google", "vk", "mailru"])
async def test_a_code_stolen_from_another_browser_is_worth_nothing(provided: Shop, browser: Browser, provider: str) -> None:
    stolen = await browser.choose(await browser.start(provider), "nina")
    async with browsing(provided) as thief:
        own = state_of(await thief.start(provider))
        await refused(thief, stolen.replace(state_of(stolen), own))


async def test_another_providers_callback_is_refused_and_the_own_one_still_counts(browser: Browser) -> None:
    callback = await browser.choose(await browser.start("google"), "nina")
    for other in ("vk", "ok", "mailru"):
        await refused(browser, callback.replace("/auth/google/", f"/auth/{other}/"))
    assert (await browser.get(callback)).status_code == 303


async def test_an_answer_of_another_issuer_or_of_none_is_refused(browser: Browser, idp: Idp) -> None:
    for iss in ("https%3A%2F%2Fevil.example", ""):
        callback = await browser.choose(await browser.start("google"), "nina")
        await refused(browser, re.sub(r"iss=[^&]*", f"iss={iss}", callback))
    callback = await browser.choose(await browser.start("google"), "nina")
    await refused(browser, re.sub(r"&iss=[^&]*", "", callback))
    callback = await browser.choose(await browser.start("ok"), "nina")
    idp.asked.clear()
    await refused(browser, f"{callback}&iss=https%3A%2F%2Fevil.example")
    assert idp.asked == []  # the code was not sent anywhere


async def test_without_the_cookie_or_with_another_browsers_nobody_is_signed_in(provided: Shop, browser: Browser) -> None:
    callback = await browser.choose(await browser.start("google"), "nina")
    async with browsing(provided) as stranger:
        await refused(stranger, callback)
        await stranger.start("google")
        await refused(stranger, callback)
    assert (await browser.get(callback)).status_code == 303


@pytest.mark.parametrize("change_url", [
    lambda url: re.sub(r"state=[^&]*", "state=", url),
    lambda url: re.sub(r"&?state=[^&]*", "", url),
    lambda url: re.sub(r"state=[^&]*", "state=" + "x" * 5000, url),
    lambda url: url + "&state=" + "x" * 43,
    lambda url: re.sub(r"(\?|&)code=[^&]*", r"\1code=", url),
    lambda url: re.sub(r"(\?|&)code=[^&]*", r"\1code=nonsense", url),
    lambda url: url + "&code=again",
    lambda url: re.sub(r"device_id=[^&]*", "device_id=", url),
    lambda url: re.sub(r"device_id=[^&]*", "device_id=another", url),
])  # fmt: skip
async def test_a_callback_that_was_tampered_with_is_refused(browser: Browser, change_url: object) -> None:
    callback = await browser.choose(await browser.start("vk"), "nina")
    await refused(browser, change_url(callback))  # type: ignore[operator]


async def test_after_ten_minutes_a_sign_in_has_to_begin_anew(browser: Browser) -> None:
    callback = await browser.choose(await browser.start("mailru"), "nina")
    await change("UPDATE provider_sign_in SET ends_at = $1", utc_now())
    await refused(browser, callback)


@pytest.mark.parametrize("path", HOSTILE)
async def test_nobody_is_sent_to_another_host(browser: Browser, path: str) -> None:
    assert return_path(path) == "/"
    url = await browser.http.get("/auth/google/login", params={"returnTo": path})
    answer = await browser.get(await browser.choose(url.headers["location"], "nina"))
    assert answer.headers["location"] == "/"


def test_a_path_of_ours_keeps_what_it_has_and_gets_the_error_beside_it() -> None:
    for path in ("/a", "/a/b?c=d#e", "/заказы", "/a//b"):
        assert return_path(path) == path
    assert return_path(None) == "/"
    code = ErrorCode.IDENTITY_TAKEN
    assert with_error("/", code) == "/?error=IDENTITY_TAKEN"
    assert with_error("/a?b=c#d", code) == "/a?b=c&error=IDENTITY_TAKEN#d"


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_who_refuses_at_the_provider_comes_back_signed_out(browser: Browser, provider: str) -> None:
    before = await counted()
    answer = await browser.sign_in(provider, "", "?returnTo=/account?tab=1")
    assert answer.headers["location"] == "/account?tab=1&error=SIGN_IN_DECLINED"
    assert "set-cookie" not in answer.headers
    assert await counted() == before


async def test_a_providers_words_are_not_repeated(browser: Browser) -> None:
    state = state_of(await browser.start("google"))
    words = "error=<script>evil</script>&error_description=evil&error_uri=https://evil.example"
    answer = await browser.get(f"/auth/google/callback?{words}&state={state}")
    assert answer.status_code == 303 and answer.headers["location"] == "/?error=SIGN_IN_DECLINED"
    assert "evil" not in answer.text + str(answer.headers)
    again = await browser.get(f"/auth/google/callback?{words}&state={state}", accept="text/html")
    assert again.status_code == 400 and "OAUTH_STATE_INVALID" in again.text and "evil" not in again.text


async def test_a_blocked_buyer_adds_no_provider(provided: Shop, browser: Browser) -> None:
    buyer = await provided.buyer()
    browser.bring(buyer.token)
    callback = await browser.choose(await browser.start("vk", "?link=1&returnTo=/account", sec_fetch_site="same-origin"), "nina")
    await decide(provided, buyer, f"p-{buyer.external_id}")
    before = await counted()
    assert (await browser.get(callback)).headers["location"] == "/account?error=ACCOUNT_BLOCKED"
    assert await browser.start("vk", "?link=1&returnTo=/account", sec_fetch_site="same-origin") == "/account?error=ACCOUNT_BLOCKED"
    assert await counted() == before


async def test_the_session_that_a_browser_had_ends_with_the_sign_in(provided: Shop, browser: Browser) -> None:
    buyer = await provided.buyer()
    browser.bring(buyer.token)
    await browser.sign_in("google", "nina")
    assert (await browser.me() or {})["displayName"] == NINA.name
    assert await buyer.codes("{ me { id } }") == ["UNAUTHENTICATED"]


@pytest.mark.parametrize("remembered", [True, False])
async def test_adding_a_provider_sets_the_cookie_anew_for_as_long_as_it_was(provided: Shop, browser: Browser, remembered: bool) -> None:
    buyer = await provided.buyer()
    await change("UPDATE session SET remembered = $1 WHERE token_hash = $2", remembered, token_hash(buyer.token or ""))
    browser.bring(buyer.token)
    answer = await browser.sign_in("vk", "nina", "?link=1", sec_fetch_site="same-origin")
    (cookie,) = answer.headers.get_list("set-cookie")
    assert re.fullmatch(r"sid=[\w-]{43}; Path=/; HttpOnly; SameSite=Lax" + ("; Max-Age=2592000" if remembered else ""), cookie)
    assert await buyer.codes("{ me { id } }") == ["UNAUTHENTICATED"]
    assert (await browser.me() or {})["id"] == buyer.id


async def test_a_head_uses_nothing_up_and_a_post_is_not_taken(browser: Browser) -> None:
    callback = await browser.choose(await browser.start("google"), "nina")
    answer = await browser.http.head(callback)
    assert answer.status_code == 405 and answer.headers["allow"] == "GET"
    assert (await browser.http.post(callback)).status_code == 405
    assert (await browser.get(callback)).status_code == 303


async def test_a_provider_that_there_is_not_is_404(browser: Browser) -> None:
    for path in ("/auth/yandex/login", "/auth/yandex/callback?state=x&code=y", "/auth/GOOGLE/login"):
        answer = await browser.get(path)
        assert answer.status_code == 404 and code_of(answer) == "NOT_FOUND"
    none = Service.put_together(Settings(mode=Mode.DEMO, demo_idp_url=""))
    async with served(Starlette(routes=routes(none))) as port, httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        assert [(await client.get(f"/auth/{provider}/login")).status_code for provider in PROVIDERS] == [404] * 4


@pytest.mark.parametrize(("mode", "goes_to"), [("no-cors", "image"), ("cors", "empty"), ("navigate", "iframe")])
async def test_a_page_that_embeds_the_way_to_a_provider_begins_no_sign_in(browser: Browser, mode: str, goes_to: str) -> None:
    before = await ProviderSignIn.all().count()
    answer = await browser.get("/auth/ok/login", sec_fetch_mode=mode, sec_fetch_dest=goes_to, sec_fetch_site="cross-site")
    assert answer.status_code == 403 and code_of(answer) == "CSRF_REJECTED"
    assert await ProviderSignIn.all().count() == before
    await browser.start("ok", sec_fetch_mode="navigate", sec_fetch_dest="document", sec_fetch_site="cross-site")


async def test_an_address_begins_a_hundred_sign_ins_and_no_more(browser: Browser) -> None:
    await browser.start("ok")
    for number in range(MOST_OPEN - 1):
        await change(
            "INSERT INTO provider_sign_in (state_hash, browser_hash, provider, return_to, region, network, ends_at) VALUES ($1, '', 'OK', '/', 'RU', '127.0.0.1', $2)",
            f"{number}", utc_now() + timedelta(minutes=5),
        )  # fmt: skip
    answer = await browser.get("/auth/ok/login")
    assert answer.status_code == 429 and code_of(answer) == "RATE_LIMITED" and answer.headers["retry-after"] == "60"
    await change("UPDATE provider_sign_in SET ends_at = $1", utc_now())
    await browser.start("ok")


@pytest.mark.parametrize(
    ("asked", "language", "region", "currency"),
    [("KZ", "ru", "KZ", "KZT"), (None, "de-AT,de;q=0.9", "AT", "EUR"), (None, "ru", "RU", "RUB"), ("XX", "zh-Hans-CN", "CN", "CNY"), ("evil", "*", "US", "USD")],
)
async def test_the_country_is_the_one_asked_for_or_that_of_the_browser(browser: Browser, asked: str | None, language: str, region: str, currency: str) -> None:
    await browser.sign_in("vk", "nina", f"?region={asked}" if asked else "", accept_language=language)
    me = await browser.me() or {}
    assert (me["region"], me["currency"]) == (region, currency)


async def test_ten_first_sign_ins_of_one_buyer_at_once_open_one_account(provided: Shop, browser: Browser) -> None:
    before = await Account.all().count()
    callbacks = [await browser.choose(await browser.start("vk"), "nina") for _ in range(10)]
    answers = await asyncio.gather(*(browser.get(url) for url in callbacks))
    assert [answer.status_code for answer in answers] == [303] * 10
    assert await Account.all().count() == before + 1
    assert await Identity.filter(kind=IdentityKind.VK).count() == 1
    assert await Session.filter(account_id=(await Identity.get(kind=IdentityKind.VK)).account_id).count() == 10


def test_over_https_the_cookie_is_bound_to_the_host() -> None:
    production = Settings(mode="production", public_url="https://shop.example")
    assert oauth_cookie("x", production) == b"__Host-oauth=x; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=600"


def test_the_signature_of_ok_is_that_of_its_documentation() -> None:
    asked = {"application_key": "CBAJKLABABABA", "format": "json", "method": "users.getCurrentUser"}
    # by hand: md5("application_key=CBAJKLABABABAformat=jsonmethod=users.getCurrentUser" + md5("token" + "secret"))
    assert signature(asked, "token", "secret") == "2411942c9aca7f3a292e5bc426db4280"
