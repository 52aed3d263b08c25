"""Parcels and their tracking in the graph."""


import strawberry

from resolvers import shipments, tracking
from schema.bulk import BulkResult, bulk, given
from schema.context import Context
from schema.edges import attribute, edge, looked_up, mutation
from schema.scalars import Instant


@strawberry.type(description="What the carrier said at one moment.")
class TrackingEvent:
    at: Instant = attribute("When it happened.")
    status: str = attribute("The carrier's word; DELIVERED is the scan of the delivery.")
    place: str | None = attribute("Where the parcel was; null where nobody said.")


_events = looked_up(tracking.tracking_of, many=True)


@strawberry.type(description="One parcel of an order.")
class Shipment:
    tracking_number: str = attribute("The carrier's number of the parcel.")
    carrier: str | None = attribute("Who carries it; null where nobody said.")
    shipped_at: Instant = attribute("When the seller sent it.")
    delivered_at: Instant | None = attribute("When it was scanned as delivered; null until then.")
    events: list[TrackingEvent] = edge(_events, description="What the carrier said, oldest first.", size=10)


@strawberry.input(description="So many of a product in a parcel.")
class ShippedItemRow:
    product_external_id: str = strawberry.field(description="The platform's id of the product.")
    quantity: int = strawberry.field(description="At least 1.")


@strawberry.input(description="A parcel of an order. Parcels add up; none replaces another.")
class ShipmentRow:
    order_external_id: str = strawberry.field(description="The platform's id of the order.")
    tracking_number: str = strawberry.field(description="The carrier's number, at most 64 characters.")
    carrier: str | None = strawberry.field(default=strawberry.UNSET, description="Who carries it.")
    shipped_at: Instant | None = strawberry.field(default=strawberry.UNSET, description="The time of the call when left out.")
    items: list[ShippedItemRow] | None = strawberry.field(
        default=strawberry.UNSET, description="What is in it; the order is wholly shipped once all of it is in some parcel."
    )
    whole: bool = strawberry.field(
        default=True, description="Without items: whether all that is left is in it. False: a part that is not told."
    )


@strawberry.input(description="Up to 500 parcels.")
class ShipOrdersInput:
    rows: list[ShipmentRow] = strawberry.field(description="Known by order and tracking number; results name the order.")


@strawberry.input(description="What the carrier said of a parcel.")
class TrackingEventRow:
    tracking_number: str = strawberry.field(description="The carrier's number; of every order in the parcel.")
    at: Instant = strawberry.field(description="When it happened.")
    status: str = strawberry.field(description="The carrier's word, at most 60 characters. DELIVERED is the delivery; nothing later follows it.")
    place: str | None = strawberry.field(default=strawberry.UNSET, description="Where the parcel was.")
    region: str | None = strawberry.field(
        default=strawberry.UNSET, description="ISO 3166 code of the country it was in. A delivery in another than the order's does not shorten protection."
    )


@strawberry.input(description="Up to 500 events.")
class AddTrackingEventsInput:
    rows: list[TrackingEventRow] = strawberry.field(description="Known by tracking number, time and status; results name the tracking number.")


def _parcel(row: ShipmentRow) -> shipments.Parcel:
    named = given(row.items)
    return shipments.Parcel(
        external_id=row.order_external_id,
        tracking_number=row.tracking_number,
        carrier=given(row.carrier),
        shipped_at=given(row.shipped_at),
        items=None if named is None else tuple((item.product_external_id, item.quantity) for item in named),
        whole=row.whole,
    )


@strawberry.type
class ShipmentsMutation:
    @mutation(description="Ship orders, in whole or in part. Scope orders.")
    async def ship_orders(context: Context, input: ShipOrdersInput) -> BulkResult:
        return await bulk(context, shipments.ship_orders(context.viewer, [_parcel(row) for row in input.rows]))

    @mutation(description="Tell what carriers say of parcels. Tracking never moves backwards. Scope orders.")
    async def add_tracking_events(context: Context, input: AddTrackingEventsInput) -> BulkResult:
        scans = [
            tracking.Scan(row.tracking_number, row.at, row.status, given(row.place), given(row.region)) for row in input.rows
        ]
        return await bulk(context, tracking.add_tracking_events(context.viewer, scans))
