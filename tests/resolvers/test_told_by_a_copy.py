"""What a copy of one's own data must not tell: who else has an account."""

import orjson

from models.activity import Activity
from tests.resolvers.sign_ups import SIGN_UP, solved, token_to, typed
from tests.resolvers.test_exports import export
from tests.resolvers.test_passwords import REQUEST
from tests.rows import account_of, change
from tests.shop import Shop


async def test_who_asks_for_strangers_while_signed_in_finds_nothing_of_it_in_the_copy(shop: Shop) -> None:
    known, buyer = await shop.buyer(), await shop.buyer()
    await change("DELETE FROM guess")
    for address in (known.email, "nobodys@new.example"):
        await buyer.data(SIGN_UP, input=await typed(shop, address))
        await buyer.data(REQUEST, input={"email": address, "captcha": await solved(shop)})
    await export(buyer)
    await shop.work()
    answer = await shop.http.post(f"/export?token={await token_to(buyer.email)}")
    told = {row["verb"] for row in orjson.loads(answer.content)["tables"]["activity"]}
    assert "data_export_requested" in told
    assert not told & {"password_reset_requested", "sign_up_of_known_address"}
    about = await Activity.filter(subject_kind="account", subject_id=await account_of(known)).values_list("verb", flat=True)
    assert {"password_reset_requested", "sign_up_of_known_address"} <= set(about)
