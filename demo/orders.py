"""The demo world's orders: each buyer has one in every state that is reached without a dispute, and a year behind them."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from demo import products
from models.given_orders import GivenItem, GivenOrder
from resolvers.shipments import Parcel
from resolvers.tracking import Scan

ADDRESSES = {"anna": "ул. Лесная, 5, Москва", "boris": "Невский пр., 10, Санкт-Петербург", "vera": "Dlouhá 12, Praha"}
CURRENCIES = {"anna": "RUB", "boris": "RUB", "vera": "EUR"}


@dataclass(frozen=True)
class Tale:
    """One order's life, in days before now; None: it has not happened."""

    name: str
    placed: float
    paid: float | None = None
    held: float | None = None
    shipped: float | None = None
    partly: bool = False
    delivered: float | None = None
    completed: float | None = None
    cancelled: float | None = None
    reason: str | None = None
    items: int = 2


TALES = (
    Tale("unpaid", 0.1),
    Tale("unpaid-ending", 0.9, items=1),
    Tale("reviewed", 1, paid=0.9, held=0.9),
    Tale("paid", 1.2, paid=1.1, items=3),
    Tale("paid-ending", 6.8, paid=6.7),
    Tale("partly-shipped", 5, paid=4.9, shipped=3, partly=True, items=3),
    Tale("in-transit", 22, paid=21.9, shipped=20),
    Tale("in-transit-ending", 60, paid=59.9, shipped=58),
    Tale("delivered", 25, paid=24.9, shipped=23, delivered=2),
    Tale("after-sale", 40, paid=39.9, shipped=38, delivered=12, completed=5),
    Tale("ended", 120, paid=119.9, shipped=118, delivered=90, completed=88, items=3),
    Tale("cancelled-by-buyer", 50, paid=49.9, cancelled=49, reason="BUYER"),
    Tale("cancelled-unpaid", 70, cancelled=69, reason="UNPAID", items=1),
    Tale("cancelled-not-shipped", 80, paid=79.9, cancelled=72.9, reason="NOT_SHIPPED"),
    *(Tale(f"year-{month}", 30.5 * month, 30.5 * month - 0.1, shipped=30.5 * month - 2, delivered=30.5 * month - 14, completed=30.5 * month - 15) for month in range(5, 12)),
)


def external_id(buyer: str, tale: str) -> str:
    return f"demo-order-{buyer}-{tale}"


def tracking_number(buyer: str, tale: Tale) -> str:
    return f"KB{hash_of(buyer + tale.name) % 10**9:09d}RU"


def hash_of(text: str) -> int:
    """The same number for a text at every start."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")


def items(buyer: str, tale: Tale) -> tuple[GivenItem, ...]:
    """Products in the buyer's currency, from one store, at a price of their year."""
    shelf = [number for number in range(products.PRODUCTS) if products.currency_of(number) == CURRENCIES[buyer]]
    first = hash_of(tale.name + buyer) % len(shelf)
    language = "en" if buyer == "vera" else "ru"
    return tuple(
        GivenItem(
            products.external_id(number), products.titles(number)[language], 1 + place % 2, products.history(number)[-2]
        )
        for place, number in enumerate(shelf[(first + 3 * place) % len(shelf)] for place in range(tale.items))
    )


def store_of(buyer: str, tale: Tale) -> str:
    return f"demo-store-{hash_of(tale.name + buyer) % len(products.STORES) + 1}"


def orders(buyer: str, now: datetime, coupons: dict[str, tuple[str, ...]]) -> list[GivenOrder]:
    """The buyer's orders as facts; their parcels follow by `parcels`."""

    def ago(days: float | None) -> datetime | None:
        return None if days is None else now - timedelta(days=days)

    return [
        GivenOrder(
            external_id=external_id(buyer, tale.name),
            account_external_id=buyer,
            store_external_id=store_of(buyer, tale),
            currency=CURRENCIES[buyer],
            placed_at=now - timedelta(days=tale.placed),
            items=items(buyer, tale),
            address=ADDRESSES[buyer],
            guarantee_days=60,
            paid_at=ago(tale.paid),
            payment_held_at=ago(tale.held),
            shipped_at=None if tale.partly else ago(tale.shipped),
            completed_at=None if tale.shipped else ago(tale.completed),
            cancelled_at=ago(tale.cancelled),
            cancel_reason=tale.reason,
            coupon_external_ids=coupons.get(tale.name),
        )
        for tale in TALES
    ]


def completions(buyer: str, now: datetime, coupons: dict[str, tuple[str, ...]]) -> list[GivenOrder]:
    """What is added once the parcels have arrived: that these orders are completed."""
    completed = {external_id(buyer, tale.name): tale.completed for tale in TALES if tale.completed and tale.shipped}
    return [
        GivenOrder(**{**{name: getattr(order, name) for name in GivenOrder.__slots__}, "completed_at": now - timedelta(days=completed[order.external_id])})
        for order in orders(buyer, now, coupons)
        if order.external_id in completed
    ]


def parcels(buyer: str, now: datetime) -> list[Parcel]:
    """A parcel for each order that was shipped; one of them holds a part of its order."""
    return [
        Parcel(
            external_id=external_id(buyer, tale.name),
            tracking_number=tracking_number(buyer, tale),
            carrier="Почта России" if buyer != "vera" else "Česká pošta",
            shipped_at=now - timedelta(days=tale.shipped),
            items=((items(buyer, tale)[0].product_external_id, items(buyer, tale)[0].quantity),) if tale.partly else None,
            whole=not tale.partly,
        )
        for tale in TALES
        if tale.shipped is not None
    ]


def scans(buyer: str, now: datetime) -> Iterator[Scan]:
    """Where the parcels were seen."""
    places = ("Шэньчжэнь", "Екатеринбург", "Москва") if buyer != "vera" else ("Shenzhen", "Leipzig", "Praha")
    for tale in TALES:
        if tale.shipped is None:
            continue
        number = tracking_number(buyer, tale)
        last = tale.delivered or 0.2
        for step, (status, place) in enumerate(zip(("ACCEPTED", "IN_TRANSIT", "ARRIVED"), places, strict=True)):
            days = tale.shipped - (tale.shipped - last) * (0.1 + 0.3 * step)
            yield Scan(number, now - timedelta(days=days), status, place)
        if tale.delivered is not None:
            yield Scan(number, now - timedelta(days=tale.delivered), "DELIVERED", places[-1])
