"""What one caller may ask for in a while: a bucket of cost for each buyer, and for each network of those not signed in."""

import time
from collections import OrderedDict

from auth.guessing import network_of
from auth.viewer import Viewer
from models.refusals import ErrorCode, Failure
from settings import Settings

CALLERS_KEPT = 50_000


class Budget:
    """`cost_burst` in each bucket, refilled by `cost_per_second`; staff have none. Per process."""

    def __init__(self, settings: Settings):
        self.rate, self.burst = settings.cost_per_second, settings.cost_burst
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def spend(self, viewer: Viewer, cost: int) -> None:
        """Take what an operation costs.

        Raises:
            Failure: RATE_LIMITED with how long to wait; nothing was taken.
        """
        if viewer.staff_id is not None:
            return
        caller = f"account:{viewer.account_id}" if viewer.account_id else f"network:{network_of(viewer.address)}"
        now = time.monotonic()
        left, at = self._left.pop(caller, (float(self.burst), now))
        left = min(self.burst, left + (now - at) * self.rate)
        spent = max(1, cost)
        if left < spent:
            self._left[caller] = (left, now)
            raise Failure(ErrorCode.RATE_LIMITED, retry_after_seconds=max(1, round((spent - left) / self.rate)))
        self._left[caller] = (left - spent, now)
        if len(self._left) > CALLERS_KEPT:
            self._left.popitem(last=False)
