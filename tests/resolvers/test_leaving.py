"""Leaving: asking for it, changing one's mind, what stands in the way, and that each account is erased once."""

import asyncio
import random
from datetime import datetime, timedelta
from typing import Any

from models import clock
from models.accounts import Account
from models.activity import Activity
from models.database import fetch
from models.leaving import AccountDeletion, Erasure
from models.outbox import OutboxMessage
from models.personal_data import TABLES, bound
from models.timers import TimerRow
from models.unit_of_work import unit_of_work
from resolvers.erasures import erase_due_accounts, owner_of_rows
from tests.auth.test_sign_in import attempt
from tests.resolvers.orders import put_order
from tests.resolvers.sign_ups import activated
from tests.resolvers.test_email_changes import ask, asked, confirm
from tests.resolvers.test_phone_codes import request
from tests.rows import account_of, change, letters
from tests.shop import PASSWORD, Buyer, Shop
from tests.wire.test_live import as_buyer, port_of
from tests.wire.test_websocket import client

DELETE = """mutation { deleteAccount { __typename ... on AccountDeletionRequested { eraseAt }
  ... on Refusal { code message } ... on Unavailable { availableFrom } } }"""
KEEP = "mutation { keepAccount { ... on AccountKept { accepted } } }"
SHOWN = "{ me { deletion { requestedAt eraseAt } } }"
DAY = timedelta(days=1)


async def leave(buyer: Buyer) -> dict[str, Any]:
    answer = (await buyer.data(DELETE))["deleteAccount"]
    buyer.http.cookies.clear()
    return answer


async def back(shop: Shop, buyer: Buyer) -> Buyer:
    """The buyer, signed in again."""
    return await shop.sign_in({"email": buyer.email, "password": PASSWORD, "externalId": buyer.external_id})


async def move_clock_only(by: timedelta) -> None:
    """The clock has moved, and no worker has looked yet."""
    await unit_of_work(clock.advance)(by)


async def is_erased(account_id: int) -> bool:
    return await Erasure.filter(account_id=account_id).exists()


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def test_whoever_leaves_is_signed_out_everywhere_at_once_and_told(shop: Shop) -> None:
    buyer = await shop.buyer()
    other, account_id = await back(shop, buyer), await account_of(buyer)
    async with client(port_of(shop), **as_buyer(other)) as socket:
        await socket.subscribe("subscription { priceDrops { cursor } }")
        await socket.settled()
        answer = await leave(buyer)
        assert await socket.closed() == 4401
    assert answer["__typename"] == "AccountDeletionRequested"
    assert abs(instant(answer["eraseAt"]) - await shop.now() - 7 * DAY) < timedelta(minutes=1)
    for session in (buyer, other):
        assert await session.codes("{ me { id } }") == ["UNAUTHENTICATED"]
    (letter,) = await letters(buyer.email)
    assert (letter["template"], instant(letter["values"]["when"])) == ("account_deletion_requested", instant(answer["eraseAt"]))
    assert await Activity.filter(verb="account_deletion_requested", subject_id=account_id).count() == 1
    assert not await is_erased(account_id)


async def test_within_seven_days_the_buyer_comes_back_and_keeps_the_account(shop: Shop) -> None:
    buyer = await shop.buyer()
    answer = await leave(buyer)
    buyer = await back(shop, buyer)
    account_id = await account_of(buyer)
    assert (await buyer.data(SHOWN))["me"]["deletion"]["eraseAt"] == answer["eraseAt"]
    for _ in range(2):
        assert (await buyer.data(KEEP))["keepAccount"] == {"accepted": True}
    assert (await buyer.data(SHOWN))["me"]["deletion"] is None
    assert [letter["template"] for letter in await letters(buyer.email)] == ["account_deletion_requested", "account_kept"]
    assert not await TimerRow.filter(subject_id=account_id, kind="account_erasure").exists()
    await shop.advance(days=8)
    await shop.work()
    assert (await buyer.data("{ me { email } }"))["me"]["email"] == buyer.email


async def test_leaving_twice_stays_at_the_first_date_and_signs_out_again(shop: Shop) -> None:
    buyer = await shop.buyer()
    first = await leave(buyer)
    await move_clock_only(DAY)
    again = await back(shop, buyer)
    assert await leave(again) == first
    assert await again.codes("{ me { id } }") == ["UNAUTHENTICATED"]
    assert len(await letters(buyer.email)) == 1


async def test_leaving_and_staying_ask_for_a_session_and_leaving_for_a_proof(shop: Shop) -> None:
    buyer = await shop.buyer()
    account_id = await account_of(buyer)
    assert await shop.nobody.codes(DELETE) == await shop.nobody.codes(KEEP) == ["UNAUTHENTICATED"]
    await change("UPDATE session SET proved_at = '2020-01-01 00:00:00+00:00' WHERE account_id = $1", account_id)
    assert (await buyer.data(DELETE))["deleteAccount"]["code"] == "REAUTH_REQUIRED"
    assert (await buyer.data(SHOWN))["me"]["deletion"] is None
    assert not await TimerRow.filter(subject_id=account_id, kind="account_erasure").exists()


async def test_nobody_leaves_while_money_is_held_and_the_date_is_told(shop: Shop) -> None:
    buyer = await shop.buyer()
    await put_order(shop, buyer, ago=90 * DAY, paidAt=89 * DAY, shippedAt=88 * DAY, deliveredAt=80 * DAY, completedAt=70 * DAY)
    await put_order(shop, buyer, ago=9 * DAY, paidAt=8 * DAY, shippedAt=7 * DAY, guaranteeDays=10)
    await put_order(shop, buyer, ago=20 * DAY, paidAt=19 * DAY, shippedAt=18 * DAY, completedAt=2 * DAY)
    now = await shop.now()
    refused = await leave(buyer)
    assert (refused["__typename"], refused["code"], refused["message"]) == ("Unavailable", "WRONG_STATE", "Money of an order is still held for you.")
    assert abs(instant(refused["availableFrom"]) - now - (3 + 15) * DAY) < timedelta(minutes=1)
    account_id = await account_of(buyer)
    assert not await AccountDeletion.filter(account_id=account_id).exists()
    assert await letters(buyer.email) == []
    await change("UPDATE orders SET frozen_at = ends_at, kept_seconds = 5 WHERE account_id = $1 AND completed_at IS NULL", account_id)
    refused = await leave(buyer)
    assert (refused["code"], refused["availableFrom"]) == ("DISPUTE_OPEN", None)
    assert (await buyer.data(SHOWN))["me"]["deletion"] is None
    await change("UPDATE orders SET frozen_at = NULL, kept_seconds = NULL WHERE account_id = $1", account_id)
    await shop.advance(days=19)
    await shop.work()
    assert (await leave(await back(shop, buyer)))["__typename"] == "AccountDeletionRequested"


async def test_money_that_came_in_the_seven_days_puts_the_erasure_off(shop: Shop) -> None:
    buyer = await shop.buyer()
    account_id, product = await account_of(buyer), await shop.product()
    await leave(buyer)
    buyer = await back(shop, buyer)
    await put_order(shop, buyer, product, ago=timedelta(0), paidAt=timedelta(0), shippedAt=timedelta(0), guaranteeDays=10)
    now = await shop.now()
    await shop.advance(days=7)
    await shop.work()
    assert not await is_erased(account_id)
    erase_at = instant((await buyer.data(SHOWN))["me"]["deletion"]["eraseAt"])
    assert abs(erase_at - now - 25 * DAY) < timedelta(minutes=1)
    letter = (await letters(buyer.email))[-1]
    assert (letter["template"], instant(letter["values"]["when"])) == ("account_erasure_put_off", erase_at)
    await shop.advance(days=19)
    await shop.work()
    assert await is_erased(account_id)


async def test_what_has_no_date_is_looked_at_every_day_and_told_once(shop: Shop) -> None:
    buyer = await shop.buyer()
    account_id = await account_of(buyer)
    await put_order(shop, buyer, ago=90 * DAY, paidAt=89 * DAY, shippedAt=88 * DAY, completedAt=70 * DAY)
    await leave(buyer)
    await change("UPDATE orders SET frozen_at = completed_at, kept_seconds = 5 WHERE account_id = $1", account_id)
    for _ in range(9):
        await shop.advance(days=1)
        await shop.work()
    assert not await is_erased(account_id)
    assert [letter["template"] for letter in await letters(buyer.email)] == ["account_deletion_requested", "account_erasure_put_off"]
    await change("UPDATE orders SET frozen_at = NULL, kept_seconds = NULL WHERE account_id = $1", account_id)
    await shop.advance(days=1)
    await shop.work()
    assert await is_erased(account_id)


async def test_an_order_that_can_still_be_paid_is_waited_for(shop: Shop) -> None:
    buyer = await shop.buyer()
    account_id, product = await account_of(buyer), await shop.product()
    await leave(buyer)
    await move_clock_only(7 * DAY - timedelta(hours=1))
    await put_order(shop, await back(shop, buyer), product, ago=timedelta(0))
    await shop.advance(hours=2)
    await shop.work()
    assert not await is_erased(account_id)
    await shop.advance(hours=23)
    await shop.work()
    assert await is_erased(account_id)


async def test_an_erased_account_is_as_unknown_and_its_address_begins_anew(shop: Shop) -> None:
    buyer = await shop.buyer()
    address, account_id = buyer.email, await account_of(buyer)
    unknown = await attempt(shop, "nobody-at-all@shop.example", PASSWORD)
    await leave(buyer)
    in_time = await back(shop, buyer)
    await shop.advance(days=7)
    await shop.work()
    assert await in_time.codes("{ me { id } }") == ["UNAUTHENTICATED"]
    assert await attempt(shop, address, PASSWORD) == unknown
    assert unknown["code"] == "INVALID_CREDENTIALS"
    fresh = await activated(shop, address)
    assert fresh["account"]["id"] != buyer.id
    found = await Buyer(shop.http, fresh["token"], fresh["account"]["id"], "").data("{ me { displayName deletion { eraseAt } orders { totalCount } sessions { id } } }")
    assert (found["me"]["displayName"], found["me"]["deletion"], found["me"]["orders"]["totalCount"], len(found["me"]["sessions"])) == ("Vera Lind", None, 0, 1)
    assert (await Account.get(id=account_id)).display_name == ""


async def test_the_platform_does_not_bring_an_erased_buyer_back(shop: Shop) -> None:
    buyer = await shop.buyer()
    account_id = await account_of(buyer)
    row = {"externalId": buyer.external_id, "displayName": "Back again", "email": buyer.email, "region": "US", "currency": "USD"}
    await leave(buyer)
    assert (await shop.put("putAccounts", [row]))[0]["status"] == "UPDATED"  # not yet
    await shop.advance(days=7)
    await shop.work()
    results = await shop.put("putAccounts", [row, {**row, "externalId": f"{buyer.external_id}-new"}])
    assert [(result["status"], result["code"]) for result in results] == [("REFUSED", "CONFLICT"), ("CREATED", None)]
    assert results[0]["message"] == "The buyer with this id has had their account erased."
    assert (await Account.get(id=account_id)).email is None
    (order,) = await shop.put("putFavorites", [{"accountExternalId": buyer.external_id, "productExternalId": (await shop.product()).external_id}])
    assert order["code"] == "UNKNOWN_REFERENCE"
    kept = await fetch("SELECT * FROM erasure WHERE account_id = $1", account_id)
    assert not any(buyer.external_id in str(value) for value in kept[0])


async def test_letters_that_wait_are_not_sent_to_whom_is_erased(shop: Shop) -> None:
    buyer, other = await shop.buyer(), await shop.buyer()
    await leave(buyer)
    await leave(other)
    await (await back(shop, other)).data(KEEP)
    await shop.advance(days=7)
    await shop.work()
    assert await letters(buyer.email) == []
    assert len(await letters(other.email)) == 2


async def test_keeping_and_erasing_at_once_end_in_one_of_the_two(shop: Shop) -> None:
    for _ in range(8):
        buyer = await shop.buyer()
        await leave(buyer)
        buyer = await back(shop, buyer)
        account_id = await account_of(buyer)
        await move_clock_only(7 * DAY)
        kept, *_ = await asyncio.gather(buyer.run(KEEP), erase_due_accounts(), erase_due_accounts())
        erased = await is_erased(account_id)
        assert erased == ("errors" in kept), kept
        assert (await Account.get(id=account_id)).email == (None if erased else buyer.email)
        assert not await AccountDeletion.filter(account_id=account_id).exists()
        assert await Activity.filter(verb="account_erased", subject_id=account_id).count() == erased


async def test_the_platforms_word_and_the_erasure_at_once_bring_nobody_back(shop: Shop) -> None:
    for _ in range(6):
        buyer = await shop.buyer()
        account_id = await account_of(buyer)
        await leave(buyer)
        await move_clock_only(7 * DAY)
        row = {"externalId": buyer.external_id, "displayName": "New name", "email": buyer.email, "region": "US", "currency": "USD"}
        ((result,), _) = await asyncio.gather(shop.put("putAccounts", [row]), erase_due_accounts())
        assert result["status"] in ("UPDATED", "REFUSED")
        erased = await Account.get(id=account_id)
        assert (erased.display_name, erased.email, erased.external_id) == ("", None, None)
        assert await fetch("SELECT 1 FROM identity WHERE account_id = $1", account_id) == []
        assert not await Account.filter(external_id=buyer.external_id).exists()


async def test_a_sign_in_and_the_erasure_at_once_leave_no_session(shop: Shop) -> None:
    for _ in range(6):
        buyer = await shop.buyer()
        account_id = await account_of(buyer)
        await leave(buyer)
        await move_clock_only(7 * DAY)
        await asyncio.gather(attempt(shop, buyer.email, PASSWORD), erase_in_a_while())
        assert await is_erased(account_id)
        assert await fetch("SELECT 1 FROM session WHERE account_id = $1", account_id) == []


async def erase_in_a_while() -> None:
    """Not before the sign-in has begun to look at the password, which takes it tens of milliseconds."""
    await asyncio.sleep(random.uniform(0, 0.1))
    await erase_due_accounts()


async def test_of_many_workers_one_erases(shop: Shop) -> None:
    buyers = [await shop.buyer() for _ in range(5)]
    ids = [await account_of(buyer) for buyer in buyers]
    for buyer in buyers:
        await leave(buyer)
    await move_clock_only(7 * DAY)
    await asyncio.gather(*(erase_due_accounts() for _ in range(4)))
    done = await Activity.filter(verb="account_erased", subject_id__in=ids).values_list("subject_id", flat=True)
    assert sorted(done) == sorted(ids)


async def test_what_a_late_request_wrote_goes_an_hour_later(shop: Shop) -> None:
    buyer = await shop.buyer()
    account_id = await account_of(buyer)
    await leave(buyer)
    await shop.advance(days=7)
    await shop.work()
    await change("UPDATE account SET email = 'late@shop.example' WHERE id = $1", account_id)
    await change(
        "INSERT INTO identity (account_id, kind, subject, verified_at) VALUES ($1, 'EMAIL', 'late@shop.example', $2)", account_id, await shop.now()
    )
    await shop.advance(hours=1)
    await shop.work()
    assert (await Account.get(id=account_id)).email is None
    assert await fetch("SELECT 1 FROM identity WHERE account_id = $1", account_id) == []
    assert not await TimerRow.filter(subject_id=account_id).exists()


async def waiting(*recipients: str) -> list[tuple[str, str]]:
    """The letters to these that the outbox holds: to whom, and in which words."""
    held = [message.payload for message in await OutboxMessage.all().order_by("id")]
    return [(payload["to"], payload["template"]) for payload in held if payload.get("to") in recipients]


async def test_letters_to_addresses_from_before_go_with_the_account_and_those_of_others_there_stay(shop: Shop) -> None:
    buyer = await shop.buyer()
    old, new, wanted, number = buyer.email, "second@left.example", "third@left.example", "+79165557101"
    assert (await confirm(buyer, await asked(buyer, new)))["__typename"] == "EmailChanged"
    await asked(buyer, wanted)
    assert (await request(shop, number, "LINK", buyer))["__typename"] == "PhoneCodeRequested"
    other = await shop.buyer(email=old)  # whose it is now
    await shop.sign_in({"email": old, "password": PASSWORD, "externalId": other.external_id})
    everything = [(old, "email_change_requested"), (new, "confirm_email"), (old, "email_changed"), (new, "email_changed")]
    everything += [(new, "email_change_requested"), (wanted, "confirm_email"), (number, "phone_code"), (old, "new_sign_in")]
    found = await waiting(old, new, wanted, number)
    assert sorted(found) == sorted(everything)
    await change("UPDATE outbox SET dead_at = wanted_at, due_at = NULL WHERE id IN (SELECT min(id) FROM outbox)")
    await leave(buyer)
    await shop.advance(days=7)
    await shop.work()
    assert await waiting(old, new, wanted, number) == [(old, "new_sign_in")]


async def test_a_copy_of_ones_data_tells_the_same_of_an_address_that_is_anothers_and_one_that_is_not(shop: Shop) -> None:
    counts = []
    for wanted in ((await shop.buyer()).email, "nobodys@left.example"):
        buyer = await shop.buyer()
        await change("DELETE FROM outbox")
        await change("DELETE FROM guess")
        assert (await ask(buyer, wanted))["__typename"] == "EmailChangeRequested"
        sql, params = bound(f"SELECT kind, attempts FROM outbox WHERE {TABLES['outbox'].rows}", await owner_of_rows(await account_of(buyer)))
        counts.append([tuple(row) for row in await fetch(sql, *params)])
    assert counts[0] == counts[1] == [("mail", 0)] * 2
