"""Signing up by e-mail, from outside."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from auth.sessions import token_hash
from auth.traffic import Bound
from models.accounts import Account, Identity, Password
from models.captcha import UsedCaptcha
from models.instants import utc_now
from models.sessions import Session
from models.sign_up import SignUp, TermsAcceptance
from tests.auth.test_sign_in import ME, attempt
from tests.resolvers.sign_ups import (
    ACTIVATE,
    BROWSER,
    GOOD,
    SIGN_UP,
    SPELT_OTHERWISE,
    activate,
    activated,
    sign_up,
    solved,
    token_to,
    typed,
)
from tests.rows import change, letters
from tests.shop import PASSWORD, Client, Shop
from tests.traffic import fill


@pytest.fixture(autouse=True)
async def forgotten(shop: Shop) -> None:
    await change("DELETE FROM guess")


async def written() -> list[int]:
    """How many rows there are of what signing up writes."""
    tables: list[Any] = [Account, Identity, Password, Session, SignUp, TermsAcceptance, UsedCaptcha]
    return [await table.all().count() for table in tables]


async def test_signing_up_waits_for_the_link_which_activates_and_signs_in(shop: Shop) -> None:
    before, began = await written(), utc_now()
    assert await sign_up(shop, " Vera@New.example ", language="ru") == {"__typename": "SignUpAccepted", "accepted": True}
    waiting = await SignUp.get(subject="vera@new.example")
    assert await written() == [*before[:4], before[4] + 1, before[5], before[6] + 1]
    assert (await attempt(shop, "vera@new.example", GOOD))["__typename"] == "InvalidCredentials"
    (letter,) = await letters("Vera@New.example")
    assert (letter["template"], letter["language"], list(letter["values"])) == ("activate", "ru", ["link"])
    assert letter["values"]["link"].startswith(f"{shop.url}/activate?token=")
    token = await token_to("Vera@New.example")
    assert waiting.token_hash == token_hash(token) and GOOD not in waiting.password_hash
    answer = await shop.nobody.post(ACTIVATE, BROWSER, token=token)
    made = answer.json()["data"]["activate"]
    assert made["__typename"] == "Activated" and made["account"]["email"] == "Vera@New.example"
    assert [cookie.partition("=")[0] for cookie in answer.headers.get_list("set-cookie")] == ["sid", "did"]
    shop.http.cookies.clear()
    assert (await Client(shop.http, made["token"]).data(ME))["me"] == {"id": made["account"]["id"]}
    agreed = await TermsAcceptance.all().order_by("-id").first()
    assert agreed is not None and agreed.version == "2026-11" and began <= agreed.accepted_at <= utc_now()
    assert (await attempt(shop, "vera@new.example", GOOD))["__typename"] == "SignedIn"
    assert not await SignUp.filter(subject="vera@new.example").exists()


async def test_a_known_and_an_unknown_address_are_answered_alike_and_told_apart_by_mail(shop: Shop) -> None:
    known = await shop.buyer(language="ru")
    address = known.email
    answers = [await shop.nobody.post(SIGN_UP, input=await typed(shop, email)) for email in (address.upper(), "unknown@new.example")]
    assert answers[0].content == answers[1].content
    assert {h for h in answers[0].headers if h != "date"} == {h for h in answers[1].headers if h != "date"}
    (told,) = await letters(address)
    assert (told["template"], told["language"], told["values"]) == ("already_registered", "ru", {})
    dead = await SignUp.get(subject=address)
    assert dead.password_hash == "" and dead.ends_at == dead.created_at
    assert (await attempt(shop, address, PASSWORD))["__typename"] == "SignedIn"
    assert (await attempt(shop, address, GOOD))["__typename"] == "InvalidCredentials"


@pytest.mark.parametrize(
    ("given", "code", "field"),
    [
        ({"email": "nobody"}, "BAD_USER_INPUT", "email"),
        ({"email": "a@b.example,c@d.example"}, "BAD_USER_INPUT", "email"),
        ({"email": "a@b.example\r\nBcc: c@d.example"}, "BAD_USER_INPUT", "email"),
        *(({"email": f"a@{domain}"}, "BAD_USER_INPUT", "email") for domain in SPELT_OTHERWISE),
        ({"email": "a\u202eb@x.example"}, "BAD_USER_INPUT", "email"),
        ({"displayName": " "}, "BAD_USER_INPUT", "displayName"),
        ({"displayName": "a\nb"}, "BAD_USER_INPUT", "displayName"),
        ({"termsVersion": " "}, "BAD_USER_INPUT", "termsVersion"),
        ({"termsVersion": "1\x00"}, "BAD_USER_INPUT", "termsVersion"),
        ({"language": "xx"}, "BAD_USER_INPUT", "language"),
        ({"region": "usa"}, "BAD_USER_INPUT", "region"),
        ({"currency": "XXY"}, "BAD_USER_INPUT", "currency"),
        ({"password": "x7Kq9vLm" * 16 + "x"}, "BAD_USER_INPUT", "password"),
        ({"passwordAgain": GOOD + " "}, "BAD_USER_INPUT", "passwordAgain"),
        ({"region": "RU"}, "SIGN_UP_CLOSED", None),
        ({"captcha": "bm90aGluZw=="}, "CAPTCHA_FAILED", "captcha"),
        ({"password": "x7Kq9vL"}, "PASSWORD_TOO_WEAK", "password"),
        ({"password": "iloveyou1"}, "PASSWORD_TOO_WEAK", "password"),
        ({"password": "VeraLind99"}, "PASSWORD_TOO_WEAK", "password"),
    ],
)  # fmt: skip
async def test_what_is_refused_leaves_nothing_behind(shop: Shop, given: dict, code: str, field: str | None) -> None:
    before = await written()
    answer = await sign_up(shop, **{"email": "refused@new.example", **given})
    assert (answer["code"], answer["field"]) == (code, field)
    assert await written() == before
    assert await letters("refused@new.example") == []


async def test_a_weak_password_tells_why_and_a_closed_region_what_is_open(shop: Shop) -> None:
    assert (await sign_up(shop, "why@new.example", password="VeraLind99"))["reason"] == "PERSONAL"
    short = await sign_up(shop, "why@new.example", password="x7Kq9vL")
    assert (short["reason"], short["message"]) == ("TOO_SHORT", "Use at least 8 characters.")
    closed = await sign_up(shop, "why@new.example", region="RU")
    assert "PHONE" in closed["openWays"] and "EMAIL" not in closed["openWays"]


async def test_a_captcha_is_used_once_and_a_refusal_leaves_it_good(shop: Shop) -> None:
    captcha = await solved(shop)
    assert (await sign_up(shop, "once@new.example", captcha=captcha, password="iloveyou1"))["code"] == "PASSWORD_TOO_WEAK"
    answers = await asyncio.gather(*(sign_up(shop, f"once{n}@new.example", captcha=captcha) for n in range(4)))
    assert sorted(answer.get("code", "") for answer in answers) == ["", *["CAPTCHA_FAILED"] * 3]
    assert await SignUp.filter(subject__startswith="once").count() == 1
    assert (await sign_up(shop, "once9@new.example", captcha=captcha))["code"] == "CAPTCHA_FAILED"


async def test_a_link_is_good_once_for_a_day_and_every_other_is_answered_alike(shop: Shop) -> None:
    await sign_up(shop, "day@new.example")
    used, young = await token_to("day@new.example"), utc_now() + timedelta(minutes=1)
    await change("UPDATE sign_up SET ends_at = $1 WHERE subject = 'day@new.example'", young)
    assert (await activate(shop, used))["__typename"] == "Activated"
    await sign_up(shop, "late@new.example")
    late = await token_to("late@new.example")
    assert (await SignUp.get(subject="late@new.example")).ends_at - utc_now() > timedelta(hours=23, minutes=59)
    await change("UPDATE sign_up SET ends_at = $1 WHERE subject = 'late@new.example'", utc_now())
    before = await written()
    answers = [await shop.nobody.post(ACTIVATE, token=token) for token in (used, late, "wrong", "")]
    assert {answer.content for answer in answers} == {answers[0].content}
    assert answers[0].json()["data"]["activate"]["code"] == "CODE_INVALID"
    assert not any("set-cookie" in answer.headers for answer in answers)
    assert await written() == before


async def test_of_two_who_follow_a_link_at_once_one_gets_the_account(shop: Shop) -> None:
    await sign_up(shop, "race@new.example")
    token = await token_to("race@new.example")
    answers = await asyncio.gather(*(activate(shop, token) for _ in range(5)))
    assert sorted(answer["__typename"] for answer in answers) == ["Activated", *["CodeInvalid"] * 4]
    assert await Account.filter(email="race@new.example").count() == 1


async def test_two_links_for_one_address_followed_at_once_make_one_account(shop: Shop) -> None:
    for _ in range(3):
        tokens = []
        for _ in range(2):
            await sign_up(shop, "two@new.example")
            tokens.append(await token_to("two@new.example"))
        answers = await asyncio.gather(*(activate(shop, token) for token in tokens))
        assert sorted(answer["__typename"] for answer in answers) == ["Activated", "CodeInvalid"]
        assert await Identity.filter(subject="two@new.example").count() == 1
        assert not await SignUp.filter(subject="two@new.example").exists()
        await change("DELETE FROM identity WHERE subject = 'two@new.example'")
        await change("DELETE FROM guess")


async def test_what_a_stranger_asked_for_in_the_owners_name_is_void_once_the_owner_has_proved_the_address(shop: Shop) -> None:
    await sign_up(shop, "owner@new.example", password="strangers 71 porridge", displayName="Stranger")
    strange = await token_to("owner@new.example")
    made = await activated(shop, "owner@new.example")
    assert made["account"]["displayName"] == "Vera Lind"
    assert (await activate(shop, strange))["code"] == "CODE_INVALID"
    assert (await attempt(shop, "owner@new.example", "strangers 71 porridge"))["__typename"] == "InvalidCredentials"
    assert (await attempt(shop, "owner@new.example", GOOD))["__typename"] == "SignedIn"


async def test_an_address_that_another_way_has_proved_meanwhile_is_not_taken_over(shop: Shop) -> None:
    await sign_up(shop, "platform@new.example", password="strangers 71 porridge")
    strange = await token_to("platform@new.example")
    await shop.buyer(email="Platform@new.example")
    before = await Account.all().count()
    assert (await activate(shop, strange))["code"] == "CODE_INVALID"
    assert await Account.all().count() == before
    assert (await attempt(shop, "platform@new.example", "strangers 71 porridge"))["__typename"] == "InvalidCredentials"
    assert (await attempt(shop, "platform@new.example", PASSWORD))["__typename"] == "SignedIn"


async def test_an_account_that_was_given_the_address_unproved_loses_it_to_the_owner(shop: Shop) -> None:
    strange = await activated(shop, "first@new.example")
    await change("UPDATE identity SET verified_at = NULL WHERE subject = 'first@new.example'")
    made = await activated(shop, "first@new.example", password="owners 26 marmalade")
    assert made["account"]["id"] != strange["account"]["id"]
    assert (await attempt(shop, "first@new.example", GOOD))["__typename"] == "InvalidCredentials"
    assert (await attempt(shop, "first@new.example", "owners 26 marmalade"))["__typename"] == "SignedIn"


async def test_signing_in_by_the_link_ends_the_session_that_came_along(shop: Shop) -> None:
    buyer = await shop.buyer()
    await sign_up(shop, "along@new.example")
    answer = await buyer.post(ACTIVATE, BROWSER, token=await token_to("along@new.example"))
    shop.http.cookies.clear()
    assert answer.json()["data"]["activate"]["__typename"] == "Activated"
    assert await buyer.codes(ME) == ["UNAUTHENTICATED"]


async def test_a_mailbox_gets_a_hundred_mails_a_day_however_its_address_is_spelled(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auth.guessing.MAILS_OF_MAILBOX", 3)
    spellings = ["flood@new.example", "Flood+1@new.example", "flood+2+3@new.example", "flood+4@new.example"]
    for email in (*spellings, "another@new.example"):
        assert (await sign_up(shop, email))["__typename"] == "SignUpAccepted"
    assert [len(await letters(email)) for email in (*spellings, "another@new.example")] == [1, 1, 1, 0, 1]


async def test_an_address_gets_five_mails_an_hour_and_a_network_asks_thirty_times(shop: Shop) -> None:
    for _ in range(6):
        assert (await sign_up(shop, "often@new.example"))["__typename"] == "SignUpAccepted"
    assert len(await letters("often@new.example")) == 5
    assert await fill(Bound("sign-up", 30, timedelta(hours=1)), "127.0.0.1") in (24, 25)
    answer = await shop.nobody.post(SIGN_UP, input=await typed(shop, "network@new.example"))
    assert answer.status_code == 429 and 1 <= int(answer.headers["retry-after"]) <= 3600
    assert answer.json()["errors"][0]["extensions"]["code"] == "RATE_LIMITED"
    assert await letters("network@new.example") == []
