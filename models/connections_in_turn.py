"""The pool's free connections, given out in the order in which they were asked for."""

import asyncio
from collections import deque
from typing import Any

from asyncpg.pool import _PoolConnectionHolderQueue  # type: ignore[import-untyped]


class InTurn(_PoolConnectionHolderQueue):  # type: ignore[misc]
    """Hands what comes free to whoever has waited longest.

    asyncio's own queue only wakes him: who asks before he has run takes the connection, and he waits again behind all
    others. Where more requests are at work than there are connections, some then waited for a second and were OVERLOADED.
    """

    def __init__(self, maxsize: int = 0):
        super().__init__(maxsize)
        self.waiting: deque[asyncio.Future[Any]] = deque()

    @classmethod
    def of(cls, queue: asyncio.Queue[Any]) -> "InTurn":
        """With what is in `queue`."""
        made = cls(queue.maxsize)
        made._queue[:] = queue._queue  # type: ignore[attr-defined]
        return made

    async def get(self) -> Any:
        if not self.empty():  # then nobody waits
            return self.get_nowait()
        mine = asyncio.get_running_loop().create_future()
        self.waiting.append(mine)
        try:
            return await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self.put_nowait(mine.result())
            raise

    def put_nowait(self, item: Any) -> None:
        while self.waiting:
            first = self.waiting.popleft()
            if not first.done():
                first.set_result(item)
                return
        super().put_nowait(item)
