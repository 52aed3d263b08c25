"""Messages: a buyer's conversations with sellers, read, answered and followed. Sellers' half: seller_messages.py."""

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from auth.viewer import Viewer
from delivery.bus import Bus
from models.accounts import hold_account
from models.database import any_of, fetch, for_update
from models.events import Event, events_after, last_number
from models.free_text import cleaned
from models.instants import as_instant
from models.messages import (
    LONGEST_TEXT,
    MINUTE,
    MOST_A_MINUTE,
    UNREAD,
    Conversation,
    ConversationKind,
    Message,
    require_answerable,
    require_pace,
)
from models.pages import Key, Keyset, Page, Window, page, pages
from models.reads import reads
from models.refusals import ErrorCode, Failure, NotFound
from models.rows import insert_rows
from models.unit_of_work import Work, unit_of_work

CONVERSATIONS = Keyset("conversations", (Key("last_message_at", datetime), Key("id", int)))
MESSAGES = Keyset("messages", (Key("sent_at", datetime), Key("id", int)))
RECEIVED = Keyset("received_messages", (Key("number", int),))
RECEIVED_KIND = "message_received"
BATCH = 100


class Received(NamedTuple):
    """A seller's message as the subscription sends it."""

    cursor: str
    conversation: Conversation
    message: Message


class Place(NamedTuple):
    """Whose conversation with whom: about an order, or the store's promotions where that is None."""

    account_id: int
    store_id: int
    order_id: int | None


async def conversations(account_id: int, kind: ConversationKind | None, window: Window) -> Page:
    """The account's conversations in which somebody has spoken, last spoken in first; of one kind, or of all."""
    of_kind = f" AND kind = '{kind.value}'" if kind is not None else ""  # not a parameter: promotions have an index of their own
    spoken = f"account_id = $1 AND last_message_at IS NOT NULL{of_kind}"
    return await page(reads(Conversation), spoken, [account_id], CONVERSATIONS, window)


async def conversation(viewer: Viewer, conversation_id: int, field: str = "conversationId") -> Conversation:
    """Raises:
    NotFound: there is none, or it is another buyer's.
    """
    found = await reads(Conversation).one("id = $1 AND account_id = $2", conversation_id, viewer.require_buyer())
    if found is None:
        raise NotFound(field=field)
    return found


async def message(viewer: Viewer, message_id: int) -> Message:
    """Raises:
    NotFound: there is none, or it is in another buyer's conversation.
    """
    found = await reads(Message).one("id = $1 AND account_id = $2", message_id, viewer.require_buyer())
    if found is None:
        raise NotFound(field="id")
    return found


async def by_orders(order_ids: Iterable[int]) -> dict[int, Conversation]:
    """The conversation about each order that has one: one statement."""
    return {order_id: found[0] for order_id, found in (await reads(Conversation).by("order_id", order_ids)).items()}


async def messages(conversation_ids: Sequence[int], window: Window) -> list[Page]:
    """A page of each conversation's messages, newest first: one statement for all."""
    distinct = list(dict.fromkeys(conversation_ids))
    found = dict(zip(distinct, await pages(reads(Message), "conversation_id", distinct, MESSAGES, window), strict=True))
    return [found[conversation_id] for conversation_id in conversation_ids]


async def unread_counts(found: Sequence[Conversation]) -> list[int]:
    """How many of the seller's messages the buyer has not read, for each conversation: one statement."""
    counted = await fetch(
        f"SELECT conversation_id, count(*) FROM message WHERE {any_of('account_id', 1)} AND {any_of('conversation_id', 2)} "
        f"AND {UNREAD} GROUP BY conversation_id",
        list({row.account_id for row in found}),
        [row.id for row in found],
    )
    counts = {conversation_id: count for conversation_id, count in counted}
    return [counts.get(row.id, 0) for row in found]


@unit_of_work
async def send_message(work: Work, viewer: Viewer, conversation_id: int, text: str) -> Message:
    """Say something to the seller.

    Raises:
        NotFound: no such conversation. BadUserInput: the text cannot be sent, or WRONG_STATE: it is for promotions.
        Refusal: CARD_DATA_REJECTED. RateLimited: more than 30 messages in a minute.
    """
    account_id = viewer.require_buyer()
    require_answerable(await conversation(viewer, conversation_id))
    said = cleaned(text, "text", LONGEST_TEXT)
    await hold_account(work, account_id)  # two calls at once would both count the same messages
    require_pace(await _sent_lately(work, viewer), viewer.now)
    await work.fetch(f"SELECT id FROM conversation WHERE id = $1{for_update()}", conversation_id)
    source = reads(Message)
    written = await work.fetch(
        "INSERT INTO message (account_id, conversation_id, author, text, sent_at) VALUES ($1, $2, 'BUYER', $3, $4) "
        f"RETURNING {source.columns}",
        account_id, conversation_id, said, viewer.now,
    )  # fmt: skip
    (sent,) = source.decode(written)
    await note_last_messages(work, [conversation_id])
    work.record(viewer, "message_sent", "message", sent.id, conversation_id=conversation_id)
    return sent


async def _sent_lately(work: Work, viewer: Viewer) -> list[datetime]:
    found = await work.fetch(
        "SELECT sent_at FROM message WHERE account_id = $1 AND author = 'BUYER' AND sent_at > $2 "
        f"ORDER BY sent_at DESC LIMIT {MOST_A_MINUTE}",
        viewer.account_id, viewer.now - MINUTE,
    )  # fmt: skip
    return [at for (text,) in found if (at := as_instant(text))]


@unit_of_work
async def mark_read(work: Work, viewer: Viewer, conversation_id: int) -> Conversation:
    """Take all that the seller has said in the conversation as read; again changes nothing.

    Raises:
        NotFound: there is none, or it is another buyer's.
    """
    found = await conversation(viewer, conversation_id)
    read = await work.execute(
        f"UPDATE message SET read_at = $3 WHERE account_id = $1 AND conversation_id = $2 AND {UNREAD}",
        found.account_id, conversation_id, viewer.now,
    )  # fmt: skip
    if read:
        work.record(viewer, "conversation_read", "conversation", conversation_id, messages=read)
        work.announce(f"account:{found.account_id}")
    return found


async def follow_messages(viewer: Viewer, bus: Bus, after: str | None, poll_seconds: float) -> AsyncIterator[Received]:
    """What sellers say to the viewer: behind the cursor `after`, oldest first, then each as it is committed.

    Raises:
        Unauthenticated: nobody is signed in. BadUserInput: not a cursor of this subscription.
        Failure: RESYNC_REQUIRED, events behind the cursor are not kept any more (or it is another database's).
    """
    account_id = viewer.require_buyer()
    newest = await last_number(account_id)
    (seen,) = RECEIVED.place(after, "after") if after is not None else (newest,)
    if seen > newest:
        raise Failure(ErrorCode.RESYNC_REQUIRED)
    with bus.listen(f"account:{account_id}") as news:
        while True:
            events = await events_after(account_id, seen, BATCH)
            if events and events[0].number != seen + 1:  # numbers have no gap, so what is missing was pruned
                raise Failure(ErrorCode.RESYNC_REQUIRED)
            for received in await _received(events):
                yield received
            seen = events[-1].number if events else seen
            if len(events) < BATCH:
                await news.wait(poll_seconds)


async def _received(events: Sequence[Event]) -> list[Received]:
    wanted = [(event, event.subject_id) for event in events if event.kind == RECEIVED_KIND and event.subject_id is not None]
    known = await reads(Message).by_id([message_id for _, message_id in wanted])
    within = await reads(Conversation).by_id([found.conversation_id for found in known.values()])
    return [
        Received(RECEIVED.cursor(event), within[known[message_id].conversation_id], known[message_id])
        for event, message_id in wanted
    ]


async def open_conversations(work: Work, places: Sequence[Place]) -> None:
    """Make these conversations, none of which is there yet: one statement. Nobody has spoken in them."""
    if not places:
        return
    await insert_rows(
        work.connection,
        "conversation",
        "account_id, store_id, order_id, kind",
        "bigint bigint bigint text",
        [(*place, (ConversationKind.PROMOTION if place.order_id is None else ConversationKind.ORDER).value) for place in places],
    )


async def note_last_messages(work: Work, conversation_ids: Sequence[int]) -> None:
    """Set when each conversation was last spoken in, from its messages. Lock the conversations before these are written."""
    await work.execute(
        "UPDATE conversation SET last_message_at = (SELECT max(sent_at) FROM message WHERE conversation_id = conversation.id) "
        f"WHERE {any_of('id', 1)}",
        list(conversation_ids),
    )
