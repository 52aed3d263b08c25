"""Shipments: the parcels of an order, what is in each, and what the carrier says of it."""

from datetime import datetime

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from models.instants import Instant
from models.orders import Order, OrderItem
from models.refusals import BadUserInput

DELIVERED = "DELIVERED"


class Shipment(Model):
    """One parcel of an order. A parcel with several orders in it is a shipment of each, with one tracking number."""

    id = fields.BigIntField(primary_key=True)
    order: fields.ForeignKeyRelation[Order] = fields.ForeignKeyField("models.Order", on_delete=fields.RESTRICT)
    order_id: int
    tracking_number = fields.CharField(64)
    carrier = fields.CharField(100, null=True)
    shipped_at = Instant()
    delivered_at = Instant(null=True)

    class Meta:
        table = "shipment"
        unique_together = (("order_id", "tracking_number"),)
        indexes = (Index(fields=("tracking_number",)),)


class ShipmentItem(Model):
    """How many of an order item are in a shipment."""

    id = fields.BigIntField(primary_key=True)
    shipment: fields.ForeignKeyRelation[Shipment] = fields.ForeignKeyField("models.Shipment", on_delete=fields.RESTRICT)
    shipment_id: int
    item: fields.ForeignKeyRelation[OrderItem] = fields.ForeignKeyField("models.OrderItem", on_delete=fields.RESTRICT)
    item_id: int
    quantity = fields.IntField()

    class Meta:
        table = "shipment_item"
        unique_together = (("shipment_id", "item_id"),)
        indexes = (Index(fields=("item_id",)),)


class TrackingEvent(Model):
    """What the carrier said of a shipment at one moment. `region`: the country it was in, where that was said."""

    id = fields.BigIntField(primary_key=True)
    shipment: fields.ForeignKeyRelation[Shipment] = fields.ForeignKeyField("models.Shipment", on_delete=fields.RESTRICT)
    shipment_id: int
    at = Instant()
    status = fields.CharField(60)
    place = fields.CharField(200, null=True)
    region = fields.CharField(2, null=True)

    class Meta:
        table = "tracking_event"
        unique_together = (("shipment_id", "at", "status"),)


def may_follow(status: str, at: datetime, delivered_at: datetime | None) -> bool:
    """Whether the carrier's word still fits: nothing follows a delivery, and a parcel is delivered once.

    What happened before the delivery may be told after it.
    """
    return delivered_at is None or (status != DELIVERED and at <= delivered_at)


def require_word(text: str, name: str, most: int) -> None:
    """Raises:
    BadUserInput: empty, too long, or not printable.
    """
    if not text.strip() or len(text) > most or not text.isprintable():
        raise BadUserInput(field=name)
