"""Leaving alone, for a while, whoever outside fails: what asks them meanwhile is told at once instead of waiting for nothing."""

import logging
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

REMEMBERED, MOST_FAILURES = 20, 10
REST_SECONDS = 30.0

log = logging.getLogger("kabinet.outside")

Errors = tuple[type[BaseException], ...]


class Resting(Exception):
    """Not asked now: too many of the last calls have failed."""

    def __init__(self, seconds: float):
        super().__init__(f"left alone for {seconds:.0f} s")
        self.seconds = seconds


@dataclass(slots=True)
class Breaker:
    """Whether somebody outside is asked. `at` is an instant of a clock that never goes back, in seconds.

    It opens when 10 of the last 20 calls have failed. 30 seconds later one call goes through (half-open): that one's
    success closes it, its failure means 30 seconds more.
    """

    name: str
    _failed: deque[bool] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    _opened_at: float | None = None
    _trial_at: float | None = None

    @property
    def is_closed(self) -> bool:
        return self._opened_at is None

    def wait(self, at: float) -> float:
        """The seconds until the next call may go through; 0: now."""
        if self._opened_at is None:
            return 0.0
        since = self._opened_at if self._trial_at is None else self._trial_at  # a trial that never ends is followed by another
        return max(0.0, since + REST_SECONDS - at)

    def begin(self, at: float) -> bool:
        """Whether a call that wants to go out now may."""
        if self.wait(at):
            return False
        if self._opened_at is not None:
            self._trial_at = at
        return True

    def end(self, at: float, failed: bool | None) -> None:
        """A call has ended; `failed` None: nobody knows how."""
        if self._opened_at is None:
            if failed is not None:
                self._failed.append(failed)
            if sum(self._failed) >= MOST_FAILURES:
                self._failed.clear()
                self._opened_at = at
                log.warning("%s fails, and is left alone for %.0f s", self.name, REST_SECONDS)
        elif self._trial_at is not None:
            self._trial_at = None
            if failed:
                self._opened_at = at
            elif failed is not None:
                self._opened_at = None
                log.info("%s works again", self.name)

    @contextmanager
    def asked(self, ill: Errors, answers: Errors = ()) -> Iterator[None]:
        """One call. Of what it raises, `ill` are failures of whoever is asked, but for `answers`; the rest are answers too.

        Raises:
            Resting: nobody may ask now.
        """
        at, failed = time.monotonic(), None
        if not self.begin(at):
            raise Resting(self.wait(at))
        try:
            yield
            failed = False
        except Exception as error:
            failed = isinstance(error, ill) and not isinstance(error, answers)
            raise
        finally:
            self.end(time.monotonic(), failed)
