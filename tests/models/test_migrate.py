"""Migrations as the service runs them: from nothing, all or none, on both databases."""

import os
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from tortoise.exceptions import IntegrityError

from models.database import fetch, open_database
from models.migrate import BrokenReferences, migrate, pending, write_migration
from models.unit_of_work import Work, unit_of_work
from settings import Settings
from tests.databases import BOTH, fresh_url, settings_for
from tests.models.conftest import MACHINERY
from tests.schema_listing import listing

CONSTRAINTS = """
from tortoise import migrations
from models.constraints import check, index, never_changed, never_deleted, statements
from models.events import EVENT_TABLE

class Migration(migrations.Migration):
    dependencies = [("models", "0001_begin")]
    operations = [
        statements(sqlite=[EVENT_TABLE["sqlite"]], postgres=[EVENT_TABLE["postgres"]]),
        index("parcel_heavy", "parcel", "weight DESC, id", where="weight > 100"),
        index("parcel_one_fragile", "parcel", "weight", where="fragile", unique=True),
        check("parcel_weight_positive", "parcel", "weight >= 0 AND weight <= 1000", ["weight"]),
        never_deleted("parcel"),
        never_changed("parcel", ["label"]),
    ]
"""
BROKEN = """
from tortoise import migrations
from models.constraints import statements
bad = {statements!r}
class Migration(migrations.Migration):
    dependencies = [("models", "0002_constraints")]
    operations = [statements(sqlite=bad, postgres=bad)]
"""


@pytest.fixture(params=BOTH)
async def settings(request, tmp_path) -> AsyncIterator[Settings]:
    async with fresh_url(request.param, tmp_path) as url:
        yield settings_for(url)


@pytest.fixture
async def package(tmp_path, monkeypatch) -> str:
    """A package of migrations: 0001 as generated for the machinery's tables, 0002 with what the generator lacks."""
    name = f"migrations_{os.getpid()}_{tmp_path.name.replace('-', '_')}"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    written = await write_migration(settings_for(f"sqlite:///{tmp_path}/blank.db"), "begin", MACHINERY, name)
    assert written == folder / "0001_begin.py"
    (folder / "0002_constraints.py").write_text(CONSTRAINTS)
    return name


def add(package: str, name: str, text: str) -> None:
    folder = Path(sys.modules[package].__path__[0])
    (folder / f"{name}.py").write_text(text)


@unit_of_work
async def run(work: Work, sql: str, *params: object) -> int:
    return await work.execute(sql, *params)


async def test_from_nothing_to_all_tables_with_their_constraints(settings, package):
    seen: list[str] = []
    assert await migrate(settings, MACHINERY, package, seen.append) == ["0001_begin", "0002_constraints"]
    assert seen == ["0001_begin", "0002_constraints"]
    assert await migrate(settings, MACHINERY, package) == []
    async with open_database(settings, MACHINERY):
        assert await pending(package) == []
        lines = await listing()
    assert [line for line in lines if "parcel" in line or " event" in line] == [
        "check parcel_weight_positive on parcel",
        "column event.account_id not null",
        "column event.at not null",
        "column event.kind not null",
        "column event.number not null",
        "column event.subject_id",
        "column parcel.fragile not null",
        "column parcel.id not null",
        "column parcel.label not null",
        "column parcel.seen_at",
        "column parcel.weight not null",
        "partial index parcel (weight desc, id)",
        "primary key event (account_id, number)",
        "primary key parcel (id)",
        "trigger parcel_never_changed on parcel",
        "trigger parcel_never_deleted on parcel",
        "unique index parcel (label)",
        "unique partial index parcel (weight)",
    ]
    assert "unique index timer (kind, subject_id)" in lines
    assert "index timer (due_at, id)" in lines


async def test_the_constraints_hold_against_plain_sql(settings, package):
    await migrate(settings, MACHINERY, package)
    async with open_database(settings, MACHINERY) as database:
        insert = "INSERT INTO parcel (id, label, weight, fragile) VALUES ($1, $2, $3, $4)"
        await run(insert, 1, "a", 5, True)
        refused = [
            (insert, 2, "b", -1, False),
            (insert, 2, "b", 5, True),
            ("UPDATE parcel SET weight = 1001",),
            ("UPDATE parcel SET label = 'z'",),
            ("DELETE FROM parcel",),
        ]
        if database.dialect == "sqlite":
            refused.append(("REPLACE INTO parcel (id, label, weight, fragile) VALUES (1, 'a', 9, 1)",))
        else:
            refused.append(("TRUNCATE parcel",))
        for sql, *params in refused:
            with pytest.raises((sqlite3.IntegrityError, asyncpg.IntegrityConstraintViolationError, IntegrityError)):
                await run(sql, *params)
        assert await run("UPDATE parcel SET weight = 7, label = 'a'") == 1
        assert [tuple(row) for row in await fetch("SELECT id, label, weight FROM parcel")] == [(1, "a", 7)]


async def test_a_migration_that_fails_leaves_nothing_of_the_call(settings, package):
    add_later = BROKEN.format(statements=["CREATE TABLE half (id BIGINT)", "INSERT INTO missing VALUES (1)"])
    async with open_database(settings, MACHINERY):
        await pending(package)
    add(package, "0003_broken", add_later)
    with pytest.raises(Exception, match="missing"):
        await migrate(settings, MACHINERY, package)
    async with open_database(settings, MACHINERY):
        assert [line for line in await listing() if "column" in line] == []
        assert await pending(package) == ["0001_begin", "0002_constraints", "0003_broken"]


async def test_on_sqlite_a_rebuilt_parent_keeps_its_children_and_the_file_is_copied_first(tmp_path, package):
    settings = settings_for(f"sqlite:///{tmp_path}/shop.db")
    family = ["CREATE TABLE parent (id INTEGER PRIMARY KEY)", "INSERT INTO parent VALUES (1)"]
    family += [
        "CREATE TABLE child (id INTEGER PRIMARY KEY, parent_id INTEGER REFERENCES parent (id) ON DELETE CASCADE)",
        "INSERT INTO child VALUES (1, 1)",
    ]
    add_now = BROKEN.format(statements=family)
    async with open_database(settings, MACHINERY):
        await pending(package)
    add(package, "0003_family", add_now)
    await migrate(settings, MACHINERY, package)
    rebuild = ["CREATE TABLE new (id INTEGER PRIMARY KEY, name TEXT)", "INSERT INTO new (id) SELECT id FROM parent"]
    rebuild += ["DROP TABLE parent", "ALTER TABLE new RENAME TO parent"]
    add(package, "0004_rebuild", BROKEN.format(statements=rebuild).replace("0002_constraints", "0003_family"))
    assert await migrate(settings, MACHINERY, package) == ["0004_rebuild"]
    async with open_database(settings, MACHINERY):
        assert [tuple(row) for row in await fetch("SELECT * FROM child")] == [(1, 1)]
    copy = sqlite3.connect(tmp_path / "shop.db.before-0004_rebuild")
    assert copy.execute("SELECT count(*) FROM child").fetchone() == (1,)
    copy.close()

    add(package, "0005_orphan", BROKEN.format(statements=["DELETE FROM parent"]).replace("0002_constraints", "0004_rebuild"))
    with pytest.raises(BrokenReferences, match="child row 1"):
        await migrate(settings, MACHINERY, package)
    async with open_database(settings, MACHINERY):
        assert [tuple(row) for row in await fetch("SELECT id FROM parent")] == [(1,)]


async def test_nothing_is_written_where_nothing_is_missing(tmp_path, package):
    settings = settings_for(f"sqlite:///{tmp_path}/shop.db")
    (Path(sys.modules[package].__path__[0]) / "0002_constraints.py").unlink()
    assert await write_migration(settings, "again", MACHINERY, package) is None
