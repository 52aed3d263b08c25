"""Price changes a second with 100,000 favourites waiting for them: `python -m bench.set_prices`.

The same changes twice in one run: by `setPrices`, 500 rows a call, and as the bare INSERTs of the same price points in
plain SQL, 500 a transaction. Then the time in which the worker has looked at every favourite of them, alerts included.
"""

import asyncio
import sqlite3
import time
from datetime import timedelta
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import click

from bench.shop import ask, database, fill_buyers, fill_catalogue, fill_favorites, open_shop, settle, staff
from models.instants import as_text, utc_now
from models.sqlite_engine import PRAGMAS
from resolvers.price_watch import fan_out
from settings import Settings

PRODUCTS, BUYERS, WISHES, ROWS, CALLS = 1000, 1000, 100, 500, 10
SET = "mutation($input: SetPricesInput!) { setPrices(input: $input) { results { status } } }"


@click.command()
@database
def main(database: str | None) -> None:
    """Print price changes a second both ways, their ratio, and the time of the fan-out."""
    asyncio.run(compare(database))


async def compare(url: str | None) -> None:
    async with open_shop(url) as service:
        await fill_catalogue(PRODUCTS)
        await fill_buyers(BUYERS)
        await fill_favorites([(b, (b * 7 + w) % PRODUCTS + 1) for b in range(1, BUYERS + 1) for w in range(WISHES)])
        await settle(service.settings)
        ours = theirs = 0.0
        for call in range(CALLS):
            ours += await by_mutation(service, call)
            theirs += await by_insert(service.settings, call)
        changes = ROWS * CALLS
        print(f"setPrices: {changes / ours:,.0f} price changes a second; plain INSERTs: {changes / theirs:,.0f}; ratio {theirs / ours:.2f}")
        began = time.perf_counter()
        while await fan_out():
            pass
        spent = time.perf_counter() - began
        looked_at = changes * BUYERS * WISHES // PRODUCTS
        print(f"fan-out of {changes:,} price changes to {looked_at:,} favourites: {spent:.1f} s, {looked_at / spent:,.0f} favourites a second")


def amount(call: int, n: int) -> int:
    """Cents, lower each time that a product's turn comes."""
    return 9_900 - call * 10 - n % 7


async def by_mutation(service: Any, call: int) -> float:
    first = call * ROWS % PRODUCTS
    cents = {n: amount(call, n) for n in range(first + 1, first + ROWS + 1)}
    rows = [{"externalId": f"p{n}", "amount": f"{c // 100}.{c % 100:02}", "currency": "USD"} for n, c in cents.items()]
    viewer = staff()
    began = time.perf_counter()
    found = await ask(service, viewer, SET, input={"rows": rows})
    spent = time.perf_counter() - began
    assert {row["status"] for row in found["setPrices"]["results"]} == {"CREATED"}
    return spent


async def by_insert(settings: Settings, call: int) -> float:
    """The same number of price points, of an hour that nothing else writes to."""
    at = utc_now() - timedelta(days=2, seconds=call)
    first = call * ROWS % PRODUCTS
    points = [(n, at, amount(call, n), "USD", 10_000) for n in range(first + 1, first + ROWS + 1)]
    sql = "INSERT INTO price_point (product_id, at, price_minor, currency, previous_minor) VALUES (?, ?, ?, ?, ?)"
    if settings.is_sqlite:
        plain = sqlite3.connect(settings.sqlite_path, isolation_level=None)
        for name in ("synchronous", "foreign_keys"):
            plain.execute(f"PRAGMA {name}={PRAGMAS[name]}")
        began = time.perf_counter()
        plain.execute("BEGIN IMMEDIATE")
        for n, when, minor, currency, previous in points:
            plain.execute(sql, (n, as_text(when), minor, currency, previous))
        plain.execute("COMMIT")
        spent = time.perf_counter() - began
        plain.close()
        return spent
    server = await asyncpg.connect(settings.database_url)
    prepared = await server.prepare(sql.replace("(?, ?, ?, ?, ?)", "($1, $2, $3, $4, $5)"))
    began = time.perf_counter()
    async with server.transaction():
        for point in points:
            await prepared.fetch(*point)
    spent = time.perf_counter() - began
    await server.close()
    return spent


if __name__ == "__main__":
    main()
