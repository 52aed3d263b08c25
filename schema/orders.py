"""Orders in the graph."""

from typing import TYPE_CHECKING, Annotated, Any

import strawberry

from delivery.texts import text
from models import catalog as catalog_rows
from models import orders as rows
from models.given_orders import GivenItem, GivenOrder
from models.money import Money as Amounted
from models.order_actions import actions_of
from models.protection import protection
from resolvers import coupons, given_orders, messages, orders, shipments
from schema.bulk import BulkResult, bulk, given
from schema.catalog import Product, Store
from schema.context import Context
from schema.coupons import Coupon
from schema.edges import attribute, derived, edge, identity, looked_up, mutation, root, to_one
from schema.errors import ErrorCodeEnum, NotFound, Unavailable, answered
from schema.money import Money
from schema.node import Node, own_id, reads_rows_of
from schema.paging import After, Before, Connection, First, Last, window
from schema.protection import OrderId, Protection
from schema.scalars import Amount, Instant
from schema.shipments import Shipment

if TYPE_CHECKING:
    from schema.messages import Conversation

OrderStatus = rows.OrderStatus
strawberry.enum(
    OrderStatus,
    name="OrderStatus",
    description="PAYMENT_REVIEW: paid, and the payment is looked at; PARTLY_SHIPPED: some of it is still to be shipped; "
    "DELIVERED: the last parcel was; CLOSED: all the money was given back.",
)
OrderTab = rows.OrderTab
strawberry.enum(
    OrderTab,
    name="OrderTab",
    description="AWAITING_PAYMENT: with PAYMENT_REVIEW; SHIPPED: PARTLY_SHIPPED, SHIPPED and DELIVERED; AWAITING_REVIEW: completed in the "
    "last 30 days; FINISHED: COMPLETED and CLOSED; DISPUTED: with an open dispute, whatever the status.",
)


@strawberry.type(description="So many of one product in an order.")
class OrderItem:
    title: str = attribute("As it was when it was ordered.")
    quantity: int = attribute("How many.")
    price: Money = derived(lambda row, context: Amounted(row.price_minor, row.currency), description="Of one, as it was ordered.")
    product: Product | None = to_one(catalog_rows.Product, key="product_id", description="The product as it is now.")


@strawberry.type(description="A mutation that the buyer may or may not call now, told by the rule that it follows itself.")
class Action:
    name: str = attribute("The mutation's name.")
    allowed: bool = attribute("Whether it would be done now.")
    code: ErrorCodeEnum | None = attribute("Why not; null when it is allowed.")
    message: str | None = attribute("The same for people; null when it is allowed.")
    available_from: Instant | None = attribute("When it becomes allowed; null when that is not known.")
    available_until: Instant | None = attribute("Until when it is or was allowed, exclusive; null when there is no end.")


class ShownAction:
    """An action in the viewer's language."""

    __slots__ = ("allowed", "available_from", "available_until", "code", "message", "name")

    def __init__(self, action: Any, language: str):
        refusal = action.refusal
        self.name, self.allowed, self.available_until = action.name, refusal is None, action.until
        self.code = refusal.code if refusal else None
        self.message = text(refusal.text, language, **refusal.values) if refusal else None
        self.available_from = refusal.available_from if refusal else None


_items = looked_up(orders.items_of, many=True)
_shipments = looked_up(shipments.shipments_of, many=True)
_coupons = looked_up(coupons.coupons_of_orders, many=True)
_conversations = looked_up(messages.by_orders)


async def _actions(found: list[Any], context: Context) -> list[Any]:
    known = await orders.extensions_of([row.id for row in found])
    owners = await context.accounts([row.account_id for row in found])
    now, language = context.viewer.now, context.language
    return [
        [ShownAction(action, language) for action in actions_of(row, known.get(row.id, []), owners[row.account_id], now)]
        for row in found
    ]


async def _order(context: Context, order_id: int) -> Any:
    return await orders.order(context.viewer, order_id)


@strawberry.type(description="What was bought of one store at one time.")
@reads_rows_of(rows.Order, _order)
class Order(Node):
    id: strawberry.ID = identity("Order")
    number: str = attribute("The number that the buyer knows it by.")
    status: OrderStatus = derived(lambda row, context: rows.status(row, context.viewer.now), description="What it is now.")
    placed_at: Instant = attribute("When it was ordered.")
    paid_at: Instant | None = attribute("When it was paid; null until then.")
    pay_by_at: Instant = attribute("Until when it had or has to be paid, exclusive.")
    completed_at: Instant | None = derived(
        lambda row, context: rows.completed_at(row, context.viewer.now), description="When it was completed; null unless it is COMPLETED."
    )
    cancelled_at: Instant | None = derived(
        lambda row, context: rows.cancelled_at(row, context.viewer.now), description="When it was cancelled; null unless it is CANCELLED."
    )
    cancel_reason: str | None = derived(
        lambda row, context: rows.cancellation(row, context.viewer.now),
        description="Why it was cancelled: UNPAID, NOT_SHIPPED, or the platform's word; null where there is none.",
    )
    total: Money = derived(lambda row, context: Amounted(row.total_minor, row.currency), description="What is to be paid, the discount taken off.")
    discount: Money = derived(lambda row, context: Amounted(row.discount_minor, row.currency), description="What coupons took off the items.")
    store: Store | None = to_one(catalog_rows.Store, key="store_id", description="Who sells it.")
    items: list[OrderItem] = edge(_items, description="What was bought; one product may stand in several.", size=5)
    shipments: list[Shipment] = edge(_shipments, description="Its parcels, in the order of shipping.", size=2)
    address: str | None = attribute("Where it goes, as it was ordered; null where the platform has not said.")
    protection: Protection | None = derived(
        lambda row, context: protection(row, context.viewer.now), description="How long the buyer is protected."
    )
    coupons: list[Coupon] = edge(_coupons, description="The coupons that it holds or has used.", size=2)
    conversation: Annotated["Conversation", strawberry.lazy("schema.messages")] | None = edge(
        _conversations, description="What buyer and seller say about it."
    )
    actions: list[Action] = edge(_actions, description="What the buyer may do with it now, and why not.", size=3)


Id = Annotated[strawberry.ID, strawberry.argument(description="An order's id.")]
Tab = Annotated[OrderTab | None, strawberry.argument(description="Only orders of one tab.")]
Search = Annotated[
    str | None,
    strawberry.argument(description="An order's number or its beginning, or part of an item's title; in any case, at most 200 characters."),
]


async def _by_id(context: Context, id: Id) -> Any:
    return await orders.order(context.viewer, own_id(context, id, "Order"))


async def _of_accounts(accounts: list[Any], context: Context, tab: Tab = rows.OrderTab.ALL, search: Search = None, first: First = None, after: After = None, last: Last = None, before: Before = None) -> list[Any]:  # fmt: skip
    page = window(first, after, last, before)
    return [await orders.orders(account.id, tab or rows.OrderTab.ALL, given(search), page, context.viewer.now) for account in accounts]


@strawberry.type
class OrdersQuery:
    order: Order | None = root(
        _by_id, description="One of the buyer's orders; null with NOT_FOUND when there is none, or it is somebody else's.", personal=True
    )


@strawberry.type
class AccountOrders:
    orders: Connection[Order] | None = edge(_of_accounts, description="The buyer's orders, newest first.")


@strawberry.type(description="The order is completed, and after-sale begins.")
class ReceiptConfirmed:
    order: Order = strawberry.field(description="As it is now.")


ConfirmReceiptResult = Annotated[
    ReceiptConfirmed | NotFound | Unavailable, strawberry.union("ConfirmReceiptResult", description="What confirmReceipt answers.")
]


@strawberry.input(description="So many of one product in an order. The same product may come again.")
class OrderItemRow:
    product_external_id: str = strawberry.field(description="The platform's id of the product.")
    title: str = strawberry.field(description="As it was when it was ordered, at most 500 characters.")
    quantity: int = strawberry.field(description="At least 1.")
    amount: Amount = strawberry.field(description='The price of one, in the order\'s currency: "3.90".')


@strawberry.input(
    description="What the platform knows of an order: facts, never a status. Said again, a row may add facts; one that takes a fact back "
    "or contradicts what is known is REFUSED with CONFLICT. No instant but shipByAt may lie in the future."
)
class OrderRow:
    external_id: str = strawberry.field(description="The platform's id of the order.")
    account_external_id: str = strawberry.field(description="Who bought.")
    store_external_id: str = strawberry.field(description="Who sells.")
    currency: str = strawberry.field(description="ISO 4217, of all amounts of the order.")
    placed_at: Instant = strawberry.field(description="When it was ordered. It must be paid within 24 hours.")
    paid_at: Instant | None = strawberry.field(default=strawberry.UNSET, description="When it was paid.")
    payment_held_at: Instant | None = strawberry.field(default=strawberry.UNSET, description="Since when the payment has been under review.")
    payment_cleared_at: Instant | None = strawberry.field(default=strawberry.UNSET, description="When the review let it pass.")
    ship_by_at: Instant | None = strawberry.field(default=strawberry.UNSET, description="Until when it must be shipped; 7 days from payment when left out.")
    guarantee_days: int | None = strawberry.field(
        default=strawberry.UNSET,
        description="Days of protection from shipment on, as promised; at most, and when left out, 60, to Russia 90, to Brazil 120.",
    )
    shipped_at: Instant | None = strawberry.field(default=strawberry.UNSET, description="When it was wholly shipped. Parcels are told with shipOrders.")
    delivered_at: Instant | None = strawberry.field(default=strawberry.UNSET, description="When the last of it was delivered.")
    completed_at: Instant | None = strawberry.field(default=strawberry.UNSET, description="When it was completed; such an order has no clock.")
    cancelled_at: Instant | None = strawberry.field(default=strawberry.UNSET, description="When it was cancelled; such an order has no clock.")
    cancel_reason: str | None = strawberry.field(default=strawberry.UNSET, description="Why, in a word.")
    number: str | None = strawberry.field(default=strawberry.UNSET, description="The number that the buyer knows; externalId when left out.")
    region: str | None = strawberry.field(default=strawberry.UNSET, description="ISO 3166 code of the country it goes to; the buyer's when left out.")
    address: str | None = strawberry.field(default=strawberry.UNSET, description="Where it goes, at most 1,000 characters.")
    discount: Amount | None = strawberry.field(
        default=strawberry.UNSET, description="What coupons took off the items; what the coupons named are worth when left out."
    )
    items: list[OrderItemRow] = strawberry.field(description="1 to 100.")
    coupon_external_ids: list[str] | None = strawberry.field(
        default=strawberry.UNSET, description="The buyer's coupons in it: held by it, used once it is paid, back when it is cancelled."
    )


@strawberry.input(description="Up to 500 orders.")
class PutOrdersInput:
    rows: list[OrderRow] = strawberry.field(description="Created or added to by external id.")


def _given_order(row: OrderRow) -> GivenOrder:
    named = given(row.coupon_external_ids)
    return GivenOrder(
        external_id=row.external_id,
        account_external_id=row.account_external_id,
        store_external_id=row.store_external_id,
        currency=row.currency,
        placed_at=row.placed_at,
        items=tuple(GivenItem(i.product_external_id, i.title, i.quantity, i.amount) for i in row.items),
        number=given(row.number),
        region=given(row.region),
        address=given(row.address),
        discount=given(row.discount),
        guarantee_days=given(row.guarantee_days),
        paid_at=given(row.paid_at),
        payment_held_at=given(row.payment_held_at),
        payment_cleared_at=given(row.payment_cleared_at),
        ship_by_at=given(row.ship_by_at),
        shipped_at=given(row.shipped_at),
        delivered_at=given(row.delivered_at),
        completed_at=given(row.completed_at),
        cancelled_at=given(row.cancelled_at),
        cancel_reason=given(row.cancel_reason),
        coupon_external_ids=None if named is None else tuple(named),
    )


async def _confirm(context: Context, order_id: str) -> Any:
    return await orders.confirm_receipt(context.viewer, own_id(context, order_id, "Order", "orderId"))


@strawberry.type
class OrdersMutation:
    @mutation(description="Say that all has arrived: the order is completed. Not while a dispute is open.")
    async def confirm_receipt(context: Context, order_id: OrderId) -> ConfirmReceiptResult:
        return await answered(context, _confirm(context, order_id), lambda row: ReceiptConfirmed(order=row))

    @mutation(description="Tell orders, or more about them. Scope orders.")
    async def put_orders(context: Context, input: PutOrdersInput) -> BulkResult:
        told = [_given_order(row) for row in input.rows]
        return await bulk(context, given_orders.put_orders(context.viewer, told))
