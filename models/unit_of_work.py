"""The unit of work: every write, with its activity, events and outbox rows, together or not at all.

A unit runs in a task and context of its own, shielded: a caller that goes away neither leaves a transaction open nor
loses the connection, and the unit goes on to commit or roll back.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextvars import ContextVar
from datetime import datetime
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, overload

from tortoise.connection import get_connections

from models import clock
from models.activity import Actor, Entry, actor_of, with_entries, write_entries
from models.database import UnitConnection, current_unit, dialect, opened
from models.events import News, create_counters, take_numbers, write_events
from models.outbox import NEWS, Post, write_posts
from models.refusals import ErrorCode, Failure
from models.storage_failures import failure_of, is_conflict, overloaded
from models.uninterrupted import uninterrupted

UNIT_SECONDS = 8.0
CONFLICT_ATTEMPTS = 5

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger("kabinet.units")
_running: set[asyncio.Task] = set()
_current: ContextVar["Work | None"] = ContextVar("current_work", default=None)


class Work:
    """What a unit of work writes. Rows go at once; activity, outbox and events as the last before the commit."""

    def __init__(self, connection: UnitConnection):
        self.connection = connection
        self.entries: list[Entry] = []
        self.posts: list[Post] = []
        self.news: list[News] = []
        self.topics: dict[str, None] = {}

    @property
    def is_open(self) -> bool:
        return not self.connection._finalized

    async def fetch(self, sql: str, *params: Any) -> Sequence[Any]:
        """Rows of a SELECT, or of a write's RETURNING; see `models.database.fetch`."""
        return await self.connection.fetch_rows(sql, params)

    async def execute(self, sql: str, *params: Any) -> int:
        """The number of rows touched."""
        return await self.connection.execute_rows(sql, params)

    async def execute_each(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """The statement once for each row of parameters."""
        await self.connection.execute_each(sql, rows)

    def record(
        self,
        actor: Actor | None,
        verb: str,
        subject_kind: str,
        subject_id: int | None,
        /,
        *,
        at: datetime | None = None,
        **details: Any,
    ) -> None:
        """Who did what to what. `actor` None: the service itself. `at`: by default the actor's now, or the clock's."""
        self.entries.append(Entry(actor, verb, subject_kind, subject_id, details, at))

    async def fetch_recorded(self, actor: Actor, verb: str, subject_kind: str, sql: str, *params: Any) -> Sequence[Any]:
        """Rows of a write's RETURNING, each recorded by its first column, `id`; on PostgreSQL both are one statement."""
        if dialect() == "postgres":
            entry = Entry(actor, verb, subject_kind, None, {})
            values = (actor.now, *actor_of(entry), verb, subject_kind)
            return await self.fetch(with_entries(sql, len(params)), *params, *values)
        rows = await self.fetch(sql, *params)
        for row in rows:
            self.record(actor, verb, subject_kind, row[0])
        return rows

    def event(self, account_id: int, kind: str, subject_id: int | None, at: datetime) -> None:
        """Something for the account's subscribers, who are told after the commit."""
        self.news.append(News(account_id, kind, subject_id, at))
        self.announce(f"account:{account_id}")

    async def numbered(self, account_ids: Iterable[int]) -> dict[int, int]:
        """One event number for each account, for rows of `event` that the caller writes by the set.

        Call it last: the accounts' counters stay locked until the commit.
        """
        wanted = dict.fromkeys(account_ids, 1)
        if not wanted:
            return {}
        for account_id in wanted:
            self.announce(f"account:{account_id}")
        return await take_numbers(self.connection, wanted)

    async def create_counters(self, account_ids: Iterable[int]) -> None:
        """Event counters of new accounts; those that are there stay as they are."""
        await create_counters(self.connection, account_ids)

    def post(self, kind: str, payload: dict[str, Any], due_at: datetime | None = None, withheld: bool = False) -> str:
        """Put a message into the outbox; gives its message id. `due_at` is on the machine's clock."""
        self.posts.append(Post(kind, payload, due_at, withheld))
        self.announce(NEWS)
        return self.posts[-1].message_id

    def announce(self, *topics: str) -> None:
        """After the commit, hint to the bus that these topics have news."""
        self.topics.update(dict.fromkeys(topics))

    async def finish(self) -> None:
        """Write what has been collected so far; events last. The unit does it before its commit."""
        entries, posts, news = self.entries, self.posts, self.news
        self.entries, self.posts, self.news = [], [], []
        if entries:
            await write_entries(self.connection, entries, await clock.now())
        if posts:
            await write_posts(self.connection, posts)
        if news:
            await write_events(self.connection, news)

    def tell(self) -> None:
        """What happens once the commit stands."""
        if self.topics:
            opened().publish(*self.topics)


Body = Callable[Concatenate[Work, P], Awaitable[T]]


@overload
def unit_of_work(body: Body[P, T]) -> Callable[P, Awaitable[T]]: ...
@overload
def unit_of_work(*, seconds: float = ..., single: bool = ...) -> Callable[[Body[P, T]], Callable[P, Awaitable[T]]]: ...
def unit_of_work(body: Any = None, *, seconds: float = UNIT_SECONDS, single: bool = False) -> Any:
    """Make `async def f(work, viewer, …)` a coroutine function `f(viewer, …)` that runs as one unit of work.

    Called inside another unit it joins that one: its writes stand or fall with the outer unit, whose deadline counts.
    A `single` unit makes one statement, which is its transaction: on PostgreSQL one round trip instead of three.

    Raises, besides what the body raises (which rolls back):
        Failure: TIMEOUT after `seconds`; OVERLOADED, no connection or lock was free, or the unit met a conflict at
            every attempt; STORAGE_UNAVAILABLE.
    """

    def decorated(body: Any) -> Any:
        return _shielded(body, seconds, single)

    return decorated if body is None else decorated(body)


def _shielded(body: Any, seconds: float, single: bool) -> Any:
    @wraps(body)
    async def unit(*args: Any, **kwargs: Any) -> Any:
        outer = _current.get()
        if outer is not None and outer.is_open:
            return await body(outer, *args, **kwargs)
        task = asyncio.create_task(_run(body, args, kwargs, seconds, single), name=f"unit {body.__qualname__}")
        _running.add(task)
        task.add_done_callback(_forget)
        return await asyncio.shield(task)

    return unit


def _forget(task: asyncio.Task) -> None:
    _running.discard(task)
    if not task.cancelled():
        task.exception()  # its caller may be gone; asyncio would complain that nobody looked


async def _run(body: Any, args: tuple, kwargs: dict, seconds: float, single: bool) -> Any:
    deadline = asyncio.get_running_loop().time() + seconds
    for attempt in range(1, CONFLICT_ATTEMPTS + 1):
        work = Work(opened().engine.new_unit(single))
        try:
            result = await _attempt(work, body, args, kwargs, deadline)
        except Exception as error:
            if not is_conflict(error):
                raise
            if attempt == CONFLICT_ATTEMPTS:
                raise overloaded() from error
            await asyncio.sleep(random.uniform(0.005, 0.02) * 2**attempt)
        else:
            work.tell()
            return result
    raise AssertionError("unreachable")


async def _attempt(work: Work, body: Any, args: tuple, kwargs: dict, deadline: float) -> Any:
    """One transaction; leaves neither a connection nor a lock behind, whatever happens in it."""
    connection = work.connection
    entered = _entered(work)
    limit = asyncio.timeout_at(deadline)
    try:
        async with limit:
            await connection.begin()
            result = await body(work, *args, **kwargs)
            await work.finish()
        await uninterrupted(connection.commit())
        return result
    except BaseException as error:
        await uninterrupted(_abandoned(connection))
        if isinstance(error, TimeoutError) and limit.expired():
            raise Failure(ErrorCode.TIMEOUT) from error
        failure = failure_of(error)
        if failure is None:
            raise
        raise failure from error
    finally:
        entered()


async def _abandoned(connection: UnitConnection) -> None:
    try:
        await connection.abandon()
    except Exception:
        log.exception("a rollback failed; the connection is given up")


def _entered(work: Work) -> Callable[[], None]:
    """Make the unit's connection the current one, for `fetch` and for the ORM; the answer undoes it."""
    handler = get_connections()
    orm = handler.set("default", work.connection)
    mine, unit = _current.set(work), current_unit.set(work.connection)

    def leave() -> None:
        _current.reset(mine)
        current_unit.reset(unit)
        handler.reset(orm)

    return leave


async def drain(seconds: float) -> int:
    """Wait for the units that are running, so many seconds at most; gives the number still running then."""
    if not _running:
        return 0
    _, pending = await asyncio.wait(set(_running), timeout=seconds)
    return len(pending)
