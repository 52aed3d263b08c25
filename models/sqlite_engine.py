"""SQLite for Tortoise: reads on the event loop from a connection of their own, writes only in units of work.

One connection writes, unit after unit; those that come together share a COMMIT (see `models/group_commit.py`). Between
BEGIN IMMEDIATE and COMMIT statements run on the event loop, for they only touch memory (microseconds, where a hop to the
connection's thread costs a hundred). What may wait runs on the thread: BEGIN where another process writes, and COMMIT
where the disk is slow.
A second connection, read-only, serves everything outside units; it sees a commit at once and never waits for a unit.
"""

import asyncio
import random
import re
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import aiosqlite
import orjson
from tortoise.backends.sqlite.client import SqliteClient, SqliteTransactionWrapper, translate_exceptions

from models.group_commit import SAVEPOINT, CommitGroup
from models.instants import as_text
from models.storage_failures import TextWithNul, overloaded
from models.uninterrupted import uninterrupted

BUSY_TIMEOUT_MS = 5000
BEGIN_ATTEMPTS = 5
CACHED_STATEMENTS = 512
READ_CACHE_KIB = 8 * 1024  # pages of the file that reads keep; SQLite's own 2 MB would be read anew for each buyer
PLAIN = frozenset({int, float, bool, bytes, type(None)})
PRAGMAS = {
    "journal_mode": "WAL",
    # A journal that keeps its size is synced in half the time of one that grows again after every checkpoint.
    "journal_size_limit": str(64 * 1024 * 1024),
    "synchronous": "FULL",
    "foreign_keys": "ON",
    "secure_delete": "ON",
    "recursive_triggers": "ON",
    "busy_timeout": "0",  # the event loop does not wait; `begin_waiting` does
}


class UnsafeStorage(Exception):
    """SQLite would not keep what it acknowledged; the text says why."""


@lru_cache(maxsize=4096)
def numbered(sql: str) -> str:
    """`$1` as SQLite writes it, `?1`."""
    return re.sub(r"\$(\d+)", r"?\1", sql)


def adapted(params: Iterable[Any]) -> list[Any]:
    """Parameters as SQLite takes them: instants as text, lists and dicts as JSON text.

    Raises:
        ValueError: a datetime without a time zone. TextWithNul.
    """
    return [p if type(p) in PLAIN else adapt(p) for p in params]


def adapt(value: Any) -> Any:
    if isinstance(value, str):
        if "\0" in value:
            raise TextWithNul
        return value
    if isinstance(value, datetime):
        return as_text(value)
    if isinstance(value, list | tuple | dict | set | frozenset):
        return orjson.dumps(list(value) if isinstance(value, set | frozenset) else value, default=adapt).decode()
    return value


def run(connection: sqlite3.Connection, sql: str, params: Sequence[Any]) -> tuple[list[tuple], int]:
    """Rows and the number of rows touched; rows are plain tuples whatever the connection makes for the ORM."""
    cursor = connection.cursor()
    cursor.row_factory = None  # type: ignore[assignment]
    cursor.execute(numbered(sql), adapted(params))
    return cursor.fetchall(), max(cursor.rowcount, 0)


def run_script(connection: sqlite3.Connection, script: str) -> None:
    """Several statements, in the transaction that is open; sqlite3's own executescript would commit it first."""
    statement = ""
    for part in re.split(r"(?<=;)", script):
        statement += part
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""
    if statement.strip():
        connection.execute(statement)


def open_reader(path: str) -> sqlite3.Connection:
    reader = sqlite3.connect(
        f"{Path(path).resolve().as_uri()}?mode=ro",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=CACHED_STATEMENTS,
    )
    reader.row_factory = sqlite3.Row
    reader.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    reader.execute(f"PRAGMA cache_size=-{READ_CACHE_KIB}")
    reader.execute("PRAGMA query_only=ON")
    return reader


def begin_at_once(writer: sqlite3.Connection) -> bool:
    """False: another process is writing."""
    try:
        writer.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as busy:
        if busy.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True


def begin_waiting(writer: sqlite3.Connection) -> bool:
    """False: another process has been writing all the while. For the connection's thread."""
    writer.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    try:
        return begin_at_once(writer)
    finally:
        writer.execute("PRAGMA busy_timeout=0")


class OnLoop:
    """The writing connection as a unit uses it: the calls Tortoise makes to aiosqlite, without the hop to its thread."""

    def __init__(self, connection: sqlite3.Connection):
        self.connection = connection

    @property
    def total_changes(self) -> int:
        return self.connection.total_changes

    async def execute(self, sql: str, params: Sequence[Any] = ()) -> sqlite3.Cursor:
        return self.connection.execute(sql, params)

    async def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> sqlite3.Cursor:
        return self.connection.executemany(sql, rows)

    async def execute_insert(self, sql: str, params: Sequence[Any] = ()) -> tuple[int]:
        return (self.connection.execute(sql, params).lastrowid or 0,)

    async def execute_fetchall(self, sql: str, params: Sequence[Any] | None = None) -> list[sqlite3.Row]:
        return self.connection.execute(sql, params or ()).fetchall()

    async def executescript(self, script: str) -> None:
        run_script(self.connection, script)


class SqliteEngine(SqliteClient):
    """The base client: reads. Tables are made by `execute_script`; every other write needs a unit."""

    def __init__(self, file_path: str, allow_unsafe: bool = False, **kwargs: Any):
        super().__init__(file_path, **{**PRAGMAS, **kwargs})
        self.allow_unsafe = allow_unsafe
        self.reader: sqlite3.Connection | None = None

    async def create_connection(self, with_db: bool) -> None:
        """Open both connections.

        Raises:
            UnsafeStorage: `synchronous` is below FULL or WAL cannot be had, and the settings do not allow it.
        """
        if self._connection:
            return
        # Units use the connection from the event loop while its thread is idle: see the module's text.
        connecting = aiosqlite.connect(
            self.filename, isolation_level=None, check_same_thread=False, cached_statements=CACHED_STATEMENTS
        )
        try:
            self._connection = await connecting
        except sqlite3.Error:
            await asyncio.to_thread(connecting._thread.join)  # which still speaks to the loop that it was begun in
            raise
        try:
            writer = self._connection._conn
            writer.row_factory = sqlite3.Row
            for pragma, value in self.pragmas.items():
                await (await self._connection.execute(f"PRAGMA {pragma}={value}")).close()
            self._require_durable(writer)
            self.reader = open_reader(self.filename)
            self.group = CommitGroup(writer, self._lock, self._connection.commit)
        except BaseException:
            await self.close()
            raise
        await self._post_connect()

    def _require_durable(self, writer: sqlite3.Connection) -> None:
        synchronous = writer.execute("PRAGMA synchronous").fetchone()[0]
        journal = writer.execute("PRAGMA journal_mode").fetchone()[0]
        if (synchronous < 2 or journal != "wal") and not self.allow_unsafe:
            raise UnsafeStorage(
                f"SQLite runs with synchronous={synchronous}, journal_mode={journal}: a power cut may lose what was "
                "acknowledged. KABINET_ALLOW_UNSAFE=1 starts it all the same."
            )

    async def close(self) -> None:
        if self.reader is not None:
            self.reader.close()
            self.reader = None
        await super().close()

    async def wipe(self) -> bool:
        """Write the file anew and empty the journal, so that what was deleted is in neither. False: another process is in the way.

        `secure_delete` zeroes what is deleted where it stands, but not the copies that SQLite leaves behind when it moves
        rows from one page to another: only VACUUM gets rid of those. Writes wait meanwhile.
        """
        assert self._connection is not None
        async with self._lock:
            try:
                await uninterrupted(self._connection.execute_fetchall("VACUUM"))
            except sqlite3.OperationalError as busy:
                if busy.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                return False
            (result,) = await uninterrupted(self._connection.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)"))
            return result[0] == 0

    @property
    def writer(self) -> sqlite3.Connection:
        """The writing connection underneath; only a unit that holds the lock may use it."""
        assert self._connection is not None
        return self._connection._conn

    def new_unit(self, single: bool = False) -> "SqliteUnit":
        """`single` changes nothing here: BEGIN and COMMIT are no round trips."""
        return SqliteUnit(self)

    async def fetch_rows(self, sql: str, params: Sequence[Any]) -> list[tuple]:
        assert self.reader is not None
        return run(self.reader, sql, params)[0]

    @translate_exceptions
    async def execute_query(self, query: str, values: list | None = None) -> tuple[int, list]:
        assert self.reader is not None
        rows = self.reader.execute(query, values or ()).fetchall()
        return len(rows), rows

    @translate_exceptions
    async def execute_query_dict(self, query: str, values: list | None = None) -> list[dict]:
        assert self.reader is not None
        return [dict(row) for row in self.reader.execute(query, values or ()).fetchall()]

    async def execute_insert(self, query: str, values: list) -> Any:
        raise RuntimeError("writes run in a unit of work")

    async def execute_many(self, query: str, values: list[list]) -> None:
        raise RuntimeError("writes run in a unit of work")

    def _in_transaction(self) -> Any:
        raise RuntimeError("transactions are units of work")


class SqliteUnit(SqliteTransactionWrapper):
    """The connection of one unit of work: `begin`, statements, `commit`, and `abandon` whatever happened."""

    def __init__(self, engine: SqliteEngine):
        super().__init__(engine)
        assert engine._connection is not None
        self.engine = engine
        self.group = engine.group
        self.thread = engine._connection
        self.raw = engine.writer
        self._connection = OnLoop(self.raw)  # type: ignore[assignment]
        self._has_turn = False
        self._holds_lock = False
        self._is_joined = False

    def acquire_connection(self) -> Any:
        self._require_open()
        return super().acquire_connection()

    def _require_open(self) -> None:
        if self._finalized or not self._has_turn:
            raise RuntimeError("this unit of work is over; start background work after it, not in it")

    async def begin(self) -> None:
        """Take the turn, and the database's write lock where the units before have not taken it already.

        Raises:
            Failure: OVERLOADED, another process has held the write lock for all attempts.
        """
        await self.group.enter()
        self._has_turn = True
        if self.group.is_open:
            self.raw.execute(f"SAVEPOINT {SAVEPOINT}")
            self._is_joined = True
            return
        await self.engine._lock.acquire()
        self._holds_lock = True
        if begin_at_once(self.raw):
            return
        for attempt in range(BEGIN_ATTEMPTS):
            if await self.thread._execute(begin_waiting, self.raw):
                return
            await asyncio.sleep(random.uniform(0.01, 0.05) * 2**attempt)
        raise overloaded()

    def commit(self) -> asyncio.Future[None]:  # type: ignore[override]
        """The answer is done when what was written is on the disk."""
        self._require_open()
        if self._is_joined:
            self.raw.execute(f"RELEASE {SAVEPOINT}")
        self._end()
        return self.group.end()

    async def abandon(self) -> None:
        """Roll back what is open and give the turn to the next; may be called at any time, also twice."""
        if not self._has_turn:
            return
        if self._is_joined:
            self._end()
            self.group.undo()
            return
        try:
            if self._holds_lock:  # on the thread: a BEGIN that is still under way there ends first
                await self.thread.rollback()
        finally:
            self._end()
            if self._holds_lock:
                self.engine._lock.release()
            self.group.leave()

    def _end(self) -> None:
        self._finalized = True
        self._has_turn = False

    async def fetch_rows(self, sql: str, params: Sequence[Any]) -> list[tuple]:
        self._require_open()
        return run(self.raw, sql, params)[0]

    async def execute_rows(self, sql: str, params: Sequence[Any]) -> int:
        self._require_open()
        return run(self.raw, sql, params)[1]

    async def execute_each(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        self._require_open()
        self.raw.executemany(numbered(sql), [adapted(row) for row in rows])


client_class = SqliteEngine
