"""Codes by SMS that strangers ask for by the thousand: who pays, and who still gets one."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from auth.phone_codes import OF_NETWORK
from models.captcha import UsedCaptcha
from models.instants import utc_now
from models.outbox import OutboxMessage
from models.phone_codes import PhoneCode
from tests.databases import BOTH
from tests.resolvers.sign_ups import solved
from tests.resolvers.test_phone_codes import REQUEST, VERIFY, sent
from tests.rows import change
from tests.shop import Shop, open_shop
from tests.statements import statements
from tests.traffic import fill, forget_traffic

NEEDED = {
    "__typename": "CaptchaFailed", "code": "CAPTCHA_FAILED", "field": "captcha",
    "message": "Show that you are no robot, and ask for the code again.",
}  # fmt: skip
_numbers = itertools.count(1)


@pytest_asyncio.fixture(params=BOTH, scope="module", loop_scope="session")
async def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    """Behind a proxy, so that callers come from where they say; 100 text messages a day."""
    given: dict[str, Any] = {"forwarded_allow_ips": ("127.0.0.1",), "sms_a_day": 100}
    async with open_shop(request.param, tmp_path_factory.mktemp("limited"), **given) as opened:
        yield opened


@pytest.fixture(autouse=True)
async def forgotten(shop: Shop) -> None:
    await change("DELETE FROM guess")
    forget_traffic()


def phone() -> str:
    return f"+7926{next(_numbers):07}"


async def spent(messages: int) -> None:
    """So many of the day's text messages are sent."""
    await change("DELETE FROM guess WHERE key = 'sms-all'")
    await change("INSERT INTO guess (key, failures, first_at) VALUES ('sms-all', $1, $2)", messages, utc_now() - timedelta(hours=1))


async def ask(shop: Shop, number: str, address: str = "10.0.0.1", cookie: str | None = None, **given: Any) -> dict[str, Any]:
    headers = {"x-forwarded-for": address, **({"cookie": cookie, "x-requested-with": "x"} if cookie else {})}
    answer = await shop.nobody.post(REQUEST, headers, input={"phone": number, "purpose": "SIGN_IN", **given})
    shop.http.cookies.clear()
    return answer.json()["data"]["requestPhoneCode"]


async def codes(shop: Shop, *asked: dict[str, Any]) -> list[str]:
    return [(await ask(shop, **one)).get("code", "SENT") for one in asked]


async def owner(shop: Shop, number: str) -> str:
    """Somebody signs up by the number; the cookie by which their browser is known from then on."""
    challenge, code = await sent(shop, number)
    given = {"challengeId": challenge, "code": code, "displayName": "Anna", "language": "ru", "region": "RU", "currency": "RUB"}
    answer = await shop.nobody.post(VERIFY, input=given)
    shop.http.cookies.clear()
    (cookie,) = [cookie.partition(";")[0] for cookie in answer.headers.get_list("set-cookie") if cookie.startswith("did=")]
    await change("DELETE FROM guess")
    forget_traffic()
    return cookie


async def used_up_by_strangers(shop: Shop, number: str) -> None:
    for _ in range(5):
        assert await codes(shop, {"number": number, "address": "10.9.0.1"}) == ["SENT"]
        await change("DELETE FROM guess WHERE key LIKE 'sms-minute%' OR key LIKE 'sms-hour%'")


async def test_from_half_of_the_days_messages_on_everybody_proves_to_be_no_robot(shop: Shop) -> None:
    known, unknown, buyer = phone(), phone(), await shop.buyer()
    cookie = await owner(shop, known)
    await spent(49)
    assert await codes(shop, {"number": phone()}) == ["SENT"]
    before = await PhoneCode.all().count(), await OutboxMessage.all().count(), await UsedCaptcha.all().count()
    for given in ({"number": known}, {"number": unknown}, {"number": known, "cookie": cookie}):
        assert await ask(shop, **given) == NEEDED
        assert (await ask(shop, captcha="x", **given))["code"] == "CAPTCHA_FAILED"
    link = {"phone": phone(), "purpose": "LINK"}
    assert (await buyer.data(REQUEST, input=link))["requestPhoneCode"] == NEEDED
    assert before == (await PhoneCode.all().count(), await OutboxMessage.all().count(), await UsedCaptcha.all().count())
    for number in (known, unknown):
        assert (await ask(shop, number, captcha=await solved(shop)))["__typename"] == "PhoneCodeRequested"
    answer = await buyer.data(REQUEST, input=link | {"captcha": await solved(shop)})
    assert answer["requestPhoneCode"]["__typename"] == "PhoneCodeRequested"


async def test_a_captcha_gets_one_code_and_a_refusal_leaves_it(shop: Shop) -> None:
    number = phone()
    solution = await solved(shop)
    assert (await ask(shop, number, captcha=solution))["__typename"] == "PhoneCodeRequested"  # nobody has asked for it
    await spent(60)
    assert (await ask(shop, number, captcha=solution))["code"] == "RATE_LIMITED"
    answers = await asyncio.gather(*(ask(shop, phone(), captcha=solution) for _ in range(4)))
    assert sorted(answer["__typename"] for answer in answers) == [*["CaptchaFailed"] * 3, "PhoneCodeRequested"]


async def test_what_lacks_a_captcha_is_counted_nowhere(shop: Shop) -> None:
    number = phone()
    await spent(60)
    assert {code for code in await codes(shop, *[{"number": number}] * 12)} == {"CAPTCHA_FAILED"}
    assert await fill(OF_NETWORK, "10.0.0.1") in (10, 11)
    assert (await ask(shop, number, "10.0.1.1", captcha=await solved(shop)))["__typename"] == "PhoneCodeRequested"


async def test_an_operator_can_ask_for_a_captcha_always(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shop.service, "settings", shop.service.settings.model_copy(update={"captcha_after_sms": 0}))
    number = phone()
    assert await ask(shop, number) == NEEDED
    assert (await ask(shop, number, captcha=await solved(shop)))["__typename"] == "PhoneCodeRequested"


async def test_the_last_tenth_of_the_days_messages_is_for_those_who_come_back(shop: Shop) -> None:
    known, unknown = phone(), phone()
    cookie = await owner(shop, known)
    await spent(90)
    refused = [await ask(shop, number) for number in (known, unknown)]  # and nobody solves a captcha for that
    assert refused[0] == refused[1] and refused[0]["code"] == "RATE_LIMITED"
    assert await codes(shop, {"number": unknown, "cookie": cookie, "captcha": await solved(shop)}) == ["RATE_LIMITED"]
    assert await codes(shop, {"number": known, "cookie": cookie}) == ["CAPTCHA_FAILED"]
    assert await codes(shop, {"number": known, "cookie": cookie, "captcha": await solved(shop)}) == ["SENT"]
    await spent(100)
    await change("DELETE FROM guess WHERE key LIKE 'sms-%minute%'")
    assert await codes(shop, {"number": known, "cookie": cookie, "captcha": await solved(shop)}) == ["RATE_LIMITED"]


@pytest.mark.parametrize(
    ("within", "elsewhere"), [("2001:db8:1:{:x}::1", "2001:db8:2::1"), ("10.1.2.{}", "10.1.3.1"), ("::ffff:10.1.2.{}", "10.1.3.1")]
)
async def test_one_who_has_many_networks_gets_a_tenth_of_the_day(shop: Shop, within: str, elsewhere: str) -> None:
    addresses = [within.format(number) for number in range(1, 14)]
    answers = await codes(shop, *({"number": phone(), "address": address} for address in addresses))
    assert answers == ["SENT"] * 10 + ["RATE_LIMITED"] * 3
    assert await codes(shop, {"number": phone(), "address": elsewhere}) == ["SENT"]


async def test_what_strangers_have_used_up_keeps_no_owner_out_of_a_known_browser(shop: Shop) -> None:
    known, unknown, other = phone(), phone(), phone()
    cookie, another = await owner(shop, known), await owner(shop, other)
    for number in (known, unknown):
        await used_up_by_strangers(shop, number)
    refused = [await ask(shop, number) for number in (known, unknown)]
    assert [(answer["code"], 86000 < answer["retryAfterSeconds"] <= 86400) for answer in refused] == [("RATE_LIMITED", True)] * 2
    forget_traffic()
    assert await codes(shop, {"number": known, "cookie": another}, {"number": unknown, "cookie": cookie}) == ["RATE_LIMITED"] * 2
    for answers in (["SENT", "RATE_LIMITED"], ["SENT", "RATE_LIMITED"], ["RATE_LIMITED"] * 2):  # two more, a minute between them
        assert await codes(shop, *[{"number": known, "cookie": cookie}] * 2) == answers
        await change("DELETE FROM guess WHERE key LIKE 'sms-%minute%'")
    assert await PhoneCode.filter(phone=known).count() == 1 + 5 + 2


async def test_a_stranger_a_moment_ago_holds_no_owner_up_and_an_owners_codes_are_the_numbers(shop: Shop) -> None:
    number = phone()
    cookie = await owner(shop, number)
    assert await codes(shop, {"number": number}, {"number": number}, {"number": number, "cookie": cookie}) == ["SENT", "RATE_LIMITED", "SENT"]
    sent_to = []
    for _ in range(8):
        await change("DELETE FROM guess WHERE key LIKE 'sms-%minute%' OR key LIKE 'sms-hour%'")
        forget_traffic()
        sent_to += await codes(shop, {"number": number, "cookie": cookie})
    assert sent_to == ["SENT"] * 5 + ["RATE_LIMITED"] * 3  # seven a day with the stranger's


async def test_known_and_unknown_numbers_cost_the_same_statements(shop: Shop) -> None:
    known, unknown = phone(), phone()
    await owner(shop, known)
    cookie = await owner(shop, phone())
    seen = []
    for number in (known, unknown):
        async with statements() as said:
            assert await codes(shop, {"number": number, "cookie": cookie}) == ["SENT"]
        seen.append([text.split("(")[0][:40] for text in said])
    assert seen[0] == seen[1]
