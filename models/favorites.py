"""Favourites: products on a buyer's wish list, each with the watch on its price."""

import enum

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from models.accounts import Account
from models.catalog import PricePoint, Product
from models.instants import Instant

MOST_WATCHES = 500


class WatchKind(enum.StrEnum):
    ANY_DROP = "ANY_DROP"
    TARGET = "TARGET"
    PERCENT = "PERCENT"


class Favorite(Model):
    """One product on one buyer's list. `price_minor` and `currency` are those at adding.

    The watch is part of it: `armed` tells whether the next drop alerts, `alerted_minor` and `alerted_at` are of the
    last alert, `peak_minor` is the highest price seen since (rules.md section 5).
    """

    id = fields.BigIntField(primary_key=True)
    account: fields.ForeignKeyRelation[Account] = fields.ForeignKeyField("models.Account", on_delete=fields.CASCADE)
    account_id: int
    product: fields.ForeignKeyRelation[Product] = fields.ForeignKeyField("models.Product", on_delete=fields.RESTRICT)
    product_id: int
    added_at = Instant()
    price_minor = fields.BigIntField()
    currency = fields.CharField(3)
    watch_kind = fields.CharEnumField(WatchKind, max_length=10, default=WatchKind.ANY_DROP)
    watch_target_minor = fields.BigIntField(null=True)
    watch_percent = fields.IntField(null=True)
    watch_paused = fields.BooleanField(default=False)
    armed = fields.BooleanField(default=True)
    alerted_minor = fields.BigIntField(null=True)
    alerted_at = Instant(null=True)
    peak_minor = fields.BigIntField(null=True)

    class Meta:
        table = "favorite"
        unique_together = (("account_id", "product_id"),)
        indexes = (Index(fields=("account_id", "added_at", "id")), Index(fields=("product_id", "account_id")))


class PriceDrop(Model):
    """One alert that one favourite raised, kept as long as the account. `number` is its event's, per account without a gap among
    events; the cursor of lists and of the subscription."""

    id = fields.BigIntField(primary_key=True)
    account: fields.ForeignKeyRelation[Account] = fields.ForeignKeyField("models.Account", on_delete=fields.CASCADE)
    account_id: int
    number = fields.BigIntField()
    favorite_id = fields.BigIntField()
    product: fields.ForeignKeyRelation[Product] = fields.ForeignKeyField("models.Product", on_delete=fields.RESTRICT)
    product_id: int
    point: fields.ForeignKeyRelation[PricePoint] = fields.ForeignKeyField("models.PricePoint", on_delete=fields.RESTRICT)
    point_id: int
    old_minor = fields.BigIntField()
    new_minor = fields.BigIntField()
    currency = fields.CharField(3)
    at = Instant()

    class Meta:
        table = "price_drop"
        unique_together = (("account_id", "number"), ("favorite_id", "point_id"))


class FanOut(Model):
    """Work left of one price point: its favourites above `account_id` have not been looked at yet. Points of one
    product are worked off in the order of their `at`."""

    point: fields.OneToOneRelation[PricePoint] = fields.OneToOneField(
        "models.PricePoint", primary_key=True, on_delete=fields.RESTRICT
    )
    point_id: int
    product_id = fields.BigIntField()
    at = Instant()
    account_id = fields.BigIntField(default=0)

    class Meta:
        table = "fan_out"
        indexes = (Index(fields=("product_id", "at")),)
