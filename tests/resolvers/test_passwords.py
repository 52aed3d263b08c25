"""Changing a password, and setting a new one where it is forgotten, from outside."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from auth.sessions import token_hash
from auth.traffic import Bound
from models.accounts import Password
from models.captcha import UsedCaptcha
from models.instants import utc_now
from models.outbox import OutboxMessage
from models.passwords import PasswordReset
from models.sessions import KnownDevice, Session
from tests.auth.test_sign_in import ME, attempt
from tests.resolvers.sign_ups import GOOD, SPELT_OTHERWISE, solved, token_to
from tests.rows import account_of, change, letters
from tests.shop import PASSWORD, Buyer, Shop
from tests.statements import statements
from tests.traffic import fill, forget_traffic

OTHER = "amber 52 telescope rain"
CHANGE = """mutation($input: ChangePasswordInput!) { changePassword(input: $input) { __typename ... on PasswordChanged { accepted newToken }
  ... on Refusal { code field message } ... on PasswordTooWeak { reason } } }"""
REQUEST = """mutation($input: RequestPasswordResetInput!) { requestPasswordReset(input: $input) { __typename
  ... on PasswordResetRequested { accepted } ... on Refusal { code field message } } }"""
RESET = """mutation($input: ResetPasswordInput!) { resetPassword(input: $input) { __typename ... on PasswordReset { accepted }
  ... on Refusal { code field message } } }"""


@pytest.fixture(autouse=True)
async def forgotten(shop: Shop) -> None:
    await change("DELETE FROM guess")


async def changed(buyer: Buyer, current: str, new: str, again: str | None = None) -> dict[str, Any]:
    """The answer; the buyer goes on with the token in it."""
    answer = (await buyer.data(CHANGE, input={"current": current, "new": new, "newAgain": new if again is None else again}))["changePassword"]
    buyer.token = answer.pop("newToken", buyer.token)
    return answer


async def request(shop: Shop, email: str) -> dict[str, Any]:
    return (await shop.nobody.data(REQUEST, input={"email": email, "captcha": await solved(shop)}))["requestPasswordReset"]


async def reset(shop: Shop, token: str, password: str = OTHER, again: str | None = None) -> dict[str, Any]:
    given = {"token": token, "password": password, "passwordAgain": password if again is None else again}
    return (await shop.nobody.data(RESET, input=given))["resetPassword"]


async def signed_in_as(shop: Shop, buyer: Buyer, password: str) -> str:
    return (await attempt(shop, buyer.email, password))["__typename"]


# ---------------------------------------------------------------- changing


async def test_a_change_keeps_this_session_ends_the_others_and_is_told_by_mail(shop: Shop) -> None:
    buyer = await shop.buyer(language="ru")
    elsewhere = await shop.sign_in({"email": buyer.email, "password": PASSWORD, "externalId": ""})
    await request(shop, buyer.email)
    link = await token_to(buyer.email)
    assert await changed(buyer, PASSWORD, OTHER) == {"__typename": "PasswordChanged", "accepted": True}
    assert (await buyer.data(ME))["me"]["id"] == buyer.id
    assert await elsewhere.codes(ME) == ["UNAUTHENTICATED"]
    told = (await letters(buyer.email))[-1]
    assert (told["template"], told["language"], told["values"]) == ("password_changed", "ru", {"ways": "EMAIL b***@s***.example"})
    assert (await reset(shop, link, GOOD))["code"] == "CODE_INVALID"
    assert await signed_in_as(shop, buyer, PASSWORD) == "InvalidCredentials"
    assert await signed_in_as(shop, buyer, OTHER) == "SignedIn"


@pytest.mark.parametrize(
    ("current", "new", "again", "code", "field"),
    [
        ("wrong", OTHER, None, "INVALID_CREDENTIALS", "current"),
        ("", OTHER, None, "BAD_USER_INPUT", "current"),
        (PASSWORD, OTHER, "another", "BAD_USER_INPUT", "newAgain"),
        (PASSWORD, "x7Kq9vLm" * 16 + "x", None, "BAD_USER_INPUT", "new"),
        (PASSWORD, "password1234", None, "PASSWORD_TOO_WEAK", "new"),
        (PASSWORD, "", None, "PASSWORD_TOO_WEAK", "new"),
    ],
)  # fmt: skip
async def test_a_refused_change_leaves_all_as_it_was(shop: Shop, current: str, new: str, again: str | None, code: str, field: str) -> None:
    buyer = await shop.buyer()
    elsewhere = await shop.sign_in({"email": buyer.email, "password": PASSWORD, "externalId": ""})
    answer = await changed(buyer, current, new, again)
    assert (answer["code"], answer["field"]) == (code, field)
    assert (await elsewhere.data(ME))["me"]["id"] == buyer.id
    assert await letters(buyer.email) == []
    assert await signed_in_as(shop, buyer, PASSWORD) == "SignedIn"


async def test_the_buyers_own_name_and_address_make_no_password(shop: Shop) -> None:
    buyer = await shop.buyer(displayName="Wilhelmina Prandtl", phone="+79161234567")
    for password in ("wilhelmina7", "Prandtl2026", "79161234567", f"{buyer.email}", "kabinet7"):
        assert (await changed(buyer, PASSWORD, password))["reason"] == "PERSONAL", password


async def test_guessing_the_current_password_has_to_wait_and_the_owner_still_signs_in(shop: Shop) -> None:
    buyer = await shop.buyer()
    for _ in range(5):
        assert (await changed(buyer, "wrong", OTHER))["code"] == "INVALID_CREDENTIALS"
    assert (await changed(buyer, PASSWORD, OTHER))["code"] == "RATE_LIMITED"
    assert await signed_in_as(shop, buyer, PASSWORD) == "SignedIn"


async def test_of_changes_that_come_at_once_one_counts(shop: Shop) -> None:
    buyer = await shop.buyer()
    wanted = [f"{OTHER} {number}" for number in range(3)]
    answers = await asyncio.gather(*(changed(buyer, PASSWORD, new) for new in wanted))
    (won,) = [new for new, answer in zip(wanted, answers, strict=True) if answer["__typename"] == "PasswordChanged"]
    assert await signed_in_as(shop, buyer, won) == "SignedIn"
    assert len(await letters(buyer.email)) == 1


async def test_nobody_changes_a_password_signed_out_and_no_account_without_one(shop: Shop) -> None:
    assert await shop.nobody.codes(CHANGE, input={"current": "x", "new": OTHER, "newAgain": OTHER}) == ["UNAUTHENTICATED"]
    buyer = await shop.buyer()
    await change("DELETE FROM password WHERE account_id = (SELECT max(id) FROM account)")
    assert (await changed(buyer, PASSWORD, OTHER))["code"] == "INVALID_CREDENTIALS"
    assert (await changed(buyer, "nobody's password", OTHER))["code"] == "INVALID_CREDENTIALS"


# ---------------------------------------------------------------- forgotten


async def test_a_forgotten_password_is_set_by_the_mails_link_and_ends_all_sessions(shop: Shop) -> None:
    buyer = await shop.buyer(language="ru")
    for _ in range(6):
        await signed_in_as(shop, buyer, "wrong")
    assert await request(shop, f" {buyer.email.upper()} ") == {"__typename": "PasswordResetRequested", "accepted": True}
    (letter,) = await letters(buyer.email)
    assert (letter["template"], letter["language"]) == ("reset_password", "ru")
    assert letter["values"]["link"].startswith(f"{shop.url}/reset-password?token=")
    token = await token_to(buyer.email)
    assert await PasswordReset.filter(token_hash=token_hash(token)).count() == 1
    assert await reset(shop, token) == {"__typename": "PasswordReset", "accepted": True}
    assert await buyer.codes(ME) == ["UNAUTHENTICATED"]
    assert (await letters(buyer.email))[-1]["template"] == "password_changed"
    assert await signed_in_as(shop, buyer, OTHER) == "SignedIn"
    assert await signed_in_as(shop, buyer, PASSWORD) == "InvalidCredentials"
    assert (await reset(shop, token, GOOD))["code"] == "CODE_INVALID"


async def test_no_browser_is_known_after_a_reset(shop: Shop) -> None:
    buyer = await shop.buyer()
    account_id = await account_of(buyer)
    assert await KnownDevice.filter(account_id=account_id).count() == 1
    await request(shop, buyer.email)
    assert (await reset(shop, await token_to(buyer.email)))["__typename"] == "PasswordReset"
    assert await KnownDevice.filter(account_id=account_id).count() == 0


async def test_after_a_change_the_browser_that_made_it_is_known_and_no_other(shop: Shop) -> None:
    buyer = await shop.buyer()
    account_id = await account_of(buyer)
    for token in ("own", "thief's"):
        await change("INSERT INTO known_device (account_id, token_hash, at) VALUES ($1, $2, $3)", account_id, token_hash(token), utc_now())
    answer = await buyer.post(CHANGE, {"cookie": "did=own", "x-requested-with": "x"}, input={"current": PASSWORD, "new": OTHER, "newAgain": OTHER})
    assert answer.json()["data"]["changePassword"]["accepted"]
    assert await KnownDevice.filter(account_id=account_id).values_list("token_hash", flat=True) == [token_hash("own")]


async def test_known_and_unknown_addresses_are_answered_alike_and_only_one_has_a_link(shop: Shop) -> None:
    buyer = await shop.buyer()
    answers = [
        await shop.nobody.post(REQUEST, input={"email": email, "captcha": await solved(shop)})
        for email in (buyer.email, "unknown@shop.example")
    ]
    assert answers[0].content == answers[1].content
    assert answers[0].headers.keys() == answers[1].headers.keys()
    (letter,) = await letters("unknown@shop.example")
    assert (letter["template"], letter["values"]) == ("no_account", {})


async def test_the_link_goes_to_the_address_that_was_proved_not_to_one_that_folds_to_the_same(shop: Shop) -> None:
    await shop.buyer(email="straße@shop.example")
    await request(shop, "strasse@shop.example")
    assert await letters("strasse@shop.example") == []
    assert [letter["template"] for letter in await letters("straße@shop.example")] == ["reset_password"]


@pytest.mark.parametrize(
    ("password", "again", "code", "field"),
    [
        (OTHER, "another", "BAD_USER_INPUT", "passwordAgain"),
        ("x7Kq9vLm" * 16 + "x", None, "BAD_USER_INPUT", "password"),
        ("iloveyou1", None, "PASSWORD_TOO_WEAK", "password"),
    ],
)
async def test_a_refused_password_leaves_the_link_good(shop: Shop, password: str, again: str | None, code: str, field: str) -> None:
    buyer = await shop.buyer()
    await request(shop, buyer.email)
    token = await token_to(buyer.email)
    answer = await reset(shop, token, password, again)
    assert (answer["code"], answer["field"]) == (code, field)
    assert (await buyer.data(ME))["me"]["id"] == buyer.id
    assert (await reset(shop, token))["__typename"] == "PasswordReset"


async def test_wrong_used_late_and_earlier_links_are_one_answer(shop: Shop) -> None:
    buyer = await shop.buyer()
    tokens = []
    for _ in range(3):
        await request(shop, buyer.email)
        tokens.append(await token_to(buyer.email))
    assert (await reset(shop, tokens[1]))["__typename"] == "PasswordReset"
    late = await shop.buyer()
    await request(shop, late.email)
    await change("UPDATE password_reset SET ends_at = $1", utc_now())
    kept = await Password.all().order_by("account_id").values("account_id", "hash")
    answers = [await reset(shop, token) for token in [*tokens, await token_to(late.email), "wrong", ""]]
    assert all(answer == answers[0] for answer in answers) and answers[0]["code"] == "CODE_INVALID"
    assert await Password.all().order_by("account_id").values("account_id", "hash") == kept


async def test_of_two_that_use_a_link_at_once_one_sets_its_password(shop: Shop) -> None:
    buyer = await shop.buyer()
    await request(shop, buyer.email)
    token = await token_to(buyer.email)
    wanted = [f"{OTHER} {number}" for number in range(4)]
    answers = await asyncio.gather(*(reset(shop, token, password) for password in wanted))
    assert sorted(answer["__typename"] for answer in answers) == [*["CodeInvalid"] * 3, "PasswordReset"]
    (won,) = [new for new, answer in zip(wanted, answers, strict=True) if answer["__typename"] == "PasswordReset"]
    assert await signed_in_as(shop, buyer, won) == "SignedIn"
    assert await Session.filter(revoked_at=None, token_hash=token_hash(buyer.token or "")).count() == 0


async def test_a_mailbox_that_had_enough_mails_still_gets_the_link_of_its_owner_and_nobody_is_told(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    buyer = await shop.buyer()
    unknown = f"un.{buyer.email}"
    monkeypatch.setattr("auth.guessing.MAILS_OF_MAILBOX", 1)
    seen, answers = [], []
    for email in (unknown, unknown.replace("@", "+1@")):
        captcha = await solved(shop)
        async with statements() as said:
            answers.append(await shop.nobody.post(REQUEST, input={"email": email, "captcha": captcha}))
        seen.append([text.split("(")[0][:40] for text in said])
    assert answers[0].content == answers[1].content
    assert seen[0] == seen[1]
    assert [letter["template"] for letter in await letters(unknown)] == ["no_account"]
    kept = await OutboxMessage.filter(kind="mail").order_by("-id").first()
    assert kept is not None and (kept.payload, kept.due_at, kept.sent_at is None) == ({}, None, False)
    for _ in range(3):
        await request(shop, buyer.email)
    assert [letter["template"] for letter in await letters(buyer.email)] == ["reset_password"] * 3


async def test_an_address_gets_three_mails_an_hour_and_a_network_asks_ten_times(shop: Shop) -> None:
    buyer = await shop.buyer()
    for _ in range(4):
        assert await request(shop, buyer.email) == {"__typename": "PasswordResetRequested", "accepted": True}
    assert len(await letters(buyer.email)) == 3
    await fill(Bound("reset", 10, timedelta(hours=1)), "127.0.0.1")
    answer = await shop.nobody.post(REQUEST, input={"email": buyer.email, "captcha": await solved(shop)})
    assert answer.status_code == 429 and 1 <= int(answer.headers["retry-after"]) <= 3600
    assert answer.json()["errors"][0]["extensions"]["code"] == "RATE_LIMITED"
    await change("UPDATE guess SET first_at = $1", utc_now() - timedelta(hours=1))
    forget_traffic()
    await request(shop, buyer.email)
    assert len(await letters(buyer.email)) == 4


async def test_without_a_captcha_or_an_address_nothing_is_posted(shop: Shop) -> None:
    before = await UsedCaptcha.all().count()
    used = await solved(shop)
    no_addresses = [" ", "x", "x@shop.example\r\nBcc: y@shop.example", *(f"x@{domain}" for domain in SPELT_OTHERWISE)]
    for email, captcha, code in (("x@shop.example", "", "CAPTCHA_FAILED"), *((email, used, "BAD_USER_INPUT") for email in no_addresses)):
        answer = await shop.nobody.data(REQUEST, input={"email": email, "captcha": captcha})
        assert answer["requestPasswordReset"]["code"] == code
    assert await letters("x@shop.example") == []
    assert await UsedCaptcha.all().count() == before
