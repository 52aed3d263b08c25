"""A link is followed where it was asked for, or with a password of its own: a stranger's never gets into an account."""

import asyncio
from typing import Any

import pytest

from models.accounts import Account
from models.sign_up import SignUp
from tests.auth.test_sign_in import attempt
from tests.resolvers.sign_ups import ACTIVATE, BROWSER, GOOD, SIGN_UP, activate, sign_up, token_to, typed
from tests.rows import change
from tests.shop import Shop

STRANGERS = "strangers 71 porridge"
WITH_PROOF = SIGN_UP.replace("{ accepted }", "{ accepted proof }")


@pytest.fixture(autouse=True)
async def forgotten(shop: Shop) -> None:
    await change("DELETE FROM guess")


async def elsewhere(shop: Shop, token: str, **given: Any) -> dict[str, Any]:
    """Follow a link in another browser than the one that signed up."""
    answer = await shop.nobody.data(ACTIVATE, token=token, **given)
    shop.http.cookies.clear()
    return answer["activate"]


async def test_a_strangers_password_does_not_survive_the_owner_following_the_link(shop: Shop) -> None:
    await sign_up(shop, "victim@new.example", password=STRANGERS)
    token, before = await token_to("victim@new.example"), await Account.all().count()
    assert await elsewhere(shop, token) == {
        "__typename": "PasswordNeeded", "code": "PASSWORD_NEEDED", "field": "password", "message": "You signed up in another browser: choose the password here.",
    }  # fmt: skip
    assert await Account.all().count() == before
    made = await elsewhere(shop, token, password=GOOD, again=GOOD)
    assert made["account"]["email"] == "victim@new.example"
    assert (await attempt(shop, "victim@new.example", STRANGERS))["__typename"] == "InvalidCredentials"
    assert (await attempt(shop, "victim@new.example", GOOD))["__typename"] == "SignedIn"
    assert (await elsewhere(shop, token, password=GOOD, again=GOOD))["code"] == "CODE_INVALID"


@pytest.mark.parametrize(
    ("given", "code", "field"),
    [
        ({"proof": "wrong"}, "PASSWORD_NEEDED", "password"),
        ({"proof": ""}, "PASSWORD_NEEDED", "password"),
        ({"password": GOOD}, "BAD_USER_INPUT", "passwordAgain"),
        ({"password": GOOD, "again": "another"}, "BAD_USER_INPUT", "passwordAgain"),
        ({"password": "x7Kq9vLm" * 16 + "x", "again": "x7Kq9vLm" * 16 + "x"}, "BAD_USER_INPUT", "password"),
        ({"password": "", "again": ""}, "PASSWORD_TOO_WEAK", "password"),
        ({"password": "VeraLind99", "again": "VeraLind99"}, "PASSWORD_TOO_WEAK", "password"),
    ],
)
async def test_what_is_refused_elsewhere_leaves_the_link_good(shop: Shop, given: dict[str, str], code: str, field: str) -> None:
    await sign_up(shop, "refused@new.example")
    token, before = await token_to("refused@new.example"), await Account.all().count()
    answer = await elsewhere(shop, token, **given)
    assert (answer["code"], answer["field"]) == (code, field)
    assert await Account.all().count() == before
    assert (await activate(shop, token))["__typename"] == "Activated"
    await change("DELETE FROM identity WHERE subject = 'refused@new.example'")


async def test_a_browser_is_given_a_cookie_and_keeps_it_and_a_program_a_proof(shop: Shop) -> None:
    page = {"origin": shop.url}
    inputs = [await typed(shop, f"cookie{n}@new.example") for n in range(2)]
    answers = [await shop.nobody.post(SIGN_UP, page, input=one) for one in inputs]
    (first,), (second,) = (answer.headers.get_list("set-cookie") for answer in answers)
    shop.http.cookies.clear()
    assert first.startswith("bid=") and first.endswith("; Path=/; HttpOnly; SameSite=Lax; Max-Age=86400")
    assert first == second  # the jar has brought it along
    cookie = {"cookie": first.partition(";")[0], **page}
    for n in range(2):
        made = (await shop.nobody.post(ACTIVATE, cookie, token=await token_to(f"cookie{n}@new.example"))).json()["data"]["activate"]
        shop.http.cookies.clear()
        assert made["__typename"] == "Activated"
    program = await shop.nobody.post(WITH_PROOF, input=await typed(shop, "program@new.example"))
    assert "set-cookie" not in program.headers
    proof = program.json()["data"]["signUp"]["proof"]
    assert (await elsewhere(shop, await token_to("program@new.example"), proof=proof))["__typename"] == "Activated"
    assert (await attempt(shop, "program@new.example", GOOD))["__typename"] == "SignedIn"


async def test_known_and_unknown_addresses_get_the_same_kind_of_proof(shop: Shop) -> None:
    known = await shop.buyer()
    address = known.email
    page = {"origin": shop.url}
    answers = []
    for email in (address, "unknown@new.example"):
        answers.append(await shop.nobody.post(WITH_PROOF, page, input=await typed(shop, email)))
        shop.http.cookies.clear()
    shapes = [(answer.headers.keys(), len(answer.content), len(answer.headers["set-cookie"])) for answer in answers]
    assert shapes[0] == shapes[1]
    proofs = [answer.json()["data"]["signUp"]["proof"] for answer in answers]
    assert len({*proofs}) == 2 and len(proofs[0]) == len(proofs[1]) == 43
    assert not await SignUp.filter(browser_hash__in=proofs).exists()


async def test_a_refused_sign_up_gives_no_cookie_and_a_cookie_that_is_too_long_is_not_kept(shop: Shop) -> None:
    refused = await shop.nobody.post(SIGN_UP, {"origin": shop.url}, input=await typed(shop, "nobody"))
    assert "set-cookie" not in refused.headers
    long = {"cookie": f"bid={'x' * 201}", "origin": shop.url}
    answer = await shop.nobody.post(SIGN_UP, long, input=await typed(shop, "long@new.example"))
    shop.http.cookies.clear()
    assert len(answer.headers["set-cookie"].partition(";")[0]) == len("bid=") + 43


async def test_a_password_typed_with_the_link_counts_also_where_it_was_asked_for(shop: Shop) -> None:
    await sign_up(shop, "second@new.example")
    answer = await activate(shop, await token_to("second@new.example"), password="second 39 thoughts", again="second 39 thoughts")
    assert answer["__typename"] == "Activated"
    assert (await attempt(shop, "second@new.example", GOOD))["__typename"] == "InvalidCredentials"
    assert (await attempt(shop, "second@new.example", "second 39 thoughts"))["__typename"] == "SignedIn"


async def test_of_the_stranger_and_the_owner_at_once_one_gets_in(shop: Shop) -> None:
    await sign_up(shop, "both@new.example")
    token = await token_to("both@new.example")
    calls = [shop.nobody.post(ACTIVATE, BROWSER, token=token), *(shop.nobody.post(ACTIVATE, None, token=token, password=GOOD, again=GOOD) for _ in range(3))]
    answers = [answer.json()["data"]["activate"]["__typename"] for answer in await asyncio.gather(*calls)]
    shop.http.cookies.clear()
    assert sorted(answers) == ["Activated", *["CodeInvalid"] * 3]
