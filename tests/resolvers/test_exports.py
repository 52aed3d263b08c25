"""Exports: asked for, made by the worker, told by a letter, and taken once by the link in it."""

import asyncio
from datetime import timedelta
from typing import Any

import orjson
import pytest

from models.database import fetch
from models.instants import utc_now
from models.leaving import DataExport
from models.outbox import OutboxMessage
from resolvers.exports import prepare_exports
from resolvers.housekeeping import forget_old
from tests.resolvers.sign_ups import token_to
from tests.rows import account_of, change, letters
from tests.shop import Buyer, Shop

EXPORT = """mutation { exportMyData { __typename ... on DataExportRequested { dataExport { state readyAt expiresAt } }
  ... on Refusal { code message } ... on Unavailable { availableFrom } } }"""
SHOWN = "{ me { dataExport { state requestedAt readyAt expiresAt } } }"
DAY = timedelta(days=1)


async def export(buyer: Buyer) -> dict[str, Any]:
    return (await buyer.data(EXPORT))["exportMyData"]


async def state_of(buyer: Buyer) -> str | None:
    shown = (await buyer.data(SHOWN))["me"]["dataExport"]
    return shown and shown["state"]


async def exported(shop: Shop) -> tuple[Buyer, str]:
    """A buyer whose export is ready, and the path of its link."""
    buyer = await shop.buyer()
    assert (await export(buyer))["__typename"] == "DataExportRequested"
    await shop.work()
    return buyer, f"/export?token={await token_to(buyer.email)}"


async def test_an_export_is_made_told_and_taken_once(shop: Shop) -> None:
    buyer = await shop.buyer(displayName="Анна «Ё»")
    assert await state_of(buyer) is None
    assert await export(buyer) == {"__typename": "DataExportRequested", "dataExport": {"state": "PREPARING", "readyAt": None, "expiresAt": None}}
    assert await letters(buyer.email) == []
    await shop.work()
    shown = (await buyer.data(SHOWN))["me"]["dataExport"]
    assert shown["state"] == "READY" and shown["requestedAt"] < shown["readyAt"] < shown["expiresAt"]
    (letter,) = await letters(buyer.email)
    assert (letter["template"], letter["values"].keys()) == ("export_ready", {"link"})
    assert letter["values"]["link"].startswith(f"{shop.service.settings.base_url}/export?token=")
    path = f"/export?token={await token_to(buyer.email)}"
    answer = await shop.http.post(path)
    assert (answer.status_code, answer.headers["content-type"], answer.headers["cache-control"]) == (200, "application/json", "no-store")
    assert answer.headers["content-disposition"].startswith('attachment; filename="kabinet-')
    assert orjson.loads(answer.content)["tables"]["account"][0]["display_name"] == "Анна «Ё»"
    assert await state_of(buyer) == "TAKEN"
    assert (await DataExport.get(account_id=await account_of(buyer))).content is None
    assert (await shop.http.post(path)).status_code == 410


async def test_opening_the_link_takes_nothing_and_tells_nothing(shop: Shop) -> None:
    buyer, path = await exported(shop)
    answers = [await shop.http.request(method, path) for method in ("GET", "HEAD", "GET")]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert answers[0].content == (await shop.http.get("/export?token=%22%3E%3Cscript%3E")).content
    assert "form-action 'self'" in answers[0].headers["content-security-policy"] and "unsafe" not in answers[0].headers["content-security-policy"]
    assert await state_of(buyer) == "READY"
    assert (await shop.http.post(path)).status_code == 200


@pytest.mark.parametrize("token", ["", "wrong", "x" * 300, "%ff%fe%00"])
async def test_a_wrong_link_answers_as_a_used_one(shop: Shop, token: str) -> None:
    _, path = await exported(shop)
    assert (await shop.http.post(path)).status_code == 200
    used = await shop.http.post(path, headers={"accept-language": "ru"})
    wrong = await shop.http.post(f"/export?token={token}", headers={"accept-language": "ru"})
    assert (wrong.status_code, wrong.content) == (used.status_code, used.content)
    assert "Ссылка не подходит" in wrong.text


async def test_of_two_who_take_it_at_once_one_gets_it(shop: Shop) -> None:
    _, path = await exported(shop)
    answers = await asyncio.gather(*(shop.http.post(path) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 410, 410, 410, 410]


async def test_after_a_day_the_link_is_over_and_the_copy_gone(shop: Shop) -> None:
    buyer, path = await exported(shop)
    account_id = await account_of(buyer)
    await change("UPDATE data_export SET ends_at = $1 WHERE account_id = $2", utc_now(), account_id)
    assert (await shop.http.post(path)).status_code == 410
    assert await state_of(buyer) is None
    await forget_old(utc_now())
    assert not await DataExport.filter(account_id=account_id).exists()


async def test_one_export_at_a_time_and_three_a_day(shop: Shop) -> None:
    buyer = await shop.buyer()
    account_id = await account_of(buyer)
    both = await asyncio.gather(export(buyer), export(buyer))
    assert sorted(answer.get("code", "") for answer in both) == ["", "ALREADY_ASKED"]
    for made in (2, 3):
        await shop.work()
        assert (await export(buyer))["__typename"] == "DataExportRequested"
        assert await DataExport.filter(account_id=account_id).count() == made
    await shop.work()
    first = await DataExport.filter(account_id=account_id).order_by("id").first()
    refused = await export(buyer)
    assert (refused["code"], refused["availableFrom"][:19]) == ("LIMIT_REACHED", (first.requested_at + DAY).isoformat()[:19])  # type: ignore[union-attr]
    assert await DataExport.filter(account_id=account_id).count() == 3
    assert await state_of(buyer) == "READY"


async def test_an_export_asks_for_a_session_a_proof_and_somewhere_to_send_the_link(shop: Shop) -> None:
    buyer = await shop.buyer()
    account_id = await account_of(buyer)
    assert await shop.nobody.codes(EXPORT) == ["UNAUTHENTICATED"]
    await change("UPDATE identity SET verified_at = NULL WHERE account_id = $1", account_id)
    refused = await export(buyer)
    assert (refused["code"], refused["message"]) == ("WRONG_STATE", "Add an e-mail address or a phone number first: the link goes there.")
    await change("UPDATE session SET proved_at = '2020-01-01 00:00:00+00:00' WHERE account_id = $1", account_id)
    assert (await export(buyer))["code"] == "REAUTH_REQUIRED"
    assert not await DataExport.filter(account_id=account_id).exists()


async def test_without_a_proved_address_the_link_comes_by_sms(shop: Shop) -> None:
    buyer = await shop.buyer(phone="+79167770001", language="ru")
    await change("UPDATE identity SET verified_at = NULL WHERE account_id = $1 AND kind = 'EMAIL'", await account_of(buyer))
    await export(buyer)
    await shop.work()
    letter = await OutboxMessage.filter(kind="sms").order_by("-id").first()
    assert (letter.payload["template"], letter.payload["to"], letter.payload["language"]) == ("export_ready_sms", "+79167770001", "ru")  # type: ignore[union-attr]
    assert await letters(buyer.email) == []


async def test_a_link_by_sms_waits_for_the_next_day_where_the_service_has_paid_for_enough(shop: Shop) -> None:
    buyer = await shop.buyer(phone="+79167770002")
    account_id, most = await account_of(buyer), shop.service.settings.sms_a_day
    await change("UPDATE identity SET verified_at = NULL WHERE account_id = $1 AND kind = 'EMAIL'", account_id)
    await change("DELETE FROM guess WHERE key = 'sms-all'")
    await change("INSERT INTO guess (key, failures, first_at) VALUES ('sms-all', $1, $2)", most, utc_now() - timedelta(hours=20))
    before = await OutboxMessage.filter(kind="sms").count()
    await export(buyer)
    await shop.work()
    waiting = await DataExport.get(account_id=account_id)
    assert (waiting.ready_at, waiting.content, await OutboxMessage.filter(kind="sms").count()) == (None, None, before)
    assert timedelta(hours=3.9) < waiting.due_at - utc_now() < timedelta(hours=4.1)
    await change("DELETE FROM guess WHERE key = 'sms-all'")
    await change("UPDATE data_export SET due_at = $1 WHERE account_id = $2", utc_now(), account_id)
    await shop.work()
    assert await OutboxMessage.filter(kind="sms").count() == before + 1
    assert (await fetch("SELECT failures FROM guess WHERE key = 'sms-all'"))[0][0] == 1


async def test_an_export_that_was_begun_by_a_worker_that_died_is_made_by_another(shop: Shop) -> None:
    buyer = await shop.buyer()
    await export(buyer)
    account_id = await account_of(buyer)
    await change("UPDATE data_export SET due_at = $1 WHERE account_id = $2", utc_now() + timedelta(minutes=5), account_id)
    assert await prepare_exports() is False
    await change("UPDATE data_export SET due_at = $1 WHERE account_id = $2", utc_now(), account_id)
    await asyncio.gather(*(prepare_exports() for _ in range(3)))
    assert await state_of(buyer) == "READY"
    assert len(await letters(buyer.email)) == 1
