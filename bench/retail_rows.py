"""A shop's year as rows of the staff half: what a platform's own team would send of the file.

The rules are those at the head of `bench/retail_count.py`, applied anew: the two share no line of code. A row that the
server has to refuse is sent like any other, with the reasons; a line that is spoilt in part goes there in a row of its
own, because an order is taken whole or not at all.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from babel import Locale

STORE = "online-retail"
CURRENCY = "GBP"
MOST_ROWS = 500

NO_CUSTOMER = "a line without a customer"
NO_COUNTRY = "a country that is none"
NO_PRODUCT = "a code that is no product"
ZERO_PRICE = "a price that is not above zero"
THREE_DECIMALS = "a price with three decimals"
WRONG_SIGN = "a quantity below one outside a cancellation"
TWO_PRICES = "two prices in one minute"

NONE: frozenset[str] = frozenset()

_CODE = re.compile("[0-9]{5}[A-Z]?[A-Z]?")
_OTHER_NAMES = {"EIRE": "IE", "RSA": "ZA", "USA": "US", "Hong Kong": "HK", "Czech Republic": "CZ"}
_COUNTRIES = {name: code for code, name in Locale("en").territories.items() if len(code) == 2} | _OTHER_NAMES


class Line(NamedTuple):
    """A line of the file; `at` is an instant in RFC 3339, `number` counts from 1."""

    number: int
    invoice: str
    code: str
    title: str
    quantity: int
    at: str
    price: Decimal
    customer: str
    country: str

    @property
    def is_cancellation(self) -> bool:
        return self.invoice[:1] == "C"


class Row(NamedTuple):
    """A row of the bulk call `call`, the lines that it tells, and why it has to be refused; no reasons: it has not."""

    call: str
    values: dict[str, Any]
    lines: tuple[int, ...]
    reasons: frozenset[str] = NONE


def read(path: str) -> list[Line]:
    """The lines of the file, in its order, which is that of time."""
    with open(path, encoding="utf-8", newline="") as file:
        return [
            Line(
                number,
                invoice.strip(),
                code.strip().upper(),
                " ".join(title.split()),
                int(quantity),
                at.replace(" ", "T") + "Z",
                Decimal(price),
                customer.strip(),
                country.strip(),
            )
            for number, (invoice, code, title, quantity, at, price, customer, country) in enumerate(list(csv.reader(file))[1:], 1)
        ]


def price_reasons(line: Line) -> frozenset[str]:
    """Why the line's price has to be refused."""
    found = set()
    if not _CODE.fullmatch(line.code):
        found.add(NO_PRODUCT)
    if line.price <= 0:
        found.add(ZERO_PRICE)
    elif line.price * 100 % 1:
        found.add(THREE_DECIMALS)
    return frozenset(found)


def order_reasons(line: Line, regions: dict[str, str]) -> frozenset[str]:
    """Why an order with the line has to be refused. Goods may be given away, so a zero price alone is no reason."""
    found = set(price_reasons(line) - {ZERO_PRICE})
    if not line.customer:
        found.add(NO_CUSTOMER)
    elif regions[line.customer] not in _COUNTRIES.values():
        found.add(NO_COUNTRY)
    if line.quantity < 1 and not line.is_cancellation:
        found.add(WRONG_SIGN)
    return frozenset(found)


def regions_of(lines: Iterable[Line]) -> dict[str, str]:
    """Each buyer's region: the code of the first country that is one, else the country as it stands in the file."""
    found: dict[str, str] = {}
    for line in lines:
        if line.customer and found.get(line.customer) not in _COUNTRIES.values():
            found[line.customer] = _COUNTRIES.get(line.country, line.country)
    return found


def shop_rows(lines: Sequence[Line]) -> Iterator[Row]:
    """The store, its products with their first prices, its buyers and their favourites."""
    regions = regions_of(lines)
    yield Row("putStores", {"externalId": STORE, "name": "Online Retail"}, ())
    yield from _products(lines)
    yield from _buyers(lines, regions)
    yield from _favorites(lines, regions)


def _products(lines: Sequence[Line]) -> Iterator[Row]:
    for line in first_prices(lines).values():
        values = {
            "externalId": line.code,
            "storeExternalId": STORE,
            "titles": [{"language": "en", "text": line.title}],
            "amount": str(line.price),
            "currency": CURRENCY,
            "at": line.at,
        }
        yield Row("putProducts", values, (line.number,))


def first_prices(lines: Iterable[Line]) -> dict[str, Line]:
    """The first priced line of each product."""
    found: dict[str, Line] = {}
    for line in lines:
        if not price_reasons(line):
            found.setdefault(line.code, line)
    return found


def _buyers(lines: Sequence[Line], regions: dict[str, str]) -> Iterator[Row]:
    bought: dict[str, list[int]] = {}
    for line in lines:
        if line.customer:
            bought.setdefault(line.customer, []).append(line.number)
    for customer, numbers in bought.items():
        region = regions[customer]
        values = {"externalId": customer, "displayName": f"Buyer {customer}", "region": region, "currency": CURRENCY}
        yield Row("putAccounts", values, tuple(numbers), NONE if region in _COUNTRIES.values() else frozenset({NO_COUNTRY}))


def _favorites(lines: Sequence[Line], regions: dict[str, str]) -> Iterator[Row]:
    days: dict[str, str] = {}
    chosen: dict[str, dict[str, int]] = {}
    for line in lines:
        if line.is_cancellation or line.price <= 0 or order_reasons(line, regions):
            continue
        days.setdefault(line.customer, line.at[:10])
        products = chosen.setdefault(line.customer, {})
        if len(products) < 3:
            products.setdefault(line.code, line.number)
    for customer, products in chosen.items():
        for code, number in products.items():
            values = {"accountExternalId": customer, "productExternalId": code, "addedAt": f"{days[customer]}T00:00:00Z"}
            yield Row("putFavorites", values, (number,))


def year_rows(lines: Sequence[Line]) -> Iterator[Row]:
    """Prices and orders, interleaved in order of time: a price as it changes, an order as it begins."""
    orders: dict[int, list[Row]] = {}
    for row in _orders(lines):
        orders.setdefault(row.lines[0], []).append(row)
    standing = {code: (line.at, line.price) for code, line in first_prices(lines).items()}
    for line in lines:
        reasons = price_reasons(line)
        if reasons:
            yield _price(line, reasons)
        elif standing[line.code][1] != line.price:
            if standing[line.code][0] == line.at:
                yield _price(line, frozenset({TWO_PRICES}))
            else:
                standing[line.code] = (line.at, line.price)
                yield _price(line)
        yield from orders.get(line.number, ())


def _price(line: Line, reasons: frozenset[str] = NONE) -> Row:
    values = {"externalId": line.code, "amount": str(line.price), "currency": CURRENCY, "at": line.at}
    return Row("setPrices", values, (line.number,), reasons)


def _orders(lines: Sequence[Line]) -> Iterator[Row]:
    """A row for each invoice, and for what is spoilt in it one for each way of being spoilt."""
    regions = regions_of(lines)
    parts: dict[tuple[str, frozenset[str]], list[Line]] = {}
    for line in lines:
        reasons = order_reasons(line, regions)
        if reasons or line.price > 0:
            parts.setdefault((line.invoice, reasons), []).append(line)
    for (invoice, reasons), items in parts.items():
        yield Row("putOrders", _order(items, f"{invoice}/{items[0].number}" if reasons else invoice), tuple(i.number for i in items), reasons)


def _order(lines: list[Line], external_id: str) -> dict[str, Any]:
    first = lines[0]
    happened = ("cancelledAt",) if first.is_cancellation else ("paidAt", "shippedAt", "deliveredAt", "completedAt")
    return {
        "externalId": external_id,
        "accountExternalId": first.customer,
        "storeExternalId": STORE,
        "currency": CURRENCY,
        **dict.fromkeys(("placedAt", *happened), first.at),
        **({"cancelReason": "BUYER"} if first.is_cancellation else {}),
        "items": [_item(line) for line in lines],
    }


def _item(line: Line) -> dict[str, Any]:
    quantity = -line.quantity if line.is_cancellation else line.quantity
    return {"productExternalId": line.code, "title": line.title or line.code, "quantity": quantity, "amount": str(line.price)}


def calls(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """The rows by bulk calls, up to 500 of one kind in each, each row once in its call.

    What has gathered of all kinds goes together, prices first, so that the calls keep to the order of time.
    """
    gathered: dict[str, dict[tuple, Row]] = {}
    for row in rows:
        same = gathered.setdefault(row.call, {})
        if len(same) == MOST_ROWS or _known_by(row) in same:
            yield from _in_turn(gathered)
            gathered = {row.call: {}}
        gathered[row.call][_known_by(row)] = row
    yield from _in_turn(gathered)


def _known_by(row: Row) -> tuple:
    """What the server knows the row by."""
    names = {"setPrices": ("externalId", "at"), "putFavorites": ("accountExternalId", "productExternalId")}
    return tuple(row.values[name] for name in names.get(row.call, ("externalId",)))


def _in_turn(gathered: dict[str, dict[tuple, Row]]) -> Iterator[list[Row]]:
    for call in sorted(gathered, key="setPrices".__ne__):
        yield list(gathered[call].values())
