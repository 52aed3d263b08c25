"""Codes by SMS: signing up, in and linking by one, what is refused, and what is bounded."""

import asyncio
import itertools
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from auth.sessions import token_hash
from models.accounts import Account, Identity
from models.instants import utc_now
from models.outbox import OutboxMessage
from models.phone_codes import PhoneCode
from tests.rows import account_of, change
from tests.shop import PASSWORD, Shop
from tests.test_server import ROOT
from tests.traffic import forget_traffic

REQUEST = """mutation($input: RequestPhoneCodeInput!) { requestPhoneCode(input: $input) { __typename
  ... on PhoneCodeRequested { challengeId resendAfterSeconds } ... on Refusal { code field message } ... on RateLimited { retryAfterSeconds } } }"""
VERIFY = """mutation($input: VerifyPhoneCodeInput!) { verifyPhoneCode(input: $input) { __typename
  ... on SignedIn { token account { id displayName phone language region } } ... on PhoneLinked { newToken account { id phone } }
  ... on Refusal { code field message } ... on SignUpClosed { openWays } } }"""
SIGN_IN = """mutation($input: SignInInput!) { signIn(input: $input) { __typename
  ... on SignedIn { account { id } } ... on Refusal { code field } } }"""
ANNA = {"displayName": "Анна", "language": "ru", "region": "RU", "currency": "RUB"}
_numbers = itertools.count(1)


@pytest.fixture(autouse=True)
async def forgotten(shop: Shop) -> None:
    await change("DELETE FROM guess")


@pytest.fixture
def phone() -> str:
    return f"+7916{next(_numbers):07}"


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Codes may be asked for one after the other."""
    monkeypatch.setattr("auth.phone_codes.RESEND_AFTER", timedelta(0))
    yield


async def request(shop: Shop, phone: str, purpose: str = "SIGN_UP", by: Any = None) -> dict[str, Any]:
    return (await (by or shop.nobody).data(REQUEST, input={"phone": phone, "purpose": purpose}))["requestPhoneCode"]


async def sent(shop: Shop, phone: str, purpose: str = "SIGN_UP", by: Any = None, spelled: str | None = None) -> tuple[str, str]:
    """A challenge, and the code that came by SMS."""
    answer = await request(shop, spelled or phone, purpose, by)
    assert answer["__typename"] == "PhoneCodeRequested", answer
    message = await OutboxMessage.filter(kind="sms").order_by("-id").first()
    assert message is not None and (message.payload["to"], message.payload["template"]) == (phone, "phone_code")
    return answer["challengeId"], message.payload["values"]["code"]


async def verify(shop: Shop, challenge: str, code: str, by: Any = None, **given: Any) -> dict[str, Any]:
    answer = await (by or shop.nobody).data(VERIFY, input={"challengeId": challenge, "code": code, **given})
    shop.http.cookies.clear()
    return answer["verifyPhoneCode"]


def other(code: str) -> str:
    return f"{(int(code) + 1) % 10**6:06}"


async def test_a_number_signs_up_and_then_signs_in(shop: Shop, phone: str, patient: None) -> None:
    spelled = f"{phone[:2]} ({phone[2:5]}) {phone[5:8]}-{phone[8:]}"
    challenge, code = await sent(shop, phone)
    assert len(code) == 6 and code.isdigit()
    answer = await shop.nobody.post(VERIFY, input={"challengeId": challenge, "code": f" {code} ", **ANNA})
    shop.http.cookies.clear()
    signed = answer.json()["data"]["verifyPhoneCode"]
    assert signed["account"] | {"id": ""} == {"id": "", "displayName": "Анна", "phone": phone, "language": "ru", "region": "RU"}
    assert answer.headers.get_list("set-cookie")[0].startswith(f"sid={signed['token']};")
    assert await Account.filter(phone=phone).count() == 1
    for purpose in ("SIGN_IN", "SIGN_UP"):
        assert (await verify(shop, *await sent(shop, phone, purpose, spelled=spelled)))["account"]["id"] == signed["account"]["id"]
    assert await Account.filter(phone=phone).count() == 1


async def test_known_and_unknown_numbers_are_answered_alike(shop: Shop, phone: str) -> None:
    await shop.buyer(phone=phone)
    unknown = f"+7917{phone[5:]}"
    answers = [await request(shop, number, "SIGN_IN") for number in (phone, unknown)]
    assert [answer.pop("challengeId") != "" for answer in answers] == [True, True]
    assert answers[0] == answers[1] == {"__typename": "PhoneCodeRequested", "resendAfterSeconds": 60}
    messages = await OutboxMessage.filter(kind="sms").order_by("-id").limit(2)
    assert {message.payload["to"] for message in messages} == {phone, unknown}


async def test_nothing_that_is_kept_tells_the_code(shop: Shop, phone: str) -> None:
    challenge, code = await sent(shop, phone)
    kept = await PhoneCode.get(challenge_hash=token_hash(challenge))
    assert code not in kept.code_hmac and challenge not in (kept.challenge_hash, kept.code_hmac)
    assert len(kept.code_hmac) == 64 and kept.ends_at - kept.created_at == timedelta(minutes=5)


async def test_wrong_unknown_expired_and_used_codes_are_one_answer(shop: Shop, phone: str, patient: None) -> None:
    challenge, code = await sent(shop, phone)
    answers = [await verify(shop, challenge, other(code), **ANNA), await verify(shop, "nothing", code, **ANNA)]
    assert (await verify(shop, challenge, code, **ANNA))["__typename"] == "SignedIn"
    answers.append(await verify(shop, challenge, code, **ANNA))
    challenge, code = await sent(shop, phone)
    await change("UPDATE phone_code SET ends_at = $1 WHERE challenge_hash = $2", utc_now(), token_hash(challenge))
    answers.append(await verify(shop, challenge, code, **ANNA))
    assert all(answer == answers[0] for answer in answers)
    assert answers[0]["code"] == "CODE_INVALID"


async def test_a_code_is_no_good_for_another_challenge(shop: Shop, phone: str, patient: None) -> None:
    first, code = await sent(shop, phone)
    second, another = await sent(shop, phone)
    if code != another:
        assert (await verify(shop, second, code, **ANNA))["code"] == "CODE_INVALID"
    assert (await verify(shop, first, code, **ANNA))["__typename"] == "SignedIn"


async def test_after_five_tries_the_right_code_too_is_refused(shop: Shop, phone: str) -> None:
    challenge, code = await sent(shop, phone)
    for _ in range(5):
        assert (await verify(shop, challenge, other(code), **ANNA))["code"] == "CODE_INVALID"
    assert (await verify(shop, challenge, code, **ANNA))["code"] == "CODE_ATTEMPTS_EXCEEDED"
    assert await Account.filter(phone=phone).count() == 0


async def test_fifty_tries_at_once_are_five(shop: Shop, phone: str) -> None:
    challenge, code = await sent(shop, phone)
    answers = await asyncio.gather(*(verify(shop, challenge, other(code), **ANNA) for _ in range(50)))
    codes = [answer["code"] for answer in answers]
    assert (codes.count("CODE_INVALID"), codes.count("CODE_ATTEMPTS_EXCEEDED")) == (5, 45)
    assert (await PhoneCode.get(challenge_hash=token_hash(challenge))).tries == 5


async def test_the_right_code_fifty_times_at_once_signs_in_once(shop: Shop, phone: str) -> None:
    challenge, code = await sent(shop, phone)
    answers = await asyncio.gather(*(verify(shop, challenge, code, **ANNA) for _ in range(50)))
    assert [answer["__typename"] for answer in answers].count("SignedIn") == 1
    assert await Account.filter(phone=phone).count() == await Identity.filter(subject=phone).count() == 1
    assert {answer.get("code") for answer in answers} <= {None, "CODE_INVALID", "CODE_ATTEMPTS_EXCEEDED"}


async def test_signing_in_makes_no_account_and_the_code_stays_good_for_the_name_that_was_missing(shop: Shop, phone: str, patient: None) -> None:
    challenge, code = await sent(shop, phone, "SIGN_IN")
    answer = await verify(shop, challenge, code, **ANNA)
    assert (answer["code"], answer["message"]) == ("NOT_FOUND", "No account has this number: sign up.")
    challenge, code = await sent(shop, phone, "SIGN_UP")
    for wrong, field in ((ANNA | {"displayName": " "}, "displayName"), (ANNA | {"region": "Russia"}, "region"), (ANNA | {"currency": "RUR?"}, "currency")):
        answer = await verify(shop, challenge, code, **wrong)
        assert answer["code"] == "BAD_USER_INPUT" and answer["field"] in (field, None), answer
    assert await Account.filter(phone=phone).count() == 0
    assert (await verify(shop, challenge, code, **ANNA))["__typename"] == "SignedIn"


async def test_a_policy_without_phones_makes_no_account(shop: Shop, phone: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "own.toml"
    path.write_text('[regions."*"]\nsign_up = ["VK"]\nsign_in = ["PHONE"]\nlink = ["VK"]\n')
    monkeypatch.setattr(shop.service, "settings", shop.service.settings.model_copy(update={"sign_in_policy": str(path)}))
    answer = await verify(shop, *await sent(shop, phone), **ANNA)
    assert (answer["code"], answer["openWays"]) == ("SIGN_UP_CLOSED", ["VK"])
    assert await Account.filter(phone=phone).count() == 0
    buyer = await shop.buyer()
    assert (await request(shop, phone, "LINK", buyer))["code"] == "SIGN_UP_CLOSED"


@pytest.mark.parametrize("wrong", ["", "89161234567", "+7916123456", "+999123456789", "x" * 50, "+79161234567 ext. 5", "+7 916 \u0000"])
async def test_what_is_no_number_gets_no_code(shop: Shop, wrong: str) -> None:
    before = await PhoneCode.all().count()
    answer = await request(shop, wrong)
    assert (answer["code"], answer["field"]) == ("BAD_USER_INPUT", "phone")
    assert await PhoneCode.all().count() == before


async def test_codes_go_to_the_countries_that_are_served(shop: Shop, phone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shop.service, "settings", shop.service.settings.model_copy(update={"sms_countries": ("RU",)}))
    assert (await request(shop, "+4915112345678"))["code"] == "BAD_USER_INPUT"
    assert (await request(shop, "+77011234567"))["message"] == "No codes are sent to numbers of this country."  # Kazakhstan's
    assert (await request(shop, phone))["__typename"] == "PhoneCodeRequested"


async def test_another_code_is_sent_after_a_minute_three_times_an_hour_and_five_a_day(shop: Shop, phone: str) -> None:
    await sent(shop, phone)
    waits = await request(shop, phone, "SIGN_IN")
    assert waits["code"] == "RATE_LIMITED" and 1 <= waits["retryAfterSeconds"] <= 60
    for _ in range(2):
        await change("DELETE FROM guess WHERE key LIKE 'sms-minute%'")
        await sent(shop, phone)
    await change("DELETE FROM guess WHERE key LIKE 'sms-minute%'")
    waits = await request(shop, phone)
    assert 3500 < waits["retryAfterSeconds"] <= 3600
    for _ in range(2):
        await change("DELETE FROM guess WHERE key LIKE 'sms-minute%' OR key LIKE 'sms-hour%'")
        await sent(shop, phone)
    await change("DELETE FROM guess WHERE key LIKE 'sms-minute%' OR key LIKE 'sms-hour%'")
    assert 86000 < (await request(shop, phone))["retryAfterSeconds"] <= 86400
    assert await PhoneCode.filter(phone=phone).count() == 5


async def test_a_network_gets_ten_codes_a_day_and_the_service_so_many(shop: Shop, phone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(10):
        await sent(shop, f"+7918{phone[-4:]}{number:03}")
    assert (await request(shop, phone))["code"] == "RATE_LIMITED"
    await change("DELETE FROM guess")
    forget_traffic()
    monkeypatch.setattr(shop.service, "settings", shop.service.settings.model_copy(update={"sms_a_day": 1}))
    await sent(shop, f"+7919{phone[-4:]}001")
    assert (await request(shop, phone))["code"] == "RATE_LIMITED"
    assert await PhoneCode.filter(phone=phone).count() == 0


async def test_twenty_requests_at_once_send_one_code(shop: Shop, phone: str) -> None:
    answers = await asyncio.gather(*(request(shop, phone) for _ in range(20)))
    assert [answer["__typename"] for answer in answers].count("PhoneCodeRequested") == 1
    assert await PhoneCode.filter(phone=phone).count() == 1


async def test_a_number_is_linked_in_place_of_the_one_before(shop: Shop, phone: str, patient: None) -> None:
    buyer = await shop.buyer(phone=phone)
    new = f"+7917{phone[5:]}"
    answer = await verify(shop, *await sent(shop, new, "LINK", buyer), by=buyer)
    assert answer | {"newToken": ""} == {"__typename": "PhoneLinked", "newToken": "", "account": {"id": buyer.id, "phone": new}}
    assert await buyer.codes("{ me { id } }") == ["UNAUTHENTICATED"]
    buyer.token = answer["newToken"]
    assert (await buyer.data("{ me { phone } }"))["me"] == {"phone": new}
    assert await Identity.filter(account_id=await account_of(buyer), kind="PHONE").values_list("subject", flat=True) == [new]
    letter = await OutboxMessage.filter(kind="mail").order_by("-id").first()
    assert letter is not None and letter.payload["template"] == "sign_in_method_added"
    assert letter.payload["values"] == {"kind": "PHONE", "masked": f"+7***{new[-4:]}"}
    assert (await verify(shop, *await sent(shop, new, "SIGN_IN")))["account"]["id"] == buyer.id
    answer = await verify(shop, *await sent(shop, phone, "SIGN_IN"))
    assert answer["code"] == "NOT_FOUND"


async def test_a_number_of_another_account_is_not_linked(shop: Shop, phone: str) -> None:
    owner, buyer = await shop.buyer(phone=phone), await shop.buyer()
    answer = await verify(shop, *await sent(shop, phone, "LINK", buyer), by=buyer)
    assert answer["code"] == "IDENTITY_TAKEN"
    assert (await Identity.get(subject=phone)).account_id == await account_of(owner)
    assert await Identity.filter(account_id=await account_of(buyer)).count() == 1
    assert (await buyer.data("{ me { phone } }"))["me"] == {"phone": None}


async def test_linking_asks_for_a_recent_proof_and_for_who_has_asked(shop: Shop, phone: str, patient: None) -> None:
    buyer, stranger = await shop.buyer(), await shop.buyer()
    assert await shop.nobody.codes(REQUEST, input={"phone": phone, "purpose": "LINK"}) == ["UNAUTHENTICATED"]
    challenge, code = await sent(shop, phone, "LINK", buyer)
    for by in (stranger, None):
        for _ in range(6):
            assert (await verify(shop, challenge, code, by=by, **ANNA))["code"] == "CODE_INVALID"
    await change("UPDATE session SET proved_at = $1 WHERE account_id = $2", utc_now() - timedelta(minutes=16), await account_of(buyer))
    assert (await verify(shop, challenge, code, by=buyer))["code"] == "REAUTH_REQUIRED"
    assert (await request(shop, phone, "LINK", buyer))["code"] == "REAUTH_REQUIRED"
    await change("UPDATE session SET proved_at = $1 WHERE account_id = $2", utc_now(), await account_of(buyer))
    assert (await verify(shop, challenge, code, by=buyer))["__typename"] == "PhoneLinked"


async def test_a_password_signs_in_by_the_number_too(shop: Shop, phone: str) -> None:
    buyer = await shop.buyer(phone=phone)

    async def signed(**given: str) -> dict[str, Any]:
        answer = await shop.nobody.data(SIGN_IN, input={"email": "", "password": PASSWORD, **given})
        shop.http.cookies.clear()
        return answer["signIn"]

    assert (await signed(phone=f"{phone[:2]} {phone[2:]}"))["account"]["id"] == buyer.id
    wrong = {"__typename": "InvalidCredentials", "code": "INVALID_CREDENTIALS", "field": None}
    assert await signed(phone=phone, password="wrong") == wrong
    assert await signed(phone=f"+7917{phone[5:]}") == wrong
    assert await signed(phone="12") == {"__typename": "BadUserInput", "code": "BAD_USER_INPUT", "field": "phone"}
    assert await signed(phone=phone, email="x@shop.example") == {"__typename": "BadUserInput", "code": "BAD_USER_INPUT", "field": "phone"}
    assert await signed() == {"__typename": "BadUserInput", "code": "BAD_USER_INPUT", "field": "email"}


async def test_a_session_that_a_code_is_verified_with_ends_by_signing_in(shop: Shop, phone: str) -> None:
    buyer = await shop.buyer(phone=phone)
    assert (await verify(shop, *await sent(shop, phone, "SIGN_IN"), by=buyer))["__typename"] == "SignedIn"
    assert await buyer.codes("{ me { id } }") == ["UNAUTHENTICATED"]


def test_the_library_of_numbers_is_not_read_at_start() -> None:
    check = "import server, sys; assert 'phonenumbers' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], cwd=ROOT, check=True, timeout=180)
