"""Where letters go, by mode and settings."""

import asyncio
from pathlib import Path

import pytest

from delivery.channels import open_channels
from models.letters import Letter
from models.outbox import waiting_and_dead
from server import at_work
from tests.databases import BOTH, migrated_database, settings_for
from tests.delivery.test_mail import post
from tests.shop import PASSWORD, open_shop
from wire.process import Service


async def test_a_running_demo_keeps_what_a_sign_in_brings(tmp_path: Path) -> None:
    async with open_shop("sqlite", tmp_path, worker=True) as shop:
        await shop.buyer(email="anna@demo.example")
        await shop.sign_in({"email": "anna@demo.example", "password": PASSWORD, "externalId": ""})
        async with asyncio.timeout(60):
            while not (await shop.http.get("/dev/mailbox.json", params={"to": "anna@demo.example"})).json():  # noqa: ASYNC110 - as a client has to
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("mode", ["development", "production"])
async def test_there_is_no_mailbox_outside_the_demo_mode(tmp_path: Path, mode: str) -> None:
    async with open_shop("sqlite", tmp_path, mode=mode) as shop:
        for path in ("/dev/mailbox", "/dev/mailbox.json", "/dev/mailbox.css", "/dev/mailbox/1"):
            assert (await shop.http.get(path)).status_code == 404


async def test_a_strange_host_is_not_answered(tmp_path: Path) -> None:
    async with open_shop("sqlite", tmp_path, allowed_hosts="127.0.0.1") as shop:
        answer = await shop.http.get("/dev/mailbox.json", headers={"host": "evil.example"})
        assert (answer.status_code, (await shop.http.get("/dev/mailbox.json")).status_code) == (400, 200)


@pytest.mark.parametrize("dialect", BOTH)
async def test_without_a_server_in_production_letters_wait_and_that_is_said(dialect: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with migrated_database(dialect, tmp_path) as database:
        await post()
        service = Service.put_together(settings_for(database.settings.database_url, mode="production"))
        async with at_work(service):
            await asyncio.sleep(0.3)
        assert await waiting_and_dead() == (1, 0)
        assert await Letter.all().count() == 0
    said = [record.getMessage() for record in caplog.records if record.name == "kabinet.outbox"]
    assert [line.split()[0] for line in said] == ["KABINET_SMTP_HOST", "KABINET_SMS_URL"]


async def test_with_a_server_the_demo_sends(tmp_path: Path) -> None:
    given = {"smtp_host": "mail.example", "mail_from": "a@shop.example", "sms_url": "https://sms.example"}
    async with open_channels(settings_for("sqlite:///unused.db", **given)) as channels:
        assert {kind: type(channel).__name__ for kind, channel in channels.items()} == {
            "extension_unanswered": "function", "mail": "Mail", "sms": "Sms",
        }  # fmt: skip
