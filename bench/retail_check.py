"""Whether a database holds what the shop's year must have become: row by row, by SQL, with none of Kabinet's code."""

import asyncio
import json
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg

Rows = list[tuple]

QUERIES = {
    "buyers": "SELECT external_id, region FROM account",
    "products": "SELECT external_id, titles FROM product",
    "standing prices": "SELECT external_id, priced_at, price_minor FROM product",
    "favorites": (
        "SELECT a.external_id, p.external_id, f.added_at, f.price_minor FROM favorite f "
        "JOIN account a ON a.id = f.account_id JOIN product p ON p.id = f.product_id"
    ),
    "pricePoints": "SELECT p.external_id, x.at, x.price_minor FROM price_point x JOIN product p ON p.id = x.product_id",
    "orders": (
        "SELECT o.external_id, a.external_id, o.placed_at, o.paid_at, o.shipped_at, o.delivered_at, o.completed_at, o.cancelled_at "
        "FROM orders o JOIN account a ON a.id = o.account_id"
    ),
    "orderItems": (
        "SELECT o.external_id, p.external_id, i.quantity, i.price_minor FROM order_item i "
        "JOIN orders o ON o.id = i.order_id JOIN product p ON p.id = i.product_id"
    ),
    "totals of orders": "SELECT external_id, total_minor FROM orders",
    "alerts": (
        "SELECT a.external_id, p.external_id, d.at, d.old_minor, d.new_minor FROM price_drop d "
        "JOIN account a ON a.id = d.account_id JOIN product p ON p.id = d.product_id"
    ),
}


def counted(path: str) -> dict[str, Any]:
    """What `retail_count.py --json` says of the file."""
    command = [sys.executable, str(Path(__file__).with_name("retail_count.py")), "--file", path, "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def expected(year: dict[str, Any]) -> dict[str, Rows]:
    """The rows that each query must give."""
    newest = {code: (code, at, pence) for code, at, pence in year["pricePoints"]}
    return {
        "buyers": list(year["buyers"].items()),
        "products": [(code, json.dumps({"en": title})) for code, title in year["products"].items()],
        "standing prices": list(newest.values()),
        "favorites": [tuple(row) for row in year["favorites"]],
        "pricePoints": [tuple(row) for row in year["pricePoints"]],
        "orders": [
            (number, buyer, at, *((None,) * 4 + (at,) if cancelled else (at,) * 4 + (None,)))
            for number, buyer, at, cancelled, _ in year["orders"]
        ],
        "orderItems": [(number, *item) for number, *_, items in year["orders"] for item in items],
        "totals of orders": [(number, sum(many * pence for _, many, pence in items)) for number, *_, items in year["orders"]],
        "alerts": [tuple(row) for row in year["alerts"]],
    }


def differences(database_url: str, year: dict[str, Any]) -> dict[str, tuple[int, Counter, Counter]]:
    """By what was compared: how many rows there are, those that are missing, and those that should not be there."""
    compared = {}
    for name, rows in expected(year).items():
        found = Counter(_plain(name, row) for row in fetch(database_url, QUERIES[name]))
        due = Counter(rows)
        compared[name] = (found.total(), due - found, found - due)
    return compared


def waiting_price_points(database_url: str) -> int:
    """How many price points the worker has not finished with."""
    return int(fetch(database_url, "SELECT count(*) FROM fan_out")[0][0])


def fetch(database_url: str, sql: str) -> Rows:
    """The rows of a statement, from either database."""
    if database_url.startswith("sqlite:///"):
        with closing(sqlite3.connect(f"file:{database_url.removeprefix('sqlite:///')}?mode=ro", uri=True, timeout=30)) as connection:
            return connection.execute(sql).fetchall()
    return asyncio.run(_fetch_postgres(database_url, sql))


async def _fetch_postgres(database_url: str, sql: str) -> Rows:
    connection = await asyncpg.connect(database_url)
    try:
        return [tuple(row) for row in await connection.fetch(sql)]
    finally:
        await connection.close()


def _plain(name: str, row: Iterable[Any]) -> tuple:
    """A row as the count writes it: instants as 2011-01-31T09:09:00Z, titles as the JSON that Python writes."""
    if name == "products":
        code, titles = row
        return code, json.dumps(json.loads(titles))
    return tuple(_instant(value) for value in row)


def _instant(value: Any) -> Any:
    text = value.isoformat(" ") if isinstance(value, datetime) else value
    if isinstance(text, str) and text.endswith("+00:00"):
        return text.removesuffix("+00:00").replace(" ", "T") + "Z"
    return text


def report(compared: dict[str, tuple[int, Counter, Counter]], say: Callable[[str], None]) -> bool:
    """Tell what agrees and what does not; whether all does."""
    for name, (total, missing, beyond) in compared.items():
        say(f"{total:>9,}  {name:<17} {_verdict(missing, beyond)}")
        for word, rows in (("missing", missing), ("beyond", beyond)):
            for row in list(rows.elements())[:5]:
                say(f"           {word}: {row}")
    return not any(missing or beyond for _, missing, beyond in compared.values())


def _verdict(missing: Counter, beyond: Counter) -> str:
    return f"{missing.total():,} missing, {beyond.total():,} beyond" if missing or beyond else "agree"
