"""Setting a second factor up, its recovery codes, taking it away, and proving by it again who one is."""

import asyncio
import re
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pyotp
import pytest
from pydantic import SecretStr

from auth.second_factor import renew_secrets
from auth.sessions import token_hash
from models.activity import Activity
from models.database import fetch
from models.instants import utc_now
from models.refusals import NotFound, Unavailable
from models.second_factor import RecoveryCode, SecondFactor, SecondFactorChallenge, given_code
from models.sessions import Session
from resolvers.authenticator import remove_lost
from resolvers.housekeeping import forget_old
from tests.authenticators import CONFIRM, Authenticator, begin, confirm, turn_on
from tests.rows import account_of, change, letters
from tests.shop import PASSWORD, Buyer, Client, Shop

ME = "{ me { id } }"
MINE = "{ me { secondFactor { enabledAt recoveryCodesLeft } signInMethods { lockoutRisk methods { kind } } } }"
RENEW = """mutation($input: RenewRecoveryCodesInput!) { renewRecoveryCodes(input: $input) { __typename
  ... on RecoveryCodesRenewed { recoveryCodes } ... on Refusal { code field } ... on RateLimited { retryAfterSeconds } } }"""
REMOVE = """mutation($input: RemoveSecondFactorInput!) { removeSecondFactor(input: $input) { __typename
  ... on SecondFactorRemoved { at newToken } ... on Refusal { code field } ... on RateLimited { retryAfterSeconds } } }"""
PROVE = """mutation($input: ReauthenticateInput!) { reauthenticate(input: $input) { __typename
  ... on Reauthenticated { until } ... on Refusal { code field } } }"""
SIGN_IN = "mutation($input: SignInInput!) { signIn(input: $input) { ... on SecondFactorRequired { challengeId } } }"
ANSWER = "mutation($input: AnswerSecondFactorInput!) { answerSecondFactor(input: $input) { ... on SignedIn { token } } }"
ASK_EMAIL = 'mutation { requestEmailChange(input: { email: "mine@new.example" }) { ... on Refusal { code } } }'
CHANGES = {"renewRecoveryCodes": RENEW, "removeSecondFactor": REMOVE}


@pytest.fixture(autouse=True)
async def forgotten(shop: Shop) -> None:
    await change("DELETE FROM guess")


async def factor_of(buyer: Buyer) -> dict[str, Any] | None:
    return (await buyer.data(MINE))["me"]["secondFactor"]


async def given(buyer: Buyer, query: str, **input: Any) -> dict[str, Any]:
    """What the mutation answers, but for the session's new token, by which the buyer goes on."""
    (answer,) = (await buyer.data(query, input=input)).values()
    buyer.token = answer.pop("newToken", buyer.token)
    return answer


async def grow_old(buyer: Buyer) -> None:
    """The buyer's last proof lies more than 15 minutes back."""
    await change("UPDATE session SET proved_at = $1 WHERE account_id = $2", utc_now() - timedelta(minutes=15, seconds=1), await account_of(buyer))


async def kept(account_id: int) -> tuple[Any, list[str]]:
    """All that is kept of an account's second factor."""
    found = await SecondFactor.get_or_none(account_id=account_id)
    row = found and (found.sealed_secret, found.enabled_at, found.last_step)
    return row, sorted(await RecoveryCode.filter(account_id=account_id).values_list("code_hash", flat=True))


async def test_an_authenticator_is_set_up_and_counts_once_a_code_of_it_has_come_back(shop: Shop) -> None:
    buyer = await shop.buyer(language="ru")
    elsewhere = await shop.again(buyer)
    begun = await begin(buyer)
    assert (begun["__typename"], await factor_of(buyer)) == ("SecondFactorBegun", None)
    uri = urlsplit(begun["uri"])
    assert (uri.scheme, uri.netloc, unquote(uri.path)) == ("otpauth", "totp", f"/127.0.0.1:{buyer.email}")
    assert parse_qs(uri.query) == {"secret": [begun["secret"]], "issuer": ["127.0.0.1"]}
    assert timedelta(minutes=14) < datetime.fromisoformat(begun["expiresAt"]) - utc_now() <= timedelta(minutes=15)
    assert (await elsewhere.data(ME))["me"]["id"] == buyer.id
    answer = await confirm(buyer, f" {pyotp.parse_uri(begun['uri']).now()[:3]} {pyotp.parse_uri(begun['uri']).now()[3:]} ")
    codes = answer["recoveryCodes"]
    assert len(set(codes)) == 10 and all(re.fullmatch(r"[A-Z2-7]{4}(-[A-Z2-7]{4}){3}", code) for code in codes)
    on = await factor_of(buyer)
    assert on is not None and on["recoveryCodesLeft"] == 10
    assert utc_now() - datetime.fromisoformat(on["enabledAt"]) < timedelta(minutes=1)
    assert await elsewhere.codes(ME) == ["UNAUTHENTICATED"]
    (letter,) = await letters(buyer.email)
    assert (letter["template"], letter["language"], letter["values"]) == ("second_factor_on", "ru", {})
    assert await Activity.filter(verb="second_factor_on", subject_id=await account_of(buyer)).count() == 1


async def test_nothing_that_is_kept_tells_the_secret_or_a_recovery_code(shop: Shop) -> None:
    buyer, other = await shop.buyer(), await shop.buyer()
    authenticator = await turn_on(buyer)
    sealed, hashes = await kept(authenticator.account_id)
    text = f"{sealed} {hashes}".upper()
    assert authenticator.totp.secret not in text and all(len(hash) == 64 for hash in hashes)
    for code in authenticator.recovery_codes:
        assert code not in text and code.replace("-", "") not in text
    secret = (await begin(other))["secret"]  # a row that was moved to another account opens nothing there
    await change("UPDATE second_factor SET sealed_secret = $1 WHERE account_id = $2", sealed[0], await account_of(other))
    for code in (authenticator.at(0), pyotp.TOTP(secret).now()):
        assert await confirm(other, code) == {"__typename": "CodeInvalid", "code": "CODE_INVALID", "field": "code"}
    assert await factor_of(other) is None


async def test_authenticators_outlive_a_change_of_the_services_secret(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    buyer, lost = await shop.buyer(), await shop.buyer()
    authenticator, of_old = await turn_on(buyer), await turn_on(lost)
    await change("UPDATE second_factor SET sealed_secret = 'x' WHERE account_id = $1", of_old.account_id)
    ((old,),) = await fetch("SELECT secret FROM service_key")
    as_is = shop.service.settings
    changing = as_is.model_copy(update={"secret_key": SecretStr("n" * 32), "secret_key_previous": SecretStr(old)})
    changed = as_is.model_copy(update={"secret_key": SecretStr("n" * 32)})
    await renew_secrets(as_is)  # nothing is being changed
    before = await kept(authenticator.account_id)
    monkeypatch.setattr(shop.service, "settings", changing)
    assert (await given(buyer, PROVE, code=await authenticator.code()))["__typename"] == "Reauthenticated"
    await renew_secrets(changing)
    assert (await kept(authenticator.account_id))[0][0] != before[0][0]
    renewed = await kept(authenticator.account_id)
    await renew_secrets(changing)  # once is enough
    assert await kept(authenticator.account_id) == renewed
    monkeypatch.setattr(shop.service, "settings", changed)
    assert (await given(buyer, PROVE, code=await authenticator.code()))["__typename"] == "Reauthenticated"
    assert (await given(lost, PROVE, code=of_old.recovery_codes[0]))["__typename"] == "Reauthenticated"
    assert await SecondFactor.filter(account_id=of_old.account_id).values_list("sealed_secret", flat=True) == ["x"]


async def test_only_the_secret_that_was_begun_last_counts_and_for_fifteen_minutes(shop: Shop) -> None:
    buyer = await shop.buyer()
    account_id = await account_of(buyer)
    assert await confirm(buyer, "123456") == {"__typename": "CodeInvalid", "code": "CODE_INVALID", "field": "code"}
    first, second = [pyotp.TOTP((await begin(buyer))["secret"]) for _ in range(2)]
    assert (await confirm(buyer, first.now()))["code"] == "CODE_INVALID"
    await change("UPDATE second_factor SET begun_at = $1 WHERE account_id = $2", utc_now() - timedelta(minutes=15, seconds=1), account_id)
    assert (await confirm(buyer, second.now()))["code"] == "CODE_INVALID"
    assert await factor_of(buyer) is None and await RecoveryCode.filter(account_id=account_id).count() == 0
    await forget_old(utc_now())
    assert await SecondFactor.filter(account_id=account_id).count() == 0
    await turn_on(buyer)
    await change("UPDATE second_factor SET begun_at = $1 WHERE account_id = $2", utc_now() - timedelta(days=9), account_id)
    await forget_old(utc_now())
    assert await factor_of(buyer) is not None
    assert len(await letters(buyer.email)) == 1


async def test_setting_up_asks_for_a_recent_proof_and_for_none_that_is_on(shop: Shop) -> None:
    buyer = await shop.buyer()
    await grow_old(buyer)
    refused = await begin(buyer)
    assert (refused["__typename"], refused["code"], await SecondFactor.filter(account_id=await account_of(buyer)).count()) == ("ReauthRequired", "REAUTH_REQUIRED", 0)
    await given(buyer, PROVE, password=PASSWORD)
    authenticator = await turn_on(buyer)
    before = await kept(authenticator.account_id)
    refused = await begin(buyer)
    assert (refused["__typename"], refused["code"], refused["message"]) == ("Unavailable", "WRONG_STATE", "The second factor is on already.")
    assert (await confirm(buyer, authenticator.at(1)))["code"] == "CODE_INVALID"
    assert await kept(authenticator.account_id) == before


async def test_nobody_sets_up_anything_signed_out(shop: Shop) -> None:
    for query in ("mutation { beginSecondFactor { __typename } }", CONFIRM, RENEW, REMOVE):
        assert await shop.nobody.codes(query, **({} if query.startswith("mutation {") else {"input": {"code": "123456"}})) == ["UNAUTHENTICATED"]


async def test_guessing_the_first_code_has_to_wait(shop: Shop) -> None:
    buyer = await shop.buyer()
    secret = pyotp.TOTP((await begin(buyer))["secret"])
    authenticator = Authenticator(secret.secret, await account_of(buyer), [])
    for _ in range(5):
        assert (await confirm(buyer, authenticator.wrong()))["code"] == "CODE_INVALID"
    waits = await confirm(buyer, secret.now())
    assert waits["code"] == "RATE_LIMITED" and 10 < waits["retryAfterSeconds"] <= 30
    assert await factor_of(buyer) is None
    await change("DELETE FROM guess")
    assert (await confirm(buyer, secret.now()))["__typename"] == "SecondFactorOn"


async def test_twenty_confirmations_at_once_give_one_set_of_recovery_codes(shop: Shop) -> None:
    buyer = await shop.buyer()
    code = pyotp.TOTP((await begin(buyer))["secret"]).now()
    answers = [answer.json() for answer in await asyncio.gather(*(buyer.post(CONFIRM, input={"code": code}) for _ in range(20)))]
    told = [answer["data"]["confirmSecondFactor"] if answer.get("data") else answer["errors"][0]["extensions"] for answer in answers]
    (on,) = [one for one in told if one.get("__typename") == "SecondFactorOn"]
    # The session's token was changed: who comes after that is not signed in.
    assert {one.get("code") for one in told} <= {None, "CODE_INVALID", "RATE_LIMITED", "UNAUTHENTICATED"}
    buyer.token = on["newToken"]
    assert await RecoveryCode.filter(account_id=await account_of(buyer)).count() == 10


async def test_new_recovery_codes_replace_the_old_ones(shop: Shop) -> None:
    buyer = await shop.buyer()
    authenticator = await turn_on(buyer)
    renewed = await given(buyer, RENEW, code=await authenticator.code())
    assert len(renewed["recoveryCodes"]) == 10 and not set(renewed["recoveryCodes"]) & set(authenticator.recovery_codes)
    assert [letter["template"] for letter in await letters(buyer.email)] == ["second_factor_on", "recovery_codes_renewed"]
    assert (await given(buyer, REMOVE, code=authenticator.recovery_codes[0]))["code"] == "CODE_INVALID"
    assert (await given(buyer, RENEW, code=renewed["recoveryCodes"][3]))["__typename"] == "RecoveryCodesRenewed"
    assert (await factor_of(buyer) or {})["recoveryCodesLeft"] == 10


@pytest.mark.parametrize("by_recovery_code", [False, True])
async def test_it_goes_by_a_code_with_a_mail_and_leaves_nothing(shop: Shop, by_recovery_code: bool) -> None:
    buyer = await shop.buyer()
    authenticator = await turn_on(buyer)
    code = authenticator.recovery_codes[9].lower() if by_recovery_code else await authenticator.code()
    removed = await given(buyer, REMOVE, code=code)
    assert utc_now() - datetime.fromisoformat(removed["at"]) < timedelta(minutes=1)
    assert await factor_of(buyer) is None and await kept(authenticator.account_id) == (None, [])
    assert [letter["template"] for letter in await letters(buyer.email)] == ["second_factor_on", "second_factor_off"]
    assert (await shop.again(buyer)).id == buyer.id
    assert (await turn_on(buyer)).totp.secret != authenticator.totp.secret


async def test_an_operator_takes_it_from_a_buyer_who_has_lost_it(shop: Shop) -> None:
    buyer = await shop.buyer()
    authenticator = await turn_on(buyer)
    await remove_lost(f"#{authenticator.account_id}")
    assert await buyer.codes("{ me { id } }") == ["UNAUTHENTICATED"]
    assert await kept(authenticator.account_id) == (None, [])
    assert [letter["template"] for letter in await letters(buyer.email)] == ["second_factor_on", "second_factor_off"]
    assert await Activity.filter(verb="second_factor_off", actor_kind="system", subject_id=authenticator.account_id).count() == 1
    assert (await shop.again(buyer)).id == buyer.id
    with pytest.raises(Unavailable):
        await remove_lost(f"#{authenticator.account_id}")
    with pytest.raises(NotFound):
        await remove_lost("nobody")


@pytest.mark.parametrize("name", CHANGES)
async def test_a_change_asks_for_a_recent_proof_and_for_a_code_of_ones_own(shop: Shop, name: str) -> None:
    buyer, stranger = await shop.buyer(), await shop.buyer()
    authenticator, strangers = await turn_on(buyer), await turn_on(stranger)
    code = await authenticator.code()
    before = await kept(authenticator.account_id)
    for wrong in (authenticator.wrong(), await strangers.code(), strangers.recovery_codes[0], "", "x" * 5000):
        await change("DELETE FROM guess")
        assert await given(buyer, CHANGES[name], code=wrong) == {"__typename": "CodeInvalid", "code": "CODE_INVALID", "field": "code"}
    await grow_old(buyer)
    assert (await given(buyer, CHANGES[name], code=code))["code"] == "REAUTH_REQUIRED"
    assert await kept(authenticator.account_id) == before and len(await letters(buyer.email)) == 1
    nobodys = await shop.buyer()
    assert await given(nobodys, CHANGES[name], code=code) == {"__typename": "Unavailable", "code": "WRONG_STATE", "field": None}


@pytest.mark.parametrize("name", CHANGES)
async def test_guessing_for_a_change_has_to_wait(shop: Shop, name: str) -> None:
    buyer = await shop.buyer()
    authenticator = await turn_on(buyer)
    for _ in range(5):
        assert (await given(buyer, CHANGES[name], code=authenticator.wrong()))["code"] == "CODE_INVALID"
    before = await kept(authenticator.account_id)
    assert (await given(buyer, CHANGES[name], code=authenticator.recovery_codes[0]))["code"] == "RATE_LIMITED"
    assert await kept(authenticator.account_id) == before


@pytest.mark.parametrize("name", CHANGES)
async def test_every_change_ends_the_other_sessions(shop: Shop, name: str) -> None:
    buyer = await shop.buyer()
    authenticator = await turn_on(buyer)
    await change("UPDATE second_factor SET enabled_at = NULL WHERE account_id = $1", authenticator.account_id)
    elsewhere = await shop.again(buyer)
    await change("UPDATE second_factor SET enabled_at = begun_at WHERE account_id = $1", authenticator.account_id)
    await given(buyer, CHANGES[name], code=authenticator.recovery_codes[0])
    assert await elsewhere.codes(ME) == ["UNAUTHENTICATED"]
    assert (await buyer.data(ME))["me"]["id"] == buyer.id


async def test_a_code_proves_again_who_asks_also_without_a_password(shop: Shop) -> None:
    buyer = await shop.buyer()
    authenticator = await turn_on(buyer)
    await change("DELETE FROM password WHERE account_id = $1", authenticator.account_id)  # as whoever signs in by phone or provider alone
    for code in (await authenticator.code(), authenticator.recovery_codes[0]):
        await grow_old(buyer)
        assert (await given(buyer, PROVE, code=code))["__typename"] == "Reauthenticated"
        assert (await given(buyer, REMOVE, code="1"))["code"] == "CODE_INVALID"
        await grow_old(buyer)
        assert (await given(buyer, PROVE, code=code))["code"] == "CODE_INVALID"
        assert (await given(buyer, REMOVE, code="1"))["code"] == "REAUTH_REQUIRED"
    assert (await factor_of(buyer) or {})["recoveryCodesLeft"] == 9


@pytest.mark.parametrize("typed", [PASSWORD, "wrong"])
async def test_a_session_and_the_password_add_no_way_past_the_second_factor(shop: Shop, typed: str) -> None:
    buyer = await shop.buyer()
    authenticator = await turn_on(buyer)
    await grow_old(buyer)
    assert await given(buyer, PROVE, password=typed) == {"__typename": "Unavailable", "code": "SECOND_FACTOR_REQUIRED", "field": "code"}
    for query, changed in (("mutation { beginPasskey { ... on Refusal { code } } }", "beginPasskey"), (ASK_EMAIL, "requestEmailChange")):
        assert (await buyer.data(query))[changed] == {"code": "REAUTH_REQUIRED"}
    assert await Activity.filter(verb="reauthenticated", subject_id=authenticator.account_id).count() == 0
    assert await fetch("SELECT 1 FROM guess WHERE key LIKE 'account:proof:%'") == []  # it was not looked at
    assert (await given(buyer, PROVE, code=await authenticator.code()))["__typename"] == "Reauthenticated"
    assert (await buyer.data("mutation { beginPasskey { __typename } }"))["beginPasskey"] == {"__typename": "PasskeyCreation"}
    await given(buyer, REMOVE, code=authenticator.recovery_codes[0])
    assert (await given(buyer, PROVE, password=PASSWORD))["__typename"] == "Reauthenticated"


async def test_a_sign_in_by_password_and_code_is_a_proof(shop: Shop) -> None:
    buyer = await shop.buyer()
    authenticator = await turn_on(buyer)
    asked = (await shop.nobody.data(SIGN_IN, input={"email": buyer.email, "password": PASSWORD}))["signIn"]
    signed = (await shop.nobody.data(ANSWER, input={"challengeId": asked["challengeId"], "code": await authenticator.code()}))["answerSecondFactor"]
    shop.http.cookies.clear()
    answer = await Client(shop.http, signed["token"]).data("mutation { beginPasskey { __typename } }")
    assert answer["beginPasskey"] == {"__typename": "PasskeyCreation"}


async def test_a_proof_from_before_the_second_factor_counts_on_in_the_session_that_turned_it_on_and_no_longer_than_it_would(shop: Shop) -> None:
    buyer = await shop.buyer()
    copied, elsewhere = Client(shop.http, buyer.token), await shop.again(buyer)
    await change("UPDATE session SET proved_at = $1 WHERE account_id = $2", before := utc_now() - timedelta(minutes=14), await account_of(buyer))
    await turn_on(buyer)
    for other in (copied, elsewhere):
        assert await other.codes("mutation { beginPasskey { __typename } }") == ["UNAUTHENTICATED"]
    assert (await Session.get(token_hash=token_hash(buyer.token or ""))).proved_at == before


async def test_a_proof_by_a_recovery_code_is_told_by_mail_and_one_by_the_authenticator_is_not(shop: Shop) -> None:
    buyer = await shop.buyer()
    authenticator = await turn_on(buyer)
    for wrong in (authenticator.wrong(), "ABCD-EFGH-IJKL-MNOP"):
        assert (await given(buyer, PROVE, code=wrong))["code"] == "CODE_INVALID"
    assert (await given(buyer, PROVE, code=await authenticator.code()))["__typename"] == "Reauthenticated"
    assert [letter["template"] for letter in await letters(buyer.email)] == ["second_factor_on"]
    assert (await given(buyer, PROVE, code=authenticator.recovery_codes[0]))["__typename"] == "Reauthenticated"
    told = (await letters(buyer.email))[1:]
    assert [(letter["template"], letter["values"]) for letter in told] == [("recovery_code_used", {"left": "9"})]


async def test_a_proof_is_the_password_or_a_code_and_a_code_needs_a_second_factor(shop: Shop) -> None:
    buyer = await shop.buyer()
    for wrong in ({}, {"password": PASSWORD, "code": "123456"}, {"password": None}):
        assert await given(buyer, PROVE, **wrong) == {"__typename": "BadUserInput", "code": "BAD_USER_INPUT", "field": "password"}
    secret = pyotp.TOTP((await begin(buyer))["secret"])
    assert (await given(buyer, PROVE, code=secret.now()))["code"] == "CODE_INVALID"  # begun is not on
    assert (await given(buyer, PROVE, password=PASSWORD))["__typename"] == "Reauthenticated"
    assert await shop.nobody.codes(PROVE, input={"code": "123456"}) == ["UNAUTHENTICATED"]


async def test_without_recovery_codes_the_buyer_is_at_risk_and_the_second_factor_is_no_way_in(shop: Shop) -> None:
    buyer = await shop.buyer()
    authenticator = await turn_on(buyer)
    await change("INSERT INTO identity (account_id, kind, subject, verified_at) VALUES ($1, 'VK', $2, $3)", authenticator.account_id, buyer.external_id, utc_now())
    told = (await buyer.data(MINE))["me"]["signInMethods"]
    assert told == {"lockoutRisk": False, "methods": [{"kind": "EMAIL"}, {"kind": "VK"}]}
    await change("DELETE FROM recovery_code WHERE account_id = $1", authenticator.account_id)
    assert (await buyer.data(MINE))["me"]["signInMethods"] == told | {"lockoutRisk": True}
    assert (await factor_of(buyer) or {})["recoveryCodesLeft"] == 0


async def test_challenges_go_once_they_are_too_old(shop: Shop) -> None:
    account_id, at = await account_of(await shop.buyer()), utc_now()
    for name, ends_at in (("old", at - timedelta(seconds=1)), ("young", at + timedelta(minutes=1))):
        await change(
            "INSERT INTO second_factor_challenge (challenge_hash, account_id, created_at, ends_at, tries) VALUES ($1, $2, $3, $4, 0)",
            name, account_id, at, ends_at,
        )  # fmt: skip
    await forget_old(at)
    assert await SecondFactorChallenge.filter(account_id=account_id).values_list("challenge_hash", flat=True) == ["young"]


def test_a_code_is_told_from_a_recovery_code_in_any_spelling() -> None:
    assert given_code(" 012 345\n") == given_code("012-345") == ("012345", None)
    assert given_code("abcd-efgh-ijkl-mnop") == given_code("ABCDEFGHIJKLMNOP") == given_code(" abcd efgh\tijkl mnop ") == (None, "ABCDEFGHIJKLMNOP")
    assert given_code("0bcd-1fgh-8jkl-mn2p") == (None, "OBCDIFGHBJKLMN2P")
    for neither in ("", "12345", "1234567", "١٢٣٤٥٦", "ABCD-EFGH-IJKL-MNO", "ABCD-EFGH-IJKL-MNO9", "ABCDEFGHIJKLMNOPQ", "\ud800"):
        assert given_code(neither) == (None, None), neither
