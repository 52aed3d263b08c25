"""What sellers say to buyers, as the platform sends it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from auth.viewer import Viewer
from models.accounts import Account
from models.catalog import Store
from models.database import any_of, for_update
from models.free_text import cleaned
from models.messages import LONGEST_TEXT, Conversation, ConversationKind, Message, MessageAuthor, require_kind
from models.orders import Order
from models.reads import reads
from models.refusals import BadUserInput, ErrorCode, Refusal
from models.rows import insert_rows
from models.unit_of_work import Work, unit_of_work
from resolvers.bulk import RowResult, RowStatus, pending, repeated, results_of
from resolvers.messages import RECEIVED_KIND, Place, note_last_messages, open_conversations


@dataclass(frozen=True, slots=True)
class GivenMessage:
    """A seller's message, about an order where it names one, else a promotion; sent now where `sent_at` is None."""

    external_id: str
    account_external_id: str
    store_external_id: str
    text: str
    order_external_id: str | None = None
    kind: ConversationKind | None = None
    sent_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A message that may be written: where, and its text cleaned."""

    external_id: str
    place: Place
    text: str
    sent_at: datetime | None
    result: RowResult


async def send_seller_messages(viewer: Viewer, rows: Sequence[GivenMessage]) -> list[RowResult]:
    """Deliver sellers' messages by external id; scope messages. A message once delivered is never rewritten."""
    viewer.require_scope("messages")
    return await repeated(_send, viewer, rows)


@unit_of_work
async def _send(work: Work, viewer: Viewer, rows: Sequence[GivenMessage]) -> list[RowResult]:
    results = results_of(rows)
    drafts = await _drafts(rows, results, viewer.now)
    known = await _known([draft.external_id for draft in drafts])
    created = []
    for draft in drafts:
        present = known.get(draft.external_id)
        if present is None:
            draft.result.status = RowStatus.CREATED
            created.append(draft)
        elif present != (draft.place, draft.text, draft.sent_at or present[2]):
            draft.result.refuse(Refusal(ErrorCode.CONFLICT, field="externalId"))
    if created:
        await _write(work, viewer, created)
    return results


async def _drafts(rows: Sequence[GivenMessage], results: Sequence[RowResult], now: datetime) -> list[Draft]:
    """The rows that say something to somebody; the others are refused."""
    accounts = await reads(Account).by_external_id(row.account_external_id for row in rows)
    stores = await reads(Store).by_external_id(row.store_external_id for row in rows)
    orders = await reads(Order).by_external_id(row.order_external_id for row in rows)
    drafts = []
    for row, result in pending(rows, results):
        try:
            require_kind(row.kind, row.order_external_id is not None)
            if (row.sent_at or now) > now:
                raise BadUserInput(field="sentAt", text="FUTURE")
            place = _place(row, accounts, stores, orders)
            drafts.append(Draft(row.external_id, place, cleaned(row.text, "text", LONGEST_TEXT), row.sent_at, result))
        except Refusal as refusal:
            result.refuse(refusal)
    return drafts


def _place(row: GivenMessage, accounts: dict[str, Any], stores: dict[str, Any], orders: dict[str, Any]) -> Place:
    """Raises:
    Refusal: UNKNOWN_REFERENCE; CONFLICT, the order is another buyer's or another store's.
    """
    account, store = accounts.get(row.account_external_id), stores.get(row.store_external_id)
    if account is None:
        raise Refusal(ErrorCode.UNKNOWN_REFERENCE, field="accountExternalId")
    if store is None:
        raise Refusal(ErrorCode.UNKNOWN_REFERENCE, field="storeExternalId")
    if row.order_external_id is None:
        return Place(account.id, store.id, None)
    order = orders.get(row.order_external_id)
    if order is None:
        raise Refusal(ErrorCode.UNKNOWN_REFERENCE, field="orderExternalId")
    if (order.account_id, order.store_id) != (account.id, store.id):
        raise Refusal(ErrorCode.CONFLICT, field="orderExternalId")
    return Place(account.id, store.id, order.id)


async def _known(external_ids: list[str]) -> dict[str, tuple[Place, str, datetime]]:
    """Where, what and when each of these messages was, of those that are there already."""
    messages = await reads(Message).by_external_id(external_ids)
    within = await reads(Conversation).by_id([message.conversation_id for message in messages.values()])
    return {
        external_id: (_place_of(within[message.conversation_id]), message.text, message.sent_at)
        for external_id, message in messages.items()
    }


def _place_of(conversation: Any) -> Place:
    return Place(conversation.account_id, conversation.store_id, conversation.order_id)


async def _write(work: Work, viewer: Viewer, drafts: list[Draft]) -> None:
    conversations = await _conversations(work, list(dict.fromkeys(draft.place for draft in drafts)))
    await insert_rows(
        work.connection,
        "message",
        "external_id, account_id, conversation_id, author, text, sent_at",
        "text bigint bigint text text timestamptz",
        [
            (draft.external_id, draft.place.account_id, conversations[draft.place], MessageAuthor.SELLER.value, draft.text,
             draft.sent_at or viewer.now)
            for draft in drafts
        ],
    )  # fmt: skip
    found = await work.fetch(
        f"SELECT external_id, id FROM message WHERE {any_of('external_id', 1, 'text')}", [draft.external_id for draft in drafts]
    )
    ids = {external_id: message_id for external_id, message_id in found}
    await note_last_messages(work, list(conversations.values()))
    for draft in drafts:
        message_id, account_id = ids[draft.external_id], draft.place.account_id
        work.record(viewer, "seller_message_sent", "message", message_id, account_id=account_id)
        work.event(account_id, RECEIVED_KIND, message_id, viewer.now)


async def _conversations(work: Work, places: list[Place]) -> dict[Place, int]:
    """The conversation at each place, locked to the end of the unit; where there is none yet it is opened."""
    found = await _locked(work, places)
    missing = [place for place in places if place not in found]
    if missing:
        await open_conversations(work, missing)
        found = await _locked(work, places)
    return {place: found[place] for place in places}


async def _locked(work: Work, places: list[Place]) -> dict[Place, int]:
    orders = [place.order_id for place in places if place.order_id is not None]
    promoting = [place for place in places if place.order_id is None]
    found = await work.fetch(
        f"SELECT id, account_id, store_id, order_id FROM conversation WHERE {any_of('order_id', 1)} OR "
        f"(kind = 'PROMOTION' AND {any_of('account_id', 2)} AND {any_of('store_id', 3)}) ORDER BY id{for_update()}",
        orders, list({place.account_id for place in promoting}), list({place.store_id for place in promoting}),
    )  # fmt: skip
    return {Place(account_id, store_id, order_id): conversation_id for conversation_id, account_id, store_id, order_id in found}
