"""What buyers with a number and no e-mail address are told of the ways into their account: by text message."""

import logging
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from models.instants import utc_now
from models.outbox import OutboxMessage
from resolvers.sign_in_notices import TEXTS_OF_NUMBER_A_DAY
from tests.authenticators import turn_on
from tests.passkey_device import Authenticator
from tests.resolvers.apps import SIGN_IN as SIGN_IN_AS_APP
from tests.resolvers.apps import App
from tests.resolvers.test_authenticator import REMOVE, given
from tests.resolvers.test_email_changes import asked, confirm
from tests.resolvers.test_leaving import leave
from tests.resolvers.test_passkeys import added
from tests.resolvers.test_passwords import OTHER, changed
from tests.resolvers.test_phone_codes import sent, verify
from tests.resolvers.test_sign_in_methods import ids_of, link, unlink
from tests.rows import account_of, change, letters, texts
from tests.shop import PASSWORD, Buyer, Shop

PHONE, OTHER_PHONE = "+79164445566", "+79167778899"


@pytest.fixture(autouse=True)
async def forgotten(shop: Shop) -> None:
    await change("DELETE FROM guess")
    await change("DELETE FROM outbox")
    await change("DELETE FROM identity WHERE subject IN ($1, $2)", PHONE, OTHER_PHONE)


async def by_number(shop: Shop, *others: str) -> Buyer:
    """A buyer who has a number, a password and no e-mail address, and perhaps `others` to sign in by."""
    buyer = await shop.buyer(phone=PHONE, language="ru")
    await change("DELETE FROM identity WHERE kind = 'EMAIL' AND account_id = $1", await account_of(buyer))
    await change("UPDATE account SET email = NULL WHERE id = $1", await account_of(buyer))
    for kind in others:
        await link(buyer, kind, "own")
    return buyer


async def told(phone: str = PHONE) -> list[tuple[str, dict[str, str]]]:
    """The notices to a number, all in its owner's language."""
    found = [text for text in await texts(phone) if text["template"] != "phone_code"]
    assert {text["language"] for text in found} <= {"ru"}
    return [(text["template"], text["values"]) for text in found]


async def test_a_number_that_is_replaced_is_told_and_the_new_one_is_not(shop: Shop) -> None:
    buyer = await by_number(shop)
    assert (await verify(shop, *await sent(shop, OTHER_PHONE, "LINK", buyer), by=buyer))["__typename"] == "PhoneLinked"
    assert await told() == [("sign_in_method_added_sms", {"kind": "PHONE", "masked": "+7***8899"})]
    assert await told(OTHER_PHONE) == []


async def test_a_number_that_another_account_has_is_not_told_as_a_new_one(shop: Shop) -> None:
    await shop.buyer(phone=OTHER_PHONE)
    buyer = await by_number(shop)
    assert (await verify(shop, *await sent(shop, OTHER_PHONE, "LINK", buyer), by=buyer))["code"] == "IDENTITY_TAKEN"
    assert await told() == []


async def test_a_number_that_is_taken_away_is_told(shop: Shop) -> None:
    buyer = await by_number(shop, "VK")
    assert "methodId" in await unlink(buyer, (await ids_of(buyer))["PHONE"])
    assert await told() == [("sign_in_method_removed_sms", {"kind": "PHONE", "masked": "+7***5566"})]


async def test_a_passkey_that_is_added_is_told(shop: Shop) -> None:
    await added(await by_number(shop), Authenticator(f"http://localhost:{shop.service.settings.port}"))
    assert await told() == [("sign_in_method_added_sms", {"kind": "PASSKEY", "masked": ""})]


async def test_a_second_factor_that_is_turned_on_or_off_is_told(shop: Shop) -> None:
    buyer = await by_number(shop)
    authenticator = await turn_on(buyer)
    assert await told() == [("second_factor_on_sms", {})]
    assert (await given(buyer, REMOVE, code=authenticator.recovery_codes[0]))["__typename"] == "SecondFactorRemoved"
    assert (await told())[1:] == [("second_factor_off_sms", {})]


async def test_a_password_that_is_changed_is_told(shop: Shop) -> None:
    assert (await changed(await by_number(shop), PASSWORD, OTHER))["__typename"] == "PasswordChanged"
    assert [template for template, _ in await told()] == ["password_changed_sms"]


async def test_a_deletion_that_is_asked_for_is_told_once(shop: Shop) -> None:
    buyer = await by_number(shop)
    erase_at = (await leave(buyer))["eraseAt"]
    ((template, values),) = await told()
    assert (template, datetime.fromisoformat(values["when"])) == ("account_deletion_requested_sms", datetime.fromisoformat(erase_at))


async def test_a_refresh_token_that_is_used_again_is_told(shop: Shop) -> None:
    buyer = await by_number(shop)
    answer = await shop.nobody.data(SIGN_IN_AS_APP, input={"email": "", "phone": PHONE, "password": PASSWORD, "transport": "APP"})
    app = App(shop, buyer, answer["signIn"])
    reused = await app.turn()
    await change("UPDATE refresh_token SET turned_at = $1 WHERE session_id = $2", utc_now() - timedelta(seconds=11), (await app.row()).id)
    assert (await app.refresh(reused))["code"] == "INVALID_CREDENTIALS"
    assert [template for template, _ in await told()] == ["refresh_reuse_sms"]


async def test_an_address_that_is_added_is_told_to_the_number_before_notices_go_to_the_address(shop: Shop) -> None:
    buyer = await by_number(shop)
    token = await asked(buyer, "thief@new.example")
    assert (await confirm(buyer, token))["__typename"] == "EmailChanged"
    assert await told() == [("email_changed_sms", {"masked": "t***@n***.example"})]
    assert [letter["template"] for letter in await letters("thief@new.example")] == ["confirm_email", "email_changed"]
    assert (await changed(buyer, PASSWORD, OTHER))["__typename"] == "PasswordChanged"
    assert len(await told()) == 1 and (await letters("thief@new.example"))[-1]["template"] == "password_changed"


async def test_a_sign_in_from_a_new_browser_is_told_by_mail_alone(shop: Shop) -> None:
    await by_number(shop)
    query = "mutation($input: SignInInput!) { signIn(input: $input) { __typename } }"
    assert (await shop.nobody.data(query, input={"email": "", "phone": PHONE, "password": PASSWORD}))["signIn"] == {"__typename": "SignedIn"}
    shop.http.cookies.clear()
    assert await OutboxMessage.all().count() == 0


async def test_who_has_an_address_gets_a_mail_alone_and_a_number_that_nobody_proved_nothing(shop: Shop) -> None:
    buyer = await shop.buyer(phone=PHONE)
    assert (await changed(buyer, PASSWORD, OTHER))["__typename"] == "PasswordChanged"
    assert await told() == [] and len(await letters(buyer.email)) == 1
    await change("DELETE FROM identity WHERE subject = $1", PHONE)
    unproved = await by_number(shop, "VK")
    await change("UPDATE identity SET verified_at = NULL WHERE subject = $1", PHONE)
    assert (await changed(unproved, PASSWORD, OTHER))["__typename"] == "PasswordChanged"
    assert await told() == []


async def test_a_number_is_told_five_times_a_day_and_the_log_says_that_it_was_not(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    buyer = await by_number(shop)
    passwords = [PASSWORD, *(f"{OTHER} {n}" for n in range(TEXTS_OF_NUMBER_A_DAY + 1))]
    with caplog.at_level(logging.WARNING, "kabinet.notices"):
        for current, new in pairwise(passwords):
            assert (await changed(buyer, current, new))["__typename"] == "PasswordChanged"
    assert len(await told()) == TEXTS_OF_NUMBER_A_DAY
    said = [record.getMessage() for record in caplog.records if record.name == "kabinet.notices"]
    assert said == ["the day's text messages are used up: nobody is told by password_changed_sms"]


async def test_notices_are_among_the_text_messages_that_a_day_has(shop: Shop) -> None:
    buyer = await by_number(shop)
    assert (await changed(buyer, PASSWORD, OTHER))["__typename"] == "PasswordChanged"
    await change("UPDATE guess SET failures = $1 WHERE key = 'sms-all'", shop.service.settings.sms_a_day)
    assert (await changed(buyer, OTHER, PASSWORD + " again"))["__typename"] == "PasswordChanged"
    assert len(await told()) == 1
