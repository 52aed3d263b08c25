"""Codes by SMS: sent to whoever asks within bounds, tried five times, used once."""

import hashlib
import hmac
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import NamedTuple

from auth.captcha import Solved, check_captcha, spend_captcha
from auth.guessing import count_request, network_of, subject_of, wide_network_of
from auth.passwords import Passwords
from auth.sessions import new_token, token_hash
from auth.traffic import Bound, traffic
from auth.viewer import Viewer
from models.accounts import IdentityKind
from models.database import fetch
from models.instants import utc_now
from models.letters import sms
from models.phone_codes import CODE_LASTS, MOST_TRIES, CodePurpose
from models.refusals import CaptchaFailed, CodeAttemptsExceeded, CodeInvalid, Failure, RateLimited, Refusal
from models.unit_of_work import Work, unit_of_work
from settings import Settings

RESEND_AFTER = timedelta(minutes=1)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
OF_NETWORK, OF_PHONE_AN_HOUR, OF_PHONE_A_DAY, OF_OWNER_A_DAY = Bound("sms", 10, DAY), 3, 5, 2
OF_ALL = "sms-all"


class Wanted(NamedTuple):
    """A code that somebody asks for. `phone` is E.164, `account_id` whose number it is to become, for LINK alone."""

    phone: str
    purpose: CodePurpose
    account_id: int | None = None


class Tried(NamedTuple):
    """A code that was the right one, and may now be used."""

    id: int
    phone: str
    purpose: CodePurpose


async def send_code(viewer: Viewer, settings: Settings, passwords: Passwords, wanted: Wanted, captcha: str | None) -> str:
    """Send a code, whether or not anybody has the number here; the challenge, told once to whoever asks.

    Raises:
        RateLimited: this number, this network, or the service itself has had enough of them. CaptchaFailed: much of what
            the service sends in a day is sent, and `captcha` is no solution. Failure: OVERLOADED. Nothing is counted then.
    """
    async with _counted(settings, viewer.address):
        is_owner = await _is_known_browser(viewer, wanted.phone)
        solved = await _prove_human(settings, passwords, captcha, most_sms(settings, is_owner))
        return await _sent(viewer, settings, wanted, is_owner, solved)


@asynccontextmanager
async def _counted(settings: Settings, address: str) -> AsyncIterator[None]:
    """Count one code of the network and of the wide one around it, unless it is refused.

    Raises:
        RateLimited
    """
    of_wide = Bound("sms-wide", max(OF_NETWORK.most, settings.sms_a_day // 10), DAY)
    taken: list[tuple[Bound, str]] = []
    try:
        for bound, network in ((OF_NETWORK, network_of(address)), (of_wide, wide_network_of(address))):
            if wait := await traffic().take(bound, network):
                raise RateLimited(wait)
            taken.append((bound, network))
        yield
    except (Refusal, Failure):
        for bound, network in taken:
            await traffic().give_back(bound, network)
        raise


async def _is_known_browser(viewer: Viewer, phone: str) -> bool:
    """Whether the viewer's browser has signed in to the account that has proved the number."""
    found = await fetch(
        "SELECT 1 FROM known_device d JOIN identity i ON i.account_id = d.account_id "
        "WHERE d.token_hash = $1 AND i.kind = $2 AND i.subject = $3 AND i.verified_at IS NOT NULL",
        token_hash(viewer.device or ""),
        IdentityKind.PHONE.value,
        phone,
    )
    return bool(found)


async def _prove_human(settings: Settings, passwords: Passwords, captcha: str | None, most: int) -> Solved | None:
    """The captcha to be used up; None where none is asked for: the day has seen few messages, or all of `most`.

    Raises:
        CaptchaFailed. Failure: OVERLOADED.
    """
    found = await fetch("SELECT failures FROM guess WHERE key = $1 AND first_at > $2", OF_ALL, utc_now() - DAY)
    if not settings.sms_before_captcha <= (found[0][0] if found else 0) < most:
        return None
    if captcha is None:
        raise CaptchaFailed(field="captcha", text="CAPTCHA_NEEDED_FOR_CODE")
    return await check_captcha(settings, passwords, captcha)


@unit_of_work
async def _sent(work: Work, viewer: Viewer, settings: Settings, wanted: Wanted, is_owner: bool, solved: Solved | None) -> str:
    if solved is not None:
        await spend_captcha(work, solved)
    wait = await _count_of_phone(subject_of(wanted.phone), is_owner) or await count_sms(most_sms(settings, is_owner))
    if wait:
        raise RateLimited(wait)
    challenge, code, at = new_token(), f"{secrets.randbelow(10**6):06}", utc_now()
    await work.execute(
        "INSERT INTO phone_code (challenge_hash, code_hmac, phone, purpose, account_id, created_at, ends_at, tries) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, 0)",
        token_hash(challenge),
        _hmac(challenge, code),
        wanted.phone,
        wanted.purpose.value,
        wanted.account_id,
        at,
        at + CODE_LASTS,
    )
    sms(work, "phone_code", wanted.phone, viewer.language, account_id=wanted.account_id, code=code)
    return challenge


async def _count_of_phone(subject: str, is_owner: bool) -> int:
    """The seconds to wait where the number has had enough codes, else 0.

    What strangers have asked for keeps no owner out: in a browser that is known to their account they get two more a day.
    """
    if is_owner and (wait := await count_request(f"sms-owner-minute:{subject}", 1, RESEND_AFTER)):
        return wait
    for key, most, window in (
        (f"sms-minute:{subject}", 1, RESEND_AFTER),
        (f"sms-hour:{subject}", OF_PHONE_AN_HOUR, HOUR),
        (f"sms-day:{subject}", OF_PHONE_A_DAY, DAY),
    ):
        if wait := await count_request(key, most, window):
            return wait if not is_owner or await count_request(f"sms-owner:{subject}", OF_OWNER_A_DAY, DAY) else 0
    return 0


def most_sms(settings: Settings, is_owner: bool) -> int:
    """How many text messages a day may have seen before it has none left: the last tenth goes to buyers who are known."""
    return settings.sms_a_day if is_owner else settings.sms_a_day - settings.sms_a_day // 10


async def count_sms(most: int) -> int:
    """Count one text message, for whatever it is; the seconds to wait where the day has had `most`, else 0."""
    return await count_request(OF_ALL, most, DAY)


async def try_code(challenge: str, code: str, account_id: int | None) -> Tried:
    """Use up one of the code's five tries, and only then compare. `account_id`: who is signed in.

    Raises:
        CodeInvalid: wrong, used, expired or another's. CodeAttemptsExceeded: it has been tried five times.
    """
    found = await _tried(token_hash(challenge), account_id)
    if found is None:
        raise CodeAttemptsExceeded(field="code") if await _is_worn_out(token_hash(challenge)) else CodeInvalid(field="code")
    code_id, phone, purpose, expected = found
    if not hmac.compare_digest(_hmac(challenge, code), expected):
        raise CodeInvalid(field="code")
    return Tried(code_id, phone, CodePurpose(purpose))


async def use_code(work: Work, tried: Tried) -> None:
    """Use the code up.

    Raises:
        CodeInvalid: it was used meanwhile.
    """
    if not await work.execute("UPDATE phone_code SET used_at = $1 WHERE id = $2 AND used_at IS NULL", utc_now(), tried.id):
        raise CodeInvalid(field="code")


@unit_of_work
async def _tried(work: Work, challenge_hash: str, account_id: int | None) -> tuple[int, str, str, str] | None:
    """One try counted: committed before the code is looked at, so that tries made at once are five too."""
    found = await work.fetch(
        "UPDATE phone_code SET tries = tries + 1 WHERE challenge_hash = $1 AND used_at IS NULL AND ends_at > $2 "
        f"AND tries < {MOST_TRIES} AND coalesce(account_id, $3) = $4 RETURNING id, phone, purpose, code_hmac",
        challenge_hash,
        utc_now(),
        account_id or 0,
        account_id or 0,
    )
    return tuple(found[0]) if found else None


async def _is_worn_out(challenge_hash: str) -> bool:
    return bool(
        await fetch(
            f"SELECT 1 FROM phone_code WHERE challenge_hash = $1 AND tries >= {MOST_TRIES} AND used_at IS NULL AND ends_at > $2",
            challenge_hash,
            utc_now(),
        )
    )


def _hmac(challenge: str, code: str) -> str:
    return hmac.new(challenge.encode("utf-8", "surrogatepass"), code.strip().encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
