"""Mail by SMTP: one connection a letter, the same Message-ID at every attempt."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from typing import Any

import aiosmtplib
from aiosmtplib import SMTPDataError, SMTPException, SMTPRecipientsRefused

from delivery.letters import Writer, Written
from delivery.outbox import Undeliverable
from models.breaker import Breaker
from models.outbox import Message
from settings import Settings, SmtpTls

CONNECT_SECONDS, TOTAL_SECONDS = 3.0, 10.0
PERMANENT = range(500, 600)
ILL, OF_THIS_LETTER = (OSError, SMTPException), (SMTPRecipientsRefused, SMTPDataError)
_ADDRESS = re.compile(r"^[^\s\x00-\x20\x7f-\x9f@<>,;:\"()\[\]\\]{1,64}@[^\s\x00-\x20\x7f-\x9f@<>,;:\"()\[\]\\]{1,255}\Z")


Turn = Callable[[], Awaitable[None]]


async def at_once() -> None:
    """The turn of a letter that waits for no other."""


class Mail:
    """The outbox's channel for mails."""

    def __init__(self, settings: Settings, writer: Writer):
        self.settings, self.writer = settings, writer
        self.breaker = Breaker("the mail server")
        self.turn = asyncio.Lock()
        name, address = parseaddr(settings.mail_from)
        self.sender = Address(name, addr_spec=address)

    async def __call__(self, message: Message, my_turn: Turn = at_once) -> None:
        """Hand the letter to the server; up to its DATA without a turn, for the way there takes longest.

        Raises:
            Undeliverable: there is no such address, or the server refuses this letter for good. What it refuses before
                it has seen address or letter (our name, our password, our sender) is an operator's to mend: tried again.
        """
        mail = self.compose(self.writer.write(message))
        try:
            with self.breaker.asked(ILL, answers=OF_THIS_LETTER):
                await self._send(mail, my_turn)
        except SMTPRecipientsRefused as refused:
            if all(one.code in PERMANENT for one in refused.recipients):
                raise Undeliverable(f"{refused.recipients[0].code} for the address") from refused
            raise
        except SMTPDataError as refused:
            if refused.code in PERMANENT:
                raise Undeliverable(f"{refused.code} for the letter") from refused
            raise

    def compose(self, letter: Written) -> EmailMessage:
        """The mail as it travels.

        Raises:
            Undeliverable: the address is none.
        """
        mail = EmailMessage()
        mail["From"] = self.sender
        mail["To"] = _address(letter.to)
        mail["Subject"] = letter.subject
        mail["Date"] = format_datetime(letter.wanted_at)
        mail["Message-ID"] = f"<{letter.message_id}@{self.sender.domain}>"
        mail["X-Event-Id"] = letter.message_id
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(letter.text)
        if letter.html is not None:
            mail.add_alternative(letter.html, subtype="html")
        mail["Content-Language"] = letter.language  # after the content, which would take it into the first part
        return mail

    async def _send(self, mail: EmailMessage, my_turn: Turn) -> None:
        settings = self.settings
        async with asyncio.timeout(TOTAL_SECONDS) as limit:
            server = InTurn(
                limit,
                my_turn,
                hostname=settings.smtp_host,
                port=settings.smtp_port,
                username=settings.smtp_user or None,
                password=settings.smtp_password.get_secret_value() or None,
                local_hostname=self.sender.domain,
                use_tls=settings.smtp_tls is SmtpTls.IMPLICIT,
                start_tls=settings.smtp_tls is SmtpTls.STARTTLS,
                timeout=TOTAL_SECONDS,
            )
            try:
                await server.connect(timeout=CONNECT_SECONDS)
                await server.send_message(mail)
            finally:
                server.close()  # without QUIT: the letter is taken, and nothing may fail any more


class InTurn(aiosmtplib.SMTP):
    """A connection whose letter waits for its turn when the server knows sender and address; the wait is not the server's fault."""

    def __init__(self, limit: asyncio.Timeout, my_turn: Turn, **given: Any):
        super().__init__(**given)
        self.limit, self.my_turn = limit, my_turn

    async def data(self, message: str | bytes, /, **given: Any) -> aiosmtplib.SMTPResponse:
        self.limit.reschedule(None)
        await self.my_turn()
        self.limit.reschedule(asyncio.get_running_loop().time() + TOTAL_SECONDS)
        return await super().data(message, **given)


def _address(to: str) -> Address:
    """An address whose domain any server understands.

    Raises:
        Undeliverable: it is none, or would end a header's line.
    """
    if not _ADDRESS.match(to) or len(to) > 254:
        raise Undeliverable("not an address")
    name, _, domain = to.rpartition("@")
    try:
        return Address(username=name, domain=domain if domain.isascii() else domain.encode("idna").decode())
    except (ValueError, IndexError) as wrong:
        raise Undeliverable("not an address") from wrong
