"""A real SMTP server for tests, in the test's own loop: it takes mails, and refuses, drops or dawdles where it is told to."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult

MESSAGE_ID = re.compile(rb"^Message-ID: (\S+)", re.MULTILINE)
DROP = "drop"  # the mail is kept, and the connection lost before the answer


@dataclass
class MailServer:
    """`verdict` gives what the next DATA is answered with, or DROP; `recipient` is what RCPT is. `taken` are the mails."""

    port: int = 0
    verdict: Callable[[], str] = lambda: "250 taken"
    recipient: str = "250 known"
    addressed: int = 0  # the addresses it was told
    taken: list[bytes] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)  # their Message-IDs
    envelopes: list[tuple[str, list[str]]] = field(default_factory=list)

    async def handle_RCPT(self, server: SMTP, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        self.addressed += 1
        if self.recipient.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.recipient

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:
        verdict = self.verdict()
        if verdict == DROP or verdict.startswith("250"):
            self.taken.append(envelope.content)
            self.ids.append(MESSAGE_ID.findall(envelope.content)[0].decode())
            self.envelopes.append((envelope.mail_from, envelope.rcpt_tos))
        if verdict == DROP:
            server.transport.abort()
        return verdict

    def mails(self) -> list[EmailMessage]:
        """What was taken, read."""
        return [message_from_bytes(taken, policy=default) for taken in self.taken]  # type: ignore[misc]


def signed_in(server: SMTP, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    return AuthResult(success=(data.login, data.password) == (b"kabinet", b"secret"), handled=False)


@asynccontextmanager
async def mail_server(**given: Any) -> AsyncIterator[MailServer]:
    """A running one. `auth=True` wants kabinet and secret."""
    auth = {"authenticator": signed_in, "auth_required": True, "auth_require_tls": False} if given.pop("auth", False) else {}
    handler = MailServer(**given)
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: SMTP(handler, hostname="mail.test", enable_SMTPUTF8=False, loop=loop, **auth), "127.0.0.1", 0)
    handler.port = listening.sockets[0].getsockname()[1]
    try:
        yield handler
    finally:
        listening.close()
