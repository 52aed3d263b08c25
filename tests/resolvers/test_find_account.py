"""Finding an account by an order's or a parcel's number, from outside."""

from datetime import timedelta
from typing import Any

import pytest

from auth.traffic import Bound
from delivery.letters import Writer
from models.activity import Activity
from models.captcha import UsedCaptcha
from models.find_account import AccountSearch
from models.instants import utc_now
from models.outbox import Message, OutboxMessage
from resolvers.find_account import HOUR, OF_NETWORK_AN_HOUR
from resolvers.housekeeping import forget_old
from tests.resolvers.orders import order_row, put_order, ship
from tests.resolvers.sign_ups import solved
from tests.resolvers.test_sign_in_methods import link
from tests.rows import account_of, change, letters, texts
from tests.shop import Buyer, Shop
from tests.statements import statements
from tests.traffic import fill

FIND = """mutation($input: FindAccountInput!) { findAccount(input: $input) { __typename ... on AccountSearchAccepted { accepted }
  ... on Refusal { code field } } }"""
ACCEPTED = {"__typename": "AccountSearchAccepted", "accepted": True}


@pytest.fixture(autouse=True)
async def forgotten(shop: Shop) -> None:
    await change("DELETE FROM guess")
    await change("DELETE FROM outbox")


async def find(shop: Shop, number: str) -> dict[str, Any]:
    return (await shop.nobody.data(FIND, input={"number": number, "captcha": await solved(shop)}))["findAccount"]


async def by_phone_alone(shop: Shop, phone: str) -> Buyer:
    """A buyer whose number alone is proved."""
    buyer = await shop.buyer(phone=phone, language="ru")
    await change("UPDATE identity SET verified_at = NULL WHERE kind = 'EMAIL' AND account_id = $1", await account_of(buyer))
    return buyer


async def test_the_contact_on_file_is_told_the_ways_in_part(shop: Shop) -> None:
    buyer = await shop.buyer(phone="+79161231234", language="ru")
    await link(buyer, "VK", "77")
    await link(buyer, "OK", "unproved", verified=False)
    (result,) = await shop.put("putOrders", [await order_row(shop, buyer, await shop.product(), number="Заказ-17A")])
    assert result["status"] == "CREATED"
    assert await find(shop, " заказ-17a ") == ACCEPTED
    assert await letters(buyer.email) == []
    await shop.work()
    (letter,) = await letters(buyer.email)
    assert (letter["template"], letter["language"]) == ("found_account", "ru")
    assert letter["values"] == {"ways": "EMAIL b***@s***.example\nPHONE +7***1234\nVK"}
    assert await texts("+79161231234") == [] and await AccountSearch.all().count() == 0
    assert await Activity.filter(verb="account_searched", subject_id=await account_of(buyer)).count() == 1


@pytest.mark.parametrize("typed", ["lp00123456cn", "LP00123456CN", "#LP00123456CN", "№ lp00123456cn"])
async def test_a_parcels_number_finds_everybody_who_has_something_in_it(shop: Shop, typed: str) -> None:
    buyers = [await shop.buyer(), await shop.buyer()]
    for buyer in buyers:
        row, _ = await put_order(shop, buyer, paidAt=timedelta(hours=1))
        assert (await ship(shop, row, "LP00123456CN"))["status"] in ("CREATED", "UPDATED")
    await find(shop, typed)
    await shop.work()
    for buyer in buyers:
        assert [letter["template"] for letter in await letters(buyer.email)] == ["found_account"]
    await change("DELETE FROM shipment_item")
    await change("DELETE FROM shipment")


async def test_a_number_alone_that_is_proved_gets_a_text_message(shop: Shop) -> None:
    buyer = await by_phone_alone(shop, "+79161110011")
    row, _ = await put_order(shop, buyer)
    await find(shop, row["externalId"])
    await shop.work()
    (text,) = await texts("+79161110011")
    assert (text["template"], text["language"], text["values"]) == ("found_account_sms", "ru", {"ways": "PHONE +7***0011"})
    assert await letters(buyer.email) == []
    most = shop.service.settings.sms_a_day
    await change("UPDATE guess SET failures = $1 WHERE key = 'sms-all'", most)
    await find(shop, row["externalId"])
    await shop.work()
    assert len(await texts("+79161110011")) == 1


async def test_known_and_unknown_numbers_are_answered_alike_after_the_same_work(shop: Shop) -> None:
    row, _ = await put_order(shop, await shop.buyer())
    answers, seen_of = [], []
    for number in (row["externalId"], "ORD-UNKNOWN", "X" * 120):
        captcha = await solved(shop)
        async with statements() as seen:
            answers.append(await shop.nobody.post(FIND, input={"number": number, "captcha": captcha}))
        seen_of.append([text.split("(")[0][:40] for text in seen])
    assert answers[0].content == answers[1].content == answers[2].content
    assert answers[0].headers.keys() == answers[1].headers.keys()
    assert seen_of[0] == seen_of[1] == seen_of[2]
    assert not any("orders" in text or "shipment" in text or "identity" in text for text in seen_of[0])
    before = await OutboxMessage.all().count()
    await shop.work()
    assert await OutboxMessage.all().count() == before + 1


async def test_an_account_is_told_three_times_a_day_and_one_without_a_contact_never(shop: Shop) -> None:
    buyer, silent = await shop.buyer(), await shop.buyer()
    await change("UPDATE identity SET verified_at = NULL WHERE account_id = $1", await account_of(silent))
    numbers = [(await put_order(shop, buyer))[0]["externalId"] for _ in range(4)] + [(await put_order(shop, silent))[0]["externalId"]]
    for number in numbers:
        assert await find(shop, number) == ACCEPTED
    await shop.work()
    assert len(await letters(buyer.email)) == 3 and await letters(silent.email) == []


async def test_a_number_counts_five_times_a_day_and_a_network_asks_ten_times(shop: Shop) -> None:
    for _ in range(6):
        assert await find(shop, "ORD-OFTEN") == ACCEPTED
    assert await AccountSearch.filter(number="ORD-OFTEN").count() == 5
    captcha = await solved(shop)
    await fill(Bound("find", OF_NETWORK_AN_HOUR, HOUR), "127.0.0.1")
    answer = await shop.nobody.post(FIND, input={"number": "ORD-MORE", "captcha": captcha})
    assert answer.status_code == 429 and 1 <= int(answer.headers["retry-after"]) <= 3600
    await shop.work()


@pytest.mark.parametrize("number", ["", "  ", "x" * 121, "a\nb", "a\x00b"])
async def test_what_is_no_number_is_refused_and_a_captcha_is_needed(shop: Shop, number: str) -> None:
    before, captcha = await UsedCaptcha.all().count(), await solved(shop)
    for given, code, field in (({"number": number, "captcha": captcha}, "BAD_USER_INPUT", "number"), ({"number": "1", "captcha": "x"}, "CAPTCHA_FAILED", "captcha")):
        answer = (await shop.nobody.data(FIND, input=given))["findAccount"]
        assert (answer["code"], answer["field"]) == (code, field)
    assert await UsedCaptcha.all().count() == before and await AccountSearch.all().count() == 0
    assert (await shop.nobody.data(FIND, input={"number": "1", "captcha": captcha}))["findAccount"] == ACCEPTED
    assert (await shop.nobody.data(FIND, input={"number": "1", "captcha": captcha}))["findAccount"]["code"] == "CAPTCHA_FAILED"
    await shop.work()


async def test_a_search_that_nobody_has_looked_at_for_a_day_is_forgotten(shop: Shop) -> None:
    at = utc_now()
    for number, age in (("old", 25), ("young", 1)):
        await change("INSERT INTO account_search (number, asked_at) VALUES ($1, $2)", number, at - timedelta(hours=age))
    assert await forget_old(at) is False
    assert await AccountSearch.all().values_list("number", flat=True) == ["young"]
    await shop.work()


def test_the_letter_names_each_way_in_its_language() -> None:
    writer, at = Writer("https://shop.example"), utc_now()
    ways = {"ways": "EMAIL i***@m***.ru\nVK\nPASSKEY"}
    said = {
        (language, template): writer.write(Message(1, "x", kind, {"template": template, "to": "x", "language": language, "values": ways}, at, 1)).text
        for language in ("ru", "en")
        for kind, template in (("mail", "found_account"), ("sms", "found_account_sms"))
    }
    assert "- почта i***@m***.ru\n- VK ID\n- ключ доступа\n" in said["ru", "found_account"]
    assert "- e-mail i***@m***.ru\n- VK ID\n- passkey\n" in said["en", "found_account"]
    assert said["ru", "found_account_sms"] == "Kabinet: войти в ваш аккаунт можно так: почта i***@m***.ru, VK ID, ключ доступа.\n"
    assert said["en", "found_account_sms"] == "Kabinet: your account is signed in to by e-mail i***@m***.ru, VK ID, passkey.\n"
