"""What a request carries through execution: who asks and when, and what its edges have read."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any

from tortoise.models import Model

from auth.passwords import Passwords
from auth.viewer import Viewer
from delivery.bus import Bus
from models.accounts import Account
from models.reads import reads
from settings import Settings

NEW_TOKEN = (
    "What the session goes on with, in place of the token that the request brought, which is dead now; for an app a refresh token, "
    "to be turned at once. Null where the session came by the cookie: that is set anew."
)

Batch = Callable[[list[Any]], Awaitable[list[Any]]]


@dataclass(slots=True)
class Context:
    """One operation's. `new_session_token` and `session_ended` tell the HTTP front what to do with the cookie, which is for this
    visit of the browser alone unless `new_session_is_remembered`;
    `resume_after` is the cursor that an event stream came back with."""

    viewer: Viewer
    settings: Settings
    bus: Bus
    passwords: Passwords
    request_id: str = ""
    resume_after: str | None = None
    new_session_token: str | None = None
    new_device_token: str | None = None
    new_browser_token: str | None = None
    new_session_is_remembered: bool = True
    session_ended: bool = False
    loads: "Loads" = field(default_factory=lambda: Loads())

    @property
    def poll_seconds(self) -> float:
        """How often a subscription looks at the tables without a hint."""
        return self.bus.poll_seconds

    async def accounts(self, account_ids: Iterable[int]) -> dict[int, Any]:
        """The rows of these accounts; that of whoever asks is there already."""
        own = self.viewer.account
        known = {own.id: own} if own is not None else {}
        return {**await self.loads.by_id(Account, set(account_ids) - known.keys()), **known}

    @property
    def language(self) -> str:
        return self.viewer.language

    def hand_out(self, token: str) -> str | None:
        """Let the client go on under its session's new token: by the cookie where it came by one, and in the answer
        where it brought the old one itself; None where it did not, so that scripts do not get at a cookie's token."""
        if self.viewer.by_cookie:
            self.new_session_token, self.new_session_is_remembered = token, self.viewer.remembered
        return token if self.viewer.by_bearer else None


class Loads:
    """What the edges of one operation have read, by edge, arguments and row: nothing is read twice.

    Stock execution asks for one row at a time; what is asked in one turn of the loop is read together.
    """

    __slots__ = ("_by_id", "_by_row", "_locks", "_read", "_waiting")

    def __init__(self) -> None:
        self._by_id: dict[type[Model], dict[int, Any]] = {}
        self._locks: dict[type[Model], asyncio.Lock] = {}
        self._read: dict[Hashable, list[tuple[list[Any], list[Any]]]] = {}
        self._by_row: dict[Hashable, dict[int, tuple[Any, Any]]] = {}
        self._waiting: dict[Hashable, list[tuple[Any, asyncio.Future]]] = {}

    async def by_id(self, model: type[Model], keys: Iterable[int | None]) -> dict[int, Any]:
        """The rows of `model` with these ids, and others that were read before; only missing ones are read."""
        known = self._by_id.setdefault(model, {})
        wanted = {key for key in keys if key is not None}
        if not wanted <= known.keys():
            async with self._locks.setdefault(model, asyncio.Lock()):
                missing = wanted - known.keys()
                if missing:
                    known.update(await reads(model).by_id(missing))
        return known

    def found(self, key: Hashable, rows: list[Any]) -> list[Any] | None:
        """What the edge `key` gave for `rows`, exceptions among it; None unless it was read for all of them."""
        if key not in self._read:
            return None
        known = self._known(key)
        kept = [known.get(id(row)) for row in rows]
        return None if None in kept else [one[1] for one in kept if one]

    async def run(self, key: Hashable, rows: list[Any], reading: Awaitable[list[Any]]) -> list[Any]:
        """The results of `reading`, the edge `key` for `rows`; what fails as a whole has failed for each row."""
        try:
            results = await reading
            if len(results) != len(rows):
                raise RuntimeError(f"an edge gave {len(results)} results for {len(rows)} rows")
        except Exception as failure:
            results = [failure] * len(rows)
        self._read.setdefault(key, []).append((rows, results))
        return results

    def _known(self, key: Hashable) -> dict[int, tuple[Any, Any]]:
        """What the edge `key` gave, by the row's id, with the row, so that its id stays its own."""
        known = self._by_row.setdefault(key, {})
        batches = self._read.get(key, [])
        while batches:
            for row, result in zip(*batches.pop(), strict=True):
                known[id(row)] = (row, result)
        return known

    async def load(self, key: Hashable, row: Any, batch: Batch) -> Any:
        """The result of the edge `key` for `row`, read together with others that wait for the same edge."""
        result = await self._loaded(key, row, batch)
        if isinstance(result, BaseException):
            raise result
        return result

    async def _loaded(self, key: Hashable, row: Any, batch: Batch) -> Any:
        if key in self._read and (kept := self._known(key).get(id(row))) is not None:
            return kept[1]
        loop = asyncio.get_running_loop()
        waiting = self._waiting.get(key)
        if waiting is None:
            waiting = self._waiting[key] = []
            loop.call_soon(lambda: loop.create_task(self._run_waiting(key, batch)))
        future = loop.create_future()
        waiting.append((row, future))
        return await future

    async def _run_waiting(self, key: Hashable, batch: Batch) -> None:
        waiting = self._waiting.pop(key)
        rows = list({id(row): row for row, _ in waiting}.values())
        results = await self.run(key, rows, batch(rows))
        by_row = {id(row): result for row, result in zip(rows, results, strict=True)}
        for row, future in waiting:
            if not future.done():
                future.set_result(by_row[id(row)])
