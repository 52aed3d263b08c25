"""A mail server or a gateway that is ill is left alone, and what waits for it uses up none of its attempts (security.md, row R15)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from starlette.responses import Response

from delivery.bus import Bus
from delivery.letters import Writer
from delivery.mail import Mail
from delivery.outbox import deliver_due, deliver_forever
from delivery.sms import Sms
from models.breaker import Resting
from models.database import fetch
from models.outbox import waiting_and_dead
from tests.databases import fresh_database
from tests.delivery.mail_server import mail_server
from tests.delivery.test_bus import until
from tests.delivery.test_mail import TABLES, channel, hurry, mail_settings, post
from tests.delivery.test_sms import Gateway, code
from tests.delivery.test_sms import channel as sms_channel  # noqa: F401 - a fixture
from tests.delivery.test_sms import gateway as gateway
from tests.shop import free_port
from tests.statements import statements

MODES = ["refused", "silent", "slow", "failing", "huge", "garbage"]


@pytest.fixture
async def database(tmp_path):
    async with fresh_database("sqlite", tmp_path, TABLES) as opened:
        yield opened


@asynccontextmanager
async def ill_server(mode: str) -> AsyncIterator[int]:
    """The port of a mail server that is ill in one way."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            match mode:
                case "failing":
                    writer.write(b"421 not now\r\n")
                case "huge":
                    writer.write(b"220-x" + b"x" * 70 + b"\r\n")
                    for _ in range(2**21 // 80):
                        writer.write(b"220-x" + b"x" * 70 + b"\r\n")
                case "garbage":
                    writer.write(b"\x00\xff{}\r\n" * 100)
                case "slow":
                    for byte in b"220 " + b"x" * 100:
                        writer.write(bytes([byte]))
                        await asyncio.sleep(0.1)
            await reader.read()
        writer.close()

    if mode == "refused":
        yield free_port()
        return
    async with await asyncio.start_server(talk, "127.0.0.1", 0) as listening:
        yield listening.sockets[0].getsockname()[1]


async def attempts() -> list[int]:
    return [row[0] for row in await fetch("SELECT attempts FROM outbox ORDER BY id")]


async def on_their_way() -> int:
    """How many letters were tried of which it is not noted yet how that ended."""
    return (await fetch("SELECT count(*) FROM outbox WHERE attempts > 0 AND last_error IS NULL"))[0][0]


@pytest.mark.parametrize("mode", MODES)
async def test_letters_wait_untried_while_the_mail_server_is_ill_and_all_leave_once_it_is_well(
    database, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("delivery.mail.CONNECT_SECONDS", 0.3)
    monkeypatch.setattr("delivery.mail.TOTAL_SECONDS", 0.3)
    await post(30)
    async with ill_server(mode) as port:
        ill = Mail(mail_settings(port), Writer("https://shop.example"))
        async with asyncio.timeout(60):  # 20 letters at once, on a machine that may be busy
            assert await deliver_due({"mail": ill}) == 20
        assert await attempts() == [1] * 20 + [0] * 10
        await hurry()
        assert await deliver_due({"mail": ill}) == 0
        assert await attempts() == [1] * 20 + [0] * 10
        with monkeypatch.context() as rested:
            rested.setattr("models.breaker.REST_SECONDS", 0.0)
            assert await deliver_due({"mail": ill}) == 1  # one letter tries whether it is back
        assert await deliver_due({"mail": ill}) == 0
    monkeypatch.undo()
    async with mail_server() as server:
        ill.settings = mail_settings(server.port)
        monkeypatch.setattr("models.breaker.REST_SECONDS", 0.0)
        await hurry()
        assert [await deliver_due({"mail": ill}) for _ in range(4)] == [1, 20, 9, 0]
    assert len(set(server.ids)) == 30 and await waiting_and_dead() == (0, 0)


async def test_what_a_server_says_of_single_letters_keeps_no_other_back(database) -> None:
    await post(15)
    async with mail_server(recipient="450 busy") as server:
        busy = channel(server)
        assert await deliver_due({"mail": busy}) == 15
        assert busy.breaker.is_closed


async def test_the_worker_looks_for_no_letters_while_it_may_send_none(database, monkeypatch: pytest.MonkeyPatch) -> None:
    await post(25)
    async with ill_server("refused") as port:
        ill = Mail(mail_settings(port), Writer("https://shop.example"))
        working = asyncio.create_task(deliver_forever({"mail": ill}, Bus()))
        await until(lambda: not ill.breaker.is_closed)
        async with asyncio.timeout(30):
            while await attempts() != [1] * 20 + [0] * 5 or await on_their_way():  # noqa: ASYNC110 - how the first batch ended is noted
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.2)
        async with statements() as seen:
            await asyncio.sleep(0.5)
        assert seen == []
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_a_gateway_that_fails_is_left_alone(gateway: Gateway, sms_channel: Sms, status: int) -> None:  # noqa: F811
    gateway.answer = Response(status_code=status)
    for _ in range(10):
        with pytest.raises(ConnectionError):
            await sms_channel(code())
    with pytest.raises(Resting):
        await sms_channel(code())
    assert len(gateway.asked) == 10


@pytest.mark.parametrize("answer", [Response(status_code=404), Response("{", 200), Response(b"x" * 2**21, 200)])
async def test_a_gateway_that_answers_is_asked_again(gateway: Gateway, sms_channel: Sms, answer: Response) -> None:  # noqa: F811
    gateway.answer = answer
    for _ in range(12):
        with suppress(ConnectionError):
            await sms_channel(code())
    assert len(gateway.asked) == 12
