"""Everything about a buyer: an export tells all of it, and an erasure leaves none of it in any table, file or log."""

import asyncio
import gzip
import logging
import signal
import sys
from datetime import timedelta

import orjson
import pytest

from models.database import fetch
from models.leaving import DataExport, Erasure
from models.personal_data import TABLES, Owner, bound
from resolvers import erasures
from resolvers.exports import prepare_exports
from tests.resolvers.test_exports import EXPORT
from tests.resolvers.test_leaving import back, is_erased, leave, move_clock_only
from tests.rows import account_of
from tests.shop import Buyer, Shop
from tests.test_server import ROOT
from tests.traces import Traces, found_in, leave_traces, stored_bytes

PHONE = "+79165550{:03}"


async def traced(shop: Shop, n: int = 0) -> tuple[Buyer, Traces]:
    """A buyer with a row in every table, and words of their own in all of them."""
    await shop.product()
    await shop.put("putCouponOffers", [{"externalId": f"offer {n}", "issuer": "PLATFORM", "titles": [{"language": "en", "text": "Off"}], "percentOff": 5}])
    buyer = await shop.buyer(phone=PHONE.format(n))
    traces = Traces(await account_of(buyer), buyer.email)
    row = {
        "externalId": buyer.external_id, "displayName": traces.word("account", "display_name"), "email": traces.address, "phone": PHONE.format(n),
        "region": "US", "currency": "USD", "language": "en",
    }  # fmt: skip
    (result,) = await shop.put("putAccounts", [row])
    assert result["status"] == "UPDATED"
    await leave_traces(traces)
    ((hashed,),) = await fetch("SELECT hash FROM password WHERE account_id = $1", traces.account_id)
    traces.words |= {
        ("password", "hash"): hashed, ("account", "email"): traces.address, ("account", "phone"): PHONE.format(n), ("account", "external_id"): buyer.external_id,
    }  # fmt: skip
    return buyer, traces


async def test_an_export_tells_every_word_about_the_buyer_and_no_secret(shop: Shop) -> None:
    buyer, traces = await traced(shop)
    _, stranger = await traced(shop, 1)
    assert (await buyer.data(EXPORT))["exportMyData"]["__typename"] == "DataExportRequested"
    while await prepare_exports():  # the row among the traces too
        pass
    stored = (await DataExport.filter(account_id=traces.account_id).order_by("-id").first()).content  # type: ignore[union-attr]
    told = gzip.decompress(bytes(stored))
    assert traces.of(secret=False) - found_in(traces.of(secret=False), told) == set()
    assert found_in(traces.of(secret=True), told) == set()
    assert found_in({word for (table, _), word in stranger.words.items() if TABLES[table].erased == "DELETE"}, told) == set()
    tables = orjson.loads(told)["tables"]
    assert tables.keys() == {table for table, personal in TABLES.items() if personal.rows is not None}
    assert [table for table, rows in tables.items() if not rows] == ["account_deletion", "erasure"]
    assert tables["known_device"][0].keys() == {"id", "account_id", "at"}
    assert tables["session"][0]["created_at"].endswith("+00:00")
    assert orjson.loads(told)["names"]["products"][str(tables["favorite"][0]["product_id"])]["en"].startswith("Product")


async def test_an_erasure_leaves_no_word_in_any_table_file_or_log(
    shop: Shop, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(erasures, "WIPED_EVERY", timedelta(0))
    buyer, traces = await traced(shop, 2)
    _, stranger = await traced(shop, 3)
    assert found_in(set(traces.words.values()), await stored_bytes()) == set(traces.words.values())
    await shop.work()  # an export is among the traces
    await leave(buyer)
    await back(shop, buyer)
    await shop.advance(days=7)
    await shop.work()
    stored = await stored_bytes()
    assert found_in(set(traces.words.values()), stored) == traces.kept()
    assert found_in({traces.address.upper(), traces.address.partition("@")[0]}, stored) == set()
    assert {word for (table, _), word in stranger.words.items() if table != "data_export"} <= found_in(set(stranger.words.values()), stored)
    assert found_in(set(traces.words.values()) - traces.kept(), caplog.text.encode()) == set()
    record = await Erasure.get(account_id=traces.account_id)
    assert record.wiped_at is not None and record.erased_at > record.requested_at


KILLED = """
import asyncio, os, signal, sys
from models.database import open_database
from resolvers import erasures
from tests.databases import settings_for

def until(table, personal, erasing=erasures.erasing):
    if table == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)
    return erasing(table, personal)

async def main():
    async with open_database(settings_for(sys.argv[1])):
        erasures.erasing = until
        await erasures.erase_due_accounts()

asyncio.run(main())
"""


@pytest.mark.parametrize("table", ["session", "account"])
async def test_a_process_that_dies_in_an_erasure_has_erased_nothing(shop: Shop, table: str) -> None:
    buyer, traces = await traced(shop, 4 if table == "session" else 5)
    await leave(buyer)
    await move_clock_only(timedelta(days=7))
    before = await rows_of(traces)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, shop.service.settings.database_url, table, cwd=ROOT)
    assert await asyncio.wait_for(process.wait(), 120) == -signal.SIGKILL
    assert await rows_of(traces) == before
    await shop.work()
    left = await rows_of(traces)
    assert await is_erased(traces.account_id)
    assert {table for table, count in left.items() if count and TABLES[table].erased == "DELETE"} == set()


async def rows_of(traces: Traces) -> dict[str, int]:
    """How many rows the buyer has in each table."""
    counts = {}
    for table, personal in TABLES.items():
        if personal.rows is not None:
            sql, params = bound(f"SELECT count(*) FROM {table} WHERE {personal.rows}", Owner(traces.account_id, [traces.address], []))
            counts[table] = (await fetch(sql, *params))[0][0]
    return counts
