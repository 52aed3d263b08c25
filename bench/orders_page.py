"""A page of 20 orders of a buyer with 100 orders, and of one with 100,000: `python -m bench.orders_page`.

The two are asked for in turns; the figure is the median CPU time of this process a page (on PostgreSQL the median
time to the answer, for the work is in another process), and the ratio of the two. Goal: 0.8 to 1.2.
"""

import asyncio
import statistics
import time
from datetime import timedelta
from typing import Any

import click
from tqdm import tqdm

from bench.shop import ask, buyer, database, fill_buyers, fill_catalogue, insert, open_shop, settle
from models.instants import utc_now

FEW, MANY, ROUNDS = 100, 100_000, 300
PAGE = """query($after: String) { me { orders(first: 20, after: $after) { pageInfo { hasNextPage endCursor } edges { node {
  id number status placedAt total { amount } protection { phase endsAt secondsLeft }
  items { title quantity price { amount } product { id title store { name } } } } } } } }"""


@click.command()
@database
@click.option("--many", default=MANY, show_default=True)
def main(database: str | None, many: int) -> None:
    """Print the cost of both pages and their ratio."""
    asyncio.run(compare(database, many))


async def compare(url: str | None, many: int) -> None:
    async with open_shop(url) as service:
        await fill_catalogue(1000)
        await fill_buyers(2)
        first = await fill_orders(1, FEW, 1)
        await fill_orders(2, many, first)
        await settle(service.settings)
        viewers = [await buyer(1), await buyer(2)]
        pages: list[tuple[str, str | None]] = [("first page", None), ("second page", None)]
        for at, (name, after) in enumerate(pages):
            costs: list[list[float]] = [[], []]
            cursors: list[str | None] = [after, after]
            if at:
                answers = [await ask(service, viewer, PAGE) for viewer in viewers]
                cursors = [answer["me"]["orders"]["pageInfo"]["endCursor"] for answer in answers]
            for turn in range(ROUNDS):
                for which in (0, 1) if turn % 2 else (1, 0):
                    costs[which].append(await cost(service, viewers[which], cursors[which], url is None))
            few, lots = (statistics.median(one) for one in costs)
            what = "CPU" if url is None else "time"
            print(f"{name}: {what} {few:.0f} µs of {FEW} orders, {lots:.0f} µs of {many:,} orders; ratio {lots / few:.2f}")


async def cost(service: Any, viewer: Any, after: str | None, cpu: bool) -> float:
    """Microseconds of one page."""
    clock = time.process_time if cpu else time.perf_counter
    began = clock()
    found = await ask(service, viewer, PAGE, after=after)
    spent = (clock() - began) * 1e6
    assert len(found["me"]["orders"]["edges"]) == 20
    return spent


async def fill_orders(account_id: int, count: int, first: int) -> int:
    """So many completed orders of one buyer, an hour apart, of two items each; gives the id after the last."""
    now = utc_now()
    for begin in tqdm(range(0, count, 5000), desc=f"{count:,} orders", leave=False, disable=None):
        ids = range(first + begin, first + min(begin + 5000, count))
        placed = {n: now - timedelta(hours=n - first + 1) for n in ids}
        await insert(
            "orders",
            "id, external_id, account_id, store_id, number, number_folded, region, currency, total_minor, discount_minor, "
            "guarantee_days, placed_at, pay_by_at, paid_at, ship_by_at, completed_at, completion",
            "bigint text bigint bigint text text text text bigint bigint int timestamptz timestamptz timestamptz timestamptz "
            "timestamptz text",
            [
                (n, f"o{n}", account_id, 1, f"N{n}", f"n{n}", "US", "USD", 20_000, 0, 60, at, at, at, at, at, "BUYER_CONFIRMED")
                for n, at in placed.items()
            ],
        )
        await insert(
            "order_item",
            "order_id, product_id, title, title_folded, quantity, price_minor, currency",
            "bigint bigint text text int bigint text",
            [(n, (n * 2 + k) % 1000 + 1, f"Lamp {k}", f"lamp {k}", 1, 10_000, "USD") for n in ids for k in (0, 1)],
        )
    return first + count


if __name__ == "__main__":
    main()
