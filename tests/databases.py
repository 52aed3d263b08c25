"""Fresh databases for tests: a SQLite file, or a PostgreSQL database of its own that is dropped afterwards."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import asyncpg
import pytest

from models.database import Database, open_database
from models.events import EVENT_TABLE
from settings import Mode, Settings

POSTGRES = os.environ.get("KABINET_TEST_POSTGRES", "postgres://postgres@127.0.0.1:5432")
BOTH = ["sqlite", "postgres"]
_numbers = count(1)


@asynccontextmanager
async def fresh_url(dialect: str, folder: Path) -> AsyncIterator[str]:
    """The address of an empty database; `folder` holds the SQLite file."""
    name = f"kabinet_test_{os.getpid()}_{next(_numbers)}"
    if dialect == "sqlite":
        yield f"sqlite:///{folder / name}.db"
        return
    server = await connected_server()
    try:
        await server.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        try:
            yield f"{POSTGRES}/{name}"
        finally:
            await server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await server.close()


async def connected_server() -> asyncpg.Connection:
    """PostgreSQL as the tests reach it; without one the test is skipped, or fails where services are required."""
    try:
        return await asyncpg.connect(f"{POSTGRES}/postgres", timeout=3)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        line = f"no PostgreSQL at {POSTGRES} (KABINET_TEST_POSTGRES): {error}"
        if os.environ.get("KABINET_TEST_SERVICES") == "required":
            pytest.fail(line)
        pytest.skip(line)


def settings_for(url: str, **given: object) -> Settings:
    """Settings of the demo mode for this database; nothing of the environment but what is given."""
    return Settings(**{"mode": Mode.DEMO, "database_url": url, "database_pool_size": 5, **given})  # type: ignore[arg-type]


@asynccontextmanager
async def fresh_database(
    dialect: str, folder: Path, modules: list[str] | None = None, **given: object
) -> AsyncIterator[Database]:
    """An open database with the tables of `modules` (default: all)."""
    async with fresh_url(dialect, folder) as url, open_database(settings_for(url, **given), modules) as database:
        await database.context.generate_schemas()
        await database.engine.execute_script(EVENT_TABLE[database.dialect])
        yield database
