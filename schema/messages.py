"""Conversations and messages in the graph."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any

import strawberry

from models import catalog as catalog_rows
from models import messages as rows
from models import orders as order_rows
from resolvers import messages, seller_messages
from schema.bulk import BulkResult, bulk, given
from schema.catalog import Store
from schema.context import Context
from schema.edges import attribute, edge, identity, mutation, stream, to_one
from schema.errors import BadUserInput, NotFound, RateLimited, answered
from schema.node import Node, own_id, reads_rows_of
from schema.paging import After, Before, Connection, First, Last, window
from schema.scalars import Instant

if TYPE_CHECKING:
    from schema.orders import Order

ConversationKind = rows.ConversationKind
strawberry.enum(
    ConversationKind,
    name="ConversationKind",
    description="ORDER: with the seller about one order. PROMOTION: what a store promotes; it cannot be answered.",
)
MessageAuthor = rows.MessageAuthor
strawberry.enum(MessageAuthor, name="MessageAuthor", description="Who wrote a message.")


async def _message(context: Context, message_id: int) -> Any:
    return await messages.message(context.viewer, message_id)


@strawberry.type(description="What the buyer or the seller said. Never rewritten.")
@reads_rows_of(rows.Message, _message)
class Message(Node):
    id: strawberry.ID = identity("Message")
    author: MessageAuthor = attribute("The seller is known by the store's name alone.")
    text: str = attribute("Plain text as it was written, lines separated by \\n; never to be shown as markup.")
    sent_at: Instant = attribute("When it was sent.")
    read_at: Instant | None = attribute("When the buyer read the seller's message; null while unread and for the buyer's own.")


async def _messages(found: list[Any], context: Context, first: First = None, after: After = None, last: Last = None, before: Before = None) -> list[Any]:  # fmt: skip
    return await messages.messages([row.id for row in found], window(first, after, last, before))


async def _unread(found: list[Any], context: Context) -> list[int]:
    return await messages.unread_counts(found)


async def _conversation(context: Context, conversation_id: int) -> Any:
    return await messages.conversation(context.viewer, conversation_id, "id")


@strawberry.type(description="The buyer and a store about one order, or what a store promotes to the buyer.")
@reads_rows_of(rows.Conversation, _conversation)
class Conversation(Node):
    id: strawberry.ID = identity("Conversation")
    kind: ConversationKind = attribute("Promotions are kept apart from what is said about orders.")
    store: Store | None = to_one(catalog_rows.Store, key="store_id", description="Who speaks with the buyer.")
    order: Annotated["Order", strawberry.lazy("schema.orders")] | None = to_one(
        order_rows.Order, key="order_id", description="What it is about; null for promotions."
    )
    unread_count: int = edge(_unread, description="How many of the seller's messages the buyer has not read.")
    last_message_at: Instant | None = attribute("When somebody spoke last; null while nobody has.")
    messages: Connection[Message] | None = edge(
        _messages, description="What was said, newest first: `first: 20` gives the latest, `after` goes back in time."
    )


Kind = Annotated[ConversationKind | None, strawberry.argument(description="Of one kind only; of all kinds when left out.")]


async def _of_accounts(accounts: list[Any], context: Context, kind: Kind = None, first: First = None, after: After = None, last: Last = None, before: Before = None) -> list[Any]:  # fmt: skip
    return [await messages.conversations(account.id, given(kind), window(first, after, last, before)) for account in accounts]


@strawberry.type
class AccountMessages:
    conversations: Connection[Conversation] | None = edge(
        _of_accounts,
        description="Conversations in which somebody has spoken, last spoken in first. Every order leads to its own, also a silent one.",
    )


@strawberry.type(description="The message has been sent.")
class MessageSent:
    message: Message = strawberry.field(description="As it is kept.")


@strawberry.type(description="Everything that the seller has said so far is read.")
class ConversationRead:
    conversation: Conversation = strawberry.field(description="With nothing unread in it.")


SendMessageResult = Annotated[
    MessageSent | NotFound | BadUserInput | RateLimited,
    strawberry.union("SendMessageResult", description="What sendMessage answers."),
]
MarkReadResult = Annotated[ConversationRead | NotFound, strawberry.union("MarkReadResult", description="What markRead answers.")]


@strawberry.input(description="What to say, and where.")
class SendMessageInput:
    conversation_id: strawberry.ID = strawberry.field(description="A conversation about an order.")
    text: str = strawberry.field(description="Plain text, 1 to 4,000 characters; control characters are left out, card numbers refused.")


@strawberry.input(description="A seller's message as the platform knows it.")
class SellerMessageRow:
    external_id: str = strawberry.field(description="The platform's id of the message.")
    account_external_id: str = strawberry.field(description="The buyer.")
    store_external_id: str = strawberry.field(description="Who speaks.")
    order_external_id: str | None = strawberry.field(
        default=strawberry.UNSET, description="The order that it is about, the buyer's own at this store; without one it is a promotion."
    )
    kind: ConversationKind | None = strawberry.field(default=strawberry.UNSET, description="Need not be given; must agree with the order.")
    text: str = strawberry.field(description="Plain text, 1 to 4,000 characters.")
    sent_at: Instant | None = strawberry.field(default=strawberry.UNSET, description="The time of the call when left out; never in the future.")


@strawberry.input(description="Up to 500 messages.")
class SendSellerMessagesInput:
    rows: list[SellerMessageRow] = strawberry.field(
        description="Known by external id: the same again is UNCHANGED, other words, times or places a CONFLICT."
    )


ConversationId = Annotated[strawberry.ID, strawberry.argument(description="A conversation's id.")]


async def _send(context: Context, input: SendMessageInput) -> Any:
    conversation_id = own_id(context, input.conversation_id, "Conversation", "conversationId")
    return await messages.send_message(context.viewer, conversation_id, input.text)


async def _mark_read(context: Context, conversation_id: str) -> Any:
    return await messages.mark_read(context.viewer, own_id(context, conversation_id, "Conversation", "conversationId"))


def _given_message(row: SellerMessageRow) -> seller_messages.GivenMessage:
    return seller_messages.GivenMessage(
        external_id=row.external_id,
        account_external_id=row.account_external_id,
        store_external_id=row.store_external_id,
        text=row.text,
        order_external_id=given(row.order_external_id),
        kind=given(row.kind),
        sent_at=given(row.sent_at),
    )


@strawberry.type
class MessagesMutation:
    @mutation(description="Say something to the seller of an order. At most 30 messages a minute.")
    async def send_message(context: Context, input: SendMessageInput) -> SendMessageResult:
        return await answered(context, _send(context, input), lambda row: MessageSent(message=row))

    @mutation(description="Take everything that the seller has said in a conversation as read. Again changes nothing.")
    async def mark_read(context: Context, conversation_id: ConversationId) -> MarkReadResult:
        work = _mark_read(context, conversation_id)
        return await answered(context, work, lambda row: ConversationRead(conversation=row))

    @mutation(description="Deliver sellers' messages, each into the conversation it belongs to. Scope messages.")
    async def send_seller_messages(context: Context, input: SendSellerMessagesInput) -> BulkResult:
        listed = [_given_message(row) for row in input.rows]
        return await bulk(context, seller_messages.send_seller_messages(context.viewer, listed))


@strawberry.type(description="A seller has said something to the buyer.")
class MessageReceived:
    cursor: str = attribute("Good for the subscription's `after`, for 7 days and at least 1,000 events of the account.")
    conversation: Conversation = attribute("Where it was said.")
    message: Message = attribute("What was said.")


async def _follow(context: Context, after: After = None) -> AsyncIterator[Any]:
    received = messages.follow_messages(context.viewer, context.bus, context.resume_after or after, context.poll_seconds)
    async for message in received:
        yield message


@strawberry.type
class MessagesSubscription:
    message_received: MessageReceived = stream(
        _follow,
        description="What sellers say to the buyer. With `after`: first what was missed, oldest first, then live; without: live only. "
        "Ends with RESYNC_REQUIRED where what was missed is no longer kept: read the conversations again.",
    )
