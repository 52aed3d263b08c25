"""Messages: what buyers and sellers say to each other, and what sellers promote."""

import enum
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from models.accounts import Account
from models.catalog import Store
from models.instants import Instant
from models.orders import Order
from models.refusals import BadUserInput, ErrorCode, RateLimited

LONGEST_TEXT = 4000
MOST_A_MINUTE = 30
MINUTE = timedelta(minutes=1)
UNREAD = "author = 'SELLER' AND read_at IS NULL"


class ConversationKind(enum.StrEnum):
    ORDER = "ORDER"
    PROMOTION = "PROMOTION"


class MessageAuthor(enum.StrEnum):
    BUYER = "BUYER"
    SELLER = "SELLER"


class Conversation(Model):
    """A buyer and a store about one order, or what the store promotes to the buyer: one each, `order` null there.
    `last_message_at` is the `sent_at` of its latest message; null while nobody has spoken."""

    id = fields.BigIntField(primary_key=True)
    account: fields.ForeignKeyRelation[Account] = fields.ForeignKeyField("models.Account", on_delete=fields.RESTRICT)
    account_id: int
    store: fields.ForeignKeyRelation[Store] = fields.ForeignKeyField("models.Store", on_delete=fields.RESTRICT)
    store_id: int
    kind = fields.CharEnumField(ConversationKind, max_length=10)
    order: fields.ForeignKeyNullableRelation[Order] = fields.ForeignKeyField(
        "models.Order", null=True, on_delete=fields.RESTRICT
    )
    order_id: int | None
    last_message_at = Instant(null=True)

    class Meta:
        table = "conversation"
        indexes = (Index(fields=("store_id",)),)


class Message(Model):
    """One message; never rewritten, but for an erasure of its buyer. `external_id` is the platform's, null for what the buyer wrote here. `read_at` is
    when the buyer read it: what is unread is counted from here and nowhere else. `account` is the conversation's."""

    id = fields.BigIntField(primary_key=True)
    external_id = fields.CharField(120, null=True, unique=True)
    account: fields.ForeignKeyRelation[Account] = fields.ForeignKeyField("models.Account", on_delete=fields.RESTRICT)
    account_id: int
    conversation: fields.ForeignKeyRelation[Conversation] = fields.ForeignKeyField(
        "models.Conversation", on_delete=fields.RESTRICT
    )
    conversation_id: int
    author = fields.CharEnumField(MessageAuthor, max_length=6)
    text = fields.TextField()
    sent_at = Instant()
    read_at = Instant(null=True)

    class Meta:
        table = "message"
        indexes = (Index(fields=("conversation_id", "sent_at", "id")),)


def require_kind(kind: ConversationKind | None, names_an_order: bool) -> None:
    """Refuse a message that says what it is about in two ways; without a kind the order alone says it.

    Raises:
        BadUserInput: a message about an order that names none, or a promotion that names one.
    """
    if kind is not None and (kind is ConversationKind.ORDER) != names_an_order:
        raise BadUserInput(field="orderExternalId")


def require_answerable(conversation: Any) -> None:
    """Raises:
    BadUserInput: WRONG_STATE, nobody reads what is answered to a promotion.
    """
    if conversation.kind is ConversationKind.PROMOTION:
        raise BadUserInput(ErrorCode.WRONG_STATE, field="conversationId", text="PROMOTION_HAS_NO_ANSWER")


def require_pace(sent_at: Sequence[datetime], now: datetime) -> None:
    """Let a buyer send 30 messages a minute. `sent_at`: when the buyer's latest ones were sent, newest first.

    Raises:
        RateLimited: until the thirtieth last is a minute old.
    """
    if len(sent_at) < MOST_A_MINUTE:
        return
    wait = sent_at[MOST_A_MINUTE - 1] + MINUTE - now
    if wait > timedelta(0):
        raise RateLimited(-(-wait // timedelta(seconds=1)), field="conversationId")
