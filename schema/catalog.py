"""Stores, products and prices in the graph."""

from datetime import datetime
from typing import Annotated, Any

import strawberry

from models import catalog as rows
from models import money
from models.catalog import title_in
from resolvers import catalog, favorites, prices
from schema.bulk import BulkResult, bulk, given
from schema.context import Context
from schema.edges import attribute, derived, edge, identity, mutation, root, to_one
from schema.money import Money, of
from schema.node import Node, reads_rows_of
from schema.paging import After, Before, Connection, First, Last, window
from schema.scalars import Amount, Instant, local_id

HISTORY_DAYS = 30


async def _store(context: Context, store_id: int) -> Any:
    found = (await context.loads.by_id(rows.Store, [store_id])).get(store_id)
    if found is None:
        raise catalog.NotFound(field="id")
    return found


@strawberry.type(description="A seller's shop.")
@reads_rows_of(rows.Store, _store)
class Store(Node):
    id: strawberry.ID = identity("Store")
    name: str = attribute("As the seller calls it.")


@strawberry.type(description="One entry of a product's price history.")
class PricePoint:
    at: Instant = attribute("Since when the price held.")
    price: Money = derived(lambda row, context: money.Money(row.price_minor, row.currency), description="The price from then on.")


def title(row: Any, context: Context) -> str:
    return title_in(row.titles, context.language)


def price(row: Any, context: Context) -> money.Money:
    return money.Money(row.price_minor, row.currency)


async def _is_favorite(found: list[Any], context: Context) -> list[bool | None]:
    if context.viewer.account_id is None:
        return [None] * len(found)
    listed = await favorites.favored(context.viewer, [row.id for row in found])
    return [row.id in listed for row in found]


async def _lowest(found: list[Any], context: Context) -> list[Any]:
    lowest = await catalog.lowest_prices([row.id for row in found], context.viewer.now)
    return [of(lowest.get(row.id), row.currency) for row in found]


Days = Annotated[int | None, strawberry.argument(description="How many days back, 1 to 400.")]


async def _history(found: list[Any], context: Context, days: Days = HISTORY_DAYS) -> list[Any]:
    points = await catalog.price_history([row.id for row in found], HISTORY_DAYS if days is None else days, context.viewer.now)
    return [points.get(row.id, []) for row in found]


async def _product(context: Context, product_id: int) -> Any:
    return await catalog.product(product_id)


@strawberry.type(description="What a store sells.")
@reads_rows_of(rows.Product, _product)
class Product(Node):
    id: strawberry.ID = identity("Product")
    title: str = derived(title, description="In the viewer's language, else in English, else in any.")
    price: Money = derived(price, description="What it costs now, in the store's currency.")
    available: bool = attribute("Whether it can be bought now.")
    store: Store | None = to_one(rows.Store, key="store_id", description="Who sells it.")
    is_favorite: bool | None = edge(_is_favorite, description="Whether it is on the viewer's wish list; null when signed out.", personal=True)
    lowest_price_30_days: Money | None = edge(
        _lowest, description="The lowest price observed in the last 30 days; null where none was observed."
    )
    price_history: list[PricePoint] = edge(_history, description="The prices observed, oldest first; gaps stay gaps.", size=5)


ProductId = Annotated[strawberry.ID, strawberry.argument(description="A product's id.")]
Search = Annotated[str | None, strawberry.argument(description="Part of a title, in any case and language; at most 200 characters.")]


async def _by_id(context: Context, id: ProductId) -> Any:
    return await catalog.product(local_id(id, "Product"))


async def _products(context: Context, search: Search = None, first: First = None, after: After = None, last: Last = None, before: Before = None) -> Any:  # fmt: skip
    return await catalog.products(search, window(first, after, last, before))


@strawberry.type
class CatalogQuery:
    product: Product | None = root(_by_id, description="A product; null with NOT_FOUND when there is none.")
    products: Connection[Product] | None = root(_products, description="Products, newest first.")


@strawberry.input(description="A store as the platform knows it.")
class StoreRow:
    external_id: str = strawberry.field(description="The platform's id of the store.")
    name: str = strawberry.field(description="At most 200 characters.")


@strawberry.input(description="Up to 500 stores.")
class PutStoresInput:
    rows: list[StoreRow] = strawberry.field(description="Created or renamed by external id.")


@strawberry.input(description="A title in one language.")
class TitleInput:
    language: str = strawberry.field(description="ru or en.")
    text: str = strawberry.field(description="At most 500 characters.")


@strawberry.input(description="A product as the platform knows it.")
class ProductRow:
    external_id: str = strawberry.field(description="The platform's id of the product.")
    store_external_id: str = strawberry.field(description="Who sells it.")
    titles: list[TitleInput] = strawberry.field(description="One for each language, at least one.")
    available: bool = strawberry.field(default=True, description="Whether it can be bought.")
    amount: Amount | None = strawberry.field(default=strawberry.UNSET, description="The price; needed for a new product. Another price than now is a price point.")
    currency: str | None = strawberry.field(default=strawberry.UNSET, description="ISO 4217; goes with amount, and stays what it was at first.")
    at: Instant | None = strawberry.field(default=strawberry.UNSET, description="Since when the price holds; the time of the call when left out.")


@strawberry.input(description="Up to 500 products.")
class PutProductsInput:
    rows: list[ProductRow] = strawberry.field(description="Created or updated by external id.")


@strawberry.input(description="A price of a product.")
class PriceRow:
    external_id: str = strawberry.field(description="The platform's id of the product.")
    amount: Amount = strawberry.field(description='Above zero, no more digits than the currency has: "3.90".')
    currency: str = strawberry.field(description="ISO 4217; the product's own.")
    at: Instant | None = strawberry.field(default=strawberry.UNSET, description="Since when it holds; the time of the call when left out, never in the future. One older than the newest is history and alerts nobody.")


@strawberry.input(description="Up to 500 prices.")
class SetPricesInput:
    rows: list[PriceRow] = strawberry.field(description="Known by product and time: the same again is UNCHANGED, another amount a CONFLICT.")


def _given_product(row: ProductRow) -> catalog.GivenProduct:
    amount, currency = given(row.amount), given(row.currency)
    at: datetime | None = given(row.at)
    return catalog.GivenProduct(
        external_id=row.external_id,
        store_external_id=row.store_external_id,
        titles={entry.language: entry.text for entry in row.titles},
        available=row.available,
        amount=amount,
        currency=currency,
        at=at,
    )


@strawberry.type
class CatalogMutation:
    @mutation(description="Create or rename stores. Scope catalog.")
    async def put_stores(context: Context, input: PutStoresInput) -> BulkResult:
        stores = [catalog.GivenStore(row.external_id, row.name) for row in input.rows]
        return await bulk(context, catalog.put_stores(context.viewer, stores))

    @mutation(description="Create or update products. Scope catalog.")
    async def put_products(context: Context, input: PutProductsInput) -> BulkResult:
        products = [_given_product(row) for row in input.rows]
        return await bulk(context, catalog.put_products(context.viewer, products))

    @mutation(description="Set prices, one price point a row. Favourites that wait for it alert within seconds. Scope prices.")
    async def set_prices(context: Context, input: SetPricesInput) -> BulkResult:
        given_prices = [prices.GivenPrice(row.external_id, row.amount, row.currency, given(row.at)) for row in input.rows]
        return await bulk(context, prices.set_prices(context.viewer, given_prices))
