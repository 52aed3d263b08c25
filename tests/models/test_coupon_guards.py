"""Coupons against plain SQL: nobody deletes one, takes it from its owner, or changes what it is worth."""

import os
import sqlite3
from collections.abc import AsyncIterator, Sequence
from importlib import resources
from pathlib import Path

import asyncpg
import pytest
from tortoise.exceptions import IntegrityError

from models.database import fetch, open_database
from models.migrate import migrate
from models.unit_of_work import Work, unit_of_work
from settings import Settings
from tests.databases import BOTH, migrated_url, settings_for

REFUSED = (sqlite3.IntegrityError, asyncpg.IntegrityConstraintViolationError, IntegrityError)
COLUMNS = (
    "id, external_id, account_id, offer_id, issuer, store_id, titles, currency, amount_off_minor, issued_at, starts_at, ends_at"
)
VALUES = """'{}', 'USD', 500, '2026-01-01 00:00:00+00:00', '2026-01-01 00:00:00+00:00', '2026-02-01 00:00:00+00:00'"""
ROWS = [
    "INSERT INTO account (id, external_id, display_name, language, region, currency, created_at) VALUES "
    "(1, 'anna', 'Anna', 'en', 'RU', 'USD', '2026-01-01 00:00:00+00:00'), "
    "(2, 'boris', 'Boris', 'en', 'RU', 'USD', '2026-01-01 00:00:00+00:00')",
    "INSERT INTO store (id, external_id, name) VALUES (1, 'lamps', 'Lamps'), (2, 'chairs', 'Chairs')",
    "INSERT INTO coupon_offer (id, external_id, issuer, store_id, titles, currency, amount_off_minor) VALUES "
    "(1, 'five', 'STORE', 1, '{}', 'USD', 500), (2, 'ten', 'STORE', 1, '{}', 'USD', 1000), (3, 'unused', 'STORE', 1, '{}', 'USD', 1)",
    f"INSERT INTO coupon ({COLUMNS}) VALUES (1, 'c1', 1, 1, 'STORE', 1, {VALUES}), (2, 'c2', 1, 2, 'STORE', 1, {VALUES})",
]
DELETIONS = [
    "DELETE FROM coupon",
    "DELETE FROM coupon WHERE id = 1",
    "DELETE FROM account WHERE id = 1",
    "DELETE FROM account",
    "DELETE FROM coupon_offer WHERE id = 1",
    "DELETE FROM coupon_offer WHERE id = 3",
    "DELETE FROM store WHERE id = 1",
]
SQLITE_DELETIONS = [
    f"REPLACE INTO coupon ({COLUMNS}) VALUES (1, 'c1', 2, 1, 'STORE', 1, {VALUES})",
    f"INSERT OR REPLACE INTO coupon ({COLUMNS}) VALUES (9, 'c1', 1, 1, 'STORE', 1, {VALUES})",
    "UPDATE OR REPLACE coupon SET external_id = 'c2' WHERE id = 1",
    "UPDATE OR REPLACE coupon SET id = 2 WHERE id = 1",
    "REPLACE INTO coupon_offer (id, external_id, issuer, titles, currency, amount_off_minor) VALUES (1, 'x', 'SPECIAL', '{}', 'USD', 1)",
    "REPLACE INTO coupon_offer (external_id, issuer, titles, currency, amount_off_minor) VALUES ('five', 'SPECIAL', '{}', 'USD', 1)",
]
POSTGRES_DELETIONS = [
    "TRUNCATE coupon",
    "TRUNCATE coupon CASCADE",
    "TRUNCATE coupon_offer CASCADE",
    "TRUNCATE account CASCADE",
    "TRUNCATE store, product, price_point, favorite, price_drop, fan_out, coupon_offer, coupon CASCADE",
    "WITH gone AS (DELETE FROM coupon RETURNING id) SELECT count(*) FROM gone",
    "MERGE INTO coupon USING account ON account.id = coupon.account_id WHEN MATCHED THEN DELETE",
]
CHANGES = [
    "account_id = 2",
    "offer_id = 2",
    "issuer = 'PLATFORM'",
    "store_id = 2",
    "store_id = NULL",
    """titles = '{"en": "Nothing off"}'""",
    "currency = 'RUB'",
    "amount_off_minor = 1",
    "amount_off_minor = NULL, percent_off = 1",
    "percent_off = 5",
    "maximum_off_minor = 1",
    "minimum_spend_minor = 100000",
    "external_id = 'c9'",
    "id = 9",
    "issued_at = '2026-01-05 00:00:00+00:00'",
]
BROKEN = [
    "used_at = '2026-01-02 00:00:00+00:00'",
    "reserved_at = '2026-01-02 00:00:00+00:00'",
    "reserved_until = '2026-01-02 00:00:00+00:00'",
    "order_id = 1",
    "ends_at = starts_at",
]
WORTHLESS = [
    "NULL, NULL, NULL, NULL, NULL",
    "'USD', 500, 5, NULL, NULL",
    "'USD', 0, NULL, NULL, NULL",
    "NULL, 500, NULL, NULL, NULL",
    "'USD', 500, NULL, 100, NULL",
    "NULL, NULL, 0, NULL, NULL",
    "NULL, NULL, 101, NULL, NULL",
    "NULL, NULL, 5, NULL, 100",
    "'USD', NULL, 5, 0, NULL",
]


@pytest.fixture(params=BOTH)
async def settings(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Settings]:
    """A database with all migrations applied, two coupons of two offers in it."""
    async with migrated_url(request.param, tmp_path) as url:
        settings = settings_for(url)
        async with open_database(settings):
            for sql in ROWS:
                await run(sql)
        yield settings


@unit_of_work
async def run(work: Work, sql: str) -> int:
    return await work.execute(sql)


async def coupons() -> list[tuple]:
    return [tuple(row) for row in await fetch("SELECT * FROM coupon ORDER BY id")]


async def offers() -> list[tuple]:
    return [tuple(row) for row in await fetch("SELECT * FROM coupon_offer ORDER BY id")]


def deletions(settings: Settings) -> Sequence[str]:
    return DELETIONS + (SQLITE_DELETIONS if settings.is_sqlite else POSTGRES_DELETIONS)


async def test_no_statement_of_ours_deletes_a_coupon_or_what_it_needs(settings):
    async with open_database(settings):
        before, offered = await coupons(), await offers()
        assert len(before) == 2
        for sql in deletions(settings):
            with pytest.raises(REFUSED):
                await run(sql)
            assert (await coupons(), await offers()) == (before, offered), sql
        assert [tuple(row) for row in await fetch("SELECT count(*) FROM account")] == [(2,)]


async def test_no_statement_of_anybody_else_does(settings):
    """The operator's own client: on SQLite without foreign keys and recursive triggers, which are off by default."""
    if settings.is_sqlite:
        other = sqlite3.connect(settings.sqlite_path, isolation_level=None)
        for sql in DELETIONS[:6] + SQLITE_DELETIONS:
            with pytest.raises(sqlite3.IntegrityError):
                other.execute(sql)
        other.close()
    else:
        client = await asyncpg.connect(settings.database_url)
        for sql in DELETIONS + POSTGRES_DELETIONS:
            with pytest.raises(asyncpg.IntegrityConstraintViolationError):
                await client.execute(sql)
        await client.close()
    async with open_database(settings):
        assert len(await coupons()) == 2 and len(await offers()) == 3


async def test_owner_offer_and_value_stay(settings):
    async with open_database(settings):
        before = await coupons()
        for change in CHANGES:
            with pytest.raises(REFUSED):
                await run(f"UPDATE coupon SET {change} WHERE id = 1")
            assert await coupons() == before, change
        assert await run("UPDATE coupon SET account_id = 1, amount_off_minor = 500, revoked_at = issued_at WHERE id = 1") == 1
        assert await run("UPDATE coupon_offer SET amount_off_minor = 1 WHERE id = 1") == 1
        assert [tuple(row) for row in await fetch("SELECT amount_off_minor FROM coupon WHERE id = 1")] == [(500,)]


async def test_a_coupon_is_never_half_used(settings):
    async with open_database(settings):
        before = await coupons()
        for change in BROKEN:
            with pytest.raises(REFUSED):
                await run(f"UPDATE coupon SET {change} WHERE id = 1")
        assert await coupons() == before


async def test_an_offer_is_worth_one_thing(settings):
    columns = "external_id, issuer, titles, currency, amount_off_minor, percent_off, maximum_off_minor, minimum_spend_minor"
    async with open_database(settings):
        before = await offers()
        for values in WORTHLESS:
            with pytest.raises(REFUSED):
                await run(f"INSERT INTO coupon_offer ({columns}) VALUES ('new', 'SPECIAL', '{{}}', {values})")
        assert await offers() == before
        await run(f"INSERT INTO coupon_offer ({columns}) VALUES ('new', 'SPECIAL', '{{}}', 'USD', NULL, 10, 500, 1000)")


REBUILT = """
from tortoise import migrations
from models.constraints import kept_for, never_changed, never_deleted, statements

rebuild = ["CREATE TABLE made AS SELECT *, 'x' AS note FROM coupon", "DROP TABLE coupon", "ALTER TABLE made RENAME TO coupon"]

class Migration(migrations.Migration):
    dependencies = [("models", "NEWEST")]
    operations = [
        statements(sqlite=["DROP TRIGGER account_kept_for_coupon", *rebuild], postgres=rebuild),
        never_deleted("coupon", unique=["id", "external_id"]),
        never_changed("coupon", ["account_id"]),
        kept_for("account", "coupon", "account_id"),
    ]
"""


async def test_a_migration_that_rebuilds_the_table_keeps_every_coupon(settings, tmp_path, monkeypatch):
    name = f"rebuilding_{os.getpid()}_{tmp_path.name.replace('-', '_')}"
    folder = tmp_path / name
    folder.mkdir()
    ours = sorted(resources.files("models.migrations").iterdir(), key=lambda path: path.name)
    texts = {path.name: path.read_text() for path in ours if path.name.endswith(".py")}
    newest = max(name.removesuffix(".py") for name in texts if name[0].isdigit())
    for file, text in (texts | {"0999_rebuild.py": REBUILT.replace("NEWEST", newest)}).items():
        (folder / file).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    async with open_database(settings):
        before = await coupons()
    assert await migrate(settings, migrations=name) == ["0999_rebuild"]
    async with open_database(settings):
        assert [row[:-1] for row in await coupons()] == before
        for sql in ("DELETE FROM coupon", "UPDATE coupon SET account_id = 2", *SQLITE_DELETIONS[: 2 * settings.is_sqlite]):
            with pytest.raises(REFUSED):
                await run(sql)
        assert len(await coupons()) == 2
