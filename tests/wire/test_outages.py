"""What is outside is away, silent, slow, broken or huge: sign-ins by it are refused at once, and by password go on (security.md, row R15)."""

import asyncio
import json
import math
import time
import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from auth.providers import outbound
from tests.auth.test_providers import a_byte_now_and_then, silence
from tests.providers import Browser, Idp, code_of
from tests.shop import PASSWORD, Shop, free_port, open_shop

TOKEN = "/vk/oauth2/auth"
SIGN_IN = "mutation($input: SignInInput!) { signIn(input: $input) { __typename } }"
ILL = ["refused", "silent", "slow", "failing", "huge"]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def provided(idp: Idp, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    async with open_shop("sqlite", tmp_path_factory.mktemp("shop"), demo_idp_url=idp.url) as opened:
        yield opened


@pytest.fixture
async def email(provided: Shop, browser: Browser) -> str:
    """The address of a buyer who signs in by password."""
    email = f"{uuid.uuid4().hex}@outside.example"
    await provided.buyer(email=email)
    return email


async def break_down(mode: str, idp: Idp, shop: Shop, monkeypatch: pytest.MonkeyPatch, seconds: float = 0.3) -> None:
    """From now on VK ID is so."""
    monkeypatch.setattr(outbound, "TOTAL_SECONDS", seconds)
    match mode:
        case "refused":
            monkeypatch.setattr(shop.service.providers["vk"], "issuer", f"http://127.0.0.1:{free_port()}")
        case "silent":
            idp.faults[TOKEN] = silence
        case "slow":
            idp.faults[TOKEN] = a_byte_now_and_then
        case "failing":
            idp.answers(TOKEN, b"oops", 500)
        case "huge":
            idp.answers(TOKEN, json.dumps({"access_token": "a" * 2**21}))
        case "malformed":
            idp.answers(TOKEN, b'{"access_token": "a')


async def callbacks(browser: Browser, count: int) -> list[str]:
    """Sign-ins that have come as far as the way back."""
    return [await browser.choose(await browser.start("vk"), "nina") for _ in range(count)]


async def sign_in(shop: Shop, email: str) -> float:
    """The seconds that a sign-in by password takes."""
    began = time.monotonic()
    answer = await shop.nobody.data(SIGN_IN, input={"email": email, "password": PASSWORD})
    assert answer["signIn"]["__typename"] == "SignedIn"
    shop.http.cookies.clear()
    return time.monotonic() - began


@pytest.mark.parametrize("mode", ILL)
async def test_an_ill_provider_is_left_alone_until_it_is_well(
    provided: Shop, browser: Browser, idp: Idp, email: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, again, later, last = await callbacks(browser, 10), await callbacks(browser, 2), await callbacks(browser, 1), await callbacks(browser, 1)
    with monkeypatch.context() as broken:
        await break_down(mode, idp, provided, broken)
        answers, *_ = await asyncio.gather(asyncio.gather(*map(browser.get, first)), sign_in(provided, email), sign_in(provided, email))
        assert [(answer.status_code, code_of(answer)) for answer in answers] == [(503, "UPSTREAM_UNAVAILABLE")] * 10
        await asyncio.sleep(0.2)  # what was given up may still be on its way
        asked = len(idp.asked)
        for url in (*again, "/auth/vk/login"):
            answer = await browser.get(url)
            assert (answer.status_code, code_of(answer)) == (503, "UPSTREAM_UNAVAILABLE")
            assert 1 <= int(answer.headers["retry-after"]) <= 30
        assert len(idp.asked) == asked
        await sign_in(provided, email)
        assert (await browser.get("/auth/mailru/login")).status_code == 303
        broken.setattr("models.breaker.REST_SECONDS", 0.0)
        assert (await browser.get(later[0])).status_code == 503
    assert (await browser.get("/auth/vk/login")).status_code == 503  # the trial has failed: another 30 seconds
    idp.faults.clear()
    monkeypatch.setattr("models.breaker.REST_SECONDS", 0.0)
    answer = await browser.get(last[0])
    assert answer.status_code == 303 and "error" not in answer.headers["location"]
    assert provided.service.outbound.breakers["VK ID"].is_closed


async def test_malformed_answers_are_refused_one_by_one_and_shut_the_provider_for_nobody(
    provided: Shop, browser: Browser, idp: Idp, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = await callbacks(browser, 13)
    with monkeypatch.context() as broken:
        await break_down("malformed", idp, provided, broken)
        for url in urls[:-1]:
            assert (await browser.get(url)).status_code == 503
    idp.faults.clear()
    assert (await browser.get(urls[-1])).status_code == 303


@pytest.mark.long
@pytest.mark.parametrize("mode", ILL)
async def test_sign_ins_by_password_take_as_long_as_before(
    provided: Shop, browser: Browser, idp: Idp, email: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In blocks, by turns: p99 at most 1.2 times that without an outage, in one run of three."""
    ratios = []
    while not ratios or (ratios[-1] > 1.2 and len(ratios) < 3):
        times: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(8):
            times[False] += [await sign_in(provided, email) for _ in range(25)]
            urls = await callbacks(browser, 10)
            with monkeypatch.context() as broken:
                await break_down(mode, idp, provided, broken, seconds=3.0)
                waiting = asyncio.gather(*map(browser.get, urls))
                times[True] += [await sign_in(provided, email) for _ in range(25)]
                assert {answer.status_code for answer in await waiting} == {503}
            idp.faults.clear()
            provided.service.outbound.breakers.clear()
        ratios.append(p99(times[True]) / p99(times[False]))
    print(f"{mode}: p99 of a sign-in by password, outage to none: {[round(ratio, 2) for ratio in ratios]}")
    assert ratios[-1] <= 1.2


def p99(seconds: list[float]) -> float:
    return sorted(seconds)[math.ceil(len(seconds) * 0.99) - 1]
