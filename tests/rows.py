"""What tests look up in the database, and what they do to it that no operation does."""

from typing import Any

import orjson

from auth.sessions import token_hash
from models.outbox import OutboxMessage
from models.sessions import Session
from models.unit_of_work import Work, unit_of_work
from tests.shop import Client


@unit_of_work
async def change(work: Work, sql: str, *params: object) -> int:
    """What no operation does: time passes for a row (the machine's clock cannot be moved), or somebody was there before."""
    return await work.execute(sql, *params)


async def account_of(buyer: Client) -> int:
    """The account that the buyer's token signs in to."""
    return (await Session.get(token_hash=token_hash(buyer.token or ""))).account_id


async def letters(to: str) -> list[dict[str, Any]]:
    """The mails to an address, oldest first, but for notices of new browsers."""
    rows = await OutboxMessage.filter(kind="mail").order_by("id").values_list("payload", flat=True)
    found = [row if isinstance(row, dict) else orjson.loads(row) for row in rows]
    return [letter for letter in found if letter.get("to") == to and letter["template"] != "new_sign_in"]


async def texts(to: str) -> list[dict[str, Any]]:
    """The text messages to a number, oldest first."""
    rows = await OutboxMessage.filter(kind="sms").order_by("id").values_list("payload", flat=True)
    found = [row if isinstance(row, dict) else orjson.loads(row) for row in rows]
    return [text for text in found if text.get("to") == to]
