"""A provider that the policy has closed in a country: no mailbox that it gives out opens an account there either."""

from collections.abc import AsyncIterator

import pytest

from models.accounts import Account, Identity
from tests.databases import BOTH
from tests.providers import Browser, Idp, browsing
from tests.rows import change
from tests.shop import Buyer, Shop, open_shop

GRIGORY = "grigory.demo@gmail.com"


@pytest.fixture(params=BOTH)
async def closed(request: pytest.FixtureRequest, idp: Idp, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    """A shop that may not let anybody in Russia sign in by Google."""
    async with open_shop(request.param, tmp_path_factory.mktemp("shop"), demo_idp_url=idp.url, foreign_sign_in="deny") as shop:
        yield shop


async def arrived(browser: Browser, region: str) -> str:
    """Where Grigory is led who comes by Google from there."""
    return (await browser.sign_in("google", "grigory", f"?returnTo=/account&region={region}")).headers["location"]


async def account_of(buyer: Buyer) -> Account:
    return await Account.get(external_id=buyer.external_id)


@pytest.mark.parametrize("region", ["RU", "DE"])
async def test_a_proved_mailbox_opens_no_account_where_its_provider_is_closed(closed: Shop, region: str) -> None:
    buyer = await closed.buyer(email=GRIGORY, region="RU")
    async with browsing(closed) as browser:
        assert await arrived(browser, region) == "/account?error=SIGN_UP_CLOSED"
        assert await browser.me() is None
    assert await Identity.filter(kind="GOOGLE").count() == 0
    await change("UPDATE account SET region = 'DE' WHERE id = $1", (await account_of(buyer)).id)
    async with browsing(closed) as browser:
        assert await arrived(browser, region) == "/account"
        assert (await browser.me() or {})["id"] == buyer.id


async def test_a_claim_there_is_not_taken_over_and_keeps_nobody_elsewhere_out(closed: Shop) -> None:
    squatter = await closed.buyer(email=GRIGORY, region="RU")
    account = await account_of(squatter)
    await change("UPDATE identity SET verified_at = NULL WHERE account_id = $1", account.id)
    async with browsing(closed) as browser:
        assert await arrived(browser, "RU") == "/account?error=SIGN_UP_CLOSED"
        assert await Identity.filter(kind="GOOGLE").count() == 0
        assert await arrived(browser, "DE") == "/account"
        assert (await browser.me() or {})["id"] != squatter.id
    assert await Identity.filter(account_id=account.id).values_list("kind", "verified_at") == [("EMAIL", None)]
