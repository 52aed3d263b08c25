"""Passwords: Argon2id in two threads of their own, so that hashing never holds the loop."""

import asyncio
import hashlib
import hmac
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import TypeVar

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError

from models.refusals import ErrorCode, Failure
from settings import Settings

THREADS = 2
MOST_WAITING = 40
MOST_WRITING = 5
LONGEST = 128
NICER = 10

T = TypeVar("T")

_has_turn: ContextVar[bool] = ContextVar("has_turn", default=False)


def _give_way() -> None:
    """Let this thread run after those that answer, where the system knows a thread's priority: Linux. On two cores a flood of
    sign-ins otherwise makes everybody's answers three times as slow."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), min(19, os.getpriority(os.PRIO_PROCESS, 0) + NICER))


class Passwords:
    """Hashes and checks passwords with the settings' parameters; more than 40 at once are answered OVERLOADED."""

    def __init__(self, settings: Settings):
        self._hasher = PasswordHasher(
            time_cost=settings.password_passes, memory_cost=settings.password_memory_kib, parallelism=1, hash_len=32, salt_len=16
        )
        self._pepper = settings.password_pepper.get_secret_value().encode()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="argon2", initializer=_give_way)
        self._waiting = 0
        # Sign-ins write, and wait for the disk: half of the connections stays for everybody else.
        self.few_writing = asyncio.Semaphore(MOST_WRITING)
        self._nobody = self._hasher.hash("nobody's password")

    async def hash(self, password: str) -> str:
        """The hash to store."""
        return await self.run(lambda: self._hasher.hash(self._seasoned(password)))

    async def matches(self, stored: str | None, password: str) -> bool:
        """Whether `password` is the one behind `stored`; without a stored one, false after the same work."""

        def check() -> bool:
            try:
                return self._hasher.verify(stored or self._nobody, self._seasoned(password)) and stored is not None
            except (VerificationError, InvalidHashError):
                return False

        return await self.run(check)

    def is_outdated(self, stored: str) -> bool:
        """Whether a stored hash was made with less work than is asked for now."""
        made = extract_parameters(stored)
        return made.memory_cost < self._hasher.memory_cost or made.time_cost < self._hasher.time_cost

    @contextmanager
    def turn(self) -> Iterator[None]:
        """A turn at the threads for all that is run inside. Who takes it before asking the database anything is shed for nothing:
        in a flood the database would otherwise be asked for attempts that are not looked at.

        Raises:
            Failure: OVERLOADED, 40 others wait already.
        """
        if self._waiting >= MOST_WAITING:
            raise Failure(ErrorCode.OVERLOADED, retry_after_seconds=2)
        self._waiting += 1
        held = _has_turn.set(True)
        try:
            yield
        finally:
            _has_turn.reset(held)
            self._waiting -= 1

    async def run(self, call: Callable[[], T]) -> T:
        """What `call` gives, in one of the threads.

        Raises:
            Failure: OVERLOADED, unless the caller has a turn.
        """
        with nullcontext() if _has_turn.get() else self.turn():
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _seasoned(self, password: str) -> bytes:
        raw = password.encode("utf-8", "surrogatepass")
        return hmac.new(self._pepper, raw, hashlib.sha256).digest() if self._pepper else raw
