"""Shipments: parcels as the seller sends them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from auth.viewer import Viewer
from models.database import any_of
from models.orders import OVER, Facts, OrderStatus, facts_of, is_in_review, status
from models.protection import after_shipment, granted_days
from models.reads import reads
from models.refusals import BadUserInput, ErrorCode, Refusal, Unavailable
from models.rows import insert_rows
from models.shipments import Shipment, require_word
from models.unit_of_work import Work, unit_of_work
from resolvers.bulk import RowResult, RowStatus, pending, repeated, results_of
from resolvers.orders import Change, asking, extensions_of, items_of, locked, save, tell

_NOT_SHIPPABLE = (OrderStatus.AWAITING_PAYMENT, OrderStatus.PAYMENT_REVIEW)


@dataclass(frozen=True, slots=True)
class Parcel:
    """A parcel of the order `external_id`. `items` says how many of each product are in it; None: all that is left,
    or, where `whole` is false, nobody knows what."""

    external_id: str
    tracking_number: str
    carrier: str | None = None
    shipped_at: datetime | None = None
    items: tuple[tuple[str, int], ...] | None = None
    whole: bool = True


async def shipments_of(order_ids: Iterable[int]) -> dict[int, list[Shipment]]:
    """The parcels of orders, each order's in the order of shipping: one statement."""
    return await reads(Shipment).by("order_id", order_ids, "shipped_at, id")


@dataclass(slots=True)
class Sending:
    """An order while parcels are added to it: its facts as they become, its parcels, and how many of each item are
    still to be sent."""

    order: Any
    facts: Facts
    parcels: dict[str, Any]
    left: dict[int, int]
    products: dict[int, str]
    granted: int
    asked: bool
    added: list[tuple[Parcel, datetime, dict[int, int]]] = field(default_factory=list)


async def ship_orders(viewer: Viewer, rows: Sequence[Parcel]) -> list[RowResult]:
    """Add parcels to orders; scope orders. A parcel is known by its order and tracking number; parcels add up."""
    viewer.require_scope("orders")
    return await repeated(_ship, viewer, rows)


@unit_of_work
async def _ship(work: Work, viewer: Viewer, rows: Sequence[Parcel]) -> list[RowResult]:
    results = results_of(rows, lambda row: (row.external_id, row.tracking_number))
    sendings = await _sendings(work, [row.external_id for row in rows])
    for row, result in pending(rows, results):
        try:
            require_parcel(row, viewer.now)
            sending = sendings.get(row.external_id)
            if sending is None:
                raise Refusal(ErrorCode.UNKNOWN_REFERENCE, field="orderExternalId")
            if _add(sending, row, viewer.now):
                result.status = RowStatus.CREATED
        except Refusal as refusal:
            result.refuse(refusal)
    await _write(work, viewer, [sending for sending in sendings.values() if sending.added])
    return results


def require_parcel(row: Parcel, now: datetime) -> None:
    """Raises:
    BadUserInput: names the field.
    """
    require_word(row.tracking_number, "trackingNumber", 64)
    if row.carrier is not None:
        require_word(row.carrier, "carrier", 100)
    if row.shipped_at is not None and row.shipped_at > now:
        raise BadUserInput(field="shippedAt", text="FUTURE")
    if row.items is not None and (not row.items or any(quantity < 1 for _, quantity in row.items)):
        raise BadUserInput(field="items")


async def _sendings(work: Work, external_ids: list[str]) -> dict[str, Sending]:
    """The orders, locked, with what has been sent of them: six statements for any number."""
    orders = await locked(work, any_of("external_id", 1, "text"), external_ids)
    ids = [order.id for order in orders]
    parcels, items, extensions = await shipments_of(ids), await items_of(ids), await extensions_of(ids)
    asked = await asking(work, ids)
    sent = await work.fetch(
        "SELECT i.id, p.external_id, coalesce((SELECT sum(s.quantity) FROM shipment_item s WHERE s.item_id = i.id), 0) "
        f"FROM order_item i JOIN product p ON p.id = i.product_id WHERE {any_of('i.order_id', 1)}",
        ids,
    )
    gone = {item_id: int(quantity) for item_id, _, quantity in sent}
    products = {item_id: external_id for item_id, external_id, _ in sent}
    return {
        order.external_id: Sending(
            order=order,
            facts=facts_of(order),
            parcels={parcel.tracking_number: parcel for parcel in parcels.get(order.id, [])},
            left={item.id: item.quantity - gone[item.id] for item in items[order.id]},
            products={item.id: products[item.id] for item in items[order.id]},
            granted=granted_days(extensions.get(order.id, [])),
            asked=order.id in asked,
        )
        for order in orders
    }


def _add(sending: Sending, row: Parcel, now: datetime) -> bool:
    """Add the parcel to the order; False: it is there already.

    Raises:
        Refusal: CONFLICT, another parcel has the number, it holds more than is left, or it was sent before the order
            was paid. Unavailable: WRONG_STATE, TOO_LATE.
    """
    present = sending.parcels.get(row.tracking_number)
    if present is not None:
        if (row.carrier or present.carrier) != present.carrier or (row.shipped_at or present.shipped_at) != present.shipped_at:
            raise Refusal(ErrorCode.CONFLICT, field="trackingNumber")
        return False
    require_shippable(sending.facts, now)
    if not any(sending.left.values()):
        raise Unavailable(ErrorCode.WRONG_STATE, text="NOTHING_LEFT_TO_SHIP")
    # Where the platform gave the shipment as a fact before its parcels, they went at that time.
    at = row.shipped_at or (sending.facts.shipped_at if sending.facts.wholly_shipped_at is not None else None) or now
    if sending.facts.paid_at is not None and at < sending.facts.paid_at:
        raise Refusal(ErrorCode.CONFLICT, field="shippedAt")
    content = _content(sending, row)
    for item_id, quantity in content.items():
        sending.left[item_id] -= quantity
    sending.added.append((row, at, content))
    sending.parcels[row.tracking_number] = Shipment(tracking_number=row.tracking_number, carrier=row.carrier, shipped_at=at)
    if sending.facts.wholly_shipped_at is None and status(sending.facts, now) not in OVER:
        whole = not any(sending.left.values()) if row.items is not None else row.whole
        sending.facts = after_shipment(sending.facts, at, whole, sending.granted)
    return True


def require_shippable(facts: Facts, now: datetime) -> None:
    """Raises:
    Unavailable: WRONG_STATE, the order is not paid, in review or cancelled; TOO_LATE, it had to be shipped before now.
    """
    stage = status(facts, now)
    if stage in _NOT_SHIPPABLE or facts.closed_at is not None or is_in_review(facts):
        raise Unavailable(ErrorCode.WRONG_STATE)
    if stage is OrderStatus.CANCELLED:
        late = facts.paid_at is not None and facts.cancellation in (None, "NOT_SHIPPED")
        raise Unavailable(ErrorCode.TOO_LATE if late else ErrorCode.WRONG_STATE, available_until=facts.ship_by_at if late else None)


def _content(sending: Sending, row: Parcel) -> dict[int, int]:
    """How many of each item are in the parcel.

    Raises:
        Refusal: UNKNOWN_REFERENCE, the order has no such product. CONFLICT: more of it than is left.
    """
    if row.items is None:
        return {item_id: left for item_id, left in sending.left.items() if left} if row.whole else {}
    content: dict[int, int] = {}
    for external_id, wanted in row.items:
        own = [item_id for item_id, product in sending.products.items() if product == external_id]
        if not own:
            raise Refusal(ErrorCode.UNKNOWN_REFERENCE, field="items")
        for item_id in own:
            taken = min(wanted, sending.left[item_id] - content.get(item_id, 0))
            if taken > 0:
                content[item_id] = content.get(item_id, 0) + taken
                wanted -= taken
        if wanted:
            raise Refusal(ErrorCode.CONFLICT, field="items")
    return content


async def _write(work: Work, viewer: Viewer, sendings: list[Sending]) -> None:
    if not sendings:
        return
    await insert_rows(
        work.connection,
        "shipment",
        "order_id, tracking_number, carrier, shipped_at",
        "bigint text text timestamptz",
        [(s.order.id, row.tracking_number, row.carrier, at) for s in sendings for row, at, _ in s.added],
    )
    made = await shipments_of([sending.order.id for sending in sendings])
    contents = []
    for sending in sendings:
        ids = {parcel.tracking_number: parcel.id for parcel in made[sending.order.id]}
        for row, _, content in sending.added:
            contents += [(ids[row.tracking_number], item_id, quantity) for item_id, quantity in content.items()]
            tell(work, viewer, sending.order, "order_shipped", viewer.now, tracking_number=row.tracking_number)
    await insert_rows(work.connection, "shipment_item", "shipment_id, item_id, quantity", "bigint bigint int", contents)
    await save(work, [Change(s.order, s.facts, s.asked, s.asked) for s in sendings], viewer.now)
