"""What changes the ways into one account, all at once: nobody is locked out, and what one has voided lets no other in."""

import asyncio
from typing import Any

from models.accounts import Identity
from models.sessions import Session
from tests.resolvers.apps import REFRESH, app_of
from tests.resolvers.sign_ups import token_to
from tests.resolvers.test_email_changes import CONFIRM, asked
from tests.resolvers.test_passwords import CHANGE, OTHER, RESET, request
from tests.resolvers.test_sign_in_methods import UNLINK, ids_of, link
from tests.rows import account_of, change
from tests.shop import PASSWORD, Buyer, Client, Shop

AMBER = "amber 53 microscope snow"
FINE = {None, "UNAUTHENTICATED", "LAST_SIGN_IN_METHOD", "NOT_FOUND", "CODE_INVALID", "INVALID_CREDENTIALS", "REAUTH_REQUIRED", "OVERLOADED"}


async def code_of(client: Client, query: str, **variables: Any) -> str | None:
    """The code of a refusal or an error; None where it was done."""
    answer = await client.run(query, **variables)
    if "errors" in answer:
        return answer["errors"][0]["extensions"]["code"]
    (one,) = answer["data"].values()
    return one.get("code")


async def test_unlinking_changing_and_resetting_at_once_leave_a_way_in_and_no_session_behind_a_reset(shop: Shop) -> None:
    await change("DELETE FROM guess")
    for turn in range(3):
        buyer = await shop.buyer()
        account_id, again = await account_of(buyer), await shop.sign_in({"email": buyer.email, "password": PASSWORD, "externalId": ""})
        await link(buyer, "VK", f"{turn}")
        ids, new = await ids_of(buyer), f"raced.{buyer.external_id}@other.example"
        await request(shop, buyer.email)
        reset, moved = await token_to(buyer.email), await asked(buyer, new)
        codes = await asyncio.gather(
            code_of(buyer, UNLINK, id=ids["EMAIL"]),
            code_of(again, UNLINK, id=ids["VK"]),
            code_of(buyer, CONFIRM, input={"token": moved}),
            code_of(again, CHANGE, input={"current": PASSWORD, "new": OTHER, "newAgain": OTHER}),
            code_of(shop.nobody, RESET, input={"token": reset, "password": AMBER, "passwordAgain": AMBER}),
        )
        assert set(codes) <= FINE, codes
        assert await Identity.filter(account_id=account_id).count() >= 1
        if codes[4] is None:
            assert await Session.filter(account_id=account_id, revoked_at=None).count() == 0


async def test_a_session_that_is_revoked_while_it_is_refreshed_is_dead(shop: Shop) -> None:
    for _ in range(3):
        app = await app_of(shop)
        owner: Buyer = app.buyer
        revoke = "mutation { signOutElsewhere { __typename } }"
        told, _ = await asyncio.gather(code_of(shop.nobody, REFRESH, token=app.refresh_token), owner.data(revoke))
        assert told in FINE
        assert await Session.filter(account_id=await account_of(owner), revoked_at=None).count() == 1
        assert await code_of(shop.nobody, REFRESH, token=app.refresh_token) == "INVALID_CREDENTIALS"
