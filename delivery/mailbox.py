"""The mailbox of the demo mode: what nobody is configured to send is kept, the latest letters of all."""

from delivery.letters import Writer, Written
from models.letters import Letter
from models.outbox import Message
from models.unit_of_work import Work, unit_of_work

KEPT = 300


class Mailbox:
    """The outbox's channel for mails and text messages that go nowhere."""

    def __init__(self, writer: Writer):
        self.writer = writer

    async def __call__(self, message: Message) -> None:
        await _keep(self.writer.write(message))


@unit_of_work
async def _keep(work: Work, letter: Written) -> None:
    await work.execute(
        "INSERT INTO letter (message_id, kind, template, recipient, language, subject, text, html, wanted_at) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (message_id) DO NOTHING",
        letter.message_id,
        letter.kind,
        letter.template,
        letter.to,
        letter.language,
        letter.subject,
        letter.text,
        letter.html,
        letter.wanted_at,
    )
    await work.execute(f"DELETE FROM letter WHERE id <= (SELECT id FROM letter ORDER BY id DESC LIMIT 1 OFFSET {KEPT})")


async def latest() -> list[Letter]:
    """The letters that are kept, the newest first."""
    return await Letter.all().order_by("-wanted_at", "-id")
