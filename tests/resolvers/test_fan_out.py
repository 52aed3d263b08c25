"""The fan-out of price points, killed in the middle."""

import asyncio
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from models.favorites import FanOut, PriceDrop
from tests.databases import BOTH, migrated_url
from tests.shop import open_shop

WORKER = """
import asyncio, sys
from models.database import open_database
from models import unit_of_work
from resolvers import price_watch
from settings import read_settings

price_watch.CHUNK = 7  # many small units, so that the kill meets one
async def main():
    async with open_database(read_settings(mode="demo", database_url=sys.argv[1])):
        print("ready", flush=True)
        while await price_watch.fan_out():
            await asyncio.sleep(0.005)
asyncio.run(main())
"""


@pytest.mark.parametrize("kills", [3, pytest.param(40, marks=pytest.mark.long)])
@pytest.mark.parametrize("dialect", BOTH)
async def test_kills_in_the_middle_of_a_fan_out_lose_no_alert_and_repeat_none(dialect: str, kills: int, tmp_path: Path) -> None:
    async with migrated_url(dialect, tmp_path) as url:
        async with open_shop(dialect, tmp_path, url=url) as shop:
            products = [await shop.product("50.00") for _ in range(3)]
            buyers = [f"many-{number}" for number in range(120)]
            rows = [{"externalId": b, "displayName": b, "region": "US", "currency": "USD"} for b in buyers]
            await shop.put("putAccounts", rows)
            at = (await shop.now() - timedelta(days=1)).isoformat()
            for product in products:
                await shop.put("putFavorites", [{"accountExternalId": b, "productExternalId": product.external_id, "addedAt": at} for b in buyers])
            prices = [{"externalId": p.external_id, "amount": "40.00", "currency": "USD"} for p in products]
            await shop.put("setPrices", prices)
        for kill in range(kills):
            with subprocess.Popen([sys.executable, "-c", WORKER, url], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": "."}) as worker:  # noqa: ASYNC220 - a kill needs no event loop
                assert worker.stdout is not None and (await asyncio.to_thread(worker.stdout.readline)) == "ready\n"
                await asyncio.sleep(0.01 + 0.013 * (kill % 8))
                worker.send_signal(signal.SIGKILL)
        async with open_shop(dialect, tmp_path, url=url) as shop:
            left = await FanOut.all().count()
            await shop.work()
            drops = await PriceDrop.all().values_list("favorite_id", "point_id", "account_id", "number")
            assert len({(favorite, point) for favorite, point, _, _ in drops}) == len(drops) == 360, f"{left} points were left"
            numbers: dict[int, list[int]] = {}
            for _, _, account, number in drops:
                numbers.setdefault(account, []).append(number)
            assert all(sorted(own) == [1, 2, 3] for own in numbers.values())
