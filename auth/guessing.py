"""Slowing guesses down: failed sign-ins counted per account and per network, before the password is looked at.

The same for addresses that nobody has, so that waiting tells nothing. What counts for an account or an address of theirs
stands in the database, exact and there after a restart; what counts for a network is traffic (auth/traffic.py). Times are
the machine's.
"""

import hashlib
import ipaddress
from datetime import datetime, timedelta

from auth.traffic import Bound, traffic
from models.accounts import fold_email
from models.database import fetch
from models.instants import as_instant, utc_now
from models.refusals import ErrorCode, Failure, RateLimited
from models.unit_of_work import Work, unit_of_work
from settings import Settings

FREE_FAILURES = 5
WAITS = tuple(timedelta(seconds=seconds) for seconds in (30, 60, 120, 240, 480, 900))
FORGET_AFTER = timedelta(hours=12)
WINDOW = timedelta(minutes=5)
DAY, MAILS_OF_MAILBOX = timedelta(days=1), 100
OF_NETWORK, OF_PAIR = Bound("sign-in", 30, WINDOW), Bound("sign-in-pair", 10, WINDOW)


def network_of(address: str) -> str:
    """What counts as one address: an IPv4 address, also one that is written as IPv6, and the /64 of an IPv6 one."""
    return _network(address, 32, 64).removesuffix("/32")


def wide_network_of(address: str) -> str:
    """What one customer of a provider may have all to themselves: the /24 of an IPv4 address, the /48 of an IPv6 one."""
    return _network(address, 24, 48)


def _network(address: str, bits_of_4: int, bits_of_6: int) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:  # as a proxy that listens for both may write it
        parsed = parsed.ipv4_mapped
    return str(ipaddress.ip_network((parsed, bits_of_4 if parsed.version == 4 else bits_of_6), strict=False))


def subject_of(address: str) -> str:
    """What stands for an e-mail address or a number in counters, which do not tell it."""
    return hashlib.sha256(fold_email(address).encode("utf-8", "surrogatepass")).hexdigest()


def mailbox_of(address: str) -> str:
    """The one spelling of the many that providers commonly put into one mailbox: without a tag behind a +, at Gmail without dots."""
    name, _, domain = fold_email(address).rpartition("@")
    name = name.partition("+")[0]
    if domain in ("gmail.com", "googlemail.com"):
        name, domain = name.replace(".", ""), "gmail.com"
    return f"{name}@{domain}"


async def count_mail(address: str) -> int:
    """Count one mail that anybody can have sent there; the seconds to wait where the mailbox, by all its spellings, has had enough, else 0."""
    return await count_request(f"mailbox:{subject_of(mailbox_of(address))}", MAILS_OF_MAILBOX, DAY)


@unit_of_work
async def count_request(work: Work, key: str, most: int, window: timedelta) -> int:
    """Count one request under `key` for good; the seconds to wait where there are more than `most` of it in the window, else 0."""
    at = utc_now()
    found = await work.fetch(
        "INSERT INTO guess (key, failures, first_at, until) VALUES ($1, 1, $2, NULL) ON CONFLICT (key) DO UPDATE SET "
        "failures = CASE WHEN guess.first_at <= $3 THEN 1 ELSE guess.failures + 1 END, "
        "first_at = CASE WHEN guess.first_at <= $3 THEN excluded.first_at ELSE guess.first_at END "
        "RETURNING failures, first_at",
        key,
        at,
        at - window,
    )
    counted, began = found[0][0], as_instant(found[0][1])
    assert began is not None
    return 0 if counted <= most else _seconds(began + window - at)


async def require_few(what: str, address: str, most: int, window: timedelta) -> None:
    """Count one request of a network, before anything is done for it.

    Raises:
        Failure: RATE_LIMITED, the network has asked for this too often.
    """
    if wait := await traffic().take(Bound(what, most, window), network_of(address)):
        raise Failure(ErrorCode.RATE_LIMITED, retry_after_seconds=wait)


async def forgive_request(what: str, address: str, most: int, window: timedelta) -> None:
    """The request that `require_few` has counted was a good one: it does not count."""
    await traffic().give_back(Bound(what, most, window), network_of(address))


async def count_attempt(subject: str, address: str, device: str | None = None) -> None:
    """Count one attempt to sign in as `subject` (any text: a hash of the folded address) before it is checked.

    `device` is the hash of a browser's token that belongs to this very account: it has a counter of its own, so that
    nobody locks the owner out by guessing from elsewhere.

    Raises:
        RateLimited: this account, or this network with this account, has to wait; the attempt is not counted.
        Failure: RATE_LIMITED, the whole network has to wait.
    """
    network, pair = network_of(address), _pair(subject, address)
    if wait := await traffic().take(OF_NETWORK, network):
        raise Failure(ErrorCode.RATE_LIMITED, retry_after_seconds=wait)
    if wait := await traffic().take(OF_PAIR, pair):
        await traffic().give_back(OF_NETWORK, network)
        raise RateLimited(wait)
    try:
        if wait := await _count_of_account(_key(subject, device)):
            raise RateLimited(wait)
    except (RateLimited, Failure):
        await _give_back(subject, address)
        raise


async def forget_failures(subject: str, address: str, device: str | None = None) -> int:
    """The attempt succeeded: the account's counters begin anew, the network gets its attempt back. How many had failed before it."""
    await traffic().give_back(OF_NETWORK, network_of(address))
    await traffic().forget(OF_PAIR, _pair(subject, address))
    return await forget_account(subject, device)


async def note_failure(settings: Settings) -> None:
    """A sign-in has failed, whoever it was: see `is_alarmed`."""
    await traffic().take(_of_all(settings), "all")


async def is_alarmed(settings: Settings) -> bool:
    """Whether so many sign-ins have failed lately, by whomever, that somebody must be trying passwords by the thousand."""
    return await traffic().is_reached(_of_all(settings), "all")


def _of_all(settings: Settings) -> Bound:
    return Bound("failed-sign-ins", settings.captcha_after_failures, WINDOW)


async def _give_back(subject: str, address: str) -> None:
    await traffic().give_back(OF_NETWORK, network_of(address))
    await traffic().give_back(OF_PAIR, _pair(subject, address))


def _key(subject: str, device: str | None) -> str:
    return f"device:{device}" if device else f"account:{subject}"


def _pair(subject: str, address: str) -> str:
    return f"{network_of(address)} {subject}"


@unit_of_work(single=True)
async def forget_account(work: Work, subject: str, device: str | None = None) -> int:
    """Who asks is the account's owner: guesses made elsewhere make them wait no longer. How many there were, besides this attempt."""
    found = await work.fetch("DELETE FROM guess WHERE key IN ($1, $2) RETURNING failures", f"account:{subject}", f"device:{device}")
    return max(0, sum(failures for (failures,) in found) - 1)


async def _count_of_account(key: str) -> int:
    """The seconds to wait where the account has to, and the attempt is not counted; else 0.

    A second attempt of a waiting account, made while this one is looked at, finds no row to change either.
    """
    at = utc_now()
    if await _counted(key, at):
        return 0
    found = await fetch("SELECT until FROM guess WHERE key = $1", key)
    until = as_instant(found[0][0]) if found else None
    return _seconds(until - at) if until else 1  # 1: its owner has signed in meanwhile


@unit_of_work(single=True)
async def _counted(work: Work, key: str, at: datetime) -> bool:
    """Whether the attempt may be made: it is counted then, in one statement, and sets how long the next one has to wait."""
    old = "guess.first_at <= $3"
    wait = " ".join(f"WHEN guess.failures >= {FREE_FAILURES + n - 1} THEN ${4 + n}" for n in reversed(range(len(WAITS))))
    counted = await work.fetch(
        "INSERT INTO guess (key, failures, first_at, until) VALUES ($1, 1, $2, NULL) ON CONFLICT (key) DO UPDATE SET "
        f"failures = CASE WHEN {old} THEN 1 ELSE guess.failures + 1 END, "
        f"until = CASE WHEN {old} THEN NULL {wait} ELSE guess.until END, "
        f"first_at = CASE WHEN {old} THEN excluded.first_at ELSE guess.first_at END "
        f"WHERE {old} OR guess.until IS NULL OR guess.until <= $2 RETURNING failures",
        key,
        at,
        at - FORGET_AFTER,
        *(at + wait for wait in WAITS),
    )
    return bool(counted)


def _seconds(wait: timedelta) -> int:
    return max(1, -(-int(wait.total_seconds() * 1000) // 1000))
