"""The demo world's filling: killed at any point of it, the next start fills it whole."""

import asyncio
import sys
from pathlib import Path

import pytest

from demo import orders, products, world
from models.accounts import Account
from models.catalog import PricePoint, Product
from models.database import fetch, open_database
from models.favorites import FanOut
from models.orders import Order
from tests.databases import BOTH, migrated_url, settings_for

ROOT = Path(__file__).parents[2]
CALLS = 41
FILLER = """
import asyncio, sys
from demo.world import fill_if_empty
from models.database import open_database
from tests.databases import settings_for

async def main():
    async with open_database(settings_for(sys.argv[1])):
        await fill_if_empty(settings_for(sys.argv[1]), lambda rows: print(rows, flush=True))
    print("filled", flush=True)

asyncio.run(main())
"""


async def killed_after(url: str, calls: int) -> None:
    """Fill the database in a process that is killed once so many calls of the staff half are answered."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", FILLER, url, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    for _ in range(calls):
        assert (await asyncio.wait_for(process.stdout.readline(), 180)).strip().isdigit()
    process.kill()
    await process.wait()


@pytest.mark.parametrize("dialect", BOTH)
async def test_a_filling_that_was_killed_is_made_good_by_the_next(dialect: str, tmp_path: Path) -> None:
    async with migrated_url(dialect, tmp_path) as url:
        settings = settings_for(url)
        for calls in (CALLS // 2, CALLS):
            await killed_after(url, calls)
        async with open_database(settings):
            told: list[int] = []
            assert await world.fill_if_empty(settings, told.append), "a killed filling passed for a whole one"
            assert len(told) == CALLS
            assert await Account.all().count() == len(world.BUYERS)
            assert await Product.all().count() == products.PRODUCTS
            assert await PricePoint.all().count() == sum(len(products.history(number)) for number in range(products.PRODUCTS))
            assert await Order.all().count() == len(world.BUYERS) * len(orders.TALES)
            assert await FanOut.all().count() == 0
            assert [name for (name,) in await fetch("SELECT name FROM staff_token")] == ["demo"]
            assert not await world.fill_if_empty(settings, told.append)


@pytest.mark.parametrize("dialect", BOTH)
async def test_of_two_processes_that_start_at_once_one_fills(dialect: str, tmp_path: Path) -> None:
    async with migrated_url(dialect, tmp_path) as url:
        started = [
            await asyncio.create_subprocess_exec(sys.executable, "-c", FILLER, url, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
            for _ in range(2)
        ]
        printed = [(await asyncio.wait_for(process.communicate(), 300))[0].split() for process in started]
        assert sorted(len(lines) for lines in printed) == [1, CALLS + 1]
        assert [lines[-1] for lines in printed] == [b"filled", b"filled"]
