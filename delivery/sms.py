"""Text messages, through whatever gateway the operator has."""

import asyncio
import re
from typing import Protocol

import httpx2

from delivery.letters import Writer
from delivery.outbox import Undeliverable
from models.breaker import Breaker
from models.outbox import Message
from settings import Settings

CONNECT_SECONDS, TOTAL_SECONDS = 3.0, 10.0
REFUSED_FOR_GOOD = (400, 422)
ILL = (OSError, httpx2.HTTPError)
_NUMBER = re.compile(r"^\+[1-9][0-9]{6,14}\Z")


class Refused(ConnectionError):
    """The gateway works, and does not take this message now."""


class SmsGateway(Protocol):
    """Whoever brings text messages to telephones. Another gateway is another class with this method."""

    async def send(self, message_id: str, to: str, text: str) -> None:
        """Take the text for the E.164 number `to`; a `message_id` that was taken before is not sent again.

        Raises:
            Undeliverable: never for this number or text. Anything else: it is tried again.
        """
        ...


class HttpSmsGateway:
    """A gateway that takes `{"id", "to", "text"}` by POST. Of its answer only the status is read, no further than the head."""

    def __init__(self, settings: Settings):
        token = settings.sms_token.get_secret_value()
        self.url = settings.sms_url
        self.http = httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=httpx2.Timeout(TOTAL_SECONDS, connect=CONNECT_SECONDS),
            follow_redirects=False,
            trust_env=False,
        )

    async def send(self, message_id: str, to: str, text: str) -> None:
        body = {"id": message_id, "to": to, "text": text}
        async with asyncio.timeout(TOTAL_SECONDS):
            async with self.http.stream("POST", self.url, json=body, headers={"Idempotency-Key": message_id}) as answer:
                status = answer.status_code
        if status in REFUSED_FOR_GOOD:
            raise Undeliverable(f"the gateway answers {status}")
        if 400 <= status < 500 and status != 429:
            raise Refused(f"the gateway answers {status}")
        if not 200 <= status < 300:
            raise ConnectionError(f"the gateway answers {status}")

    async def close(self) -> None:
        await self.http.aclose()


class Sms:
    """The outbox's channel for text messages."""

    def __init__(self, gateway: SmsGateway, writer: Writer):
        self.gateway, self.writer = gateway, writer
        self.breaker = Breaker("the gateway of text messages")

    async def __call__(self, message: Message) -> None:
        letter = self.writer.write(message)
        if not _NUMBER.match(letter.to):
            raise Undeliverable("not a telephone number")
        with self.breaker.asked(ILL, answers=(Refused,)):
            await self.gateway.send(letter.message_id, letter.to, letter.text.strip())
