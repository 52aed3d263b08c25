"""A buyer's ways of signing in: what is shown of them, and taking one away without locking anybody out."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from models.accounts import Identity, IdentityKind, Password
from models.activity import Activity
from models.instants import utc_now
from models.outbox import OutboxMessage
from models.sign_in_methods import masked
from tests.resolvers.sign_ups import token_to
from tests.resolvers.test_passwords import OTHER, request, reset
from tests.rows import account_of, change, letters
from tests.shop import PASSWORD, Buyer, Shop

METHODS = """{ me { signInMethods { lockoutRisk recommendation
  methods { id kind masked verified since usable actions { name allowed code } } } } }"""
UNLINK = "mutation($id: ID!) { unlinkSignInMethod(id: $id) { ... on SignInMethodUnlinked { methodId } ... on Refusal { code field } } }"
SIGN_IN = "mutation($input: SignInInput!) { signIn(input: $input) { __typename ... on Refusal { code } } }"


async def link(buyer: Buyer, kind: str, subject: str, verified: bool = True) -> None:
    """Give the buyer a way of signing in; a number is taken from whoever has it."""
    given = subject if kind == "PHONE" else f"{buyer.external_id} {subject}"[-20:]
    await change("DELETE FROM identity WHERE kind = $1 AND subject = $2", kind, given)
    await change(
        "INSERT INTO identity (account_id, kind, subject, verified_at) VALUES ($1, $2, $3, $4)",
        await account_of(buyer), kind, given, utc_now() if verified else None,
    )  # fmt: skip


async def ways_of(buyer: Buyer) -> dict[str, Any]:
    return (await buyer.data(METHODS))["me"]["signInMethods"]


async def ids_of(buyer: Buyer) -> dict[str, str]:
    return {method["kind"]: method["id"] for method in (await ways_of(buyer))["methods"]}


async def unlink(buyer: Buyer, id: str) -> dict[str, Any]:
    return (await buyer.data(UNLINK, id=id))["unlinkSignInMethod"]


async def test_the_only_way_in_is_shown_as_a_risk_and_cannot_be_taken_away(shop: Shop) -> None:
    buyer = await shop.buyer()
    told = await ways_of(buyer)
    (method,) = told["methods"]
    assert (told["lockoutRisk"], told["recommendation"]) == (True, None)
    assert (method["kind"], method["masked"], method["verified"], method["usable"]) == ("EMAIL", "b***@s***.example", True, True)
    assert method["since"].endswith("Z")
    assert method["actions"] == [{"name": "unlinkSignInMethod", "allowed": False, "code": "LAST_SIGN_IN_METHOD"}]
    assert await unlink(buyer, method["id"]) == {"code": "LAST_SIGN_IN_METHOD", "field": "id"}
    assert await ways_of(buyer) == told


async def test_a_way_goes_with_a_mail_and_a_record_and_the_other_stays(shop: Shop) -> None:
    buyer = await shop.buyer()
    account_id = await account_of(buyer)
    await link(buyer, "PHONE", "+79161231234")
    told = await ways_of(buyer)
    assert (told["lockoutRisk"], [method["actions"][0]["allowed"] for method in told["methods"]]) == (False, [True, True])
    id = told["methods"][1]["id"]
    assert await unlink(buyer, id) == {"methodId": id}
    assert [method["kind"] for method in (await ways_of(buyer))["methods"]] == ["EMAIL"]
    assert await unlink(buyer, id) == {"code": "NOT_FOUND", "field": "id"}
    letter = (await OutboxMessage.filter(kind="mail").order_by("-id").first()).payload  # type: ignore[union-attr]
    assert (letter["template"], letter["to"], letter["language"]) == ("sign_in_method_removed", buyer.email, "en")
    assert letter["values"]["kind"] == "PHONE" and letter["values"]["masked"].endswith("***1234")
    assert await Activity.filter(verb="sign_in_method_removed", subject_id=account_id).count() == 1


async def test_ways_that_do_not_work_count_for_nothing(shop: Shop) -> None:
    buyer = await shop.buyer()
    await link(buyer, "PHONE", "+79160000001", verified=False)
    told = await ways_of(buyer)
    assert told["lockoutRisk"] is True
    assert [(m["verified"], m["since"] is None, m["usable"], m["actions"][0]["allowed"]) for m in told["methods"]] == [(True, False, True, False), (False, True, False, True)]
    ids = await ids_of(buyer)
    assert await unlink(buyer, ids["EMAIL"]) == {"code": "LAST_SIGN_IN_METHOD", "field": "id"}
    assert await unlink(buyer, ids["PHONE"]) == {"methodId": ids["PHONE"]}


async def test_an_address_without_a_password_does_not_sign_in_and_is_still_a_way_to_be_found(shop: Shop) -> None:
    buyer = await shop.buyer()
    await link(buyer, "VK", "77")
    await change("DELETE FROM password WHERE account_id = $1", await account_of(buyer))
    told = await ways_of(buyer)
    assert [(method["kind"], method["usable"]) for method in told["methods"]] == [("EMAIL", False), ("VK", True)]
    assert told["methods"][1]["masked"] is None
    assert (told["lockoutRisk"], told["recommendation"]) == (True, None)
    ids = await ids_of(buyer)
    assert (await unlink(buyer, ids["VK"]))["code"] == "LAST_SIGN_IN_METHOD"
    assert await unlink(buyer, ids["EMAIL"]) == {"methodId": ids["EMAIL"]}
    assert (await ways_of(buyer))["recommendation"] == "ADD_PHONE_OR_EMAIL"


@pytest.mark.parametrize(("taken", "code"), [("EMAIL", "CODE_INVALID"), ("PHONE", None)])
async def test_links_to_an_address_set_no_password_once_it_is_taken_away(shop: Shop, taken: str, code: str | None) -> None:
    buyer = await shop.buyer()
    await link(buyer, "PHONE", "+79161231235")
    await link(buyer, "VK", "78")
    address = buyer.email
    await change("DELETE FROM guess")
    assert (await request(shop, address))["__typename"] == "PasswordResetRequested"
    token = await token_to(address)
    assert "methodId" in await unlink(buyer, (await ids_of(buyer))[taken])
    before = await Password.get(account_id=await account_of(buyer))
    assert (await reset(shop, token)).get("code") == code
    assert ((await Password.get(account_id=before.account_id)).hash == before.hash) == (code is not None)


async def test_a_reset_tells_all_ways_in_and_lets_nobody_wait_at_any_of_them(shop: Shop) -> None:
    buyer = await shop.buyer(phone="+79163334455")
    by_number = {"email": "", "phone": "+79163334455"}
    await link(buyer, "VK", "thief")
    await link(buyer, "OK", "unproved", verified=False)
    for given in ({"email": buyer.email}, by_number):
        for _ in range(6):
            await shop.nobody.data(SIGN_IN, input=given | {"password": "wrong"})
    assert (await shop.nobody.data(SIGN_IN, input=by_number | {"password": PASSWORD}))["signIn"]["code"] == "RATE_LIMITED"
    await request(shop, buyer.email)
    assert (await reset(shop, await token_to(buyer.email)))["__typename"] == "PasswordReset"
    told = (await letters(buyer.email))[-1]
    assert (told["template"], told["values"]) == ("password_changed", {"ways": "EMAIL b***@s***.example\nPHONE +7***4455\nVK"})
    for given in ({"email": buyer.email}, by_number):
        assert (await shop.nobody.data(SIGN_IN, input=given | {"password": OTHER}))["signIn"] == {"__typename": "SignedIn"}
        shop.http.cookies.clear()


async def test_unlinking_asks_for_a_recent_proof_and_for_ones_own(shop: Shop) -> None:
    buyer, stranger = await shop.buyer(), await shop.buyer()
    await link(buyer, "OK", "1")
    id = (await ids_of(buyer))["OK"]
    for wrong in (id, buyer.id, "x"):
        assert await unlink(stranger, wrong) == {"code": "NOT_FOUND", "field": "id"}
    assert await shop.nobody.codes(UNLINK, id=id) == ["UNAUTHENTICATED"]
    await change("UPDATE session SET proved_at = $1 WHERE account_id = $2", utc_now() - timedelta(minutes=16), await account_of(buyer))
    assert await unlink(buyer, id) == {"code": "REAUTH_REQUIRED", "field": None}
    assert len(await ids_of(buyer)) == 2


async def test_two_who_take_the_last_two_ways_away_at_once_leave_one(shop: Shop) -> None:
    for turn in range(10):
        buyer = await shop.buyer()
        await link(buyer, "VK", f"{turn}")
        answers = await asyncio.gather(*(unlink(buyer, id) for id in (await ids_of(buyer)).values()))
        assert sorted(answer.get("code", "") for answer in answers) == ["", "LAST_SIGN_IN_METHOD"]
        assert await Identity.filter(account_id=await account_of(buyer)).count() == 1


async def test_a_provider_that_is_closed_is_no_way_in(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shop.service, "settings", shop.service.settings.model_copy(update={"foreign_sign_in": "deny"}))
    buyer = await shop.buyer(region="RU")
    await link(buyer, "GOOGLE", "1")
    assert [(m["kind"], m["usable"]) for m in (await ways_of(buyer))["methods"]] == [("EMAIL", True), ("GOOGLE", False)]
    assert (await unlink(buyer, (await ids_of(buyer))["EMAIL"]))["code"] == "LAST_SIGN_IN_METHOD"


def test_what_is_masked_cannot_be_read() -> None:
    assert masked(IdentityKind.EMAIL, "ivan@mail.ru") == "i***@m***.ru"
    assert masked(IdentityKind.EMAIL, "i@mail.co.uk") == "i***@m***.uk"
    assert masked(IdentityKind.EMAIL, "root@localhost") == "r***@l***"
    assert masked(IdentityKind.PHONE, "+79161231234") == "+7***1234"
    assert masked(IdentityKind.VK, "12345") is None
