"""Contacts that the platform sends beside what buyers make of them themselves, from outside."""

import asyncio
from typing import Any

import pytest

from models.accounts import Account, Identity
from models.activity import Activity
from models.given_contacts import GivenContacts
from tests.auth.test_sign_in import attempt
from tests.resolvers.test_email_changes import asked, confirm
from tests.resolvers.test_sign_in_methods import ids_of, link, unlink
from tests.rows import account_of, change
from tests.shop import PASSWORD, Buyer, Shop


@pytest.fixture(autouse=True)
async def forgotten(shop: Shop) -> None:
    await change("DELETE FROM guess")


def row_of(buyer: Buyer, **given: Any) -> dict[str, Any]:
    """A row of putAccounts for a buyer, as `shop.buyer` has sent it before."""
    number = buyer.external_id.partition("-")[2]
    return {
        "externalId": buyer.external_id, "displayName": f"Buyer {number}", "email": f"buyer{number}@shop.example",
        "language": "en", "region": "US", "currency": "USD", **given,
    }  # fmt: skip


async def put(shop: Shop, *rows: dict[str, Any]) -> list[tuple[str, str | None]]:
    return [(result["status"], result["code"]) for result in await shop.put("putAccounts", list(rows))]


async def ways(buyer: Buyer) -> dict[str, str]:
    found = await Identity.filter(account_id=await account_of(buyer)).values_list("kind", "subject")
    return {kind.value: subject for kind, subject in found}


async def own_address(shop: Shop) -> Buyer:
    """A buyer who has changed the address that the platform had sent."""
    buyer = await shop.buyer()
    assert (await confirm(buyer, await asked(buyer, f"own.{buyer.external_id}@new.example")))["__typename"] == "EmailChanged"
    return buyer


async def test_an_address_that_the_buyer_has_changed_stays(shop: Shop) -> None:
    buyer = await own_address(shop)
    own = f"own.{buyer.external_id}@new.example"
    assert await put(shop, row_of(buyer)) == [("UNCHANGED", None)]
    assert await put(shop, row_of(buyer, displayName="Vera")) == [("UPDATED", None)]
    assert await put(shop, row_of(buyer, displayName="Vera", email="later@shop.example")) == [("UNCHANGED", None)]
    account = await Account.get(external_id=buyer.external_id)
    assert (account.display_name, account.email, await ways(buyer)) == ("Vera", own, {"EMAIL": own})
    assert (await GivenContacts.get(account_id=account.id)).email == "later@shop.example"
    assert (await attempt(shop, own, PASSWORD))["__typename"] == "SignedIn"
    assert (await attempt(shop, "later@shop.example", PASSWORD))["__typename"] == "InvalidCredentials"


async def test_once_both_say_the_same_the_platform_sets_it_again(shop: Shop) -> None:
    buyer = await own_address(shop)
    await put(shop, row_of(buyer, email=f"Own.{buyer.external_id}@new.example"))
    assert await put(shop, row_of(buyer, email="together@shop.example")) == [("UPDATED", None)]
    assert await ways(buyer) == {"EMAIL": "together@shop.example"}


async def test_what_the_buyer_has_taken_away_or_added_is_not_undone(shop: Shop) -> None:
    buyer = await shop.buyer(phone="+79162223344")
    assert "methodId" in await unlink(buyer, (await ids_of(buyer))["PHONE"])
    assert await put(shop, row_of(buyer, phone="+79162223344", language="ru")) == [("UPDATED", None)]
    assert "PHONE" not in await ways(buyer)
    adding = await shop.buyer()
    await change("INSERT INTO identity (account_id, kind, subject, verified_at) SELECT id, 'PHONE', '+79165556677', created_at FROM account WHERE id = $1", await account_of(adding))
    await change("UPDATE account SET phone = '+79165556677' WHERE id = $1", await account_of(adding))
    assert await put(shop, row_of(adding, language="ru")) == [("UPDATED", None)]
    assert (await ways(adding))["PHONE"] == "+79165556677"
    assert (await Account.get(external_id=adding.external_id)).phone == "+79165556677"


async def test_a_contact_that_the_buyer_has_left_alone_follows_the_platform(shop: Shop) -> None:
    buyer = await shop.buyer(phone="+79163334455")
    since = (await Identity.get(subject="+79163334455")).verified_at
    assert await put(shop, row_of(buyer, email="Moved@shop.example", phone="+79163334455")) == [("UPDATED", None)]
    assert await ways(buyer) == {"EMAIL": "moved@shop.example", "PHONE": "+79163334455"}
    assert (await Identity.get(subject="+79163334455")).verified_at == since
    assert await put(shop, row_of(buyer, email="Moved@shop.example")) == [("UPDATED", None)]
    assert await ways(buyer) == {"EMAIL": "moved@shop.example"}
    assert await put(shop, row_of(buyer, email="Moved@shop.example")) == [("UNCHANGED", None)]
    assert await Activity.filter(verb="account_updated", subject_id=await account_of(buyer)).count() == 2


async def test_the_last_way_in_stays_when_the_platform_leaves_it_out(shop: Shop) -> None:
    buyer = await shop.buyer()
    before = await ways(buyer)
    assert await put(shop, row_of(buyer, email=None, displayName="Without")) == [("UPDATED", None)]
    assert await ways(buyer) == before
    account = await Account.get(external_id=buyer.external_id)
    assert account.display_name == "Without" and account.email == before["EMAIL"]
    assert (await attempt(shop, before["EMAIL"], PASSWORD))["__typename"] == "SignedIn"
    other = await shop.buyer()
    await link(other, "VK", "1")
    assert await put(shop, row_of(other, email=None)) == [("UPDATED", None)]
    assert list(await ways(other)) == ["VK"]


async def test_what_another_account_has_is_refused_and_what_does_not_count_is_not(shop: Shop) -> None:
    holder, buyer, own = await shop.buyer(phone="+79167778899"), await shop.buyer(), await own_address(shop)
    taken = row_of(holder)["email"]
    before = [await ways(one) for one in (holder, buyer, own)]
    answers = await put(shop, row_of(buyer, email=taken.upper(), displayName="X"), row_of(own, email=taken, displayName="Y"))
    assert answers == [("REFUSED", "CONFLICT"), ("UPDATED", None)]
    assert await put(shop, row_of(buyer, phone="+79167778899")) == [("REFUSED", "CONFLICT")]
    assert await put(shop, row_of(buyer), row_of(buyer, displayName="Z")) == [("UNCHANGED", None), ("REFUSED", "DUPLICATE")]
    new = [{**row_of(holder), "externalId": f"{holder.external_id}-{n}", "email": "twice@shop.example"} for n in range(2)]
    assert await put(shop, *new) == [("CREATED", None), ("REFUSED", "CONFLICT")]
    assert [await ways(one) for one in (holder, buyer, own)] == before
    assert (await Account.get(external_id=buyer.external_id)).display_name == f"Buyer {buyer.external_id.partition('-')[2]}"


async def test_a_change_of_the_buyers_and_a_call_of_the_platforms_at_once_leave_one_address_that_signs_in(shop: Shop) -> None:
    for turn in range(3):
        buyer = await shop.buyer()
        token = await asked(buyer, f"at.once{turn}@new.example")
        await asyncio.gather(confirm(buyer, token), put(shop, row_of(buyer, email=f"platform{turn}@shop.example")))
        account = await Account.get(external_id=buyer.external_id)
        assert account.email == f"at.once{turn}@new.example"  # whoever came first
        assert await ways(buyer) == {"EMAIL": account.email}


async def test_an_address_that_the_platform_sends_is_kept_as_mail_is_sent_to_it(shop: Shop) -> None:
    buyer = await shop.buyer()
    assert await put(shop, row_of(buyer, email=" Spaced.Out@shop.example\n")) == [("UPDATED", None)]
    assert (await Account.get(external_id=buyer.external_id)).email == "Spaced.Out@shop.example"
    assert await put(shop, row_of(buyer, email="Spaced.Out@shop.example")) == [("UNCHANGED", None)]
    assert await put(shop, row_of(buyer, email="x@sh\u200bop.example")) == [("REFUSED", "BAD_USER_INPUT")]


@pytest.mark.parametrize("number", ["+79165550171\n", "+7916555017\u0661", "+7916555017\uff11"])
async def test_a_number_has_one_spelling_and_so_one_owner(shop: Shop, number: str) -> None:
    assert await put(shop, row_of(await shop.buyer(), phone=number)) == [("REFUSED", "BAD_USER_INPUT")]


async def test_a_number_that_is_none_is_no_way_in_and_lets_no_other_go(shop: Shop) -> None:
    buyer = await shop.buyer(phone="+71234567")
    assert (await unlink(buyer, (await ids_of(buyer))["EMAIL"]))["code"] == "LAST_SIGN_IN_METHOD"
    assert set(await ways(buyer)) == {"EMAIL", "PHONE"}
