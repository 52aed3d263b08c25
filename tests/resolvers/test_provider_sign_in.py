"""Whose account a provider's profile opens, and adding a provider to an account."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from auth.providers.provider import Profile
from auth.sessions import token_hash
from demo.idp import PEOPLE
from models.accounts import Account, Identity, IdentityKind
from models.database import fetch
from models.email_changes import EmailChange
from models.instants import utc_now
from models.outbox import OutboxMessage
from models.passwords import PasswordReset
from models.provider_sign_in import ProviderSignIn
from models.sessions import KnownDevice, Session
from models.sign_up import SignUp
from resolvers.provider_sign_in import gives_out_mailboxes
from tests.providers import Browser, browsing, code_of, counted, state_of
from tests.resolvers.standings import decide
from tests.rows import change, texts
from tests.shop import PASSWORD, Buyer, Shop

PROVIDERS = ["google", "vk", "ok", "mailru"]
EMAIL = {person.key: person.email for person in PEOPLE}
ME = "{ me { id } }"


async def letters() -> list[dict[str, Any]]:
    """The mails that wait, but for notices of new browsers, and none from now on."""
    found = [row.payload for row in await OutboxMessage.filter(kind="mail").order_by("id") if row.payload["template"] != "new_sign_in"]
    await change("DELETE FROM outbox")
    return found


@pytest.fixture(autouse=True)
async def no_letters(provided: Shop) -> None:
    await change("DELETE FROM outbox")
    await change("UPDATE account SET email = NULL")


async def account_of(buyer: Buyer) -> Account:
    return await Account.get(external_id=buyer.external_id)


# ---------------------------------------------------------------- a known address


@pytest.mark.parametrize(
    ("provider", "person"),
    [("google", "anna"), ("google", "ulyana"), ("vk", "anna"), ("ok", "anna"), ("mailru", "anna"), ("vk", "grigory"), ("mailru", "ivan")],
)
async def test_a_known_address_is_not_enough_to_get_in(provided: Shop, browser: Browser, provider: str, person: str) -> None:
    await provided.buyer(email=(EMAIL[person] or "").upper())
    before = await counted()
    answer = await browser.sign_in(provider, person, "?returnTo=/account")
    assert answer.status_code == 303 and answer.headers["location"] == "/account?error=ACCOUNT_LINK_REQUIRES_SIGN_IN"
    assert "set-cookie" not in answer.headers
    assert await counted() == before
    assert await browser.me() is None


@pytest.mark.parametrize("person", ["grigory", "ivan"])
async def test_google_opens_the_account_of_a_mailbox_that_it_gives_out(provided: Shop, browser: Browser, person: str) -> None:
    buyer = await provided.buyer(email=EMAIL[person])
    await browser.sign_in("google", person)
    assert (await browser.me() or {})["id"] == buyer.id
    (letter,) = await letters()
    assert letter["template"] == "sign_in_method_added" and letter["to"] == EMAIL[person]
    assert letter["values"] == {"kind": "GOOGLE", "masked": ""}
    await browser.sign_in("google", person)  # from now on it is the subject that counts
    assert await letters() == []
    assert (await buyer.data(ME))["me"] == {"id": buyer.id}  # the owner's own session goes on


async def test_a_blocked_account_gets_no_further_way_in_by_its_mailbox(provided: Shop, browser: Browser) -> None:
    buyer = await provided.buyer(email=EMAIL["grigory"])
    await decide(provided, buyer, f"b-{buyer.external_id}")
    before = await counted()
    answer = await browser.sign_in("google", "grigory", "?returnTo=/account")
    assert answer.headers["location"] == "/account?error=ACCOUNT_BLOCKED" and "set-cookie" not in answer.headers
    assert await counted() == before
    await decide(provided, buyer, f"g-{buyer.external_id}", "GOOD")
    await browser.sign_in("google", "grigory")
    assert (await browser.me() or {})["id"] == buyer.id


@pytest.mark.parametrize(
    ("kind", "email", "verified", "domain", "gives"),
    [
        (IdentityKind.GOOGLE, "a@gmail.com", True, None, True),
        (IdentityKind.GOOGLE, "A@GMAIL.COM", True, None, True),
        (IdentityKind.GOOGLE, "a@company.example", True, "company.example", True),
        (IdentityKind.GOOGLE, "a@company.example", True, None, False),
        (IdentityKind.GOOGLE, "a@gmail.com", False, None, False),
        (IdentityKind.GOOGLE, "a@company.example", False, "company.example", False),
        (IdentityKind.GOOGLE, "a@notgmail.com", True, None, False),
        (IdentityKind.GOOGLE, "a@gmail.com.evil.example", True, None, False),
        (IdentityKind.GOOGLE, None, True, "company.example", False),
        (IdentityKind.VK, "a@gmail.com", True, "x", False),
        (IdentityKind.MAILRU, "a@mail.ru", True, None, False),
    ],
)
def test_a_mailbox_is_google_s_own_or_it_is_not(kind: IdentityKind, email: str | None, verified: bool, domain: str | None, gives: bool) -> None:
    assert gives_out_mailboxes(kind, Profile("1", email, verified, None, "A", domain)) is gives


@pytest.mark.parametrize(("provider", "person"), [("google", "anna"), ("google", "ulyana"), ("vk", "anna"), ("mailru", "grigory")])
async def test_an_address_that_a_provider_tells_is_not_proved_by_that(provided: Shop, browser: Browser, provider: str, person: str) -> None:
    await browser.sign_in(provider, person)
    assert (await browser.me() or {})["email"] is None
    (identity,) = await Identity.all()
    assert identity.kind.value.lower() == provider
    later = await provided.buyer(email=EMAIL[person])  # whoever proves it first has it
    assert later.id != (await browser.me() or {})["id"]


# ---------------------------------------------------------------- an address that somebody claimed and never proved


async def claim(shop: Shop, email: str | None, **given: Any) -> Buyer:
    """An account that somebody made with another's address, in which they are signed in."""
    buyer = await shop.buyer(email=email, phone="+79160009988", **given)
    await change("UPDATE identity SET verified_at = NULL WHERE account_id = $1", (await account_of(buyer)).id)
    return buyer


async def test_whoever_made_an_account_with_anothers_address_loses_it_to_the_owner(provided: Shop, browser: Browser) -> None:
    squatter = await claim(provided, EMAIL["grigory"])
    account = await account_of(squatter)
    assert (await squatter.data(ME))["me"] == {"id": squatter.id}
    at = utc_now() + timedelta(hours=1)
    await change("INSERT INTO password_reset (account_id, token_hash, ends_at) VALUES ($1, 'reset', $2)", account.id, at)
    await change(
        "INSERT INTO sign_up (token_hash, browser_hash, subject, email, display_name, password_hash, terms_version, language, region, currency, "
        "created_at, ends_at) VALUES ('sign-up', 'x', $1, $1, 'x', 'x', '1', 'en', 'US', 'USD', $2, $2)",
        EMAIL["grigory"], at,
    )  # fmt: skip
    await change(
        "INSERT INTO email_change (account_id, token_hash, email, subject, asked_at, ends_at) VALUES ($1, 'change', 'x@y.example', 'x@y.example', $2, $2)",
        account.id, at,
    )  # fmt: skip
    await browser.sign_in("google", "grigory")
    assert await PasswordReset.all().count() == await SignUp.all().count() == await EmailChange.all().count() == 0
    assert (await browser.me() or {})["id"] == squatter.id
    assert (await browser.me() or {})["displayName"] == "Григорий Котов"
    assert await squatter.codes(ME) == ["UNAUTHENTICATED"]
    query = "mutation($input: SignInInput!) { signIn(input: $input) { __typename } }"
    answer = await provided.nobody.data(query, input={"email": EMAIL["grigory"], "password": PASSWORD})
    provided.http.cookies.clear()
    assert answer["signIn"]["__typename"] == "InvalidCredentials"
    assert (await Account.get(id=account.id)).phone is None
    found = await Identity.filter(account_id=account.id)
    assert sorted(identity.kind.value for identity in found) == ["EMAIL", "GOOGLE"]
    assert all(identity.verified_at is not None for identity in found)
    assert await KnownDevice.filter(account_id=account.id).count() == 1  # the owner's
    assert await Session.filter(account_id=account.id, revoked_at=None).count() == 1


async def test_an_account_with_an_owner_of_its_own_stays_theirs_and_loses_the_claim(provided: Shop, browser: Browser) -> None:
    async with browsing(provided) as other:
        await other.sign_in("ok", "nina")
        theirs = await other.me() or {}
        row = await Identity.get(kind=IdentityKind.OK)
        await change("INSERT INTO identity (account_id, kind, subject) VALUES ($1, 'EMAIL', $2)", row.account_id, EMAIL["grigory"])
        await change("UPDATE account SET email = $1 WHERE id = $2", EMAIL["grigory"], row.account_id)
        await browser.sign_in("google", "grigory")
        assert (await browser.me() or {})["id"] != theirs["id"]
        assert await other.me() == theirs
        assert await Identity.filter(kind=IdentityKind.EMAIL).count() == 0


@pytest.mark.parametrize(("provider", "person"), [("vk", "grigory"), ("google", "anna"), ("google", "ulyana")])
async def test_a_claim_keeps_nobody_out_and_nobody_but_the_owner_gets_it(provided: Shop, browser: Browser, provider: str, person: str) -> None:
    squatter = await claim(provided, EMAIL[person])
    await browser.sign_in(provider, person)
    assert (await browser.me() or {})["id"] != squatter.id
    assert (await squatter.data(ME))["me"] == {"id": squatter.id}
    assert (await Identity.get(kind=IdentityKind.EMAIL)).verified_at is None


# ---------------------------------------------------------------- adding a provider to an account


async def link(browser: Browser, provider: str, person: str) -> str:
    """Where the browser ends that adds a provider to its account."""
    answer = await browser.sign_in(provider, person, "?link=1&returnTo=/settings", sec_fetch_site="same-origin")
    return answer.headers["location"]


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_buyer_adds_a_provider_and_signs_in_by_it(provided: Shop, browser: Browser, provider: str) -> None:
    buyer = await provided.buyer()
    browser.bring(buyer.token)
    before = await counted()
    assert await link(browser, provider, "nina") == "/settings"
    assert await counted() == before | {"Identity": before["Identity"] + 1}
    (letter,) = await letters()
    assert letter["to"] == (await account_of(buyer)).email and letter["template"] == "sign_in_method_added"
    assert await buyer.codes(ME) == ["UNAUTHENTICATED"]  # the session goes on under a new token
    assert (await browser.me() or {})["id"] == buyer.id
    async with browsing(provided) as elsewhere:
        await elsewhere.sign_in(provider, "nina")
        assert (await elsewhere.me() or {})["id"] == buyer.id
    assert await link(browser, provider, "nina") == "/settings"  # once more changes nothing
    assert await letters() == []


async def test_a_provider_that_is_added_is_told_by_text_message_where_there_is_no_address(provided: Shop, browser: Browser) -> None:
    buyer = await provided.buyer(phone="+79162223344")
    await change("UPDATE account SET email = NULL")
    browser.bring(buyer.token)
    assert await link(browser, "vk", "nina") == "/settings"
    (told,) = await texts("+79162223344")
    assert (told["template"], told["values"]) == ("sign_in_method_added_sms", {"kind": "VK", "masked": ""})


async def test_an_address_of_another_account_does_not_matter_where_one_adds_a_provider(provided: Shop, browser: Browser) -> None:
    anna, buyer = await provided.buyer(email=EMAIL["anna"]), await provided.buyer()
    browser.bring(buyer.token)
    assert await link(browser, "google", "anna") == "/settings"
    assert (await browser.me() or {})["id"] == buyer.id != anna.id


async def test_what_another_account_signs_in_with_is_taken(provided: Shop, browser: Browser) -> None:
    async with browsing(provided) as first:
        await first.sign_in("vk", "nina")
        buyer = await provided.buyer()
        browser.bring(buyer.token)
        before = await counted()
        assert await link(browser, "vk", "nina") == "/settings?error=IDENTITY_TAKEN"
        assert await counted() == before and await letters() == []
        assert (await buyer.data(ME))["me"] == {"id": buyer.id}
        assert (await first.me() or {})["id"] != buyer.id


async def test_two_accounts_that_add_the_same_at_once_get_it_once(provided: Shop, browser: Browser) -> None:
    buyers = [await provided.buyer() for _ in range(2)]
    async with browsing(provided) as other:
        callbacks = []
        for screen, buyer in zip((browser, other), buyers, strict=True):
            screen.bring(buyer.token)
            url = await screen.start("vk", "?link=1", sec_fetch_site="same-origin")
            callbacks.append(screen.get(await screen.choose(url, "nina")))
        answers = await asyncio.gather(*callbacks)
    assert sorted(answer.headers["location"] for answer in answers) == ["/", "/?error=IDENTITY_TAKEN"]
    assert await Identity.filter(kind=IdentityKind.VK).count() == 1


async def test_adding_needs_a_sign_in_of_the_last_fifteen_minutes(provided: Shop, browser: Browser) -> None:
    async def asked() -> str:
        answer = await browser.get("/auth/google/login?link=1&returnTo=/settings", sec_fetch_site="same-origin")
        return answer.headers["location"]

    assert await asked() == "/settings?error=UNAUTHENTICATED"
    buyer = await provided.buyer()
    browser.bring(buyer.token)
    for column in await columns_of_proof():
        await change(f"UPDATE session SET {column} = $1 WHERE token_hash = $2", utc_now() - timedelta(minutes=15, seconds=1), token_hash(buyer.token or ""))
    assert await asked() == "/settings?error=REAUTH_REQUIRED"
    for column in await columns_of_proof():
        await change(f"UPDATE session SET {column} = $1 WHERE token_hash = $2", utc_now() - timedelta(minutes=14), token_hash(buyer.token or ""))
    assert "/google/" in await asked()
    assert await fetch("SELECT count(*) FROM provider_sign_in") and await Identity.filter(kind=IdentityKind.GOOGLE).count() == 0


async def columns_of_proof() -> list[str]:
    """By what a session's proof is dated."""
    return [name for name in ("created_at", "proved_at") if name in Session._meta.fields_map]


async def test_what_one_session_began_no_other_finishes(provided: Shop, browser: Browser) -> None:
    buyer, other = await provided.buyer(), await provided.buyer()
    browser.bring(buyer.token)
    for token in ("", other.token):
        browser.bring(buyer.token)
        url = await browser.choose(await browser.start("vk", "?link=1", sec_fetch_site="same-origin"), "nina")
        browser.bring(token)
        answer = await browser.get(url)
        assert answer.status_code == 400 and code_of(answer) == "OAUTH_STATE_INVALID"
    browser.bring(buyer.token)
    url = await browser.choose(await browser.start("vk", "?link=1", sec_fetch_site="same-origin"), "nina")
    await buyer.data("mutation { signOut { __typename } }")
    assert (await browser.get(url)).status_code == 400
    assert await Identity.filter(kind=IdentityKind.VK).count() == 0


async def test_a_strangers_page_or_mail_cannot_have_a_provider_added(provided: Shop, browser: Browser) -> None:
    """A stranger has the browser signed in to the stranger's own account at the provider, which needs no click there, and the
    buyer, who has proved who they are lately, follow a link that adds it: the stranger would sign in as the buyer ever after.
    From a page the browser says so (`cross-site`); from a mail or a messenger it says `none`, as of an address that is typed.
    """
    buyer = await provided.buyer()
    browser.bring(buyer.token)
    before = await counted()
    for headers in ({"sec_fetch_site": "cross-site"}, {"sec_fetch_site": "none"}, {}, {"referer": "https://evil.example/"}, {"sec_fetch_site": "same-site", "referer": "null"}):
        answer = await browser.get("/auth/google/login?link=1", **headers)
        assert answer.status_code == 403 and code_of(answer) == "CSRF_REJECTED"
    assert await counted() == before and await ProviderSignIn.all().count() == 0
    for headers in ({"sec_fetch_site": "same-origin"}, {"referer": f"{provided.url}/settings"}, {"sec_fetch_site": "same-site", "referer": f"{provided.url}/"}):
        assert state_of(await browser.start("google", "?link=1", **headers))
