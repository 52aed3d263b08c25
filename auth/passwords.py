"""Passwords: Argon2id in two threads of their own, so that hashing never holds the loop."""

import asyncio
import hashlib
import hmac
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from models.refusals import ErrorCode, Failure
from settings import Settings

THREADS = 2
MOST_WAITING = 40
LONGEST = 128

T = TypeVar("T")


class Passwords:
    """Hashes and checks passwords with the settings' parameters; more than 40 at once are answered OVERLOADED."""

    def __init__(self, settings: Settings):
        self._hasher = PasswordHasher(
            time_cost=settings.password_passes, memory_cost=settings.password_memory_kib, parallelism=1, hash_len=32, salt_len=16
        )
        self._pepper = settings.password_pepper.get_secret_value().encode()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="argon2")
        self._waiting = 0
        self._nobody = self._hasher.hash("nobody's password")

    async def hash(self, password: str) -> str:
        """The hash to store."""
        return await self._work(lambda: self._hasher.hash(self._seasoned(password)))

    async def matches(self, stored: str | None, password: str) -> bool:
        """Whether `password` is the one behind `stored`; without a stored one, false after the same work."""

        def check() -> bool:
            try:
                return self._hasher.verify(stored or self._nobody, self._seasoned(password)) and stored is not None
            except (VerificationError, InvalidHashError):
                return False

        return await self._work(check)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _seasoned(self, password: str) -> bytes:
        raw = password.encode("utf-8", "surrogatepass")
        return hmac.new(self._pepper, raw, hashlib.sha256).digest() if self._pepper else raw

    async def _work(self, call: Callable[[], T]) -> T:
        if self._waiting >= MOST_WAITING:
            raise Failure(ErrorCode.OVERLOADED, retry_after_seconds=2)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        finally:
            self._waiting -= 1
