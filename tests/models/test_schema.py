"""The schema that the migrations make from nothing, against the list beside this file, on both databases."""

from pathlib import Path

import pytest

from models.migrate import pending, unwritten
from tests.databases import BOTH, migrated_database
from tests.schema_listing import listing

# Nobody asks for drops by product or price point, and neither is ever deleted.
BARE_ON_PURPOSE = {"price_drop.point_id", "price_drop.product_id"}
EXPECTED = Path(__file__).with_name("expected_schema.txt")


@pytest.mark.parametrize("dialect", BOTH)
async def test_tables_keys_indexes_checks_and_triggers_are_the_expected_ones(dialect, tmp_path):
    async with migrated_database(dialect, tmp_path):
        assert await listing() == EXPECTED.read_text().splitlines()
        assert await pending() == []


async def test_no_change_of_a_model_lacks_its_migration(tmp_path):
    async with migrated_database("sqlite", tmp_path):
        assert [operation.describe() for writer in await unwritten() for operation in writer.operations] == []


async def test_every_foreign_key_has_an_index_that_begins_with_it(tmp_path):
    async with migrated_database("sqlite", tmp_path):
        lines = await listing()
    indexes = [line for line in lines if "index " in line or line.startswith("primary key")]
    bare = set()
    for line in lines:
        if line.startswith("foreign key"):
            table, _, column = line.split()[2].partition(".")
            if not any(f" {table} ({column}{end}" in index for index in indexes for end in (",", ")", " desc")):
                bare.add(f"{table}.{column}")
    assert bare == BARE_ON_PURPOSE
