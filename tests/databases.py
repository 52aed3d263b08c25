"""Fresh databases for tests: a SQLite file, or a PostgreSQL database of its own that is dropped afterwards.

The migrations run once a process and database kind; each test gets a copy of the result.
"""

import asyncio
import atexit
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import asyncpg
import pytest

from models.database import Database, open_database
from models.events import EVENT_TABLE
from models.migrate import migrate
from settings import Mode, Settings

POSTGRES = os.environ.get("KABINET_TEST_POSTGRES", "postgres://postgres@127.0.0.1:5432")
BOTH = ["sqlite", "postgres"]
_numbers = count(1)
_templates: dict[str, str] = {}


def fresh_name() -> str:
    return f"kabinet_test_{os.getpid()}_{next(_numbers)}"


@asynccontextmanager
async def fresh_url(dialect: str, folder: Path, template: str = "template0") -> AsyncIterator[str]:
    """The address of an empty database; `folder` holds the SQLite file."""
    name = fresh_name()
    if dialect == "sqlite":
        yield f"sqlite:///{folder / name}.db"
        return
    await tell_server(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    try:
        yield f"{POSTGRES}/{name}"
    finally:
        await tell_server(f'DROP DATABASE "{name}" WITH (FORCE)')


@asynccontextmanager
async def migrated_url(dialect: str, folder: Path) -> AsyncIterator[str]:
    """The address of a database with all tables, empty but for what migrations write."""
    template = await migrated_template(dialect)
    if dialect == "sqlite":
        async with fresh_url(dialect, folder) as url:
            shutil.copyfile(template, url.removeprefix("sqlite:///"))
            yield url
        return
    async with fresh_url(dialect, folder, template) as url:
        yield url


async def migrated_template(dialect: str) -> str:
    """The file, or the name of the PostgreSQL database, that is copied; it goes when the process ends."""
    if dialect not in _templates:
        if dialect == "sqlite":
            folder = tempfile.mkdtemp(prefix="kabinet_test_")
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            _templates[dialect] = f"{folder}/template.db"
            await migrate(settings_for(f"sqlite:///{_templates[dialect]}"))
        else:
            name = fresh_name()
            await tell_server(f'CREATE DATABASE "{name}" TEMPLATE template0')
            atexit.register(lambda: asyncio.run(tell_server(f'DROP DATABASE "{name}" WITH (FORCE)')))
            await migrate(settings_for(f"{POSTGRES}/{name}"))
            _templates[dialect] = name
    return _templates[dialect]


async def tell_server(statement: str) -> None:
    server = await connected_server()
    try:
        await server.execute(statement)
    finally:
        await server.close()


async def connected_server() -> asyncpg.Connection:
    """PostgreSQL as the tests reach it; without one the test is skipped, or fails where services are required."""
    try:
        return await asyncpg.connect(f"{POSTGRES}/postgres", timeout=30)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        line = f"no PostgreSQL at {POSTGRES} (KABINET_TEST_POSTGRES): {error}"
        if os.environ.get("KABINET_TEST_SERVICES") == "required":
            pytest.fail(line)
        pytest.skip(line)


def settings_for(url: str, **given: object) -> Settings:
    """Settings of the demo mode for this database, with time for a machine that is busy; `given` goes first."""
    usual = {"mode": Mode.DEMO, "database_url": url, "database_pool_size": 5, "captcha_cost": 1, "request_seconds": 60}
    return Settings(**{**usual, **given})  # type: ignore[arg-type]


@asynccontextmanager
async def migrated_database(dialect: str, folder: Path, **given: object) -> AsyncIterator[Database]:
    """An open database with all tables, as the service has it."""
    async with migrated_url(dialect, folder) as url, open_database(settings_for(url, **given)) as database:
        yield database


@asynccontextmanager
async def fresh_database(
    dialect: str, folder: Path, modules: Sequence[str], **given: object
) -> AsyncIterator[Database]:
    """An open database with the tables of `modules` and of events, made without migrations."""
    async with fresh_url(dialect, folder) as url, open_database(settings_for(url, **given), modules) as database:
        await database.context.generate_schemas()
        await database.engine.execute_script(EVENT_TABLE[database.dialect])
        yield database
