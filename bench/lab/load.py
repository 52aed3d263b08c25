"""Loads the lab's rows into Kabinet's own tables, in the settings' database: `python -m bench.lab.load LAB.DB`.

The rows come from the SQLite file that the lab fills (the same rows as in its PostgreSQL). Ids stay the lab's. What a
lab row becomes where Kabinet knows more, or other things, than the lab is said in docs/benchmarks.md. Nothing is done
when the database holds these rows already; a benchmark that leaves rows behind cleans up after itself.
"""

import asyncio
import fcntl
import hashlib
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit

import asyncpg  # type: ignore[import-untyped]
import orjson
from tqdm import tqdm

from auth.sessions import token_hash
from models.database import open_database
from models.instants import as_instant, utc_now
from models.migrate import migrate
from models.rows import insert_rows
from models.sessions import SCOPES
from models.unit_of_work import Work, unit_of_work
from settings import Settings, read_settings

CHUNK = 5000
CURRENCY = "USD"
FOLDER = Path(__file__).resolve().parent
MIGRATIONS = FOLDER.parent.parent / "models" / "migrations"
WATCHED = 1_000_000  # the product whose price the lab's subscriptions change; the lab's own rows stay as they are
FAR = timedelta(days=365)

Rows = Iterable[tuple]


class Source:
    """The lab's rows, read once in the order of their ids."""

    def __init__(self, path: Path):
        self.db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        self.now = utc_now().replace(microsecond=0)

    def rows(self, table: str, columns: str) -> Iterator[tuple]:
        instants = {at for at, name in enumerate(columns.split(", ")) if name.endswith(("_at", "_deadline"))}
        for row in self.db.execute(f"SELECT {columns} FROM {table} ORDER BY id"):
            yield tuple(as_instant(value) if at in instants else value for at, value in enumerate(row))

    def count(self, table: str) -> int:
        return self.db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def accounts(lab: Source) -> Rows:
    for id, email, name, phone, created_at in lab.rows("users", "id, email, display_name, phone, created_at"):
        yield id, f"u{id}", name, email, phone, "en", "US", CURRENCY, created_at


def identities(lab: Source) -> Rows:
    for id, email, created_at in lab.rows("users", "id, email, created_at"):
        yield id, "EMAIL", email, created_at


def counters(lab: Source) -> Rows:
    return ((id, 0) for (id,) in lab.rows("users", "id"))


def sessions(lab: Source) -> Rows:
    for (id,) in lab.rows("users", "id"):
        yield id, token_hash(f"lab-{id}"), lab.now, lab.now, lab.now, lab.now + timedelta(days=30), True, "127.0.0.1", "lab"


def staff(lab: Source) -> Rows:
    yield "lab", token_hash("kst_lab"), orjson.dumps(SCOPES).decode(), lab.now


def stores(lab: Source) -> Rows:
    return ((id, f"s{id}", name) for id, name in lab.rows("sellers", "id, name"))


def products(lab: Source) -> Rows:
    priced = dict(lab.db.execute("SELECT product_id, max(recorded_at) FROM price_history GROUP BY product_id"))
    for id, seller_id, title, cents in lab.rows("products", "id, seller_id, title, price_cents"):
        titles = orjson.dumps({"en": title}).decode()
        yield id, f"p{id}", seller_id, titles, title.casefold(), True, CURRENCY, cents, as_instant(priced[id])
    yield WATCHED, "watched", 1, '{"en":"Watched lamp"}', "watched lamp", True, CURRENCY, 10_000, lab.now


def price_points(lab: Source) -> Rows:
    before: dict[int, int] = {}
    for id, product_id, cents, at in lab.rows("price_history", "id, product_id, price_cents, recorded_at"):
        yield id, product_id, at, cents, CURRENCY, before.get(product_id)
        before[product_id] = cents
    yield WATCHED, WATCHED, lab.now, 10_000, CURRENCY, None


def favorites(lab: Source) -> Rows:
    prices = dict(lab.db.execute("SELECT id, price_cents FROM products"))
    for id, user_id, product_id, at in lab.rows("favorites", "id, user_id, product_id, created_at"):
        yield id, user_id, product_id, at, prices[product_id], CURRENCY, "ANY_DROP", False, True


def orders(lab: Source) -> Rows:
    seller_of = dict(
        lab.db.execute("SELECT i.order_id, p.seller_id FROM order_items i JOIN products p ON p.id = i.product_id ORDER BY i.id DESC")
    )
    disputed = dict(lab.db.execute("SELECT order_id, created_at FROM disputes"))
    columns = "id, user_id, number, status, total_cents, created_at, protection_deadline"
    for id, user_id, number, status, cents, placed_at, deadline in lab.rows("orders", columns):
        facts = order_facts(status, placed_at, deadline, lab.now)
        frozen_at = as_instant(disputed.get(id))
        facts |= {"frozen_at": frozen_at, "kept_seconds": frozen_at and 48 * 3600}
        yield (id, f"o{id}", user_id, seller_of[id], number, number.casefold(), "US", CURRENCY, cents, 0,
               (deadline - placed_at).days, placed_at, deadline, *(facts.get(name) for name in FACTS))  # fmt: skip


FACTS = (
    *("paid_at", "payment_held_at", "ship_by_at", "shipped_at", "wholly_shipped_at", "delivered_at", "scan_learned_at"),
    *("ends_at", "completed_at", "completion", "cancelled_at", "cancellation", "closed_at", "frozen_at", "kept_seconds"),
)


def order_facts(status: str, placed_at: datetime, deadline: datetime, now: datetime) -> dict[str, Any]:
    """The facts from which the status follows that stands for the lab's at `now`.

    Where protection runs, it ends at the lab's deadline while that lies ahead, so that Kabinet counts to the same
    instant; an order that the lab shows as under way after its deadline ends later.
    """
    ends_at = deadline if deadline > now + timedelta(days=1) else now + FAR
    if status == "pending":
        return {} if deadline > now + timedelta(days=1) else {"paid_at": placed_at, "payment_held_at": placed_at}
    paid = {"paid_at": placed_at, "ship_by_at": ends_at}
    sent = {**paid, "shipped_at": placed_at, "wholly_shipped_at": placed_at, "ends_at": ends_at}
    match status:
        case "paid":
            return paid
        case "shipped":
            return sent
        case "delivered":
            return {**sent, "delivered_at": placed_at, "scan_learned_at": placed_at}
        case "disputed":
            return {**sent, "wholly_shipped_at": None, "ship_by_at": now + FAR}
        case "completed":
            return {**sent, "completed_at": placed_at, "completion": "BUYER_CONFIRMED"}
        case "cancelled":
            return {"cancelled_at": placed_at, "cancellation": "BUYER"}
        case "refunded":
            return {"paid_at": placed_at, "ship_by_at": ends_at, "closed_at": placed_at}
    raise ValueError(status)


def order_items(lab: Source) -> Rows:
    columns = "id, order_id, product_id, title, quantity, price_cents"
    for id, order_id, product_id, title, quantity, cents in lab.rows("order_items", columns):
        yield id, order_id, product_id, title, title.casefold(), quantity, cents, CURRENCY


def offers(lab: Source) -> Rows:
    for percent in (5, 10, 15, 20, 30):
        yield percent, f"off{percent}", "PLATFORM", orjson.dumps({"en": f"{percent} % off"}).decode(), percent


def coupons(lab: Source) -> Rows:
    columns = "id, user_id, code, discount_pct, expires_at"
    for id, user_id, code, percent, ends_at in lab.rows("coupons", columns):
        titles = orjson.dumps({"en": code}).decode()
        starts_at = ends_at - timedelta(hours=1)
        yield id, code, user_id, percent, "PLATFORM", titles, percent, lab.now - FAR, starts_at, ends_at


def order_of_threads(lab: Source) -> dict[int, tuple[int, int]]:
    """For each thread an order of its buyer's, each another one, and that order's store."""
    by_user: dict[int, list[int]] = {}
    for id, user_id in lab.rows("orders", "id, user_id"):
        by_user.setdefault(user_id, []).append(id)
    mine = {user_id: iter(ids) for user_id, ids in by_user.items()}
    return {id: (next(mine[user_id]), user_id) for id, user_id in lab.rows("threads", "id, user_id")}


def conversations(lab: Source) -> Rows:
    places = order_of_threads(lab)
    seller_of = dict(
        lab.db.execute("SELECT i.order_id, p.seller_id FROM order_items i JOIN products p ON p.id = i.product_id ORDER BY i.id DESC")
    )
    spoken = dict(lab.db.execute("SELECT thread_id, max(created_at) FROM messages GROUP BY thread_id"))
    for id, (order_id, user_id) in places.items():
        yield id, user_id, seller_of[order_id], "ORDER", order_id, as_instant(spoken.get(id))
    yield from promotions(lab, first=lab.db.execute("SELECT max(id) FROM threads").fetchone()[0] + 1)


def promotions(lab: Source, first: int) -> Rows:
    """One conversation for each review of the lab's, each of another store: the only rows to count that a buyer has
    besides those that stand for something else."""
    sellers = lab.count("sellers")
    counted: dict[int, int] = {}
    for id, (user_id, at) in enumerate(lab.db.execute("SELECT user_id, created_at FROM reviews ORDER BY id"), first):
        counted[user_id] = counted.get(user_id, 0) + 1
        if counted[user_id] > sellers:
            raise ValueError("a buyer of the lab's has more reviews than there are sellers")
        yield id, user_id, counted[user_id], "PROMOTION", None, as_instant(at)


def messages(lab: Source) -> Rows:
    columns = "id, thread_id, user_id, sender, body, created_at, read_at"
    for id, thread_id, user_id, sender, body, sent_at, read_at in lab.rows("messages", columns):
        is_seller = sender == "seller"
        external_id = f"m{id}" if is_seller else None
        yield id, external_id, user_id, thread_id, sender.upper(), body, sent_at, read_at


# Table, columns, their types on PostgreSQL, the rows; in the order in which they refer to each other.
TABLES: tuple[tuple[str, str, str, Callable[[Source], Rows]], ...] = (
    ("account", "id, external_id, display_name, email, phone, language, region, currency, created_at",
     "bigint text text text text text text text timestamptz", accounts),
    ("identity", "account_id, kind, subject, verified_at", "bigint text text timestamptz", identities),
    ("account_event_counter", "account_id, last", "bigint bigint", counters),
    ("session", "account_id, token_hash, created_at, used_at, proved_at, ends_at, remembered, address, agent",
     "bigint text timestamptz timestamptz timestamptz timestamptz bool text text", sessions),
    ("staff_token", "name, token_hash, scopes, created_at", "text text jsonb timestamptz", staff),
    ("store", "id, external_id, name", "bigint text text", stores),
    ("product", "id, external_id, store_id, titles, title_folded, available, currency, price_minor, priced_at",
     "bigint text bigint jsonb text bool text bigint timestamptz", products),
    ("price_point", "id, product_id, at, price_minor, currency, previous_minor",
     "bigint bigint timestamptz bigint text bigint", price_points),
    ("favorite", "id, account_id, product_id, added_at, price_minor, currency, watch_kind, watch_paused, armed",
     "bigint bigint bigint timestamptz bigint text text bool bool", favorites),
    ("orders",
     "id, external_id, account_id, store_id, number, number_folded, region, currency, total_minor, discount_minor, "
     "guarantee_days, placed_at, pay_by_at, " + ", ".join(FACTS),
     "bigint text bigint bigint text text text text bigint bigint int timestamptz timestamptz timestamptz timestamptz "
     "timestamptz timestamptz timestamptz timestamptz timestamptz timestamptz timestamptz text timestamptz text "
     "timestamptz timestamptz int", orders),
    ("order_item", "id, order_id, product_id, title, title_folded, quantity, price_minor, currency",
     "bigint bigint bigint text text int bigint text", order_items),
    ("coupon_offer", "id, external_id, issuer, titles, percent_off", "bigint text text jsonb int", offers),
    ("coupon", "id, external_id, account_id, offer_id, issuer, titles, percent_off, issued_at, starts_at, ends_at",
     "bigint text bigint bigint text jsonb int timestamptz timestamptz timestamptz", coupons),
    ("conversation", "id, account_id, store_id, kind, order_id, last_message_at",
     "bigint bigint bigint text bigint timestamptz", conversations),
    ("message", "id, external_id, account_id, conversation_id, author, text, sent_at, read_at",
     "bigint text bigint bigint text text timestamptz timestamptz", messages),
)  # fmt: skip


@unit_of_work(seconds=600)
async def write(work: Work, table: str, columns: str, types: str, rows: Sequence[tuple]) -> None:
    await insert_rows(work.connection, table, columns, types, rows)


async def fill(settings: Settings, lab: Source) -> None:
    """Write every table, in chunks."""
    async with open_database(settings):
        for table, columns, types, rows_of in tqdm(TABLES, desc="loading the lab's rows", unit=" tables", disable=None):
            rows = iter(rows_of(lab))
            while chunk := list(islice(rows, CHUNK)):
                await write(table, columns, types, chunk)


async def load(settings: Settings, path: Path) -> bool:
    """Make the settings' database hold the lab's rows and nothing else; False where it did already.

    One process at a time: the others wait, and find it done.
    """
    stamp = path.parent / f"kabinet-{'sqlite' if settings.is_sqlite else 'postgres'}.loaded"
    with lock_file() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = key(path)
        if stamp.exists() and stamp.read_text() == wanted and await is_there(settings):
            await tidy(settings)
            return False
        stamp.unlink(missing_ok=True)
        await make_empty(settings)
        await migrate(settings)
        await fill(settings, Source(path))
        await settle(settings)
        stamp.write_text(wanted)
        return True


def lock_file() -> TextIO:
    return open(Path(tempfile.gettempdir()) / "kabinet-lab-loading.lock", "w")


def key(path: Path) -> str:
    """What the rows depend on: the lab's own note of what it filled its databases with, this file, the migrations."""
    seeded = path.parent / "seeded"
    note = seeded.read_bytes() if seeded.exists() else str(path.stat().st_mtime_ns).encode()
    sources = [Path(__file__), *sorted(MIGRATIONS.glob("*.py"))]
    return hashlib.sha256(note + b"".join(source.read_bytes() for source in sources)).hexdigest()


async def is_there(settings: Settings) -> bool:
    if settings.is_sqlite:
        return settings.sqlite_path.exists()
    try:
        await (await asyncpg.connect(settings.database_url)).close()
    except (asyncpg.PostgresError, OSError):
        return False
    return True


def remove_files(database: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{database}{suffix}").unlink(missing_ok=True)


async def make_empty(settings: Settings) -> None:
    if settings.is_sqlite:
        remove_files(settings.sqlite_path)
        return
    name = urlsplit(settings.database_url).path.removeprefix("/")
    server = await asyncpg.connect(settings.database_url.removesuffix(name) + "postgres")
    await server.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    await server.execute(f'CREATE DATABASE "{name}"')
    await server.close()


async def settle(settings: Settings) -> None:
    """What a database that has run for a while has: statistics, and sequences behind the ids that were given."""
    if settings.is_sqlite:
        database = sqlite3.connect(settings.sqlite_path)
        database.execute("ANALYZE")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close()
        return
    server = await asyncpg.connect(settings.database_url)
    for table, columns, _, _ in TABLES:
        if columns.startswith("id, "):
            await server.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))")
    await server.execute("VACUUM ANALYZE")
    await server.close()


async def tidy(settings: Settings) -> None:
    """Take away favourites that a run left when it was stopped in the middle of a pair of mutations."""
    async with open_database(settings):
        await _tidy()


@unit_of_work
async def _tidy(work: Work) -> None:
    newest = (await work.fetch("SELECT max(id) FROM product WHERE id < $1", WATCHED))[0][0]
    await work.execute("DELETE FROM favorite WHERE product_id > $1 AND product_id < $2", newest - 100, WATCHED)


if __name__ == "__main__":
    started = datetime.now(UTC)
    made = asyncio.run(load(read_settings(), Path(sys.argv[1])))
    print(f"loaded in {(datetime.now(UTC) - started).total_seconds():.1f} s" if made else "nothing to do")
