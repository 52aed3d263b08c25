"""The table of personal data against the schema that the migrations make, on both databases."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from models.database import dialect, fetch
from models.personal_data import TABLES, Owner, bound, erasing
from tests.databases import BOTH, migrated_database
from tests.schema_listing import listing

NOT_OURS = {"tortoise_migrations"}
SOUNDS_SECRET = re.compile(r"hash|hmac|token|secret|password|payload|content|public_key|challenge")
TEXTS = {"sqlite": r"CHAR|TEXT|JSON|BLOB", "postgres": r"char|text|json|bytea"}


async def columns() -> dict[str, dict[str, str]]:
    """The columns of every table, with their types, as the database's catalogue has them."""
    if dialect() == "sqlite":
        found = await fetch("SELECT m.name, c.name, c.type FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'")
    else:
        found = await fetch("SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public'")
    tables: dict[str, dict[str, str]] = {}
    for table, column, kind in found:
        tables.setdefault(table, {})[column] = kind
    return {table: kinds for table, kinds in tables.items() if table not in NOT_OURS}


async def references() -> list[tuple[str, str, str]]:
    """Foreign keys: table, column, and the table that it names."""
    keys = [re.fullmatch(r"foreign key (\w+)\.(\w+) -> (\w+)\..*", line) for line in await listing()]
    return [(key[1], key[2], key[3]) for key in keys if key]


@pytest.mark.parametrize("dialect", BOTH)
async def test_every_table_and_every_column_that_names_an_account_is_listed(dialect: str, tmp_path: Path) -> None:
    async with migrated_database(dialect, tmp_path):
        schema, keys = await columns(), await references()
        assert schema.keys() == TABLES.keys()
        naming = {(table, column) for table, column, parent in keys if parent == "account"}
        naming |= {(table, column) for table, kinds in schema.items() for column in kinds if re.search(r"(^|_)account_id$", column)}
        assert len(naming) > 10
        assert [(t, c) for t, c in sorted(naming) if c not in TABLES[t].unlike and not re.search(rf"\b{c} = ACCOUNT", TABLES[t].rows or "")] == []


@pytest.mark.parametrize("dialect", BOTH)
async def test_a_table_that_names_a_buyers_rows_holds_the_buyers(dialect: str, tmp_path: Path) -> None:
    async with migrated_database(dialect, tmp_path):
        keys = await references()
    personal = {"account"}
    while more := {table for table, _, parent in keys if parent in personal} - personal:
        personal |= more
    assert {"tracking_event", "provider_sign_in"} <= personal
    assert [table for table in sorted(personal) if TABLES[table].rows is None] == []


@pytest.mark.parametrize("dialect", BOTH)
async def test_of_rows_that_stay_every_text_is_blanked_or_named_as_kept(dialect: str, tmp_path: Path) -> None:
    async with migrated_database(dialect, tmp_path):
        for table, kinds in (await columns()).items():
            personal = TABLES[table]
            blanked = set(personal.erased) if isinstance(personal.erased, Mapping) else set()
            named = {*blanked, *personal.keeps, *personal.secret, *personal.addresses, *personal.hashes, *personal.unlike}
            assert named <= kinds.keys(), table
            if personal.rows is None or personal.erased == "DELETE":
                assert not personal.keeps, table
                continue
            texts = {column for column, kind in kinds.items() if re.search(TEXTS[dialect], kind)}
            assert texts <= blanked | set(personal.keeps), table
            assert not blanked & set(personal.keeps), table


@pytest.mark.parametrize("dialect", BOTH)
async def test_what_sounds_secret_is_not_exported(dialect: str, tmp_path: Path) -> None:
    async with migrated_database(dialect, tmp_path):
        secret = {(t, c) for t, kinds in (await columns()).items() if TABLES[t].rows for c in kinds if SOUNDS_SECRET.search(c)}
        assert ("password", "hash") in secret
        assert [(table, column) for table, column in sorted(secret) if column not in TABLES[table].secret] == []


@pytest.mark.parametrize("dialect", BOTH)
async def test_every_condition_is_sql_that_runs(dialect: str, tmp_path: Path) -> None:
    owner = Owner(1, ["a@b.example"], ["0" * 64])
    async with migrated_database(dialect, tmp_path):
        for table, personal in TABLES.items():
            if personal.rows is not None:
                sql, params = bound(f"SELECT count(*) FROM {table} WHERE {personal.rows}", owner)
                assert (await fetch(sql, *params))[0][0] == 0, table


def test_what_stays_as_it_is_needs_no_statement() -> None:
    assert erasing("coupon", TABLES["coupon"]) is None
    assert erasing("store", TABLES["store"]) is None
    assert erasing("favorite", TABLES["favorite"]) == "DELETE FROM favorite WHERE account_id = ACCOUNT"
