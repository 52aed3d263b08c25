"""The outbox's channels, as settings and mode have them."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from delivery.letters import Writer
from delivery.mail import Mail
from delivery.mailbox import Mailbox
from delivery.outbox import Channel, log_channel
from delivery.sms import HttpSmsGateway, Sms
from models.letters import MAIL, SMS
from settings import Settings

LOGGED_KINDS = ("extension_unanswered",)

log = logging.getLogger("kabinet.outbox")


@asynccontextmanager
async def open_channels(settings: Settings) -> AsyncIterator[dict[str, Channel]]:
    """A channel for every kind that this process delivers. What has none waits in the outbox, unsent and not lost."""
    writer = Writer(settings.base_url)
    gateway = HttpSmsGateway(settings) if settings.sms_url else None
    channels: dict[str, Channel] = {}
    if settings.is_demo:
        channels.update(dict.fromkeys(LOGGED_KINDS, log_channel))
        channels.update(dict.fromkeys((MAIL, SMS), Mailbox(writer)))
    if settings.smtp_host:
        channels[MAIL] = Mail(settings, writer)
    if gateway is not None:
        channels[SMS] = Sms(gateway, writer)
    if MAIL not in channels:
        log.warning("KABINET_SMTP_HOST is not set: mails wait in the outbox until a process that has it delivers them")
    if SMS not in channels:
        log.warning("KABINET_SMS_URL is not set: text messages wait in the outbox until a process that has it delivers them")
    try:
        yield channels
    finally:
        if gateway is not None:
            await gateway.close()
