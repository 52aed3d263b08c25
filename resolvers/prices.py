"""Prices: what the platform says a product costs from when on. Every change is a price point."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from auth.viewer import Viewer
from models.catalog import PricePoint, Product
from models.database import any_of, for_update
from models.money import Money, money
from models.reads import reads
from models.refusals import BadUserInput, ErrorCode, Refusal
from models.rows import insert_rows
from models.unit_of_work import Work, unit_of_work
from resolvers.bulk import RowResult, RowStatus, pending, repeated, results_of


@dataclass(frozen=True, slots=True)
class GivenPrice:
    """The price of the product `external_id` from `at` on; at the time of the call where that is None."""

    external_id: str
    amount: Decimal
    currency: str
    at: datetime | None = None


@dataclass(slots=True)
class Change:
    """One price to be written: the product's row as it was read, and the result of the row it came with."""

    product: Any
    price: Money
    at: datetime
    result: RowResult


async def set_prices(viewer: Viewer, rows: Sequence[GivenPrice]) -> list[RowResult]:
    """Add price points by product and time; scope prices. A point is known by both, so that a call may hold a history."""
    viewer.require_scope("prices")
    return await repeated(_set, viewer, rows)


@unit_of_work
async def _set(work: Work, viewer: Viewer, rows: Sequence[GivenPrice]) -> list[RowResult]:
    results = results_of(rows, lambda row: (row.external_id, row.at or viewer.now))
    products = await reads(Product).by_external_id((row.external_id for row in rows), for_update())
    changes = []
    for row, result in pending(rows, results):
        product = products.get(row.external_id)
        if product is None:
            result.refuse(Refusal(ErrorCode.UNKNOWN_REFERENCE, field="externalId"))
            continue
        try:
            changes.append(Change(product, money(row.amount, row.currency), row.at or viewer.now, result))
        except Refusal as refusal:
            result.refuse(refusal)
    await apply_prices(work, viewer, changes)
    return results


def require_price(change: Change, now: datetime) -> None:
    """Raises:
    BadUserInput: nothing is for nothing, and nobody knows tomorrow's price. Refusal: CURRENCY_MISMATCH.
    """
    if change.price.minor <= 0:
        raise BadUserInput(field="amount")
    if change.price.currency != change.product.currency:
        raise Refusal(ErrorCode.CURRENCY_MISMATCH, field="currency")
    if change.at > now:
        raise BadUserInput(field="at", text="FUTURE")


async def apply_prices(work: Work, viewer: Viewer, changes: list[Change]) -> None:
    """Write the price points of `changes`, whose products are locked, in the order of their time.

    A point behind the newest moves the product's price and waits for its fan-out; an older one is history.
    """
    known = await _known_points(changes)
    newest = {change.product.id: (change.product.priced_at, change.product.price_minor) for change in changes}
    points: list[tuple] = []
    for change in sorted(changes, key=lambda change: change.at):
        try:
            require_price(change, viewer.now)
            if (present := known.get((change.product.id, change.at))) is not None:
                if present != change.price.minor:
                    raise Refusal(ErrorCode.CONFLICT, field="at")
                continue
        except Refusal as refusal:
            change.result.refuse(refusal)
            continue
        priced_at, standing = newest[change.product.id]
        is_newest = change.at > priced_at
        points.append((change.product.id, change.at, change.price.minor, change.price.currency, standing if is_newest else None))
        if is_newest:
            newest[change.product.id] = (change.at, change.price.minor)
        if change.result.status is RowStatus.UNCHANGED:
            change.result.status = RowStatus.CREATED
    if points:
        await _write(work, viewer, points, newest)


async def _known_points(changes: list[Change]) -> dict[tuple[int, datetime], int]:
    oldest = min((change.at for change in changes), default=None)
    if oldest is None:
        return {}
    found = await reads(PricePoint).where(
        f"{any_of('product_id', 1)} AND at >= $2", list({change.product.id for change in changes}), oldest
    )
    return {(point.product_id, point.at): point.price_minor for point in found}


async def _write(work: Work, viewer: Viewer, points: list[tuple], newest: dict[int, tuple[datetime, int]]) -> None:
    await insert_rows(
        work.connection,
        "price_point",
        "product_id, at, price_minor, currency, previous_minor",
        "bigint timestamptz bigint text bigint",
        points,
    )
    moved = {product_id for product_id, _, _, _, previous in points if previous is not None}
    await work.execute_each(
        "UPDATE product SET priced_at = $2, price_minor = $3 WHERE id = $1",
        [(product_id, *newest[product_id]) for product_id in moved],
    )
    written = await reads(PricePoint).where(
        f"{any_of('product_id', 1)} AND at >= $2", list({point[0] for point in points}), min(point[1] for point in points)
    )
    new = {(point[0], point[1]) for point in points}
    waiting = []
    for point in written:
        if (point.product_id, point.at) in new:
            work.record(viewer, "price_set", "product", point.product_id, price_minor=point.price_minor)
            if point.previous_minor is not None:
                waiting.append((point.id, point.product_id, point.at, 0))
    if waiting:
        await insert_rows(
            work.connection, "fan_out", "point_id, product_id, at, account_id", "bigint bigint timestamptz bigint", waiting
        )
        work.announce("work", *(f"product:{product_id}" for product_id in moved))


async def write_first_points(work: Work, products: Sequence[Any]) -> None:
    """The price points that new products begin with; they alert nobody."""
    if products:
        await insert_rows(
            work.connection,
            "price_point",
            "product_id, at, price_minor, currency, previous_minor",
            "bigint timestamptz bigint text bigint",
            [(product.id, product.priced_at, product.price_minor, product.currency, None) for product in products],
        )
