"""/dev/mailbox: what the demo mode would have sent, for people and for a front-end's tests."""

from typing import Any

import pytest

from delivery import mailbox
from delivery.channels import open_channels
from delivery.letters import Writer
from delivery.mailbox import Mailbox
from delivery.outbox import deliver_due
from models import letters
from models.letters import Letter
from models.unit_of_work import Work, unit_of_work
from tests.delivery.test_letters import message
from tests.shop import Shop

VALUES = {"when": "2026-05-01T12:00:00Z", "address": "10.0.0.1", "agent": "<script>alert(1)</script>"}


@unit_of_work
async def post(work: Work, to: str = "anna@demo.example", **values: str) -> str:
    return letters.mail(work, "new_sign_in", to, "en", account_id=None, **{**VALUES, **values})


@unit_of_work
async def forget(work: Work) -> None:
    await work.execute("DELETE FROM letter")


@pytest.fixture
async def empty(shop: Shop) -> Shop:
    await forget()
    return shop


async def deliver(shop: Shop) -> None:
    async with open_channels(shop.service.settings) as channels:
        while await deliver_due(channels, 1):
            pass


async def kept(shop: Shop, **asked: str) -> list[dict[str, Any]]:
    answer = await shop.http.get("/dev/mailbox.json", params=asked)
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


async def test_letters_are_kept_and_shown_the_newest_first(empty: Shop) -> None:
    shop = empty
    assert "no letters yet" in (await shop.http.get("/dev/mailbox")).text
    ids = [await post("anna@demo.example"), await post("boris@demo.example")]
    await deliver(shop)
    assert await kept(shop) and [letter["messageId"] for letter in await kept(shop)] == ids[::-1]
    (letter,) = await kept(shop, to="anna@demo.example")
    assert {name: letter[name] for name in ("kind", "template", "to", "language", "subject")} == {
        "kind": "mail", "template": "new_sign_in", "to": "anna@demo.example", "language": "en", "subject": "A new sign-in to your account",
    }  # fmt: skip
    assert letter["links"] == [shop.url]
    assert VALUES["agent"] in letter["text"] and VALUES["agent"] not in letter["html"]
    page = await shop.http.get("/dev/mailbox")
    assert page.text.index("boris@demo.example") < page.text.index("anna@demo.example")
    assert f'<a href="{shop.url}">{shop.url}</a>' in page.text
    assert "<script" not in page.text and "&lt;script&gt;alert" in page.text
    as_html = await shop.http.get(f"/dev/mailbox/{letter['id']}")
    assert as_html.text == letter["html"]
    assert (await shop.http.get("/dev/mailbox/99999999999999999999")).status_code == 404
    assert (await shop.http.get("/dev/mailbox.json?to=%00")).json() == []


async def test_every_answer_is_as_closed_as_the_other_pages(empty: Shop) -> None:
    shop = empty
    await post()
    await deliver(shop)
    (letter,) = await kept(shop)
    for path in ("/dev/mailbox", "/dev/mailbox.json", "/dev/mailbox.css", f"/dev/mailbox/{letter['id']}", "/dev/mailbox/0"):
        answer = await shop.http.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "script-src" not in policy
        assert "unsafe-inline" not in policy or path.endswith(str(letter["id"]))
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in answer.headers
        assert (await shop.http.post(path)).status_code == 405


async def test_a_letter_is_kept_once_and_only_the_latest_are(empty: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    channel = Mailbox(Writer("https://shop.example"))
    for _ in range(2):
        await channel(message("new_sign_in", "en", account_id=None, **VALUES))
    assert await Letter.all().count() == 1
    monkeypatch.setattr(mailbox, "KEPT", 5)
    for number in range(8):
        await post(address=str(number))
    await deliver(empty)
    assert await Letter.all().count() == 5
    assert [f"Address: {number}\n" in letter["text"] for number, letter in zip(range(7, 2, -1), await kept(empty), strict=True)] == [True] * 5
