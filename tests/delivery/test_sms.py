"""Text messages, against a small gateway."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from delivery.letters import Writer
from delivery.outbox import Undeliverable
from delivery.sms import HttpSmsGateway, Sms
from tests.databases import settings_for
from tests.delivery.test_letters import HOME, message
from tests.shop import free_port, start, stopped


@dataclass
class Gateway:
    """What is outside: answers with `answer`, and keeps what it was asked."""

    url: str = ""
    answer: Response = field(default_factory=Response)
    asked: list[tuple[dict[str, str], Any]] = field(default_factory=list)

    async def take(self, request: Request) -> Response:
        self.asked.append((dict(request.headers), await request.json()))
        return self.answer


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    """A running one."""
    kept, port = Gateway(), free_port()
    app = Starlette(routes=[Route("/send", kept.take, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", lifespan="off"))
    await start(server, [server.config.bind_socket()])
    kept.url = f"http://127.0.0.1:{port}/send"
    yield kept
    await stopped(server)


@pytest.fixture
async def channel(gateway: Gateway, tmp_path: Path) -> AsyncIterator[Sms]:
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "code.txt.jinja").write_text("Your code: {{ code }}\n")
    sender = HttpSmsGateway(settings_for("sqlite:///unused.db", sms_url=gateway.url, sms_token="secret"))
    yield Sms(sender, Writer(HOME, tmp_path))
    await sender.close()


def code(to: str = "+79161234567") -> Any:
    return message("code", to=to, kind="sms", code="123456")


async def test_a_text_message_goes_to_the_gateway_with_its_token_and_a_stable_key(gateway: Gateway, channel: Sms) -> None:
    await channel(code())
    await channel(code())
    (headers, body), (again, _) = gateway.asked
    assert body == {"id": "a1b2", "to": "+79161234567", "text": "Your code: 123456"}
    assert headers["authorization"] == "Bearer secret"
    assert headers["content-type"] == "application/json"
    assert headers["idempotency-key"] == again["idempotency-key"] == "a1b2"


@pytest.mark.parametrize("status", [400, 422])
async def test_a_refused_message_is_given_up(gateway: Gateway, channel: Sms, status: int) -> None:
    gateway.answer = Response(status_code=status)
    with pytest.raises(Undeliverable, match=str(status)):
        await channel(code())


@pytest.mark.parametrize("status", [401, 403, 404, 408, 429, 500, 502, 503])
async def test_any_other_failure_is_tried_again(gateway: Gateway, channel: Sms, status: int) -> None:
    gateway.answer = Response(status_code=status)
    with pytest.raises(ConnectionError, match=str(status)):
        await channel(code())


async def test_a_gateway_leads_nowhere_else(gateway: Gateway, channel: Sms) -> None:
    gateway.answer = RedirectResponse(f"{gateway.url}?again", status_code=307)
    with pytest.raises(ConnectionError, match="307"):
        await channel(code())
    assert len(gateway.asked) == 1


async def test_of_an_endless_answer_only_the_head_is_read(gateway: Gateway, channel: Sms) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 65536
            await asyncio.sleep(0)
            yield b"x" * 65536

    gateway.answer = StreamingResponse(endless())
    async with asyncio.timeout(30):
        await channel(code())
        before = -1
        while sent != before:  # until nothing more is sent
            before = sent
            await asyncio.sleep(0.2)
    assert sent < 64 * 2**20


async def test_a_gateway_that_says_nothing_is_given_up_in_time(gateway: Gateway, channel: Sms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("delivery.sms.TOTAL_SECONDS", 0.2)

    given_up = asyncio.Event()

    class Late(Response):
        async def __call__(self, *asgi: Any) -> None:
            await given_up.wait()
            await super().__call__(*asgi)

    gateway.answer = Late()
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        await channel(code())
    given_up.set()
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("to", ["", "79161234567", "+7916", "+7916123456x", "+79161234567\r\n", "+0123456789"])
async def test_what_is_no_number_never_reaches_the_gateway(gateway: Gateway, channel: Sms, to: str) -> None:
    with pytest.raises(Undeliverable):
        await channel(code(to))
    assert gateway.asked == []
