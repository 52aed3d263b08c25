"""The statements that a piece of work sends to the database, as its driver sees them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from asyncpg.connection import LoggedQuery

from models.database import opened
from models.sqlite_engine import SqliteEngine

DRIVERS_OWN = ("pg_catalog", "'jit'")
"""What asyncpg asks about types, once a connection."""


@asynccontextmanager
async def statements() -> AsyncIterator[list[str]]:
    """Notes every statement of this process's open database, BEGIN and COMMIT too."""
    seen: list[str] = []
    engine = opened().engine
    if isinstance(engine, SqliteEngine):
        connections = [engine.writer, engine.reader]
        for connection in connections:
            connection.set_trace_callback(lambda text: None if text.startswith("--") else seen.append(text))  # a trigger's
        try:
            yield seen
        finally:
            for connection in connections:
                connection.set_trace_callback(None)
        return

    def note(query: LoggedQuery) -> None:
        if not any(sign in query.query for sign in DRIVERS_OWN):
            seen.append(query.query)

    async with AsyncExitStack() as taken:
        whole_pool = [await taken.enter_async_context(engine.pool.acquire()) for _ in range(engine.pool.get_max_size())]
        connections = [proxy._con for proxy in whole_pool]
    for connection in connections:
        connection.add_query_logger(note)
    try:
        yield seen
    finally:
        for connection in connections:
            connection.remove_query_logger(note)
