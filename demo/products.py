"""The demo world's shelves: 12 stores, 200 products, a year of prices, the same at every start from the same seed."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache

from resolvers.catalog import GivenProduct, GivenStore
from resolvers.prices import GivenPrice

STORES = (
    "Лампа и K°", "Nordic Light", "Тёплый дом", "Kettle & Cup", "Рюкзак-центр", "Urban Trail",
    "Звук и точка", "Clear Audio", "Мастерская Орлова", "Leather Lane", "Сад на окне", "Green Sill",
)  # fmt: skip
THINGS = (
    ("настольная лампа", "desk lamp", 40), ("чайник", "kettle", 35), ("рюкзак", "backpack", 60), ("наушники", "headphones", 80),
    ("кошелёк", "wallet", 25), ("горшок для цветов", "flower pot", 12), ("плед", "blanket", 30), ("клавиатура", "keyboard", 55),
    ("термокружка", "travel mug", 18), ("ночник", "night light", 15),
)  # fmt: skip
LOOKS = (
    ("Компактный вариант:", "Compact"), ("Новинка:", "New"), ("Классика:", "Classic"), ("Для подарка:", "Gift"), ("Складной вариант:", "Foldable"),
    ("Тихий вариант:", "Quiet"), ("Ручная работа:", "Handmade"), ("Для дома:", "Home"), ("Для дороги:", "Travel"), ("Большой размер:", "Large"),
)  # fmt: skip
PRODUCTS = 200
CURRENCIES = ("RUB", "RUB", "USD", "EUR")
RATE = {"RUB": 90, "USD": 1, "EUR": 1}
STEP_DAYS = 9


def stores() -> list[GivenStore]:
    return [GivenStore(f"demo-store-{number}", name) for number, name in enumerate(STORES, 1)]


def external_id(number: int) -> str:
    """The external id of a product, 0 to 199."""
    return f"demo-product-{number + 1}"


def currency_of(number: int) -> str:
    return CURRENCIES[number % len(CURRENCIES)]


def titles(number: int) -> dict[str, str]:
    (ru_look, en_look), (ru, en, _) = LOOKS[number // 10 % 10], THINGS[number % 10]
    return {"ru": f"{ru_look} {ru} № {number + 1}", "en": f"{en_look} {en} no. {number + 1}"}


def products(now: datetime) -> list[GivenProduct]:
    """All products as they were a year ago; the last five have been sold out since."""
    return [
        GivenProduct(
            external_id=external_id(number),
            store_external_id=f"demo-store-{number % len(STORES) + 1}",
            titles=titles(number),
            available=number < PRODUCTS - 5,
            amount=history(number)[0],
            currency=currency_of(number),
            at=now - timedelta(days=365),
        )
        for number in range(PRODUCTS)
    ]


@cache
def history(number: int) -> tuple[Decimal, ...]:
    """What a product has cost, a step of nine days each, for a year: seasons, sales and a slow rise."""
    dice = random.Random(f"prices of {number}")
    base = THINGS[number % 10][2] * RATE[currency_of(number)] * (0.8 + 0.5 * dice.random())
    prices = []
    for step in range(365 // STEP_DAYS + 1):
        sale = 0.75 if dice.random() < 0.12 else 1.0
        drift = 1 + step * 0.002 + dice.uniform(-0.06, 0.06)
        prices.append(Decimal(max(1, round(base * drift * sale))).quantize(Decimal("0.01")) - Decimal("0.01"))
    return tuple(prices)


def prices(now: datetime) -> Iterator[list[GivenPrice]]:
    """The year's price changes in calls of up to 500 rows, in the order of time; the newest is some hours old."""
    rows = []
    for step in range(1, 365 // STEP_DAYS + 1):
        for number in range(PRODUCTS):
            at = now - timedelta(days=365 - step * STEP_DAYS, minutes=number * 3)
            rows.append(GivenPrice(external_id(number), history(number)[step], currency_of(number), at))
    for begin in range(0, len(rows), 500):
        yield rows[begin : begin + 500]
