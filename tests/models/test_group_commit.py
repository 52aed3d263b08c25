"""Units that come together share one COMMIT, and nothing else: each fails by itself, none returns before its rows are kept."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from models.database import Database
from models.refusals import ErrorCode, Failure
from models.unit_of_work import Work, unit_of_work
from tests.databases import fresh_database
from tests.models.conftest import MACHINERY
from tests.models.test_cancellation import seen_by_others


@pytest_asyncio.fixture
async def sqlite(tmp_path) -> AsyncIterator[Database]:
    async with fresh_database("sqlite", tmp_path, MACHINERY) as database:
        yield database


@pytest.fixture
def said(sqlite: Database) -> Iterator[list[str]]:
    """The statements that the writing connection has run since."""
    statements: list[str] = []
    sqlite.engine.writer.set_trace_callback(statements.append)
    yield statements
    sqlite.engine.writer.set_trace_callback(None)


@unit_of_work
async def send(work: Work, label: str) -> str:
    await work.execute("INSERT INTO parcel (label, weight, fragile) VALUES ($1, 1, false)", label)
    if label.startswith("no"):
        raise ValueError(label)
    return label


async def kept(database: Database) -> set[str]:
    return {label for (label,) in await seen_by_others(database, "SELECT label FROM parcel")}


async def test_units_that_come_together_share_a_commit(sqlite: Database, said: list[str]) -> None:
    await asyncio.gather(*(send(f"{n}") for n in range(20)))
    assert said.count("COMMIT") == 1
    assert await kept(sqlite) == {f"{n}" for n in range(20)}


async def test_one_after_the_other_they_commit_one_by_one(sqlite: Database, said: list[str]) -> None:
    for n in range(3):
        await send(f"{n}")
        assert f"{n}" in await kept(sqlite)
    assert said.count("COMMIT") == 3


async def test_a_unit_that_fails_takes_no_other_with_it(sqlite: Database, said: list[str]) -> None:
    labels = ["no 1", "a", "no 2", "b", "c", "no 3"]
    outcomes = await asyncio.gather(*map(send, labels), return_exceptions=True)
    assert [isinstance(outcome, ValueError) for outcome in outcomes] == [label.startswith("no") for label in labels]
    assert await kept(sqlite) == {"a", "b", "c"}
    assert said.count("COMMIT") == 1


async def test_no_more_than_so_many_wait_for_one_commit(sqlite: Database, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.group_commit.MOST_TOGETHER", 5)
    await asyncio.gather(*(send(f"{n}") for n in range(20)))
    assert len(await kept(sqlite)) == 20
    assert 4 <= said.count("COMMIT") <= 5


async def test_a_unit_that_waits_inside_is_waited_for(sqlite: Database, said: list[str]) -> None:
    @unit_of_work
    async def slow(work: Work) -> None:
        await work.execute("INSERT INTO parcel (label, weight, fragile) VALUES ('slow', 1, false)")
        await asyncio.sleep(0.05)

    sent = asyncio.gather(send("a"), slow(), send("b"))
    await asyncio.sleep(0.02)
    assert await kept(sqlite) == set() and not sent.done()
    await sent
    assert await kept(sqlite) == {"a", "slow", "b"}
    assert said.count("COMMIT") == 1


async def test_those_before_start_anew_when_one_loses_the_transaction_of_all(sqlite: Database) -> None:
    @unit_of_work
    async def break_all(work: Work) -> None:
        sqlite.engine.writer.execute("ROLLBACK")  # as SQLite itself does where the disk fails
        raise ValueError

    outcomes = await asyncio.gather(send("a"), send("b"), break_all(), send("c"), return_exceptions=True)
    assert isinstance(outcomes[2], ValueError)
    assert [outcomes[0], outcomes[1], outcomes[3]] == ["a", "b", "c"]
    assert sorted(label for (label,) in await seen_by_others(sqlite, "SELECT label FROM parcel")) == ["a", "b", "c"]
    assert sqlite.is_clean()


async def test_a_commit_that_fails_fails_all_of_it(sqlite: Database) -> None:
    await send("before")
    sqlite.engine.writer.execute("PRAGMA defer_foreign_keys=ON")
    sqlite.engine.writer.execute("CREATE TEMP TABLE mother (id INTEGER PRIMARY KEY)")
    sqlite.engine.writer.execute("CREATE TEMP TABLE child (id INTEGER REFERENCES mother (id) DEFERRABLE INITIALLY DEFERRED)")

    @unit_of_work
    async def orphan(work: Work) -> None:
        await work.execute("INSERT INTO child (id) VALUES (1)")

    outcomes = await asyncio.gather(send("a"), orphan(), send("b"), return_exceptions=True)
    assert all(isinstance(outcome, Exception) for outcome in outcomes), outcomes
    assert await kept(sqlite) == {"before"}
    await send("after")
    assert await kept(sqlite) == {"before", "after"}
    assert sqlite.is_clean()


async def test_a_full_disk_refuses_who_needs_room_and_keeps_what_was_answered(sqlite: Database) -> None:
    pages = sqlite.engine.writer.execute("PRAGMA page_count").fetchone()[0]
    sqlite.engine.writer.execute(f"PRAGMA max_page_count={pages + 5}")
    outcomes: list = []
    for start in range(0, 1000, 50):
        outcomes += await asyncio.gather(*(send(f"{start + n} {'x' * 80}") for n in range(50)), return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert refused and all(isinstance(one, Failure) and one.code is ErrorCode.STORAGE_UNAVAILABLE for one in refused)
    assert await kept(sqlite) == {outcome for outcome in outcomes if isinstance(outcome, str)}
    assert sqlite.is_clean()
