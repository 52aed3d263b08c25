"""What the shop's year must have become once it is fed: counted from the file alone.

Uses the standard library and nothing of Kabinet's, so that `bench/retail.py --check` compares two things that
share no line of code. The feeder follows the same rules, which are these.

A line of the file says up to three things: who bought, what a product costs, and what was ordered. What spoils
one of them leaves the others standing.

Reading
- InvoiceDate is UTC. Codes are compared in capitals (85123a is 85123A). Titles have their spaces collapsed.
- A product's code is five digits and at most two letters, as the data set's authors define it. POST, DOT, M, D, S,
  C2, CRUK, PADS, DCGS…, BANK CHARGES, AMAZONFEE and gift_… are charges, corrections and vouchers.
- A price is above zero and has at most two decimals. Amounts here are pence.

Buyers
- A buyer is a CustomerID with a country; the region is that of his first line that names one, as ISO 3166 alpha-2.
  «Unspecified» and «European Community» are no countries, and «Channel Islands» are two territories: no region, no
  buyer, no orders.

Prices
- The lines are walked as they stand. Each unit price that differs from the product's standing price is a price
  point at InvoiceDate, whoever bought, a line without a customer and a cancellation not excepted. The first is the
  product's first point. A second price of a product in one minute is refused (CONFLICT): the first one stands.
- A product is a code with at least one price point. Its title is that of its first priced line.

Orders
- An order is an invoice with at least one item; placed, paid, shipped, delivered and completed at the InvoiceDate of
  its first item. An item is a line of a buyer with a product's code, a price, and a quantity of the right sign.
  Two lines of one product are two items. A price that was refused as a point is still what that item cost.
- A leading C is a cancellation: an order of its own, placed and cancelled at InvoiceDate (reason BUYER), its
  quantities turned positive. Which order it takes back the file does not say, and a completed order stays completed.

Favourites
- A buyer's first three distinct products that he ordered, cancellations apart, added at 00:00 of the day of his
  first order. They are given before any price but the first, so the price at adding is the product's first price.

Alerts
- Every favourite has the default watch, ANY_DROP, and follows rules.md section 5. The first point of a product has
  none before it and alerts nobody. Everything can be bought all year.
"""

import argparse
import csv
import json
import re
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

REST = timedelta(hours=24)
PRODUCT_CODE = re.compile(r"[0-9]{5}[A-Z]{0,2}")
REGIONS = {
    "Australia": "AU", "Austria": "AT", "Bahrain": "BH", "Belgium": "BE", "Brazil": "BR", "Canada": "CA",
    "Cyprus": "CY", "Czech Republic": "CZ", "Denmark": "DK", "EIRE": "IE", "Finland": "FI", "France": "FR",
    "Germany": "DE", "Greece": "GR", "Hong Kong": "HK", "Iceland": "IS", "Israel": "IL", "Italy": "IT",
    "Japan": "JP", "Lebanon": "LB", "Lithuania": "LT", "Malta": "MT", "Netherlands": "NL", "Norway": "NO",
    "Poland": "PL", "Portugal": "PT", "RSA": "ZA", "Saudi Arabia": "SA", "Singapore": "SG", "Spain": "ES",
    "Sweden": "SE", "Switzerland": "CH", "USA": "US", "United Arab Emirates": "AE", "United Kingdom": "GB",
}  # fmt: skip

NO_CUSTOMER = "a line without a customer"
NO_COUNTRY = "a country that is none"
NO_PRODUCT = "a code that is no product"
ZERO_PRICE = "a price that is not above zero"
THREE_DECIMALS = "a price with three decimals"
WRONG_SIGN = "a quantity below one outside a cancellation"
TWO_PRICES = "two prices in one minute"


class Line(NamedTuple):
    invoice: str
    code: str
    title: str
    quantity: int
    at: datetime
    price: Decimal
    customer: str
    country: str

    @property
    def cancels(self) -> bool:
        return self.invoice.startswith("C")

    @property
    def pence(self) -> int:
        return int(self.price * 100)


class Point(NamedTuple):
    at: datetime
    pence: int


class Alert(NamedTuple):
    at: datetime
    old: int
    new: int


@dataclass
class Order:
    buyer: str
    at: datetime
    cancelled: bool
    items: list[tuple[str, int, int]]  # (product, quantity, pence each)


@dataclass
class Favorite:
    buyer: str
    product: str
    added_at: datetime
    pence_when_added: int


@dataclass
class Year:
    """What the file comes to; each dictionary in the order of the file."""

    lines: int
    regions: dict[str, str]
    titles: dict[str, str]
    points: dict[str, list[Point]]
    orders: dict[str, Order]
    favorites: list[Favorite]
    alerts: dict[tuple[str, str], list[Alert]]
    refused: Counter[str]


def read(path: str) -> list[Line]:
    """The lines of the file, in its order."""
    with open(path, encoding="utf-8", newline="") as file:
        return [_line(row) for row in csv.DictReader(file)]


def _line(row: dict[str, str]) -> Line:
    return Line(
        invoice=row["InvoiceNo"].strip(),
        code=row["StockCode"].strip().upper(),
        title=" ".join(row["Description"].split()),
        quantity=int(row["Quantity"]),
        at=datetime.fromisoformat(row["InvoiceDate"]).replace(tzinfo=UTC),
        price=Decimal(row["UnitPrice"]),
        customer=row["CustomerID"].strip(),
        country=row["Country"].strip(),
    )


def regions_of(lines: list[Line]) -> dict[str, str]:
    """Each buyer's region, from his first line that names a country."""
    found: dict[str, str] = {}
    for line in lines:
        if line.customer and line.country in REGIONS:
            found.setdefault(line.customer, REGIONS[line.country])
    return found


def price_faults(line: Line) -> set[str]:
    """Why the line names no price of a product; empty when it does."""
    faults = set()
    if line.price <= 0:
        faults.add(ZERO_PRICE)
    if line.price != line.price.quantize(Decimal("0.01")):
        faults.add(THREE_DECIMALS)
    if not PRODUCT_CODE.fullmatch(line.code):
        faults.add(NO_PRODUCT)
    return faults


def order_faults(line: Line, regions: dict[str, str]) -> set[str]:
    """Why the line is no item of a buyer's order, its price and code apart."""
    faults = set()
    if not line.customer:
        faults.add(NO_CUSTOMER)
    elif line.customer not in regions:
        faults.add(NO_COUNTRY)
    if line.quantity < 1 and not line.cancels:
        faults.add(WRONG_SIGN)
    return faults


def prices_of(lines: list[Line]) -> tuple[dict[str, list[Point]], int]:
    """The price points of each product in order of time, and how many more were refused as a second in their minute."""
    points: dict[str, list[Point]] = {}
    refused = 0
    for line in lines:
        if price_faults(line):
            continue
        history = points.setdefault(line.code, [])
        if history and history[-1].pence == line.pence:
            continue
        if history and history[-1].at == line.at:
            refused += 1
            continue
        history.append(Point(line.at, line.pence))
    return points, refused


def orders_of(items: list[Line]) -> dict[str, Order]:
    """The orders that these lines, all of them items, make up, by invoice."""
    orders: dict[str, Order] = {}
    for line in items:
        order = orders.setdefault(line.invoice, Order(line.customer, line.at, line.cancels, []))
        order.items.append((line.code, abs(line.quantity), line.pence))
    return orders


def favorites_of(items: list[Line], points: dict[str, list[Point]]) -> list[Favorite]:
    """Each buyer's first three products, from the day of his first order."""
    since: dict[str, datetime] = {}
    chosen: dict[str, list[str]] = defaultdict(list)
    for line in items:
        if line.cancels:
            continue
        since.setdefault(line.customer, line.at.replace(hour=0, minute=0))
        if len(chosen[line.customer]) < 3 and line.code not in chosen[line.customer]:
            chosen[line.customer].append(line.code)
    return [
        Favorite(buyer, product, since[buyer], points[product][0].pence)
        for buyer, products in chosen.items()
        for product in products
    ]


def any_drop(points: list[Point], added_at: datetime) -> list[Alert]:
    """The alerts of an ANY_DROP watch set at `added_at`, over a product's points in order of time (rules.md, 5)."""
    alerts: list[Alert] = []
    armed, highest_since = True, 0
    for before, point in zip([None, *points], points, strict=False):
        if point.at < added_at:
            continue
        last = alerts[-1] if alerts else None
        if last and not armed:
            highest_since = max(highest_since, point.pence)
            rose = highest_since * 100 >= last.new * 101
            fell = point.pence * 100 <= last.new * 99
            armed = point.at >= last.at + REST and (rose or fell)
        drops = before is not None and point.pence < before.pence
        if armed and drops and (last is None or point.pence < last.new):
            alerts.append(Alert(point.at, before.pence, point.pence))
            armed, highest_since = False, 0
    return alerts


def count(lines: list[Line]) -> Year:
    """The year that these lines tell, by the rules at the head of this file."""
    regions = regions_of(lines)
    points, two_prices = prices_of(lines)
    titles: dict[str, str] = {}
    refused: Counter[str] = Counter()
    items = []
    for line in lines:
        price, order = price_faults(line), order_faults(line, regions)
        refused.update(price | order)
        if not price:
            titles.setdefault(line.code, line.title)
            if not order:
                items.append(line)
    refused += Counter({TWO_PRICES: two_prices})
    favorites = favorites_of(items, points)
    alerts = {(f.buyer, f.product): any_drop(points[f.product], f.added_at) for f in favorites}
    return Year(len(lines), regions, titles, points, orders_of(items), favorites, alerts, refused)


def totals(year: Year) -> dict[str, int]:
    """The figures that a database must show."""
    return {
        "buyers": len(year.regions),
        "products": len(year.points),
        "favorites": len(year.favorites),
        "pricePoints": sum(len(points) for points in year.points.values()),
        "orders": len(year.orders),
        "cancelledOrders": sum(order.cancelled for order in year.orders.values()),
        "orderItems": sum(len(order.items) for order in year.orders.values()),
        "alerts": sum(len(alerts) for alerts in year.alerts.values()),
    }


def as_json(year: Year) -> dict[str, object]:
    """Everything, row by row: what `--json` prints. Amounts in pence, instants as 2011-01-31T09:09:00Z."""
    alerts = [(buyer, product, alert) for (buyer, product), found in year.alerts.items() for alert in found]
    return {
        "lines": year.lines,
        "totals": totals(year),
        "refused": dict(sorted(year.refused.items())),
        "alertsByProduct": dict(sorted(Counter(product for _, product, _ in alerts).items())),
        "alertsByBuyer": dict(sorted(Counter(buyer for buyer, _, _ in alerts).items())),
        "buyers": year.regions,
        "products": year.titles,
        "favorites": [[f.buyer, f.product, _text(f.added_at), f.pence_when_added] for f in year.favorites],
        "pricePoints": [[code, _text(p.at), p.pence] for code, points in year.points.items() for p in points],
        "orders": [
            [number, order.buyer, _text(order.at), order.cancelled, order.items]
            for number, order in year.orders.items()
        ],
        "alerts": [[buyer, product, _text(alert.at), alert.old, alert.new] for buyer, product, alert in alerts],
    }


def _text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


WORKED_CASE = """
0 00:00 10000 -
1 00:00 9500 10000
1 06:00 9000 -
2 01:00 8900 9000
3 02:00 8850 -
3 03:00 9200 -
3 04:00 9100 -
3 05:00 8890 9100
3 06:00 8000 -
4 06:00 8000 -
4 07:00 7900 8000
"""


def self_test() -> None:
    """Tries the worked case of rules.md section 5: day, hour, pence, and the old price where an alert is due.

    Raises:
        AssertionError: with the alerts that came instead.
    """
    points, due = [], []
    for row in WORKED_CASE.split("\n")[1:-1]:
        day, hour, pence, old = row.split()
        at = datetime.fromisoformat(f"2026-01-{int(day) + 1:02}T{hour}:00+00:00")
        points.append(Point(at, int(pence)))
        if old != "-":
            due.append(Alert(at, int(old), int(pence)))
    found = any_drop(points, points[0].at)
    if found != due:
        raise AssertionError(found)


def report(year: Year) -> str:
    """The figures for a reader."""
    rows = [f"{year.lines:>7,}  lines", *(f"{n:>7,}  {name}" for name, n in totals(year).items()), "", "refused, lines:"]
    rows += [f"{n:>7,}  {reason}" for reason, n in year.refused.most_common()]
    per_product = Counter({product: 0 for product in year.points})
    per_buyer = Counter({buyer: 0 for buyer in year.regions})
    for (buyer, product), alerts in year.alerts.items():
        per_product[product] += len(alerts)
        per_buyer[buyer] += len(alerts)
    for name, counts in (("products", per_product), ("buyers", per_buyer)):
        rows += ["", f"most alerts, {name}:", *(f"{n:>7,}  {key}" for key, n in counts.most_common(5))]
    return "\n".join(rows)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="What the shop's year must have become once it is fed.")
    parser.add_argument("--file", help="the sales of the year, as CSV")
    parser.add_argument("--json", action="store_true", help="every row, as JSON")
    parser.add_argument("--self-test", action="store_true", help="try the worked case of rules.md section 5 and stop")
    given = parser.parse_args(arguments)
    if given.self_test:
        self_test()
        print("the worked case holds")
        return 0
    if not given.file:
        parser.error("--file is missing")
    year = count(read(given.file))
    print(json.dumps(as_json(year)) if given.json else report(year))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
