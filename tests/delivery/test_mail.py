"""Mail, against a real SMTP server: what arrives, what is tried again, what is given up, and that nothing is lost."""

import asyncio
import os
import random
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from delivery import outbox as worker
from delivery.letters import Writer
from delivery.mail import Mail
from delivery.outbox import Undeliverable, deliver_due
from models import letters
from models.database import fetch
from models.instants import utc_now
from models.outbox import Message, waiting_and_dead
from models.refusals import NotFound
from models.unit_of_work import Work, unit_of_work
from settings import Settings
from tests.databases import BOTH, fresh_database, settings_for
from tests.delivery.mail_server import DROP, MailServer, mail_server
from tests.delivery.test_bus import until
from tests.delivery.test_letters import message
from tests.shop import free_port

TABLES = ["models.clock", "models.activity", "models.events", "models.outbox"]
VALUES = {"when": "2026-05-01T12:00:00Z", "address": "10.0.0.1", "agent": "<script>alert(1)</script>"}


@pytest.fixture(params=BOTH)
async def database(request, tmp_path):
    async with fresh_database(request.param, tmp_path, TABLES) as opened_:
        yield opened_


def mail_settings(port: int, **given: object) -> Settings:
    smtp = {"smtp_host": "127.0.0.1", "smtp_port": port, "smtp_tls": "off", "mail_from": "Kabinet <no-reply@shop.example>"}
    return settings_for("sqlite:///unused.db", **{**smtp, **given})


def channel(server: MailServer, **given: object) -> Mail:
    return Mail(mail_settings(server.port, **given), Writer("https://shop.example"))


@unit_of_work
async def post(work: Work, count: int = 1, to: str = "anna@demo.example") -> list[str]:
    return [letters.mail(work, "new_sign_in", to, "en", account_id=None, **VALUES) for _ in range(count)]


@unit_of_work(seconds=60.0)
async def hurry(work: Work) -> None:
    """What waits for its next attempt is due."""
    now = utc_now()
    await work.execute("UPDATE outbox SET due_at = $1 WHERE due_at > $2 AND last_error IS NOT NULL", now, now)


@unit_of_work(seconds=60.0)
async def end_leases(work: Work) -> None:
    """As if the time of a killed worker's lease were over."""
    await work.execute("UPDATE outbox SET due_at = $1 WHERE due_at IS NOT NULL", utc_now())


@unit_of_work
async def erase(work: Work) -> None:
    await work.execute("DELETE FROM outbox")


@unit_of_work
async def post_and_roll_back(work: Work) -> None:
    letters.mail(work, "new_sign_in", "anna@demo.example", "en", account_id=None, **VALUES)
    await work.finish()
    raise NotFound


async def last_error() -> str:
    return (await fetch("SELECT last_error FROM outbox ORDER BY id DESC LIMIT 1"))[0][0]


async def test_a_mail_arrives_in_text_and_html_with_headers_of_its_own(database):
    (message_id,) = await post()
    async with mail_server() as server:
        assert await deliver_due({"mail": channel(server)}) == 1
    assert await waiting_and_dead() == (0, 0)
    (mail,) = server.mails()
    assert server.envelopes == [("no-reply@shop.example", ["anna@demo.example"])]
    assert mail["Message-ID"] == f"<{message_id}@shop.example>"
    assert mail["X-Event-Id"] == message_id
    assert (mail["From"], mail["To"]) == ("Kabinet <no-reply@shop.example>", "anna@demo.example")
    assert mail["Subject"] == "A new sign-in to your account"
    assert abs((mail["Date"].datetime - utc_now()).total_seconds()) < 60
    assert mail.get_content_type() == "multipart/alternative"
    text, html = mail.iter_parts()
    assert (text.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    assert "1 May 2026, 12:00 UTC" in text.get_content() and VALUES["agent"] in text.get_content()
    assert "<script" not in html.get_content() and "&lt;script&gt;" in html.get_content()


async def test_russian_words_arrive_as_they_are():
    async with mail_server() as server:
        await channel(server)(message("new_sign_in", "ru", **VALUES))
    (mail,) = server.mails()
    assert mail["Subject"] == "Новый вход в ваш аккаунт"
    assert mail["Content-Language"] == "ru"
    assert "вошли из браузера" in mail.get_body(("plain",)).get_content()
    assert "вошли из браузера" in mail.get_body(("html",)).get_content()


async def test_a_mail_that_is_refused_for_now_is_tried_again_with_the_same_id(database):
    (message_id,) = await post()
    answers = iter(["451 later", "452 later still", "250 taken"])
    async with mail_server(verdict=lambda: next(answers)) as server:
        for _ in range(3):
            assert await deliver_due({"mail": channel(server)}) == 1
            await hurry()
    assert server.ids == [f"<{message_id}@shop.example>"]
    assert await waiting_and_dead() == (0, 0)


@pytest.mark.parametrize("given", [{"verdict": lambda: "554 no"}, {"recipient": "550 unknown"}], ids=["letter", "address"])
async def test_a_mail_that_is_refused_for_good_is_a_dead_letter(database, given):
    await post()
    async with mail_server(**given) as server:
        assert await deliver_due({"mail": channel(server)}) == 1
    assert await waiting_and_dead() == (0, 1)
    assert (await last_error()).startswith("Undeliverable: 55")
    assert "anna" not in await last_error()


async def test_an_address_that_is_busy_is_tried_again(database):
    await post()
    async with mail_server(recipient="450 busy") as server:
        await deliver_due({"mail": channel(server)})
    assert await waiting_and_dead() == (1, 0)


async def test_a_connection_lost_after_the_letter_brings_the_same_letter_again(database):
    (message_id,) = await post()
    answers = iter([DROP, "250 taken"])
    async with mail_server(verdict=lambda: next(answers)) as server:
        await deliver_due({"mail": channel(server)})
        assert await waiting_and_dead() == (1, 0)
        await hurry()
        await deliver_due({"mail": channel(server)})
    assert server.ids == [f"<{message_id}@shop.example>"] * 2
    first, second = server.mails()
    assert first["Date"] == second["Date"]
    assert await waiting_and_dead() == (0, 0)


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
async def test_what_an_operator_can_mend_waits_for_it(database):
    """A server that is away, or does not like our password, makes no dead letters."""
    await post()
    async with mail_server(auth=True) as server:
        wrong = channel(server, smtp_user="kabinet", smtp_password="wrong")
        await deliver_due({"mail": wrong})
        assert "535" in await last_error()
        await hurry()
        await deliver_due({"mail": Mail(mail_settings(free_port()), Writer("https://shop.example"))})
        assert "ConnectError" in await last_error()
        await hurry()
        await deliver_due({"mail": channel(server, smtp_tls="starttls")})
        assert "STARTTLS" in await last_error()
        assert (await waiting_and_dead(), server.taken) == ((1, 0), [])
        await hurry()
        await deliver_due({"mail": channel(server, smtp_user="kabinet", smtp_password="secret")})
    assert len(server.taken) == 1


@pytest.mark.parametrize(
    "to",
    ["", "anna", "@demo.example", "anna@", "a@b@c", "anna@demo.example\r\nBcc: eve@evil.example", "anna@demo.example, eve@evil.example",
     "Anna <anna@demo.example>", "anna\0@demo.example", "anna@demo.example>\r\nRCPT TO:<eve@evil.example", "a" * 65 + "@demo.example", "anna@.пример"],
)  # fmt: skip
async def test_what_is_not_one_address_never_reaches_the_server(to):
    async with mail_server() as server:
        with pytest.raises(Undeliverable):
            await channel(server)(message("new_sign_in", "en", to=to, **VALUES))
    assert server.taken == []


async def test_a_domain_in_other_letters_is_written_so_that_any_server_reads_it():
    async with mail_server() as server:
        await channel(server)(message("new_sign_in", "en", to="anna@пример.рф", **VALUES))
    assert server.envelopes[0][1] == ["anna@xn--e1afmkfd.xn--p1ai"]


async def test_a_server_that_says_nothing_is_given_up_in_time(monkeypatch):
    monkeypatch.setattr("delivery.mail.CONNECT_SECONDS", 0.2)
    closed = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
        closed.set()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as listening:
        server = MailServer(port=listening.sockets[0].getsockname()[1])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await channel(server)(message("new_sign_in", "en", account_id=None, **VALUES))
        await asyncio.wait_for(closed.wait(), 30)


async def test_no_letter_leaves_before_the_one_before_it_is_noted(database, monkeypatch):
    """A worker that is killed then sends one letter again, and not the twenty of its batch."""
    ids, noted, unnoted = await post(25), [], []
    note_sent = worker.note_sent

    async def noting(message: Message) -> None:
        await note_sent(message)
        noted.append(message.message_id)

    monkeypatch.setattr(worker, "note_sent", noting)
    async with mail_server() as server:

        def verdict() -> str:
            unnoted.append(len(server.ids) - len(noted))
            return "250 taken"

        server.verdict, mails = verdict, channel(server)
        assert [await deliver_due({"mail": mails}) for _ in range(3)] == [20, 5, 0]
    assert (sorted(noted), unnoted) == (sorted(ids), [0] * 25)


async def test_a_letter_whose_account_is_erased_while_it_waits_for_its_turn_does_not_leave(database):
    await post(5)
    async with mail_server() as server:
        mails = channel(server)
        await mails.turn.acquire()
        delivering = asyncio.create_task(deliver_due({"mail": mails}))
        await until(lambda: server.addressed == 5)
        await erase()
        mails.turn.release()
        assert await delivering == 5
    assert (server.taken, await waiting_and_dead()) == ([], (0, 0))


async def test_a_letter_whose_turn_does_not_come_uses_up_no_attempt(database, monkeypatch):
    await post(3)
    async with mail_server() as server:
        mails = channel(server)
        await mails.turn.acquire()
        with monkeypatch.context() as hasty:
            hasty.setattr(worker, "TURN_SECONDS", 0.05)
            assert await deliver_due({"mail": mails}) == 3
        assert (server.taken, await waiting_and_dead()) == ([], (3, 0))
        assert [row[0] for row in await fetch("SELECT attempts FROM outbox")] == [0, 0, 0]
        mails.turn.release()
        assert await deliver_due({"mail": mails}) == 3
    assert len(server.taken) == 3 and mails.breaker.is_closed


async def test_the_wait_for_a_turn_is_not_the_servers_fault(monkeypatch):
    monkeypatch.setattr("delivery.mail.TOTAL_SECONDS", 2.0)

    async def late() -> None:
        await asyncio.sleep(2.5)

    async with mail_server() as server:
        await channel(server)(message("new_sign_in", "en", account_id=None, **VALUES), late)
    assert len(server.taken) == 1


WORKER = """
import asyncio
from delivery.bus import Bus
from delivery.channels import open_channels
from delivery.outbox import deliver_forever
from models.database import open_database
from settings import read_settings

async def main():
    bus, settings = Bus(), read_settings()
    bus.poll_seconds = 0.05
    async with open_database(settings, ["models.outbox"]), open_channels(settings) as channels:
        await deliver_forever(channels, bus)

asyncio.run(main())
"""


class Moody:
    """A server's verdicts: one in five 4xx, one in twenty a connection lost after the letter."""

    def __init__(self) -> None:
        self.random, self.drops = random.Random(1), 0

    def __call__(self) -> str:
        drawn = self.random.random()
        if drawn < 0.2:
            return "451 later"
        if drawn < 0.25:
            self.drops += 1
            return DROP
        return "250 taken"


@pytest.mark.parametrize("dialect", BOTH)
@pytest.mark.parametrize(("count", "kills"), [(200, 2), pytest.param(5000, 100, marks=pytest.mark.long)])
async def test_no_mail_is_lost_by_a_moody_server_and_workers_that_are_killed(dialect, count, kills, tmp_path):
    """Security.md, row R4: a letter is there twice only where its server was lost after it, or its worker killed."""
    root, moody = Path(__file__).parents[2], Moody()
    async with fresh_database(dialect, tmp_path, TABLES) as database, mail_server(verdict=moody) as server:
        ids = {f"<{message_id}@shop.example>" for message_id in await post(count)}
        settings = mail_settings(server.port).model_dump(include={"smtp_host", "smtp_port", "smtp_tls", "mail_from"})
        given = {f"KABINET_{name}".upper(): str(value) for name, value in settings.items()}
        environment = {**os.environ, **given, "KABINET_MODE": "demo", "KABINET_DATABASE_URL": database.settings.database_url}
        for turn in range(kills + 1):
            with pytest.raises(NotFound):
                await post_and_roll_back()
            process = await asyncio.create_subprocess_exec(sys.executable, "-c", WORKER, cwd=root, env=environment)
            goal = count if turn == kills else (turn + 1) * count // (kills + 2)
            async with asyncio.timeout(180 + count / 20):
                while len(set(server.ids)) < goal or (turn == kills and (await waiting_and_dead())[0]):
                    await asyncio.sleep(0.02)
                    await hurry()
            process.kill()
            await process.wait()
            await asyncio.sleep(0.05)
            await end_leases()
        assert await waiting_and_dead() == (0, 0)
    again = len(server.ids) - count
    print(f"{dialect}: {count} mails, {again} of them again, {moody.drops} drops, {kills} kills")
    assert set(server.ids) == ids
    assert again <= moody.drops + kills
