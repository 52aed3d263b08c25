"""What a buyer is told of sign-ins to the account."""

from datetime import timedelta
from typing import Any

from models.instants import utc_now
from models.outbox import OutboxMessage
from tests.rows import change
from tests.shop import PASSWORD, Buyer, Client, Shop

SIGN_IN = "mutation($input: SignInInput!) { signIn(input: $input) { __typename } }"


async def enter(shop: Shop, buyer: Buyer, password: str = PASSWORD, **headers: str) -> tuple[str, str | None]:
    """What a sign-in answers, and the cookie of a browser that was not known."""
    answer = await shop.nobody.post(SIGN_IN, headers=headers, input={"email": buyer.email, "password": password})
    shop.http.cookies.clear()
    devices = [cookie.partition(";")[0] for cookie in answer.headers.get_list("set-cookie") if cookie.startswith("did=")]
    return answer.json()["data"]["signIn"]["__typename"], devices[0] if devices else None


async def notices(buyer: Buyer) -> list[dict[str, Any]]:
    return [post.payload for post in await OutboxMessage.filter(kind="mail").order_by("id") if post.payload["to"] == buyer.email]


async def test_the_first_sign_in_is_no_news_and_one_from_another_browser_is(shop: Shop) -> None:
    buyer = await shop.buyer(language="ru")
    assert await notices(buyer) == []
    assert (await enter(shop, buyer, **{"user-agent": "Firefox/140"}))[0] == "SignedIn"
    (told,) = await notices(buyer)
    assert (told["template"], told["language"]) == ("new_sign_in", "ru")
    assert (told["values"]["address"], told["values"]["agent"]) == ("127.0.0.1", "Firefox/140")
    assert told["values"].keys() == {"when", "address", "agent"}


async def test_a_known_browser_is_no_news(shop: Shop) -> None:
    buyer = await shop.buyer()
    _, device = await enter(shop, buyer)
    assert device is not None and len(await notices(buyer)) == 1
    known = {"cookie": device, "x-requested-with": "x"}
    assert await enter(shop, buyer, **known) == ("SignedIn", None)
    assert len(await notices(buyer)) == 1
    other = await shop.buyer()
    assert (await enter(shop, other, **known))[0] == "SignedIn"  # known to its own account alone
    assert len(await notices(other)) == 1


async def test_a_sign_in_that_fails_is_not_told(shop: Shop) -> None:
    buyer = await shop.buyer()
    assert (await enter(shop, buyer, "wrong"))[0] == "InvalidCredentials"
    assert await notices(buyer) == []


async def test_a_notice_that_cannot_be_written_leaves_no_session(shop: Shop, monkeypatch) -> None:
    buyer = await shop.buyer()

    async def failing(*_: object) -> None:
        raise RuntimeError

    before = await OutboxMessage.all().count()
    monkeypatch.setattr("resolvers.entry.tell_of_new_browser", failing)
    assert await Client(shop.http).codes(SIGN_IN, input={"email": "x@y.example", "password": "x"}) == []
    email = buyer.email
    answer = await shop.nobody.post(SIGN_IN, input={"email": email, "password": PASSWORD})
    assert answer.json()["errors"][0]["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
    assert "set-cookie" not in answer.headers
    assert await OutboxMessage.all().count() == before


async def test_a_sign_in_after_five_failures_is_told(shop: Shop) -> None:
    buyer, other = await shop.buyer(language="ru"), await shop.buyer()
    for n in range(5):
        assert (await enter(shop, buyer, f"wrong {n}"))[0] == "InvalidCredentials"
        if n:
            assert (await enter(shop, other, f"wrong {n}"))[0] == "InvalidCredentials"
    await change("UPDATE guess SET until = $1", utc_now() - timedelta(seconds=1))
    assert (await enter(shop, buyer, **{"user-agent": "Firefox/140"}))[0] == (await enter(shop, other))[0] == "SignedIn"
    (told,) = [notice for notice in await notices(buyer) if notice["template"] != "new_sign_in"]
    assert (told["template"], told["language"], told["values"]["failures"]) == ("sign_in_after_failures", "ru", "5")
    assert (told["values"]["address"], told["values"]["agent"]) == ("127.0.0.1", "Firefox/140")
    assert [notice["template"] for notice in await notices(other)] == ["new_sign_in"]
    assert (await enter(shop, buyer))[0] == "SignedIn" and len(await notices(buyer)) == 3  # told once


async def test_the_owner_who_signs_in_from_a_known_browser_is_told_of_guesses_made_elsewhere(shop: Shop) -> None:
    buyer = await shop.buyer()
    _, device = await enter(shop, buyer)
    assert device is not None
    for n in range(5):
        assert (await enter(shop, buyer, f"wrong {n}"))[0] == "InvalidCredentials"
    assert await enter(shop, buyer, cookie=device, **{"x-requested-with": "x"}) == ("SignedIn", None)
    (_, told) = await notices(buyer)
    assert told["template"] == "sign_in_after_failures" and told["values"]["failures"] == "5"
