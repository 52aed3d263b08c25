"""PostgreSQL for Tortoise: a bounded pool, units of work on a connection of their own.

Connections go back to the pool without asyncpg's reset statements (a round trip for each use), so nothing may leave
traces on one: no SET, LISTEN or session-wide advisory locks.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import asyncpg
import orjson
from tortoise.backends.asyncpg.client import AsyncpgDBClient, TransactionWrapper
from tortoise.backends.base.client import NestedTransactionContext

from models.connections_in_turn import InTurn
from models.instants import as_utc
from models.refusals import ErrorCode, Failure
from models.storage_failures import overloaded
from models.uninterrupted import uninterrupted

ACQUIRE_SECONDS = 1.0
COMMIT_SECONDS = 5.0
SERVER_SETTINGS = {
    "idle_in_transaction_session_timeout": "10s",
    "statement_timeout": "5s",
    "lock_timeout": "3s",
    "timezone": "UTC",
    # Statements are few, prepared, and led by an index whatever their parameters: a plan for each call is a tenth of its cost.
    "plan_cache_mode": "force_generic_plan",
    "application_name": "kabinet",
}
PLAIN = frozenset({int, str, float, bool, bytes, type(None), list})
WRITES = ("INSERT", "UPDATE", "DELETE")


def adapted(params: Iterable[Any]) -> list[Any]:
    """Parameters as asyncpg takes them: instants in UTC, dicts as JSON text.

    Raises:
        ValueError: a datetime without a time zone.
    """
    return [p if type(p) in PLAIN else adapt(p) for p in params]


def adapt(value: Any) -> Any:
    if isinstance(value, datetime):
        return as_utc(value)
    if isinstance(value, dict):
        return orjson.dumps(value).decode()
    return list(value) if isinstance(value, tuple | set | frozenset) else value


class Connection(asyncpg.Connection):
    """One that goes back to the pool as it is, unless a transaction is open on it."""

    def get_reset_query(self) -> str:
        return ""

    async def reset(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - asyncpg's signature
        if self.is_in_transaction():
            await super().reset(timeout=timeout)


class Pool(asyncpg.Pool):
    """Waits for a connection a second at most, whoever asks (the ORM gives no time of its own).

    Where there is nothing to wait for, asyncpg still makes a task to take a connection and one to give it back, which
    is half of what a small read costs. Those two ways are short here; all others stay asyncpg's.
    """

    async def _initialize(self) -> None:
        await super()._initialize()
        self._queue = InTurn.of(self._queue)  # type: ignore[has-type]

    async def _acquire(self, timeout: float | None) -> Any:  # noqa: ASYNC109 - asyncpg's signature
        connection = await self.acquire_at_once()
        if connection is not None:
            return connection
        try:
            return await super()._acquire(ACQUIRE_SECONDS if timeout is None else timeout)
        except TimeoutError:
            raise overloaded() from None

    async def acquire_at_once(self) -> Any:
        """A connection that can be had without waiting, so that no cancellation can come between; else None."""
        if self._closing or not self._queue.qsize():
            return None
        holder = self._queue.get_nowait()
        if not holder.is_connected() or holder._generation != self._generation:
            self._queue.put_nowait(holder)
            return None
        try:
            return await holder.acquire()
        except BaseException:
            self._queue.put_nowait(holder)
            raise

    async def release(self, connection: Any, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - asyncpg's signature
        inner = connection._con
        if inner is None or inner.is_closed() or inner.is_in_transaction() or inner._protocol._is_cancelling():
            await super().release(connection, timeout=timeout)
        else:
            inner._on_release()
            await connection._holder.release(None)


def refuse_write(sql: str) -> None:
    if sql.lstrip()[:6].upper() in WRITES:
        raise RuntimeError("writes run in a unit of work")


class PostgresEngine(AsyncpgDBClient):
    """The base client: reads. Tables are made by `execute_script`; every other write needs a unit."""

    connection_class = Connection

    def __init__(self, **kwargs: Any):
        super().__init__(**{"server_settings": SERVER_SETTINGS, **kwargs})

    async def create_pool(self, **kwargs: Any) -> asyncpg.Pool:
        given = {"max_queries": 50_000, "max_inactive_connection_lifetime": 300.0, "record_class": asyncpg.Record}
        return await Pool(None, **{**given, **kwargs})

    @property
    def pool(self) -> asyncpg.Pool:
        assert self._pool is not None
        return self._pool

    def new_unit(self, single: bool = False) -> "PostgresUnit":
        return PostgresStatement(self) if single else PostgresUnit(self)

    async def fetch_rows(self, sql: str, params: Sequence[Any]) -> list[asyncpg.Record]:
        pool = self.pool
        connection = await pool.acquire_at_once() or await pool.acquire()
        try:
            return await connection.fetch(sql, *adapted(params))
        finally:
            await pool.release(connection)

    async def execute_query(self, query: str, values: list | None = None) -> tuple[int, list]:
        refuse_write(query)
        return await super().execute_query(query, values)

    async def execute_query_dict(self, query: str, values: list | None = None) -> list[dict]:
        refuse_write(query)
        return await super().execute_query_dict(query, values)

    async def execute_insert(self, query: str, values: list) -> Any:
        raise RuntimeError("writes run in a unit of work")

    async def execute_many(self, query: str, values: list) -> None:
        raise RuntimeError("writes run in a unit of work")

    def _in_transaction(self) -> Any:
        raise RuntimeError("transactions are units of work")


class PostgresUnit(TransactionWrapper):
    """The connection of one unit of work: `begin`, statements, `commit`, and `abandon` whatever happened."""

    def __init__(self, engine: PostgresEngine):
        super().__init__(engine)
        self.engine = engine
        self._connection = None  # type: ignore[assignment]
        self._savepoints = 0

    def acquire_connection(self) -> Any:
        self._require_open()
        return super().acquire_connection()

    def _require_open(self) -> None:
        if self._finalized or self._connection is None:
            raise RuntimeError("this unit of work is over; start background work after it, not in it")

    async def begin(self) -> None:
        """Raises:
        Failure: OVERLOADED, no connection was free for a second.
        """
        await self._take_connection()
        await self._connection.execute("BEGIN")

    async def _take_connection(self) -> None:
        self._connection = await self.engine.pool.acquire_at_once()
        if self._connection is None:
            # The pool may hand a connection out in the moment of a cancellation: it is kept for `abandon`.
            await uninterrupted(self._wait_for_connection())

    async def _wait_for_connection(self) -> None:
        self._connection = await self.engine.pool.acquire()

    async def commit(self) -> None:
        """Raises:
        RuntimeError: a statement had failed and its error was swallowed; nothing was written.
        Failure: STORAGE_UNAVAILABLE, the server does not say within 5 seconds whether it has.
        """
        self._require_open()
        async with self._lock:
            try:
                status = await self._connection.execute("COMMIT", timeout=COMMIT_SECONDS)
            except TimeoutError as error:
                raise Failure(ErrorCode.STORAGE_UNAVAILABLE, retry_after_seconds=5) from error
        if status != "COMMIT":
            raise RuntimeError("a statement of this unit of work had failed, so nothing of it was written")
        await self._release()

    async def abandon(self) -> None:
        """Roll back what is open and give the connection back; may be called at any time, also twice."""
        self._finalized = True
        if self._connection is None:
            return
        try:
            # Also after a cancelled BEGIN, of which the client cannot know whether it arrived.
            await self._connection.execute("ROLLBACK", timeout=COMMIT_SECONDS)
        except Exception:
            with suppress(asyncpg.InterfaceError):  # one that died has left the pool's hands already
                self._connection.terminate()
        finally:
            await self._release()

    async def _release(self) -> None:
        self._finalized = True
        connection, self._connection = self._connection, None  # type: ignore[assignment]
        await self.engine.pool.release(connection)

    def _in_transaction(self) -> Any:
        return NestedTransactionContext(Savepoint(self))

    async def fetch_rows(self, sql: str, params: Sequence[Any]) -> list[asyncpg.Record]:
        self._require_open()
        async with self._lock:
            return await self._connection.fetch(sql, *adapted(params))

    async def execute_rows(self, sql: str, params: Sequence[Any]) -> int:
        self._require_open()
        async with self._lock:
            status = await self._connection.execute(sql, *adapted(params))
        count = status.rpartition(" ")[2]
        return int(count) if count.isdigit() else 0

    async def execute_each(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        self._require_open()
        async with self._lock:
            await self._connection.executemany(sql, [adapted(row) for row in rows])


class PostgresStatement(PostgresUnit):
    """A unit of one statement, by `fetch_rows`, which PostgreSQL commits as it ends: neither BEGIN nor COMMIT."""

    async def begin(self) -> None:
        await self._take_connection()

    async def fetch_rows(self, sql: str, params: Sequence[Any]) -> list[asyncpg.Record]:
        rows = await super().fetch_rows(sql, params)
        await self._release()
        return rows

    async def execute_rows(self, sql: str, params: Sequence[Any]) -> int:
        raise RuntimeError("a unit of a single statement fetches")

    async def execute_each(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        raise RuntimeError("a unit of a single statement fetches")

    def commit(self) -> asyncio.Future[None]:  # type: ignore[override]
        """Done already."""
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


class Savepoint(TransactionWrapper):
    """A transaction of the ORM's own inside a unit."""

    def __init__(self, unit: "PostgresUnit | Savepoint"):
        super().__init__(unit)
        self._lock = unit._lock
        self.depth: int = getattr(unit, "depth", 0) + 1

    def _in_transaction(self) -> Any:
        return NestedTransactionContext(Savepoint(self))

    async def savepoint(self) -> None:
        await self._run(f"SAVEPOINT orm_{self.depth}")

    async def release_savepoint(self) -> None:
        await self._run(f"RELEASE SAVEPOINT orm_{self.depth}")

    async def savepoint_rollback(self) -> None:
        await self._run(f"ROLLBACK TO SAVEPOINT orm_{self.depth}")

    async def _run(self, statement: str) -> None:
        async with self._lock:
            await self._connection.execute(statement)


client_class = PostgresEngine
