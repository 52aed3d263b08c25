"""Adding an e-mail address to one's account and changing it, from outside."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from auth.sessions import token_hash
from models.accounts import Account, Identity
from models.activity import Activity
from models.email_changes import EmailChange
from models.instants import utc_now
from models.outbox import OutboxMessage
from models.passwords import PasswordReset
from tests.auth.test_sign_in import attempt
from tests.resolvers.sign_ups import activated, token_to
from tests.resolvers.test_passwords import OTHER, changed, request, reset
from tests.resolvers.test_sign_in_methods import ids_of, link, unlink
from tests.rows import account_of, change, letters
from tests.shop import PASSWORD, Buyer, Shop
from tests.statements import statements

PENDING = "{ me { email pendingEmailChange { email expiresAt } } }"
ASK = """mutation($input: RequestEmailChangeInput!) { requestEmailChange(input: $input) { __typename
  ... on EmailChangeRequested { accepted resendAfterSeconds } ... on Refusal { code field message } ... on RateLimited { retryAfterSeconds }
  ... on SignUpClosed { openWays } } }"""
CONFIRM = """mutation($input: ConfirmEmailChangeInput!) { confirmEmailChange(input: $input) { __typename
  ... on EmailChanged { newToken account { id email pendingEmailChange { email } } } ... on Refusal { code field } } }"""
CANCEL = "mutation { cancelEmailChange { __typename ... on EmailChangeCancelled { accepted } ... on Refusal { code } } }"


@pytest.fixture(autouse=True)
async def forgotten(shop: Shop) -> None:
    await change("DELETE FROM guess")


async def ask(buyer: Buyer, email: str) -> dict[str, Any]:
    return (await buyer.data(ASK, input={"email": email}))["requestEmailChange"]


async def asked(buyer: Buyer, email: str) -> str:
    """The token of the link to an address, asked for now."""
    await change("DELETE FROM guess")
    assert (await ask(buyer, email))["__typename"] == "EmailChangeRequested"
    return await token_to(email)


async def confirm(buyer: Buyer, token: str) -> dict[str, Any]:
    """What confirmEmailChange answers, but for the session's new token, by which the buyer goes on."""
    answer = (await buyer.data(CONFIRM, input={"token": token}))["confirmEmailChange"]
    buyer.token = answer.pop("newToken", buyer.token)
    return answer


async def pending(buyer: Buyer) -> dict[str, Any] | None:
    return (await buyer.data(PENDING))["me"]["pendingEmailChange"]


async def by_provider_alone(shop: Shop) -> Buyer:
    """A buyer who has neither an address nor a password."""
    buyer = await shop.buyer()
    await link(buyer, "VK", "1")
    for table in ("identity WHERE kind = 'EMAIL' AND", "password WHERE"):
        await change(f"DELETE FROM {table} account_id = $1", await account_of(buyer))
    await change("UPDATE account SET email = NULL WHERE id = $1", await account_of(buyer))
    return buyer


async def written() -> list[Any]:
    """All that asking and confirming write."""
    tables: list[Any] = [Identity, EmailChange, OutboxMessage, Activity, PasswordReset]
    return [*[await table.all().count() for table in tables], await Account.all().order_by("id").values_list("email", flat=True)]


async def test_an_address_is_changed_by_its_link_and_both_are_told(shop: Shop) -> None:
    buyer, began = await shop.buyer(language="ru"), utc_now()
    old, new = buyer.email, " Vera@Changed.example"
    await request(shop, old)
    mailed_before = await token_to(old)
    assert await ask(buyer, new) == {"__typename": "EmailChangeRequested", "accepted": True, "resendAfterSeconds": 60}
    (mailed,), told = await letters("Vera@Changed.example"), (await letters(old))[-1]
    assert (mailed["template"], mailed["language"]) == ("confirm_email", "ru")
    assert mailed["values"]["link"].startswith(f"{shop.url}/confirm-email?token=")
    assert (told["template"], told["language"], told["values"]) == ("email_change_requested", "ru", {"masked": "v***@c***.example"})
    waiting, token = await EmailChange.get(account_id=await account_of(buyer)), await token_to("Vera@Changed.example")
    assert waiting.token_hash == token_hash(token)
    assert timedelta(minutes=59) < waiting.ends_at - began <= timedelta(hours=1, minutes=1)
    shown = await buyer.data(PENDING)
    assert shown["me"]["email"] == old and shown["me"]["pendingEmailChange"]["email"] == "Vera@Changed.example"
    assert (await attempt(shop, new, PASSWORD))["__typename"] == "InvalidCredentials"
    made = await confirm(buyer, token)
    assert made == {"__typename": "EmailChanged", "account": {"id": buyer.id, "email": "Vera@Changed.example", "pendingEmailChange": None}}
    for address in (old, "Vera@Changed.example"):
        assert ((await letters(address))[-1]["template"], (await letters(address))[-1]["values"]) == ("email_changed", {"masked": "v***@c***.example"})
    assert (await attempt(shop, old, PASSWORD))["__typename"] == "InvalidCredentials"
    assert (await attempt(shop, "VERA@changed.example", PASSWORD))["__typename"] == "SignedIn"
    assert (await reset(shop, mailed_before))["code"] == "CODE_INVALID"
    assert (await confirm(buyer, token))["code"] == "CODE_INVALID"
    verbs = await Activity.filter(subject_id=await account_of(buyer)).order_by("id").values_list("verb", flat=True)
    assert [verb for verb in verbs if "email" in verb] == ["email_change_requested", "email_changed"]


async def test_who_has_come_by_a_provider_adds_an_address_and_by_it_a_password(shop: Shop) -> None:
    buyer = await by_provider_alone(shop)
    token = await asked(buyer, "added@new.example")
    assert [letter["template"] for letter in await letters("added@new.example")] == ["confirm_email"]
    assert (await confirm(buyer, token))["account"]["email"] == "added@new.example"
    assert [letter["template"] for letter in await letters("added@new.example")] == ["confirm_email", "email_changed"]
    await request(shop, "Added@new.example")
    assert (await reset(shop, await token_to("added@new.example")))["__typename"] == "PasswordReset"
    signed = await attempt(shop, "added@new.example", OTHER)
    assert signed["account"]["id"] == buyer.id


async def test_an_address_that_nobody_has_confirmed_is_no_ones(shop: Shop) -> None:
    buyer = await by_provider_alone(shop)
    await asked(buyer, "unconfirmed@new.example")
    await request(shop, "unconfirmed@new.example")
    assert (await letters("unconfirmed@new.example"))[-1]["template"] == "no_account"
    made = await activated(shop, "unconfirmed@new.example")
    assert made["account"]["email"] == "unconfirmed@new.example"


async def test_known_and_unknown_addresses_are_answered_alike_after_the_same_work(shop: Shop) -> None:
    known = await shop.buyer(language="ru")
    answers, counts, shown = [], [], []
    for email in (known.email.upper(), "nobodys@new.example"):
        buyer = await shop.buyer()
        async with statements() as seen:
            answers.append(await buyer.post(ASK, input={"email": email}))
        counts.append(len([text for text in seen if "domain_clock" not in text]))
        shown.append(await pending(buyer))
        assert [letter["template"] for letter in await letters(buyer.email)] == ["email_change_requested"]
    assert answers[0].content == answers[1].content and answers[0].headers.keys() == answers[1].headers.keys()
    assert counts[0] == counts[1]
    assert all(waits is not None for waits in shown)
    (letter,) = await letters(known.email)
    assert (letter["template"], letter["language"], letter["values"]) == ("email_taken", "ru", {})
    assert (await attempt(shop, known.email, PASSWORD))["__typename"] == "SignedIn"


@pytest.mark.parametrize("email", ["nobody", "", "a@b.example,c@d.example", "a@b.example\r\nBcc: c@d.example", "x" * 65 + "@b.example", "a@" + "ß" * 200 + ".example"])
async def test_what_is_no_address_is_refused(shop: Shop, email: str) -> None:
    buyer = await shop.buyer()
    before = await written()
    answer = await ask(buyer, email)
    assert (answer["code"], answer["field"]) == ("BAD_USER_INPUT", "email")
    assert await written() == before


async def test_ones_own_address_an_old_proof_and_a_closed_region_are_refused(shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    buyer = await shop.buyer()
    before = await written()
    assert (await ask(buyer, buyer.email.upper()))["message"] == "This is your address already."
    await change("UPDATE session SET proved_at = $1 WHERE account_id = $2", utc_now() - timedelta(minutes=16), await account_of(buyer))
    assert (await ask(buyer, "later@new.example"))["code"] == "REAUTH_REQUIRED"
    await change("UPDATE session SET proved_at = $1 WHERE account_id = $2", utc_now(), await account_of(buyer))
    rules = '[regions."*"]\nsign_up = ["PHONE"]\nsign_in = ["PHONE"]\nlink = ["PHONE"]\n'
    (tmp_path / "closed.toml").write_text(rules)
    settings = shop.service.settings.model_copy(update={"sign_in_policy": str(tmp_path / "closed.toml")})
    monkeypatch.setattr(shop.service, "settings", settings)
    closed = await ask(buyer, "closed@new.example")
    assert (closed["code"], closed["openWays"]) == ("SIGN_UP_CLOSED", ["PHONE"])
    for call, given in ((ASK, {"email": "x@new.example"}), (CONFIRM, {"token": "x"})):
        assert await shop.nobody.codes(call, input=given) == ["UNAUTHENTICATED"]
    assert await shop.nobody.codes(CANCEL) == ["UNAUTHENTICATED"]
    assert await written() == before


async def test_the_next_link_waits_a_minute_replaces_the_one_before_and_ten_a_day_are_enough(shop: Shop) -> None:
    buyer = await shop.buyer()
    first = await asked(buyer, "first@new.example")
    again = await ask(buyer, "second@new.example")
    assert again["code"] == "RATE_LIMITED" and 50 <= again["retryAfterSeconds"] <= 60
    assert (await pending(buyer) or {})["email"] == "first@new.example" and await letters("second@new.example") == []
    await change("UPDATE guess SET first_at = $1 WHERE key LIKE 'email-change-minute:%'", utc_now() - timedelta(minutes=1))
    assert (await ask(buyer, "second@new.example"))["__typename"] == "EmailChangeRequested"
    assert (await confirm(buyer, first))["code"] == "CODE_INVALID"
    assert (await confirm(buyer, await token_to("second@new.example")))["__typename"] == "EmailChanged"
    await change("DELETE FROM guess WHERE key LIKE 'email-change-minute:%'")
    await change("UPDATE guess SET failures = 10 WHERE key LIKE 'email-change-day:%'")
    assert (await ask(buyer, "third@new.example"))["retryAfterSeconds"] > 80_000


async def test_an_address_gets_five_links_an_hour_whoever_asks(shop: Shop) -> None:
    for _ in range(6):
        buyer = await shop.buyer()
        assert (await ask(buyer, "pestered@new.example"))["__typename"] == "EmailChangeRequested"
        assert (await pending(buyer) or {})["email"] == "pestered@new.example"
    assert len(await letters("pestered@new.example")) == 5


async def test_a_mailbox_gets_a_hundred_mails_a_day_however_its_address_is_spelled(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auth.guessing.MAILS_OF_MAILBOX", 3)
    spellings = ["dotted@gmail.com", "d.otted@gmail.com", "Do.tted+1@googlemail.com", "d.o.t.t.e.d@gmail.com", "d.otted@new.example"]
    for email in spellings:
        assert (await ask(await shop.buyer(), email))["__typename"] == "EmailChangeRequested"
    assert [len(await letters(email)) for email in spellings] == [1, 1, 1, 0, 1]


async def test_wrong_late_strange_and_cancelled_links_are_one_answer(shop: Shop) -> None:
    buyer, stranger, late = await shop.buyer(), await shop.buyer(), await shop.buyer()
    token = await asked(buyer, "mine@new.example")
    over = await asked(late, "late@new.example")
    await change("UPDATE email_change SET ends_at = $1 WHERE account_id = $2", utc_now(), await account_of(late))
    assert await pending(late) is None
    before = await written()
    answers = [await confirm(*call) for call in ((stranger, token), (late, over), (buyer, "wrong"), (buyer, ""))]
    assert all(answer == {"__typename": "CodeInvalid", "code": "CODE_INVALID", "field": "token"} for answer in answers)
    assert (await late.data(CANCEL))["cancelEmailChange"] == {"__typename": "NotFound", "code": "NOT_FOUND"}
    assert (await stranger.data(CANCEL))["cancelEmailChange"]["code"] == "NOT_FOUND"
    assert await written() == before
    assert (await buyer.data(CANCEL))["cancelEmailChange"] == {"__typename": "EmailChangeCancelled", "accepted": True}
    assert await pending(buyer) is None
    assert (await confirm(buyer, token))["code"] == "CODE_INVALID"
    assert (await attempt(shop, buyer.email, PASSWORD))["__typename"] == "SignedIn"


@pytest.mark.parametrize("by", ["reset", "change", "unlink"])
async def test_a_change_that_waits_dies_with_what_the_owner_does_in_alarm(shop: Shop, by: str) -> None:
    buyer = await shop.buyer()
    await link(buyer, "VK", by)
    token = await asked(buyer, f"{by}@alarm.example")
    if by == "reset":
        await request(shop, buyer.email)
        await reset(shop, await token_to(buyer.email))
        signed = await attempt(shop, buyer.email, OTHER)
        buyer = Buyer(shop.http, signed["token"], buyer.id, buyer.external_id)
    elif by == "change":
        assert (await changed(buyer, PASSWORD, OTHER))["__typename"] == "PasswordChanged"
    else:
        assert "methodId" in await unlink(buyer, (await ids_of(buyer))["VK"])
    assert await pending(buyer) is None
    assert (await confirm(buyer, token))["code"] == "CODE_INVALID"


async def test_a_change_to_an_address_whose_owner_has_come_waits_for_nothing_and_looks_the_same(shop: Shop) -> None:
    buyer = await shop.buyer()
    token, before = await asked(buyer, "owned@new.example"), await pending(buyer)
    await activated(shop, "owned@new.example")
    assert await pending(buyer) == before
    assert (await confirm(buyer, token))["code"] == "CODE_INVALID"


async def test_what_another_account_has_proved_meanwhile_is_taken(shop: Shop) -> None:
    buyer = await shop.buyer()
    token = await asked(buyer, "platforms@new.example")
    await shop.buyer(email="Platforms@new.example")
    before = await written()
    assert await confirm(buyer, token) == {"__typename": "IdentityTaken", "code": "IDENTITY_TAKEN", "field": "token"}
    before[1] -= 1  # what waited is gone, and nothing else has changed
    assert await written() == before and await pending(buyer) is None
    assert (await confirm(buyer, token))["code"] == "CODE_INVALID"
    assert (await attempt(shop, buyer.email, PASSWORD))["__typename"] == "SignedIn"


async def test_of_two_who_confirm_one_address_at_once_one_gets_it(shop: Shop) -> None:
    for turn in range(4):
        email = f"raced{turn}@new.example"
        buyers = [await shop.buyer(), await shop.buyer()]
        tokens = [await asked(buyer, email) for buyer in buyers]
        # Each from two sessions: the token of the one that confirms is dead at once.
        others = [await shop.again(buyer) for buyer in buyers]
        calls = [confirm(buyer, token) for callers in (buyers, others) for buyer, token in zip(callers, tokens, strict=True)]
        answers = [answer["__typename"] for answer in await asyncio.gather(*calls)]
        assert answers.count("EmailChanged") == 1 and set(answers) <= {"EmailChanged", "CodeInvalid", "IdentityTaken"}
        assert await Identity.filter(subject=email).count() == 1
        for buyer in buyers:
            assert await Identity.filter(account_id=await account_of(buyer), kind="EMAIL").count() == 1


async def test_of_two_requests_at_once_one_link_is_good(shop: Shop) -> None:
    buyer = await shop.buyer()
    answers = await asyncio.gather(*(ask(buyer, f"at-once{n}@new.example") for n in range(4)))
    assert sorted(answer["__typename"] for answer in answers) == ["EmailChangeRequested", *["RateLimited"] * 3]
    assert await EmailChange.filter(account_id=await account_of(buyer)).count() == 1
