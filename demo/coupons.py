"""The demo world's coupons: every buyer has one in every state."""

from datetime import datetime, timedelta
from decimal import Decimal

from demo.orders import CURRENCIES
from models.coupons import CouponIssuer
from resolvers.coupon_offers import GivenCoupon, GivenOffer

# name of the offer, then from when until when, in days from now
WALLET = (
    ("welcome", -20, 2), ("tenth", -5, 30), ("store", -1, 14), ("spring", 3, 40),
    ("autumn", -90, -10), ("winter", -200, -100), ("thanks", -60, 60), ("mistake", -10, 20), ("held", -10, 20),
)  # fmt: skip
USED_IN = {"after-sale": ("thanks",), "unpaid": ("held",)}
REVOKED = "mistake"


def offers(buyer: str) -> list[GivenOffer]:
    """What the coupons are copies of, in the buyer's currency."""
    currency = CURRENCIES[buyer]
    unit = Decimal(100) if currency == "RUB" else Decimal(1)

    def offer(name: str, ru: str, en: str, issuer: CouponIssuer, **value: object) -> GivenOffer:
        titles = {"ru": ru, "en": en}
        return GivenOffer(f"demo-offer-{name}-{currency}", issuer, titles, currency=currency, **value)  # type: ignore[arg-type]

    platform, special = CouponIssuer.PLATFORM, CouponIssuer.SPECIAL
    return [
        offer("welcome", "С возвращением", "Welcome back", platform, amount_off=3 * unit, minimum_spend=20 * unit),
        offer("tenth", "Скидка 10 %", "10 % off", platform, percent_off=10, maximum_off=5 * unit, minimum_spend=10 * unit),
        offer("store", "От магазина", "From the store", CouponIssuer.STORE, amount_off=2 * unit, store_external_id="demo-store-1"),
        offer("spring", "Весенний", "Spring", platform, amount_off=4 * unit, minimum_spend=30 * unit),
        offer("autumn", "Осенний", "Autumn", platform, amount_off=4 * unit),
        offer("winter", "Зимний", "Winter", platform, percent_off=15, maximum_off=8 * unit),
        offer("thanks", "Спасибо за отзыв", "Thank you", special, amount_off=1 * unit),
        offer("mistake", "Выдан по ошибке", "Issued by mistake", special, amount_off=9 * unit),
        offer("held", "К дню рождения", "Happy birthday", platform, amount_off=2 * unit),
    ]


def external_id(buyer: str, name: str) -> str:
    return f"demo-coupon-{buyer}-{name}"


def coupons(buyer: str, now: datetime) -> list[GivenCoupon]:
    return [
        GivenCoupon(
            external_id(buyer, name), buyer, f"demo-offer-{name}-{CURRENCIES[buyer]}", now + timedelta(days=begin), now + timedelta(days=end),
            revoked_at=now - timedelta(days=1) if name == REVOKED else None,
        )
        for name, begin, end in WALLET
    ]  # fmt: skip


def used_in(buyer: str) -> dict[str, tuple[str, ...]]:
    """Which coupons the orders name, by the order's tale."""
    return {tale: tuple(external_id(buyer, name) for name in names) for tale, names in USED_IN.items()}
