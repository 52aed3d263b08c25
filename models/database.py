"""The open database: one a process, SQLite or PostgreSQL, reached by the functions of this module.

SQL is written once, with `$1` placeholders; what differs between the two is in `any_of` and behind `dialect()`.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from tortoise.backends.base.executor import EXECUTOR_CACHE
from tortoise.context import TortoiseContext, set_global_context

from models import tables
from models.postgres_engine import PostgresEngine, PostgresUnit
from models.sqlite_engine import SqliteEngine, SqliteUnit
from models.storage_failures import failure_of
from settings import Settings

Dialect = Literal["sqlite", "postgres"]
Engine = SqliteEngine | PostgresEngine
UnitConnection = SqliteUnit | PostgresUnit
Publish = Callable[..., object]

current_unit: ContextVar[UnitConnection | None] = ContextVar("current_unit", default=None)


@dataclass(slots=True)
class Database:
    """`publish(*topics)` is called after a commit with what has news; it must neither block nor raise."""

    settings: Settings
    dialect: Dialect
    engine: Engine
    context: TortoiseContext
    publish: Publish

    def is_clean(self) -> bool:
        """False while a transaction is open on SQLite's writing connection, or a PostgreSQL connection is in use."""
        if isinstance(self.engine, SqliteEngine):
            return not self.engine.writer.in_transaction
        return self.engine.pool.get_idle_size() == self.engine.pool.get_size()


_open: Database | None = None


def nobody_listens(*topics: str) -> None:
    """The publisher of a process without a bus."""


def opened() -> Database:
    """Raises:
    RuntimeError: no database is open in this process.
    """
    if _open is None:
        raise RuntimeError("no database is open: enter models.database.open_database first")
    return _open


@asynccontextmanager
async def open_database(
    settings: Settings, modules: Sequence[str] | None = None, publish: Publish = nobody_listens
) -> AsyncIterator[Database]:
    """Open the settings' database for this process, with the tables of `modules` (default: all of ours).

    Raises:
        RuntimeError: one is open already.
        UnsafeStorage: SQLite would not be durable.
        Failure: STORAGE_UNAVAILABLE, it cannot be reached.
    """
    global _open
    if _open is not None:
        raise RuntimeError("a database is open already; a process has one")
    context = TortoiseContext()
    set_global_context(context)  # requests run in other tasks than the lifespan, where no context variable reaches
    EXECUTOR_CACHE.clear()  # Tortoise keeps INSERT texts by connection name, whatever the dialect was before
    try:
        await context.init(config=tortoise_config(settings, modules))
        engine = context.connections.get("default")
        assert isinstance(engine, SqliteEngine | PostgresEngine)
        await _connected(engine)
        _open = Database(settings, "sqlite" if settings.is_sqlite else "postgres", engine, context, publish)
        yield _open
    finally:
        _open = None
        await context.close_connections()


async def _connected(engine: Engine) -> None:
    try:
        await engine.create_connection(with_db=True)
    except Exception as error:
        raise failure_of(error) or error from error


def tortoise_config(settings: Settings, modules: Sequence[str] | None = None) -> dict[str, Any]:
    """Tortoise's configuration for these settings."""
    connection = sqlite_connection(settings) if settings.is_sqlite else postgres_connection(settings)
    app = {"models": list(tables.MODULES if modules is None else modules), "default_connection": "default"}
    return {
        "connections": {"default": connection},
        "apps": {"models": {**app, "migrations": "models.migrations"}},
        "use_tz": True,
        "timezone": "UTC",
    }


def sqlite_connection(settings: Settings) -> dict[str, Any]:
    credentials = {"file_path": str(settings.sqlite_path), "allow_unsafe": settings.allow_unsafe}
    return {"engine": "models.sqlite_engine", "credentials": credentials}


def postgres_connection(settings: Settings) -> dict[str, Any]:
    """`postgres://user:password@host:port/name?ssl=require`: what follows `?` goes to asyncpg."""
    url = urlsplit(settings.database_url)
    credentials = {
        **dict(parse_qsl(url.query)),
        "user": unquote(url.username) if url.username else None,
        "password": unquote(url.password) if url.password else None,
        "host": url.hostname,
        "port": url.port or 5432,
        "database": url.path.removeprefix("/") or None,
        "minsize": 1,
        "maxsize": settings.database_pool_size,
    }
    return {"engine": "models.postgres_engine", "credentials": credentials}


def dialect() -> Dialect:
    return opened().dialect


def any_of(column: str, n: int, type: str = "bigint") -> str:
    """SQL for «`column` is in the list that is parameter `n`»; `type` is PostgreSQL's name of the elements' type."""
    if opened().dialect == "sqlite":
        return f"{column} IN (SELECT value FROM json_each(${n}))"
    return f"{column} = ANY(${n}::{type}[])"


async def fetch(sql: str, *params: Any) -> Sequence[Any]:
    """Rows of a statement: in the unit of work that is running, else as committed.

    Rows are read by index and unpacked; values come as the driver gives them (SQLite: instants as text, booleans
    as 0 and 1; see `models.instants.as_instant`). Datetimes in `params` must carry an offset; lists and tuples fit
    `any_of`; dicts become JSON text.

    Raises:
        Failure: STORAGE_UNAVAILABLE, OVERLOADED or TIMEOUT.
    """
    source = current_unit.get()
    try:
        if source is not None and not source._finalized:
            return await source.fetch_rows(sql, params)
        return await opened().engine.fetch_rows(sql, params)
    except Exception as error:
        failure = failure_of(error)
        if failure is None:
            raise
        raise failure from error


def for_update() -> str:
    """The end of a SELECT that locks its rows until the unit ends, as an UPDATE does; SQLite has one writer anyway."""
    return " FOR NO KEY UPDATE" if opened().dialect == "postgres" else ""


def for_share() -> str:
    """The end of a SELECT whose rows nobody else changes until the unit ends; SQLite has one writer anyway."""
    return " FOR SHARE" if opened().dialect == "postgres" else ""
