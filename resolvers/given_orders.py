"""Orders as the platform tells them: facts, to which it may add, and which it may not take back."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from auth.viewer import Viewer
from models.accounts import Account
from models.catalog import Product, Store
from models.coupons import discount_minor
from models.database import any_of
from models.given_orders import GivenOrder, facts_given, require_order, with_more, words_of
from models.orders import OVER, Facts, GivenFacts, facts_of, status
from models.protection import timers_of
from models.reads import reads
from models.refusals import ErrorCode, Refusal
from models.rows import insert_rows
from models.timers import change_timers
from models.unit_of_work import Work, unit_of_work
from resolvers.bulk import RowResult, RowStatus, pending, repeated, results_of
from resolvers.coupons import Hold, NamedCoupons, hold_coupons, named_coupons, release_coupons, use_coupons
from resolvers.messages import Place, open_conversations
from resolvers.orders import Change, asking, columns_of, locked, moved_timers, save, tell


@dataclass(slots=True)
class Checked:
    """A row whose references are known, with its amounts in minor units, and what is remembered of it."""

    row: GivenOrder
    result: RowResult
    account: Any
    store: Any
    products: dict[str, Any]
    prices: list[int]
    discount_minor: int | None
    words: dict[str, Any]
    coupons: list[Any] = field(default_factory=list)

    @property
    def goods_minor(self) -> int:
        return sum(price * item.quantity for price, item in zip(self.prices, self.row.items, strict=True))

    def take_coupons(self, named: NamedCoupons, order_id: int | None) -> None:
        """Raises:
        Refusal: CONFLICT or UNKNOWN_REFERENCE, a coupon is not this order's to use.
        """
        given = list(self.row.coupon_external_ids or ())
        self.coupons = named.take(given, self.row.external_id, order_id, self.account.id, self.row.placed_at)
        if self.discount_minor is None and given:
            self.discount_minor = discount_minor(self.coupons, self.goods_minor, self.row.currency)


async def put_orders(viewer: Viewer, rows: Sequence[GivenOrder]) -> list[RowResult]:
    """Tell orders, or more about them, by external id; scope orders."""
    viewer.require_scope("orders")
    return await repeated(_put, viewer, rows)


@unit_of_work
async def _put(work: Work, viewer: Viewer, rows: Sequence[GivenOrder]) -> list[RowResult]:
    results = results_of(rows)
    known = {o.external_id: o for o in await locked(work, any_of("external_id", 1, "text"), [row.external_id for row in rows])}
    said = {given.order_id: given.facts for given in await _said([order.id for order in known.values()])}
    asked = await asking(work, [order.id for order in known.values()]) if known else set()
    named = await named_coupons(work, {coupon for row in rows for coupon in row.coupon_external_ids or ()})
    created: list[Checked] = []
    changes: list[tuple[Checked, Change]] = []
    for checked in await _checked(viewer, rows, results):
        present = known.get(checked.row.external_id)
        try:
            facts = with_more(checked.row, present, said.get(present.id, {}), viewer.now) if present else None
            checked.take_coupons(named, present.id if present else None)
        except Refusal as refusal:
            checked.result.refuse(refusal)
            continue
        if present is None or facts is None:
            checked.result.status = RowStatus.CREATED
            created.append(checked)
        elif checked.words != said.get(present.id) and _says_more(checked, present, facts):
            checked.result.status = RowStatus.UPDATED
            changes.append((checked, Change(present, facts, present.id in asked, present.id in asked)))
    await _create(work, viewer, created)
    await _change(work, viewer, changes)
    return results


async def _said(order_ids: list[int]) -> list[GivenFacts]:
    return await reads(GivenFacts).where(any_of("order_id", 1), order_ids) if order_ids else []


async def _checked(viewer: Viewer, rows: Sequence[GivenOrder], results: Sequence[RowResult]) -> list[Checked]:
    """The rows that can be orders; the others are refused. Three statements for what all of them name."""
    accounts = await reads(Account).by_external_id(row.account_external_id for row in rows)
    stores = await reads(Store).by_external_id(row.store_external_id for row in rows)
    products = await reads(Product).by_external_id(item.product_external_id for row in rows for item in row.items)
    found = []
    for row, result in pending(rows, results):
        try:
            prices, discount = require_order(row, viewer.now)
            account = _known(accounts, row.account_external_id, "accountExternalId")
            store = _known(stores, row.store_external_id, "storeExternalId")
            bought = {
                item.product_external_id: _known(products, item.product_external_id, "productExternalId") for item in row.items
            }
        except Refusal as refusal:
            result.refuse(refusal)
            continue
        found.append(Checked(row, result, account, store, bought, prices, discount, words_of(row)))
    return found


def _known(found: dict[str, Any], external_id: str, field: str) -> Any:
    if external_id not in found:
        raise Refusal(ErrorCode.UNKNOWN_REFERENCE, field=field)
    return found[external_id]


def _says_more(checked: Checked, present: Any, facts: Facts) -> bool:
    """Whether the row tells anything that is not known by other ways already."""
    row = checked.row
    return (
        facts != facts_of(present)
        or (row.address is not None and row.address != present.address)
        or checked.discount_minor not in (None, present.discount_minor)
        or any(coupon.order_id != present.id for coupon in checked.coupons)
    )


_ORDER_COLUMNS = "external_id account_id store_id number number_folded region address currency total_minor discount_minor"
_ORDER_TYPES = "text bigint bigint text text text text text bigint bigint"
_FACT_TYPES = {"guarantee_days": "int", "kept_seconds": "int", "completion": "text", "cancellation": "text"}


async def _create(work: Work, viewer: Viewer, created: list[Checked]) -> None:
    if not created:
        return
    facts = {c.row.external_id: facts_given(c.row, c.row.region or c.account.region, viewer.now) for c in created}
    await insert_rows(
        work.connection,
        "orders",
        ", ".join([*_ORDER_COLUMNS.split(), *Facts._fields]),
        " ".join([_ORDER_TYPES, *(_FACT_TYPES.get(name, "timestamptz") for name in Facts._fields)]),
        [_columns(checked) + columns_of(facts[checked.row.external_id]) for checked in created],
    )
    found = await work.fetch(
        f"SELECT external_id, id FROM orders WHERE {any_of('external_id', 1, 'text')}", [c.row.external_id for c in created]
    )
    ids = {external_id: order_id for external_id, order_id in found}
    await _write_items(work, created, ids)
    await _remember(work, [(ids[checked.row.external_id], checked.words) for checked in created])
    await open_conversations(work, [Place(c.account.id, c.store.id, ids[c.row.external_id]) for c in created])
    await _settle_coupons(work, viewer, [(c, ids[c.row.external_id], facts[c.row.external_id]) for c in created])
    started = []
    for checked in created:
        order_id, own = ids[checked.row.external_id], facts[checked.row.external_id]
        started += moved_timers(order_id, {}, timers_of(own), viewer.now, past=False)[0]
        work.record(viewer, "order_created", "order", order_id, external_id=checked.row.external_id)
        if status(own, viewer.now) not in OVER:  # history speaks to nobody
            work.event(checked.account.id, "order_changed", order_id, viewer.now)
    await change_timers(work, started, [])


def _columns(checked: Checked) -> tuple:
    row = checked.row
    number = row.number or row.external_id
    return (
        row.external_id, checked.account.id, checked.store.id, number, number.casefold(), row.region or checked.account.region,
        row.address, row.currency, checked.goods_minor - (checked.discount_minor or 0), checked.discount_minor or 0,
    )  # fmt: skip


async def _write_items(work: Work, created: list[Checked], ids: dict[str, int]) -> None:
    rows = []
    for checked in created:
        for item, price in zip(checked.row.items, checked.prices, strict=True):
            product = checked.products[item.product_external_id]
            folded = f"{item.title.casefold()}\n{product.title_folded}"
            order_id = ids[checked.row.external_id]
            rows.append((order_id, product.id, item.title, folded, item.quantity, price, checked.row.currency))
    await insert_rows(
        work.connection,
        "order_item",
        "order_id, product_id, title, title_folded, quantity, price_minor, currency",
        "bigint bigint text text int bigint text",
        rows,
    )


async def _change(work: Work, viewer: Viewer, changes: list[tuple[Checked, Change]]) -> None:
    if not changes:
        return
    await save(work, [change for _, change in changes], viewer.now, past=False)
    amounts = []
    for checked, change in changes:
        order = change.order
        discount = order.discount_minor if checked.discount_minor is None else checked.discount_minor
        total = order.total_minor + order.discount_minor - discount
        amounts.append((order.id, checked.row.address or order.address, discount, total))
        tell(work, viewer, order, "order_updated", viewer.now)
    await work.execute_each("UPDATE orders SET address = $2, discount_minor = $3, total_minor = $4 WHERE id = $1", amounts)
    await _remember(work, [(change.order.id, checked.words) for checked, change in changes])
    await _settle_coupons(work, viewer, [(checked, change.order.id, change.facts) for checked, change in changes])


async def _settle_coupons(work: Work, viewer: Viewer, told: list[tuple[Checked, int, Facts]]) -> None:
    """Coupons that an order names are held by it, used once it is paid, and back when it was cancelled."""
    holds = [
        Hold(coupon, order_id, facts.placed_at, facts.pay_by_at) for checked, order_id, facts in told for coupon in checked.coupons
    ]
    await hold_coupons(work, viewer, holds)
    paid_at = {order_id: facts.paid_at for _, order_id, facts in told if facts.paid_at is not None}
    if paid_at:
        await use_coupons(work, viewer, paid_at)
    cancelled = {order_id: facts.cancelled_at for _, order_id, facts in told if facts.cancelled_at is not None}
    if cancelled:
        await release_coupons(work, viewer, cancelled)


async def _remember(work: Work, said: list[tuple[int, dict[str, Any]]]) -> None:
    await work.execute_each(
        "INSERT INTO given_facts (order_id, facts) VALUES ($1, $2) ON CONFLICT (order_id) DO UPDATE SET facts = excluded.facts",
        [(order_id, orjson.dumps(words).decode()) for order_id, words in said],
    )
