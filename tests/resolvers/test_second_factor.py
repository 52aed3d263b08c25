"""Signing in to an account with a second factor: asked for after every first proof, answered within bounds, once."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from auth.sessions import token_hash
from models.instants import utc_now
from models.outbox import OutboxMessage
from models.phone_codes import PhoneCode
from models.second_factor import RecoveryCode, SecondFactor, SecondFactorChallenge
from models.sessions import KnownDevice, Session
from tests.authenticators import Authenticator, turn_on, within_a_step
from tests.resolvers.test_passwords import OTHER, changed, request, reset, token_to
from tests.rows import account_of, change, letters
from tests.shop import PASSWORD, Buyer, Shop

SIGNED = "__typename ... on SignedIn { token account { id } } ... on Refusal { code field message }"
ASKED = f"{SIGNED} ... on SecondFactorRequired {{ challengeId expiresAt hasRecoveryCodes }}"
SIGN_IN = f"mutation($input: SignInInput!) {{ signIn(input: $input) {{ {ASKED} }} }}"
VERIFY = f"mutation($input: VerifyPhoneCodeInput!) {{ verifyPhoneCode(input: $input) {{ {ASKED} }} }}"
ANSWER = f"mutation($input: AnswerSecondFactorInput!) {{ answerSecondFactor(input: $input) {{ {SIGNED} ... on RateLimited {{ retryAfterSeconds }} }} }}"
REQUEST = """mutation($input: RequestPhoneCodeInput!) { requestPhoneCode(input: $input) { ... on PhoneCodeRequested { challengeId } } }"""
ME = "{ me { id secondFactor { recoveryCodesLeft } } }"


@pytest.fixture(autouse=True)
async def forgotten(shop: Shop) -> None:
    await change("DELETE FROM guess")


async def ask(shop: Shop, query: str, headers: dict[str, str] | None = None, **input: Any) -> dict[str, Any]:
    """What a mutation answers somebody who is not signed in."""
    answer = (await shop.nobody.post(query, headers, input=input)).json()
    shop.http.cookies.clear()
    assert "errors" not in answer, answer
    (found,) = answer["data"].values()
    return found


async def begun(shop: Shop, buyer: Buyer, **given: Any) -> str:
    """The challenge of a sign-in by password."""
    answer = await ask(shop, SIGN_IN, email=buyer.email, password=PASSWORD, **given)
    assert answer["__typename"] == "SecondFactorRequired", answer
    return answer["challengeId"]


async def answered(shop: Shop, challenge: str, code: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
    return await ask(shop, ANSWER, headers, challengeId=challenge, code=code)


async def sessions(account_id: int) -> int:
    return await Session.filter(account_id=account_id).count()


@pytest.fixture
async def protected(shop: Shop) -> tuple[Buyer, Authenticator]:
    """A buyer with a second factor."""
    buyer = await shop.buyer()
    return buyer, await turn_on(buyer)


Protected = tuple[Buyer, Authenticator]


async def test_a_right_password_opens_nothing_and_the_code_does(shop: Shop, protected: Protected) -> None:
    buyer, authenticator = protected
    before = await sessions(authenticator.account_id), await KnownDevice.filter(account_id=authenticator.account_id).count()
    response = await shop.nobody.post(SIGN_IN, input={"email": buyer.email, "password": PASSWORD})
    asked = response.json()["data"]["signIn"]
    assert "set-cookie" not in response.headers
    challenge, expires_at = asked.pop("challengeId"), datetime.fromisoformat(asked.pop("expiresAt"))
    assert asked == {
        "__typename": "SecondFactorRequired", "hasRecoveryCodes": True,
        "code": "SECOND_FACTOR_REQUIRED", "field": None, "message": "Enter the code of your authenticator app.",
    }  # fmt: skip
    assert len(challenge) == 43 and timedelta(minutes=4) < expires_at - utc_now() <= timedelta(minutes=5)
    kept = await SecondFactorChallenge.get(challenge_hash=token_hash(challenge))
    assert (kept.account_id, kept.ends_at, kept.tries) == (authenticator.account_id, expires_at, 0)
    assert before == (await sessions(authenticator.account_id), await KnownDevice.filter(account_id=authenticator.account_id).count())
    response = await shop.nobody.post(ANSWER, input={"challengeId": challenge, "code": await authenticator.code()})
    shop.http.cookies.clear()
    assert "data" in response.json(), response.text
    signed = response.json()["data"]["answerSecondFactor"]
    assert signed == {"__typename": "SignedIn", "token": signed["token"], "account": {"id": buyer.id}}
    assert [cookie.split("=")[0] for cookie in response.headers.get_list("set-cookie")] == ["sid", "did"]
    assert response.headers.get_list("set-cookie")[0].startswith(f"sid={signed['token']};")
    assert await sessions(authenticator.account_id) == before[0] + 1


async def test_a_wrong_password_is_answered_as_everywhere(shop: Shop, protected: Protected) -> None:
    answers = [await ask(shop, SIGN_IN, email=email, password="wrong") for email in (protected[0].email, "nobody@shop.example")]
    assert answers[0] == answers[1] and answers[0]["code"] == "INVALID_CREDENTIALS"


async def test_by_phone_too_the_code_is_asked_for_and_the_sms_is_used_up(shop: Shop) -> None:
    buyer = await shop.buyer(phone="+79165550101")
    authenticator = await turn_on(buyer)
    by_password = await ask(shop, SIGN_IN, email="", phone="+79165550101", password=PASSWORD)
    sent = await ask(shop, REQUEST, phone="+79165550101", purpose="SIGN_UP")
    message = await OutboxMessage.filter(kind="sms").order_by("-id").first()
    assert message is not None
    sms = {"challengeId": sent["challengeId"], "code": message.payload["values"]["code"]}
    by_code = await ask(shop, VERIFY, **sms)
    assert (await ask(shop, VERIFY, **sms))["code"] == "CODE_INVALID"
    assert (await PhoneCode.get(challenge_hash=token_hash(sent["challengeId"]))).used_at is not None
    for asked in (by_password, by_code):
        assert asked["__typename"] == "SecondFactorRequired"
        assert (await answered(shop, asked["challengeId"], await authenticator.code()))["account"] == {"id": buyer.id}


async def test_a_new_password_does_not_spare_the_code(shop: Shop, protected: Protected) -> None:
    buyer, _ = protected
    await request(shop, buyer.email)
    assert (await reset(shop, await token_to(buyer.email)))["__typename"] == "PasswordReset"
    assert (await ask(shop, SIGN_IN, email=buyer.email, password=OTHER))["__typename"] == "SecondFactorRequired"


@pytest.mark.parametrize(("steps", "counts"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
async def test_a_code_counts_in_its_own_step_and_in_those_beside_it(shop: Shop, protected: Protected, steps: int, counts: bool) -> None:
    buyer, authenticator = protected
    challenge = await begun(shop, buyer)
    await within_a_step()
    await authenticator.code()  # none has been used
    answer = await answered(shop, challenge, authenticator.at(steps))
    assert answer["__typename"] == ("SignedIn" if counts else "CodeInvalid")


async def test_a_code_counts_once_and_none_before_it(shop: Shop, protected: Protected) -> None:
    buyer, authenticator = protected
    enrolled = (await SecondFactor.get(account_id=authenticator.account_id)).last_step
    assert (await answered(shop, await begun(shop, buyer), authenticator.totp.generate_otp(enrolled)))["code"] == "CODE_INVALID"
    assert (await answered(shop, await begun(shop, buyer), authenticator.at(1)))["__typename"] == "SignedIn"
    last = (await SecondFactor.get(account_id=authenticator.account_id)).last_step
    assert last > enrolled
    for used in (last, last - 1, last - 2):
        assert (await answered(shop, await begun(shop, buyer), authenticator.totp.generate_otp(used)))["code"] == "CODE_INVALID"


async def test_wrong_foreign_expired_and_used_are_one_answer(shop: Shop, protected: Protected) -> None:
    buyer, authenticator = protected
    stranger = await shop.buyer()
    strangers = await turn_on(stranger)
    challenge = await begun(shop, buyer)
    answers = [
        await answered(shop, challenge, authenticator.wrong()),
        await answered(shop, challenge, await strangers.code()),
        await answered(shop, challenge, strangers.recovery_codes[0]),
        await answered(shop, "nothing", await authenticator.code()),
    ]
    assert (await answered(shop, challenge, await authenticator.code()))["__typename"] == "SignedIn"
    answers.append(await answered(shop, challenge, await authenticator.code()))
    late = await begun(shop, buyer)
    await change("UPDATE second_factor_challenge SET ends_at = $1 WHERE challenge_hash = $2", utc_now(), token_hash(late))
    before = await sessions(authenticator.account_id)
    answers.append(await answered(shop, late, await authenticator.code()))
    assert all(answer == answers[0] for answer in answers)
    assert answers[0] == {"__typename": "CodeInvalid", "code": "CODE_INVALID", "field": "code", "message": "The code or the link is not valid or no longer so."}
    assert await sessions(authenticator.account_id) == before
    assert (await RecoveryCode.filter(account_id=strangers.account_id).count()) == 10


async def test_after_five_tries_the_right_code_too_is_refused(shop: Shop, protected: Protected) -> None:
    buyer, authenticator = protected
    challenge, before = await begun(shop, buyer), await sessions(authenticator.account_id)
    for _ in range(5):
        assert (await answered(shop, challenge, authenticator.wrong()))["code"] == "CODE_INVALID"
    answer = await answered(shop, challenge, await authenticator.code())
    assert (answer["code"], answer["message"]) == ("CODE_ATTEMPTS_EXCEEDED", "Too many wrong codes. Sign in anew.")
    assert (await answered(shop, challenge, authenticator.recovery_codes[0]))["code"] == "CODE_ATTEMPTS_EXCEEDED"
    assert await sessions(authenticator.account_id) == before and await RecoveryCode.filter(account_id=authenticator.account_id).count() == 10


async def test_another_sign_in_gives_no_further_tries_at_once(shop: Shop, protected: Protected) -> None:
    buyer, authenticator = protected
    challenge = await begun(shop, buyer)
    for _ in range(5):
        await answered(shop, challenge, authenticator.wrong())
    challenge = await begun(shop, buyer)
    for code in (authenticator.wrong(), await authenticator.code(), authenticator.recovery_codes[0]):
        waits = await answered(shop, challenge, code)
        assert waits["code"] == "RATE_LIMITED" and 10 < waits["retryAfterSeconds"] <= 30
    assert (await SecondFactorChallenge.get(challenge_hash=token_hash(challenge))).tries == 0
    await change("UPDATE guess SET until = $1 WHERE key = $2", utc_now(), f"account:factor:{authenticator.account_id}")
    assert (await answered(shop, challenge, await authenticator.code()))["__typename"] == "SignedIn"
    challenge = await begun(shop, buyer)  # and a right one makes the counter begin anew
    assert [(await answered(shop, challenge, authenticator.wrong()))["code"] for _ in range(5)] == ["CODE_INVALID"] * 5


async def test_a_browser_that_is_known_is_not_kept_out_by_others_guesses(shop: Shop, protected: Protected) -> None:
    buyer, authenticator = protected
    response = await shop.nobody.post(ANSWER, input={"challengeId": await begun(shop, buyer), "code": await authenticator.code()})
    device = response.cookies["did"]
    shop.http.cookies.clear()
    guessed = await begun(shop, buyer)
    for _ in range(5):
        await answered(shop, guessed, authenticator.wrong())
    assert (await answered(shop, await begun(shop, buyer), await authenticator.code()))["code"] == "RATE_LIMITED"
    own = {"cookie": f"did={device}", "x-requested-with": "x"}
    asked = await ask(shop, SIGN_IN, own, email=buyer.email, password=PASSWORD)
    assert (await answered(shop, asked["challengeId"], await authenticator.code(), own))["__typename"] == "SignedIn"


async def test_what_a_known_browser_began_no_other_finishes(shop: Shop, protected: Protected) -> None:
    buyer, authenticator = protected
    own = {"cookie": f"did={'a' * 43}", "x-requested-with": "x"}
    challenge = (await ask(shop, SIGN_IN, own, email=buyer.email, password=PASSWORD))["challengeId"]
    for other in (None, own | {"cookie": f"did={'b' * 43}"}):
        assert (await answered(shop, challenge, await authenticator.code(), other))["code"] == "CODE_INVALID"
    assert (await SecondFactorChallenge.get(challenge_hash=token_hash(challenge))).tries == 0
    assert (await answered(shop, challenge, await authenticator.code(), own))["__typename"] == "SignedIn"


async def test_fifty_wrong_codes_at_once_are_five_tries(shop: Shop, protected: Protected) -> None:
    buyer, authenticator = protected
    challenge, before, wrong = await begun(shop, buyer), await sessions(authenticator.account_id), authenticator.wrong()
    answers = await asyncio.gather(*(answered(shop, challenge, wrong) for _ in range(50)))
    codes = [answer["code"] for answer in answers]
    assert (codes.count("CODE_INVALID"), codes.count("CODE_ATTEMPTS_EXCEEDED")) == (5, 45)
    assert (await SecondFactorChallenge.get(challenge_hash=token_hash(challenge))).tries == 5
    assert await sessions(authenticator.account_id) == before


@pytest.mark.parametrize("by_recovery_code", [False, True])
async def test_the_right_code_fifty_times_at_once_signs_in_once(shop: Shop, protected: Protected, by_recovery_code: bool) -> None:
    buyer, authenticator = protected
    challenge, before = await begun(shop, buyer), await sessions(authenticator.account_id)
    code = authenticator.recovery_codes[0] if by_recovery_code else await authenticator.code()
    answers = await asyncio.gather(*(answered(shop, challenge, code) for _ in range(50)))
    assert [answer["__typename"] for answer in answers].count("SignedIn") == 1
    assert {answer.get("code") for answer in answers} <= {None, "CODE_INVALID", "CODE_ATTEMPTS_EXCEEDED"}
    assert await sessions(authenticator.account_id) == before + 1


@pytest.mark.parametrize("by_recovery_code", [False, True])
async def test_a_code_given_to_several_sign_ins_at_once_opens_one(shop: Shop, protected: Protected, by_recovery_code: bool) -> None:
    buyer, authenticator = protected
    challenges = [await begun(shop, buyer) for _ in range(5)]
    before = await sessions(authenticator.account_id)
    code = authenticator.recovery_codes[0] if by_recovery_code else await authenticator.code()
    answers = await asyncio.gather(*(answered(shop, challenge, code) for challenge in challenges))
    assert sorted(answer["__typename"] for answer in answers) == ["CodeInvalid"] * 4 + ["SignedIn"]
    assert await sessions(authenticator.account_id) == before + 1


async def test_a_recovery_code_signs_in_once_and_a_mail_tells(shop: Shop, protected: Protected) -> None:
    buyer, authenticator = protected
    first, second = authenticator.recovery_codes[:2]
    signed = await answered(shop, await begun(shop, buyer), first.lower().replace("-", " "))
    assert signed["__typename"] == "SignedIn"
    assert (await answered(shop, await begun(shop, buyer), first))["code"] == "CODE_INVALID"
    letter = (await letters(buyer.email))[-1]
    assert (letter["template"], letter["values"]) == ("recovery_code_used", {"left": "9"})
    assert (await answered(shop, await begun(shop, buyer), second))["__typename"] == "SignedIn"
    assert (await buyer.data(ME))["me"] == {"id": buyer.id, "secondFactor": {"recoveryCodesLeft": 8}}
    await change("DELETE FROM recovery_code WHERE account_id = $1", authenticator.account_id)
    asked = await ask(shop, SIGN_IN, email=buyer.email, password=PASSWORD)
    assert asked["hasRecoveryCodes"] is False


@pytest.mark.parametrize("what", ["changePassword", "signOutElsewhere", "removeSecondFactor"])
async def test_a_sign_in_that_waits_ends_with_the_other_sessions(shop: Shop, protected: Protected, what: str) -> None:
    buyer, authenticator = protected
    challenge = await begun(shop, buyer)
    if what == "changePassword":
        assert (await changed(buyer, PASSWORD, OTHER))["__typename"] == "PasswordChanged"
    elif what == "signOutElsewhere":
        await buyer.data("mutation { signOutElsewhere { __typename } }")
    else:
        query = "mutation($code: String!) { removeSecondFactor(input: { code: $code }) { __typename } }"
        assert await buyer.data(query, code=await authenticator.code()) == {"removeSecondFactor": {"__typename": "SecondFactorRemoved"}}
    code = authenticator.recovery_codes[0] if what == "removeSecondFactor" else await authenticator.code()
    assert (await answered(shop, challenge, code))["code"] == "CODE_INVALID"


async def test_no_session_comes_about_beside_a_second_factor_that_is_being_turned_on(shop: Shop) -> None:
    for _ in range(4):
        buyer = await shop.buyer()
        sign_ins = [ask(shop, SIGN_IN, email=buyer.email, password=PASSWORD) for _ in range(4)]
        *answers, _ = await asyncio.gather(*sign_ins, turn_on(buyer))
        assert {answer["__typename"] for answer in answers} <= {"SignedIn", "SecondFactorRequired"}
        live = await Session.filter(account_id=await account_of(buyer), revoked_at=None).values_list("token_hash", flat=True)
        assert live == [token_hash(buyer.token or "")]


async def test_signing_in_anew_ends_the_session_that_the_code_came_with(shop: Shop, protected: Protected) -> None:
    buyer, authenticator = protected
    challenge = await begun(shop, buyer)
    answer = await buyer.data(ANSWER, input={"challengeId": challenge, "code": await authenticator.code()})
    assert answer["answerSecondFactor"]["__typename"] == "SignedIn"
    shop.http.cookies.clear()
    assert await buyer.codes(ME) == ["UNAUTHENTICATED"]


async def test_a_second_factor_that_is_only_begun_is_not_asked_for(shop: Shop) -> None:
    buyer = await shop.buyer()
    await buyer.data("mutation { beginSecondFactor { __typename } }")
    assert await SecondFactor.filter(account_id=await account_of(buyer)).count() == 1
    assert (await ask(shop, SIGN_IN, email=buyer.email, password=PASSWORD))["__typename"] == "SignedIn"


async def test_an_authenticator_whose_secret_is_lost_gives_no_codes_and_those_on_paper_count(shop: Shop, protected: Protected) -> None:
    buyer, authenticator = protected
    await change("UPDATE second_factor SET sealed_secret = 'under a secret of long ago' WHERE account_id = $1", authenticator.account_id)
    challenge = await begun(shop, buyer)
    assert (await answered(shop, challenge, await authenticator.code()))["code"] == "CODE_INVALID"
    assert (await answered(shop, challenge, authenticator.recovery_codes[0]))["__typename"] == "SignedIn"
