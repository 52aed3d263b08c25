"""A buyer's start page in the graph."""

from dataclasses import dataclass
from typing import Any

import strawberry

from resolvers import coupons, home, orders
from schema.catalog import Store
from schema.context import Context
from schema.edges import attribute, edge, looked_up
from schema.orders import OrderStatus


@dataclass(frozen=True, slots=True)
class Counted:
    """How many orders of one status there are."""

    status: Any
    count: int


class Shown:
    """What one statement counts for an account."""

    __slots__ = ("account_id", "attention", "awaiting_payment", "dispute_count", "order_counts", "protection_ending", "review_count", "unread_message_count")

    def __init__(self, account_id: int, figures: orders.Figures):
        self.account_id = account_id
        self.order_counts = [Counted(status, count) for status, count in figures.counts.items()]
        self.dispute_count, self.review_count = figures.disputed, 0
        self.awaiting_payment = figures.counts[OrderStatus.AWAITING_PAYMENT]
        self.protection_ending = figures.protection_ending
        self.unread_message_count = figures.unread
        self.attention = self


@strawberry.type(description="How many of the buyer's orders are in one status.")
class OrderCount:
    status: OrderStatus = attribute("The status.")
    count: int = attribute("How many; 0 too.")


async def _coupons_ending(found: list[Any], context: Context) -> list[int]:
    counts = await coupons.ending_counts([shown.account_id for shown in found], context.viewer.now)
    return [counts.get(shown.account_id, 0) for shown in found]


@strawberry.type(description="What asks for the buyer's attention.")
class Attention:
    awaiting_payment: int = attribute("Orders that are to be paid.")
    protection_ending: int = attribute("Orders whose protection ends within 72 hours.")
    coupons_ending: int = edge(_coupons_ending, description="Usable coupons that end within 72 hours.")


_stores = looked_up(home.favorite_stores, key="account_id", many=True)


@strawberry.type(description="The numbers of the buyer's start page.")
class Home:
    order_counts: list[OrderCount] = strawberry.field(
        description="Every status, those without orders too.", metadata={"list_size": 9}
    )
    dispute_count: int = attribute("Orders with an open dispute.")
    review_count: int = attribute("Reviews that the buyer has written; 0 until reviews are kept here.")
    unread_message_count: int = attribute("Messages of sellers that the buyer has not read, promotions too.")
    favorite_stores: list[Store] = edge(_stores, description="Stores of products on the wish list, five at most, most wished for first.", size=5)
    attention: Attention = attribute("What is to be done soon.")


async def _home(accounts: list[Any], context: Context) -> list[Any]:
    return [Shown(account.id, await orders.figures(account.id, context.viewer.now)) for account in accounts]


@strawberry.type
class AccountHome:
    home: Home | None = edge(_home, description="The numbers of the start page.")
