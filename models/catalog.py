"""The catalogue: stores, products, and what each product has cost."""

from typing import Any

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from models.columns import dump_json, load_json
from models.instants import Instant


class Store(Model):
    """A seller's shop."""

    id = fields.BigIntField(primary_key=True)
    external_id = fields.CharField(120, unique=True)
    name = fields.CharField(200)

    class Meta:
        table = "store"


class Product(Model):
    """What a store sells. `titles` maps a language to the title in it; `title_folded` holds all of them, case-folded,
    a line each, because SQLite folds ASCII only. The price is that of the newest price point; without one there is
    none, and the product is not shown."""

    id = fields.BigIntField(primary_key=True)
    external_id = fields.CharField(120, unique=True)
    store: fields.ForeignKeyRelation[Store] = fields.ForeignKeyField("models.Store", on_delete=fields.RESTRICT)
    store_id: int
    titles: Any = fields.JSONField(encoder=dump_json, decoder=load_json)
    title_folded = fields.TextField()
    available = fields.BooleanField()
    currency = fields.CharField(3)
    price_minor = fields.BigIntField()
    priced_at = Instant()

    class Meta:
        table = "product"
        indexes = (Index(fields=("store_id",)),)


class PricePoint(Model):
    """One entry of a product's price history, as observed. `previous_minor` is the price it replaced; null for the
    first one and for points that came late, which alert nobody."""

    id = fields.BigIntField(primary_key=True)
    product: fields.ForeignKeyRelation[Product] = fields.ForeignKeyField("models.Product", on_delete=fields.RESTRICT)
    product_id: int
    at = Instant()
    price_minor = fields.BigIntField()
    currency = fields.CharField(3)
    previous_minor = fields.BigIntField(null=True)

    class Meta:
        table = "price_point"
        unique_together = (("product_id", "at"),)


def folded_titles(titles: dict[str, str]) -> str:
    """The text that a search looks into."""
    return "\n".join(title.casefold() for title in titles.values())


def title_in(titles: dict[str, str], language: str) -> str:
    """The title in `language`, else in English, else any."""
    return titles.get(language) or titles.get("en") or next(iter(titles.values()))
