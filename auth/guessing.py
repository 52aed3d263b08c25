"""Slowing guesses down: failed sign-ins counted per account and per address, before the password is looked at.

The same for addresses that nobody has, so that waiting tells nothing. Times are the machine's.
"""

import ipaddress
from datetime import datetime, timedelta

from models.instants import as_instant, utc_now
from models.refusals import ErrorCode, Failure, RateLimited
from models.unit_of_work import Work, unit_of_work

FREE_FAILURES = 5
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=30), timedelta(minutes=15)
FORGET_AFTER = timedelta(hours=12)
WINDOW = timedelta(minutes=5)
MOST_OF_ADDRESS, MOST_OF_PAIR = 30, 10


def network_of(address: str) -> str:
    """What counts as one address: an IPv4 address, the /64 of an IPv6 one."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if parsed.version == 6:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


@unit_of_work
async def count_attempt(work: Work, subject: str, address: str, device: str | None = None) -> None:
    """Count one attempt to sign in as `subject` (any text: a hash of the folded address) before it is checked.

    `device` is the hash of a browser's token that belongs to this very account: it has a counter of its own, so that
    nobody locks the owner out by guessing from elsewhere.

    Raises:
        RateLimited: this account, or this address with this account, has to wait; the attempt is not counted.
        Failure: RATE_LIMITED, the whole address has to wait.
    """
    at, network = utc_now(), network_of(address)
    await _require_window(work, f"address:{network}", MOST_OF_ADDRESS, at, whole_address=True)
    await _require_window(work, f"pair:{network}:{subject}", MOST_OF_PAIR, at, whole_address=False)
    await _count_of_account(work, f"device:{device}" if device else f"account:{subject}", at)


@unit_of_work
async def forget_failures(work: Work, subject: str, address: str, device: str | None = None) -> None:
    """The attempt succeeded: the account's counters begin anew, the address gets its attempt back."""
    network = network_of(address)
    await work.execute("DELETE FROM guess WHERE key = $1", f"account:{subject}")
    await work.execute("DELETE FROM guess WHERE key = $1", f"device:{device}")
    await work.execute("DELETE FROM guess WHERE key = $1", f"pair:{network}:{subject}")
    await work.execute("UPDATE guess SET failures = failures - 1 WHERE key = $1 AND failures > 0", f"address:{network}")


async def _counted(work: Work, key: str, at: datetime, forget: timedelta) -> tuple[int, datetime, datetime | None]:
    """The counter one higher, begun anew when it is old: failures, when they began, until when to wait."""
    found = await work.fetch(
        "INSERT INTO guess (key, failures, first_at, until) VALUES ($1, 1, $2, NULL) ON CONFLICT (key) DO UPDATE SET "
        "failures = CASE WHEN guess.first_at <= $3 THEN 1 ELSE guess.failures + 1 END, "
        "until = CASE WHEN guess.first_at <= $3 THEN NULL ELSE guess.until END, "
        "first_at = CASE WHEN guess.first_at <= $3 THEN excluded.first_at ELSE guess.first_at END "
        "RETURNING failures, first_at, until",
        key,
        at,
        at - forget,
    )
    failures, first_at, until = found[0]
    began = as_instant(first_at)
    assert began is not None
    return failures, began, as_instant(until)


async def _require_window(work: Work, key: str, most: int, at: datetime, *, whole_address: bool) -> None:
    failures, began, _ = await _counted(work, key, at, WINDOW)
    if failures <= most:
        return
    wait = _seconds(began + WINDOW - at)
    if whole_address:
        raise Failure(ErrorCode.RATE_LIMITED, retry_after_seconds=wait)
    raise RateLimited(wait)


async def _count_of_account(work: Work, key: str, at: datetime) -> None:
    failures, _, until = await _counted(work, key, at, FORGET_AFTER)
    if until is not None and at < until:
        raise RateLimited(_seconds(until - at))
    if failures >= FREE_FAILURES:
        wait = min(FIRST_WAIT * 2 ** min(failures - FREE_FAILURES, 10), LONGEST_WAIT)
        await work.execute("UPDATE guess SET until = $1 WHERE key = $2", at + wait, key)


def _seconds(wait: timedelta) -> int:
    return max(1, -(-int(wait.total_seconds() * 1000) // 1000))
