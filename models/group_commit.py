"""Group commit for SQLite: units of work that come together write one after the other and share one COMMIT.

A COMMIT waits for the disk, however little was written, and now and then for very long. So a unit that has ended leaves it to
the end of the event loop's turn, and the units that start until then join its transaction behind a savepoint: each fails by
itself. None returns before the COMMIT has; it runs on the connection's thread, and reads go on meanwhile.
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable

from models.storage_failures import TransactionLost

MOST_TOGETHER = 64
SAVEPOINT = "unit"


class CommitGroup:
    """The writing connection's transaction and who is in it.

    `lock` is held from BEGIN to the end of COMMIT or ROLLBACK; `commit_on_thread` keeps the disk from the event loop.
    """

    def __init__(
        self, connection: sqlite3.Connection, lock: asyncio.Lock, commit_on_thread: Callable[[], Awaitable[None]]
    ):
        self.connection = connection
        self.lock = lock
        self.commit_on_thread = commit_on_thread
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_taken = False  # a unit writes, or a COMMIT is under way
        self._ended: list[asyncio.Future[None]] = []
        self._closing: asyncio.Handle | asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether units have ended whose COMMIT is due."""
        return bool(self._ended)

    async def enter(self) -> None:
        """Wait for the turn; it ends with `end`, `undo` or `leave`."""
        if not self._is_taken and len(self._ended) < MOST_TOGETHER:
            self._is_taken = True
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except BaseException:
            if not turn.cancelled():
                self.leave()
            raise

    def end(self) -> asyncio.Future[None]:
        """The unit whose turn it is has written all; the answer is done when its COMMIT is."""
        committed = asyncio.get_running_loop().create_future()
        self._ended.append(committed)
        self.leave()
        return committed

    def undo(self) -> None:
        """Take back what the unit whose turn it is has written since its savepoint, and nothing of the others."""
        try:
            self.connection.execute(f"ROLLBACK TO {SAVEPOINT}")
            self.connection.execute(f"RELEASE {SAVEPOINT}")
        except sqlite3.Error:  # the disk is full, say: SQLite has rolled back all, and who has ended starts anew
            self._over(TransactionLost())
        else:
            self.leave()

    def leave(self) -> None:
        """Give the turn to the next; where nobody waits, or enough have ended, the COMMIT is due."""
        while self._waiting and len(self._ended) < MOST_TOGETHER:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._is_taken = False
        if self._ended and self._closing is None:
            self._closing = asyncio.get_running_loop().call_soon(self._close)

    def _close(self) -> None:
        self._closing = None
        if self._is_taken or not self._ended:
            return  # who has the turn will leave
        self._is_taken = True
        self._closing = asyncio.get_running_loop().create_task(self._commit_all(), name="commit")

    async def _commit_all(self) -> None:
        error = None
        try:
            await self.commit_on_thread()
        except Exception as failure:
            error = failure
        self._closing = None
        self._over(error)

    def _over(self, error: Exception | None) -> None:
        """The transaction is; tell who has ended in it."""
        if error is not None and self.connection.in_transaction:
            self.connection.execute("ROLLBACK")
        ended, self._ended = self._ended, []
        for one in ended:
            if error is None:
                one.set_result(None)
            else:
                one.set_exception(error)
        self.lock.release()
        self.leave()
