"""Letters: mails and text messages to buyers, put into the outbox by the unit of work that calls for them."""

from tortoise import fields
from tortoise.models import Model

from models.instants import Instant
from models.unit_of_work import Work

MAIL, SMS = "mail", "sms"


class Letter(Model):
    """A letter that the demo mode keeps instead of sending it, one of the latest. `wanted_at`, when it was to leave, is the machine's."""

    id = fields.BigIntField(primary_key=True)
    message_id = fields.CharField(32, unique=True)  # the outbox's
    kind = fields.CharField(8)
    template = fields.CharField(64)
    recipient = fields.TextField()
    language = fields.CharField(8)
    subject = fields.TextField()
    text = fields.TextField()
    html = fields.TextField(null=True)
    wanted_at = Instant()

    class Meta:
        table = "letter"


def mail(work: Work, template: str, to: str, language: str, /, *, account_id: int | None, **values: str) -> str:
    """A mail to the address `to`, in the words of `template`; gives its message id.

    `account_id` is whose letter it is, None before there is an account: it goes with that account wherever it is addressed to.
    """
    return work.post(MAIL, {"account_id": account_id, "template": template, "to": to, "language": language, "values": values})


def withhold_mail(work: Work) -> None:
    """Write a mail that never leaves, so that nobody tells by the time of an answer that none does."""
    work.post(MAIL, {}, withheld=True)


def sms(work: Work, template: str, to: str, language: str, /, *, account_id: int | None, **values: str) -> str:
    """A text message to the E.164 number `to`, in the words of `template`; gives its message id. `account_id` as for a mail."""
    return work.post(SMS, {"account_id": account_id, "template": template, "to": to, "language": language, "values": values})
