"""What was mailed to an address, or named by it, once the address is the buyer's no longer."""


import pytest

from models.accounts import Password
from models.sessions import Session
from resolvers.erasures import owner_of_rows
from tests.resolvers.sign_ups import activated, token_to
from tests.resolvers.test_email_changes import asked, confirm
from tests.resolvers.test_exports import exported
from tests.resolvers.test_given_contacts import put, row_of
from tests.resolvers.test_passwords import request, reset
from tests.resolvers.test_sign_in_methods import ids_of, link, unlink
from tests.rows import account_of, change, letters
from tests.shop import Buyer, Shop

ME = "{ me { id email phone } }"
GOES = ("unlinked", "changed", "moved by the platform")


@pytest.fixture(autouse=True)
async def forgotten(shop: Shop) -> None:
    await change("DELETE FROM guess")


async def loses_address(shop: Shop, buyer: Buyer, way: str) -> None:
    """The buyer's address is theirs no longer."""
    if way == "unlinked":
        assert "methodId" in await unlink(buyer, (await ids_of(buyer))["EMAIL"])
    elif way == "changed":
        assert (await confirm(buyer, await asked(buyer, f"new.{buyer.external_id}@other.example")))["__typename"] == "EmailChanged"
    else:
        assert await put(shop, row_of(buyer, email=f"moved.{buyer.external_id}@other.example")) == [("UPDATED", None)]


@pytest.mark.parametrize("way", GOES)
async def test_a_link_that_sets_a_password_is_void_with_the_address_it_was_mailed_to(shop: Shop, way: str) -> None:
    buyer = await shop.buyer()
    await link(buyer, "VK", "1")
    await request(shop, buyer.email)
    token, account_id = await token_to(buyer.email), await account_of(buyer)
    before = await Password.get(account_id=account_id)
    await loses_address(shop, buyer, way)
    assert (await reset(shop, token))["code"] == "CODE_INVALID"
    assert (await Password.get(account_id=account_id)).hash == before.hash
    assert await Session.filter(account_id=account_id, revoked_at=None).count() == 1


@pytest.mark.parametrize("way", GOES)
async def test_a_copy_of_ones_data_is_not_taken_by_a_link_to_an_address_of_before(shop: Shop, way: str) -> None:
    buyer, path = await exported(shop)
    await link(buyer, "VK", "1")
    await loses_address(shop, buyer, way)
    assert (await shop.http.post(path)).status_code == 410


async def test_a_contact_goes_with_its_way_of_signing_in_and_the_next_owner_is_told_nothing(shop: Shop) -> None:
    buyer = await shop.buyer(phone="+12025550142")
    await link(buyer, "VK", "1")
    for kind in ("PHONE", "EMAIL"):
        await unlink(buyer, (await ids_of(buyer))[kind])
    assert (await buyer.data(ME))["me"] == {"id": buyer.id, "email": None, "phone": None}
    told = await letters(buyer.email)
    assert [(letter["template"], letter["values"]["kind"]) for letter in told] == [("sign_in_method_removed", "PHONE"), ("sign_in_method_removed", "EMAIL")]
    next_owner = await activated(shop, buyer.email)
    assert next_owner["account"]["id"] != buyer.id
    assert not {"+12025550142", buyer.email} & set((await owner_of_rows(await account_of(buyer))).addresses)
