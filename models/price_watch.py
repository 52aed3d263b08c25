"""When a watch on a price alerts: rules.md section 5, on plain values.

The worker applies the same rule to many favourites at once; a test holds the two against each other.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from models.favorites import WatchKind

QUIET = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Watch:
    """The state of one watch. Amounts are minor units of the product's currency; `added_minor` is the price at adding."""

    kind: WatchKind
    added_minor: int
    target_minor: int | None = None
    percent: int | None = None
    paused: bool = False
    armed: bool = True
    alerted_minor: int | None = None
    alerted_at: datetime | None = None
    peak_minor: int | None = None


def condition_holds(watch: Watch, price: int, previous: int | None) -> bool:
    """Whether `price` is what the watch waits for; `previous` is the point before, None for the first."""
    match watch.kind:
        case WatchKind.ANY_DROP:
            return previous is not None and price < previous
        case WatchKind.TARGET:
            return watch.target_minor is not None and price <= watch.target_minor
        case WatchKind.PERCENT:
            return watch.percent is not None and price * 100 <= watch.added_minor * (100 - watch.percent)


def has_recovered(watch: Watch, peak: int) -> bool:
    """Whether the highest price since the alert reached 1.01 times the watch's threshold."""
    match watch.kind:
        case WatchKind.ANY_DROP:
            return peak * 100 >= (watch.alerted_minor or 0) * 101
        case WatchKind.TARGET:
            return peak * 100 >= (watch.target_minor or 0) * 101
        case WatchKind.PERCENT:
            return peak * 10_000 >= watch.added_minor * (100 - (watch.percent or 0)) * 101


def after_point(watch: Watch, price: int, previous: int | None, at: datetime, can_be_bought: bool) -> tuple[Watch, bool]:
    """The watch after one price point, and whether it alerted."""
    armed, peak = watch.armed, watch.peak_minor
    if watch.alerted_at is not None and watch.alerted_minor is not None:
        peak = max(price, peak or 0)
        if not armed and at >= watch.alerted_at + QUIET:
            armed = has_recovered(watch, peak) or price * 100 <= watch.alerted_minor * 99
    below_last = watch.alerted_minor is None or price < watch.alerted_minor
    if armed and not watch.paused and below_last and can_be_bought and condition_holds(watch, price, previous):
        return replace(watch, armed=False, alerted_minor=price, alerted_at=at, peak_minor=None), True
    return replace(watch, armed=armed, peak_minor=peak), False
