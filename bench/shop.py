"""A shop for benchmarks: an empty database in production settings, filled by the set, asked without HTTP."""

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from auth.sessions import token_hash
from auth.viewer import Viewer
from bench.lab.load import make_empty, settle, write
from models.accounts import Account
from models.instants import utc_now
from models.migrate import migrate
from models.reads import reads
from models.sessions import SCOPES
from server import running
from settings import Settings, read_settings
from wire.process import Service

CURRENCY = "USD"

database = click.option(
    "--database",
    metavar="URL",
    help="postgres://user@host:port/name of a database that is thrown away and made anew; default: a new SQLite file.",
)


@asynccontextmanager
async def open_shop(url: str | None, **given: Any) -> AsyncIterator[Service]:
    """A service over an empty database that is gone afterwards; `given` are settings, else production's."""
    with tempfile.TemporaryDirectory(prefix="kabinet-bench-") as folder:
        settings = shop_settings(url, folder, **given)
        await make_empty(settings)
        await migrate(settings)
        service = Service.put_together(settings)
        async with running(service):
            yield service


def shop_settings(url: str | None, folder: str, **given: Any) -> Settings:
    return read_settings(
        database_url=url or f"sqlite:///{Path(folder, 'bench.db')}",
        **{"mode": "production", "secret_key": "a key of benchmarks, 32 bytes or more", "worker": False, "cost_per_second": 10**9, "cost_burst": 10**9, **given},
    )


async def insert(table: str, columns: str, types: str, rows: Sequence[tuple], chunk: int = 5000) -> None:
    """Insert rows, in units of `chunk`."""
    for at in range(0, len(rows), chunk):
        await write(table, columns, types, rows[at : at + chunk])


async def fill_catalogue(products: int) -> None:
    """One store with so many products, ids from 1, at 100.00 since a day ago."""
    at = utc_now() - timedelta(days=1)
    await insert("store", "id, external_id, name", "bigint text text", [(1, "s1", "Lamps")])
    await insert(
        "product",
        "id, external_id, store_id, titles, title_folded, available, currency, price_minor, priced_at",
        "bigint text bigint jsonb text bool text bigint timestamptz",
        [(n, f"p{n}", 1, f'{{"en":"Lamp {n}"}}', f"lamp {n}", True, CURRENCY, 10_000, at) for n in range(1, products + 1)],
    )
    await insert(
        "price_point",
        "product_id, at, price_minor, currency",
        "bigint timestamptz bigint text",
        [(n, at, 10_000, CURRENCY) for n in range(1, products + 1)],
    )


async def fill_buyers(buyers: int) -> None:
    """So many buyers, ids from 1, each with a session whose token is `bench-ID`."""
    at = utc_now()
    ids = range(1, buyers + 1)
    await insert(
        "account",
        "id, external_id, display_name, language, region, currency, created_at",
        "bigint text text text text text timestamptz",
        [(n, f"u{n}", f"Buyer {n}", "en", "US", CURRENCY, at) for n in ids],
    )
    await insert("account_event_counter", "account_id, last", "bigint bigint", [(n, 0) for n in ids])
    await insert(
        "session",
        "account_id, token_hash, created_at, used_at, proved_at, ends_at, remembered, address, agent",
        "bigint text timestamptz timestamptz timestamptz timestamptz bool text text",
        [(n, token_hash(f"bench-{n}"), at, at, at, at + timedelta(days=1), True, "127.0.0.1", "bench") for n in ids],
    )


async def fill_favorites(pairs: Sequence[tuple[int, int]]) -> None:
    """Favourites with the default watch: (buyer, product)."""
    at = utc_now() - timedelta(hours=12)
    await insert(
        "favorite",
        "account_id, product_id, added_at, price_minor, currency, watch_kind, watch_paused, armed",
        "bigint bigint timestamptz bigint text text bool bool",
        [(buyer, product, at, 10_000, CURRENCY, "ANY_DROP", False, True) for buyer, product in pairs],
    )


async def buyer(account_id: int) -> Viewer:
    """The viewer that a buyer's session makes."""
    account = await reads(Account).one("id = $1", account_id)
    return Viewer(now=utc_now(), account_id=account_id, account=account)


def staff() -> Viewer:
    return Viewer(now=utc_now(), staff_id=1, scopes=frozenset(SCOPES))


async def ask(service: Service, viewer: Viewer, query: str, **variables: Any) -> dict[str, Any]:
    """The data of an answer.

    Raises:
        RuntimeError: there were errors.
    """
    prepared = service.documents.prepare(query, None, variables)
    answer = await service.execute(prepared, variables, service.context(viewer))
    if answer.get("errors"):
        raise RuntimeError(str(answer["errors"]))
    return answer["data"]


__all__ = ["ask", "buyer", "database", "fill_buyers", "fill_catalogue", "fill_favorites", "insert", "open_shop", "settle", "staff"]
