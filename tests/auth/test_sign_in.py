"""Signing in and out, sessions and what slows guessing down, from outside."""

import asyncio
from datetime import timedelta

import pytest
from argon2 import PasswordHasher

from auth.guessing import OF_NETWORK, network_of
from auth.passwords import Passwords
from auth.sessions import token_hash
from models.accounts import Identity, Password
from models.database import dialect, fetch
from models.instants import utc_now
from models.sessions import LIVE_SESSIONS, Session
from tests.resolvers.sign_ups import solved
from tests.rows import change
from tests.shop import PASSWORD, Shop
from tests.statements import statements
from tests.traffic import fill

SIGN_IN = """mutation($input: SignInInput!) { signIn(input: $input) { __typename
  ... on SignedIn { token account { id } } ... on Refusal { code field message } ... on RateLimited { retryAfterSeconds } } }"""
ME = "{ me { id } }"


async def attempt(shop: Shop, email: str, password: str, **given: str) -> dict:
    shop.http.cookies.clear()
    answer = await shop.nobody.run(SIGN_IN, input={"email": email, "password": password, **given})
    shop.http.cookies.clear()
    return answer["data"]["signIn"] if answer.get("data") else answer


def row_of(number: int) -> dict:
    return {
        "externalId": f"signing-{number}", "displayName": "Signing", "email": f"signing{number}@shop.example",
        "region": "US", "currency": "USD", "language": "en", "password": PASSWORD,
    }  # fmt: skip


@pytest.fixture(autouse=True)
async def forgotten(shop: Shop) -> None:
    await change("DELETE FROM guess")


async def test_signing_in_sets_a_cookie_and_gives_a_token_of_which_only_a_hash_is_kept(shop: Shop) -> None:
    await shop.put("putAccounts", [row_of(1)])
    answer = await shop.nobody.post(SIGN_IN, input={"email": " Signing1@SHOP.example ", "password": PASSWORD})
    signed = answer.json()["data"]["signIn"]
    cookie = answer.headers.get_list("set-cookie")[0]
    shop.http.cookies.clear()
    assert cookie.startswith(f"sid={signed['token']}; Path=/; HttpOnly; SameSite=Lax; Max-Age=2592000")
    assert len(signed["token"]) == 43
    assert await Session.filter(token_hash=token_hash(signed["token"])).count() == 1
    by_cookie = await shop.http.post("/graphql", json={"query": ME}, headers={"cookie": f"sid={signed['token']}", "x-requested-with": "x"})
    assert by_cookie.json() == {"data": {"me": {"id": signed["account"]["id"]}}}


async def test_wrong_unknown_and_passwordless_are_one_answer(shop: Shop) -> None:
    await shop.put("putAccounts", [row_of(2), {**row_of(3), "password": None}])
    answers = [
        await attempt(shop, "signing2@shop.example", "wrong"),
        await attempt(shop, "nobody@shop.example", PASSWORD),
        await attempt(shop, "signing3@shop.example", PASSWORD),
    ]
    assert all(answer == answers[0] for answer in answers)
    assert answers[0] == {
        "__typename": "InvalidCredentials", "code": "INVALID_CREDENTIALS", "field": None,
        "message": "The e-mail address or the password is not right.",
    }  # fmt: skip


@pytest.mark.parametrize("email", ["signing4@shop.example", "unknown4@shop.example"])
async def test_after_five_failures_the_sixth_waits_alike_for_known_and_unknown(shop: Shop, email: str) -> None:
    await shop.put("putAccounts", [row_of(4)])
    for _ in range(5):
        assert (await attempt(shop, email, "wrong"))["__typename"] == "InvalidCredentials"
    sixth = await attempt(shop, email, PASSWORD)
    assert sixth["__typename"] == "RateLimited"
    assert 1 <= sixth["retryAfterSeconds"] <= 30
    assert (await attempt(shop, email, PASSWORD))["__typename"] == "RateLimited"  # waiting attempts are not counted
    await change("UPDATE guess SET until = $1", utc_now() - timedelta(seconds=1))
    last = await attempt(shop, email, "wrong")
    assert last["__typename"] == "InvalidCredentials"
    assert 30 < (await attempt(shop, email, PASSWORD))["retryAfterSeconds"] <= 60  # each further failure doubles the wait


async def test_a_failed_sign_in_counts_in_one_statement_and_costs_the_same_for_known_and_unknown(shop: Shop) -> None:
    await shop.put("putAccounts", [row_of(11)])
    seen = []
    for email in ("signing11@shop.example", "unknown11@shop.example"):
        async with statements() as said:
            await attempt(shop, email, "wrong")
        seen.append([text.split()[0] for text in said if "domain_clock" not in text])
    transaction = (["BEGIN"], ["COMMIT"]) if dialect() == "sqlite" else ([], [])
    assert seen == [["SELECT", *transaction[0], "INSERT", *transaction[1]]] * 2


async def test_an_attempt_that_an_overloaded_service_sheds_is_not_counted(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    await shop.put("putAccounts", [row_of(12)])
    monkeypatch.setattr("auth.passwords.MOST_WAITING", 0)
    for _ in range(12):
        answer = await attempt(shop, "signing12@shop.example", "wrong")
        assert answer["errors"][0]["extensions"]["code"] == "OVERLOADED"
    monkeypatch.undo()
    for _ in range(5):
        assert (await attempt(shop, "signing12@shop.example", "wrong"))["__typename"] == "InvalidCredentials"
    assert (await attempt(shop, "signing12@shop.example", PASSWORD))["__typename"] == "RateLimited"
    assert await fill(OF_NETWORK, "127.0.0.1") in (25, 26)


async def test_a_success_begins_the_count_anew(shop: Shop) -> None:
    await shop.put("putAccounts", [row_of(5)])
    for _ in range(2):
        for _ in range(4):
            await attempt(shop, "signing5@shop.example", "wrong")
        assert (await attempt(shop, "signing5@shop.example", PASSWORD))["__typename"] == "SignedIn"


async def test_an_address_that_fails_too_often_waits_whatever_it_asks(shop: Shop) -> None:
    assert await fill(OF_NETWORK, "127.0.0.1") in (30, 31)
    answer = await shop.nobody.post(SIGN_IN, input={"email": "x@shop.example", "password": "x"})
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 300
    assert answer.json()["errors"][0]["extensions"]["code"] == "RATE_LIMITED"


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE session SET used_at = $1 WHERE token_hash = $2",
        "UPDATE session SET ends_at = $1 WHERE token_hash = $2",
        "UPDATE session SET revoked_at = $1 WHERE token_hash = $2",
    ],
)
async def test_an_idle_an_old_and_a_revoked_session_are_refused_alike(shop: Shop, sql: str) -> None:
    buyer = await shop.buyer()
    assert (await buyer.data(ME))["me"] == {"id": buyer.id}
    await change(sql, utc_now() - timedelta(days=14, seconds=1), token_hash(buyer.token or ""))
    assert await buyer.codes(ME) == ["UNAUTHENTICATED"]
    assert (await buyer.run(ME))["data"] == {"me": None}


async def test_without_a_credential_nobody_is_signed_in_and_that_is_no_error(shop: Shop) -> None:
    assert await shop.nobody.run(ME) == {"data": {"me": None}}


async def test_signing_out_ends_the_session_and_takes_the_cookie(shop: Shop) -> None:
    buyer = await shop.buyer()
    answer = await buyer.post("mutation { signOut { ... on SignedOut { at } } }")
    assert answer.json()["data"]["signOut"]["at"].endswith("Z")
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert answer.headers["clear-site-data"] == '"cookies", "storage"'
    assert await buyer.codes(ME) == ["UNAUTHENTICATED"]


async def test_the_fifty_first_session_ends_the_oldest(shop: Shop) -> None:
    buyer = await shop.buyer()
    account = await Session.filter(token_hash=token_hash(buyer.token or "")).first().values("account_id")
    for number in range(LIVE_SESSIONS - 1):
        await change(
            "INSERT INTO session (account_id, token_hash, created_at, used_at, proved_at, ends_at, remembered, address, agent) VALUES ($1, $2, $3, $4, $4, $5, TRUE, '', '')",
            account["account_id"], token_hash(f"{buyer.external_id} {number}"), utc_now(), utc_now(), utc_now() + timedelta(days=1),
        )  # fmt: skip
    assert (await buyer.data(ME))["me"] == {"id": buyer.id}
    await shop.sign_in({"email": buyer.email, "password": PASSWORD, "externalId": ""})
    assert await buyer.codes(ME) == ["UNAUTHENTICATED"]


async def test_the_owner_signs_in_from_a_known_browser_while_others_guess(shop: Shop) -> None:
    await shop.put("putAccounts", [row_of(6)])
    right = {"email": "signing6@shop.example", "password": PASSWORD}
    cookies = (await shop.nobody.post(SIGN_IN, input=right)).headers.get_list("set-cookie")
    shop.http.cookies.clear()
    (device,) = [cookie.partition(";")[0] for cookie in cookies if cookie.startswith("did=")]
    for _ in range(5):
        await attempt(shop, right["email"], "wrong")
    assert (await attempt(shop, right["email"], PASSWORD))["__typename"] == "RateLimited"
    known = {"cookie": device, "x-requested-with": "x"}
    answer = await shop.nobody.post(SIGN_IN, headers=known, input=right)
    assert answer.json()["data"]["signIn"]["__typename"] == "SignedIn"
    assert not [cookie for cookie in answer.headers.get_list("set-cookie") if cookie.startswith("did=")]
    shop.http.cookies.clear()
    await shop.put("putAccounts", [row_of(7)])
    for _ in range(5):
        await attempt(shop, "signing7@shop.example", "wrong")
    other = await shop.nobody.post(SIGN_IN, headers=known, input={"email": "signing7@shop.example", "password": PASSWORD})
    assert other.json()["data"]["signIn"]["__typename"] == "RateLimited"  # the browser is known to its own account alone


async def test_a_password_that_changes_while_it_is_checked_lets_nobody_in(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    await shop.put("putAccounts", [row_of(8)])
    passwords, sessions = shop.service.passwords, await Session.all().count()

    async def matches_and_is_changed(stored: str | None, password: str) -> bool:
        matched = await Passwords.matches(passwords, stored, password)
        await change("UPDATE password SET changed_at = $1", utc_now())
        return matched

    monkeypatch.setattr(passwords, "matches", matches_and_is_changed)
    assert (await attempt(shop, "signing8@shop.example", PASSWORD))["__typename"] == "InvalidCredentials"
    assert await Session.all().count() == sessions
    monkeypatch.undo()
    assert (await attempt(shop, "signing8@shop.example", PASSWORD))["__typename"] == "SignedIn"


async def test_a_hash_made_with_less_work_is_made_anew_at_the_next_sign_in_and_a_costlier_one_stays(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.put("putAccounts", [row_of(9)])
    account = await Identity.get(subject="signing9@shop.example").values("account_id")
    before = await Password.get(account_id=account["account_id"])
    monkeypatch.setattr(shop.service.passwords, "_hasher", PasswordHasher(time_cost=3, memory_cost=19456, parallelism=1))
    assert (await attempt(shop, "signing9@shop.example", "wrong"))["__typename"] == "InvalidCredentials"
    assert (await Password.get(account_id=account["account_id"])).hash == before.hash
    assert (await attempt(shop, "signing9@shop.example", PASSWORD))["__typename"] == "SignedIn"
    renewed = await Password.get(account_id=account["account_id"])
    assert "t=3" in renewed.hash and renewed.changed_at == before.changed_at
    monkeypatch.undo()
    assert (await attempt(shop, "signing9@shop.example", PASSWORD))["__typename"] == "SignedIn"
    assert (await Password.get(account_id=account["account_id"])).hash == renewed.hash


# ---------------------------------------------------------------- when sign-ins fail by the thousand

CAPTCHA = {"__typename": "CaptchaFailed", "code": "CAPTCHA_FAILED", "field": "captcha"}


@pytest.fixture
async def alarmed(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three failures, by whomever, and the shop asks for captchas."""
    monkeypatch.setattr(shop.service, "settings", shop.service.settings.model_copy(update={"captcha_after_failures": 3}))
    await shop.put("putAccounts", [row_of(10)])
    for email in ("signing10@shop.example", "nobody@shop.example", "signing10@shop.example"):
        assert (await attempt(shop, email, "wrong"))["__typename"] == "InvalidCredentials"


async def test_while_sign_ins_fail_by_the_thousand_everybody_proves_to_be_no_robot(shop: Shop, alarmed: None) -> None:
    before = [await fetch("SELECT key, failures FROM guess ORDER BY key"), await Session.all().count()]
    needed = {**CAPTCHA, "message": "Many sign-ins fail at the moment. Show that you are no robot, and sign in again."}
    for email, password in (("signing10@shop.example", PASSWORD), ("signing10@shop.example", "wrong"), ("unknown@shop.example", "wrong")):
        assert await attempt(shop, email, password) == needed
        assert (await attempt(shop, email, password, captcha="x"))["code"] == "CAPTCHA_FAILED"
    assert [await fetch("SELECT key, failures FROM guess ORDER BY key"), await Session.all().count()] == before
    assert (await attempt(shop, "signing10@shop.example", PASSWORD, captcha=await solved(shop)))["__typename"] == "SignedIn"


async def test_a_captcha_is_good_for_one_attempt_to_sign_in(shop: Shop, alarmed: None) -> None:
    solution = await solved(shop)
    answers = await asyncio.gather(*(attempt(shop, "unknown@shop.example", "wrong", captcha=solution) for _ in range(4)))
    assert sorted(answer["__typename"] for answer in answers) == [*["CaptchaFailed"] * 3, "InvalidCredentials"]


async def test_a_captcha_that_nobody_asked_for_is_not_used_up(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    solution = await solved(shop)
    assert (await attempt(shop, "unknown@shop.example", "wrong", captcha=solution))["__typename"] == "InvalidCredentials"
    monkeypatch.setattr(shop.service, "settings", shop.service.settings.model_copy(update={"captcha_after_failures": 0}))
    assert await attempt(shop, "unknown@shop.example", "wrong") == await attempt(shop, "signing2@shop.example", PASSWORD)
    assert (await attempt(shop, "unknown@shop.example", "wrong", captcha=solution))["__typename"] == "InvalidCredentials"

def test_an_ipv6_network_counts_as_one_address() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:2") == "2001:db8::/64"
    assert network_of("10.0.0.1") != network_of("10.0.0.2")
    assert network_of("nonsense") == "unknown"


def test_an_ipv4_address_counts_as_itself_however_it_is_written() -> None:
    assert network_of("::ffff:10.0.0.1") == network_of("10.0.0.1") != network_of("::ffff:10.0.0.2")
