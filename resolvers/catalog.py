"""The catalogue: products as anybody sees them, stores and products as the platform sends them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import orjson

from auth.viewer import Viewer
from delivery.texts import LANGUAGES
from models.catalog import PricePoint, Product, Store, folded_titles
from models.database import any_of, fetch
from models.money import Money, money
from models.pages import Key, Keyset, Page, Window, page
from models.reads import reads
from models.refusals import BadUserInput, ErrorCode, NotFound, Refusal
from models.rows import insert_rows
from models.search import containing, searched
from models.unit_of_work import Work, unit_of_work
from resolvers.bulk import RowResult, RowStatus, pending, repeated, results_of
from resolvers.prices import Change, apply_prices, write_first_points

PRODUCTS = Keyset("products", (Key("id", int),), descending=True)
LOWEST_WINDOW = timedelta(days=30)
LONGEST_HISTORY_DAYS = 400


@dataclass(frozen=True, slots=True)
class GivenStore:
    external_id: str
    name: str


@dataclass(frozen=True, slots=True)
class GivenProduct:
    """A product as the platform knows it; the price holds from `at`, the time of the call where that is None."""

    external_id: str
    store_external_id: str
    titles: dict[str, str]
    available: bool = True
    amount: Decimal | None = None
    currency: str | None = None
    at: datetime | None = None


async def product(product_id: int) -> Product:
    """Raises:
    NotFound: there is none.
    """
    found = await reads(Product).one("id = $1", product_id)
    if found is None:
        raise NotFound(field="id")
    return found


async def products(search: str | None, window: Window) -> Page:
    """Products, newest first; with `search`, those whose title has it, in whatever case and language.

    Raises:
        BadUserInput: a search of more than 200 characters or with NUL, or a wrong page.
    """
    text = searched(search)
    if not text:
        return await page(reads(Product), "1 = 1", [], PRODUCTS, window)
    return await page(reads(Product), r"title_folded LIKE $1 ESCAPE '\'", [containing(text)], PRODUCTS, window)


async def lowest_prices(product_ids: list[int], now: datetime) -> dict[int, int]:
    """The lowest price observed in the 30 days before `now`, in minor units, by product; none where none was observed."""
    found = await fetch(
        f"SELECT product_id, min(price_minor) FROM price_point WHERE {any_of('product_id', 1)} AND at >= $2 AND at <= $3 "
        "GROUP BY product_id",
        list(set(product_ids)),
        now - LOWEST_WINDOW,
        now,
    )
    return {product_id: lowest for product_id, lowest in found}


async def price_history(product_ids: list[int], days: int, now: datetime) -> dict[int, list[PricePoint]]:
    """The price points of the last `days`, oldest first, by product.

    Raises:
        BadUserInput: not 1 to 400 days.
    """
    if not 1 <= days <= LONGEST_HISTORY_DAYS:
        raise BadUserInput(field="days")
    found = await reads(PricePoint).where(
        f"{any_of('product_id', 1)} AND at > $2 AND at <= $3 ORDER BY product_id, at", product_ids, now - timedelta(days=days), now
    )
    grouped: dict[int, list[PricePoint]] = {}
    for point in found:
        grouped.setdefault(point.product_id, []).append(point)
    return grouped


async def put_stores(viewer: Viewer, rows: Sequence[GivenStore]) -> list[RowResult]:
    """Create or rename stores by external id; scope catalog."""
    viewer.require_scope("catalog")
    return await repeated(_put_stores, viewer, rows)


@unit_of_work
async def _put_stores(work: Work, viewer: Viewer, rows: Sequence[GivenStore]) -> list[RowResult]:
    results = results_of(rows)
    known = await reads(Store).by_external_id([row.external_id for row in rows])
    created = []
    for row, result in pending(rows, results):
        if not row.name.strip() or len(row.name) > 200:
            result.refuse(BadUserInput(field="name"))
        elif row.external_id not in known:
            result.status = RowStatus.CREATED
            created.append(row)
        elif known[row.external_id].name != row.name:
            result.status = RowStatus.UPDATED
            await work.execute("UPDATE store SET name = $1 WHERE external_id = $2", row.name, row.external_id)
            work.record(viewer, "store_renamed", "store", known[row.external_id].id)
    if created:
        await insert_rows(work.connection, "store", "external_id, name", "text text", [(r.external_id, r.name) for r in created])
        for store in (await reads(Store).by_external_id([row.external_id for row in created])).values():
            work.record(viewer, "store_created", "store", store.id)
    return results


async def put_products(viewer: Viewer, rows: Sequence[GivenProduct]) -> list[RowResult]:
    """Create or update products by external id, a changed price as a price point; scope catalog."""
    viewer.require_scope("catalog")
    return await repeated(_put_products, viewer, rows)


@unit_of_work
async def _put_products(work: Work, viewer: Viewer, rows: Sequence[GivenProduct]) -> list[RowResult]:
    results = results_of(rows)
    stores = await reads(Store).by_external_id([row.store_external_id for row in rows])
    known = await reads(Product).by_external_id([row.external_id for row in rows])
    created, changes = [], []
    for row, result in pending(rows, results):
        present, store = known.get(row.external_id), stores.get(row.store_external_id)
        try:
            price = require_product(row, is_new=present is None, now=viewer.now)
            if store is None:
                raise Refusal(ErrorCode.UNKNOWN_REFERENCE, field="storeExternalId")
        except Refusal as refusal:
            result.refuse(refusal)
            continue
        if present is None:
            result.status = RowStatus.CREATED
            assert price is not None
            created.append((row, store.id, price))
            continue
        if (present.store_id, present.titles, present.available) != (store.id, row.titles, row.available):
            result.status = RowStatus.UPDATED
            await _update(work, viewer, present.id, row, store.id)
        if price is not None and price != Money(present.price_minor, present.currency):
            changes.append(Change(present, price, row.at or viewer.now, result))
    await _create(work, viewer, created)
    await apply_prices(work, viewer, changes)
    for change in changes:
        if change.result.status is RowStatus.CREATED:
            change.result.status = RowStatus.UPDATED
    return results


def require_product(row: GivenProduct, *, is_new: bool, now: datetime) -> Money | None:
    """The row's price, if it has one.

    Raises:
        BadUserInput: names the field.
    """
    if not row.titles or not row.titles.keys() <= set(LANGUAGES):
        raise BadUserInput(field="titles")
    if any(not text.strip() or len(text) > 500 for text in row.titles.values()):
        raise BadUserInput(field="titles")
    if row.at is not None and row.at > now:
        raise BadUserInput(field="at", text="FUTURE")
    if row.amount is None and not is_new:
        return None
    price = money(row.amount or Decimal(0), row.currency or "")
    if price.minor <= 0:
        raise BadUserInput(field="amount")
    return price


async def _create(work: Work, viewer: Viewer, created: list[tuple[GivenProduct, int, Money]]) -> None:
    if not created:
        return
    await insert_rows(
        work.connection,
        "product",
        "external_id, store_id, titles, title_folded, available, currency, price_minor, priced_at",
        "text bigint jsonb text bool text bigint timestamptz",
        [
            (row.external_id, store_id, orjson.dumps(row.titles).decode(), folded_titles(row.titles), row.available,
             price.currency, price.minor, row.at or viewer.now)
            for row, store_id, price in created
        ],
    )  # fmt: skip
    products = await reads(Product).by_external_id([row.external_id for row, _, _ in created])
    await write_first_points(work, list(products.values()))
    for made in products.values():
        work.record(viewer, "product_created", "product", made.id)


async def _update(work: Work, viewer: Viewer, product_id: int, row: GivenProduct, store_id: int) -> None:
    await work.execute(
        "UPDATE product SET store_id = $2, titles = $3, title_folded = $4, available = $5 WHERE id = $1",
        product_id, store_id, orjson.dumps(row.titles).decode(), folded_titles(row.titles), row.available,
    )  # fmt: skip
    work.record(viewer, "product_updated", "product", product_id)
