"""Codes by SMS: sent to whoever asks within bounds, tried five times, used once."""

import hashlib
import hmac
import secrets
from datetime import timedelta
from typing import NamedTuple

from auth.guessing import count_request, network_of, subject_of
from auth.sessions import new_token, token_hash
from auth.traffic import Bound, traffic
from auth.viewer import Viewer
from models.database import fetch
from models.instants import utc_now
from models.letters import sms
from models.phone_codes import CODE_LASTS, MOST_TRIES, CodePurpose
from models.refusals import CodeAttemptsExceeded, CodeInvalid, RateLimited
from models.unit_of_work import Work, unit_of_work
from settings import Settings

RESEND_AFTER = timedelta(minutes=1)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
OF_NETWORK, OF_PHONE_AN_HOUR, OF_PHONE_A_DAY = Bound("sms", 10, DAY), 3, 5


class Tried(NamedTuple):
    """A code that was the right one, and may now be used."""

    id: int
    phone: str
    purpose: CodePurpose


async def send_code(viewer: Viewer, settings: Settings, phone: str, purpose: CodePurpose, account_id: int | None) -> str:
    """Send a code to an E.164 number, whether or not anybody has it here; the challenge, told once to whoever asks.

    Raises:
        RateLimited: this number, this network, or the service itself has had enough of them; nothing is counted then.
    """
    network = network_of(viewer.address)
    if wait := await traffic().take(OF_NETWORK, network):
        raise RateLimited(wait)
    try:
        return await _sent(viewer, settings, phone, purpose, account_id)
    except RateLimited:
        await traffic().give_back(OF_NETWORK, network)
        raise


@unit_of_work
async def _sent(work: Work, viewer: Viewer, settings: Settings, phone: str, purpose: CodePurpose, account_id: int | None) -> str:
    subject = subject_of(phone)
    for key, most, window in (
        (f"sms-minute:{subject}", 1, RESEND_AFTER),
        (f"sms-hour:{subject}", OF_PHONE_AN_HOUR, HOUR),
        (f"sms-day:{subject}", OF_PHONE_A_DAY, DAY),
    ):
        wait = await count_request(key, most, window)
        if wait:
            raise RateLimited(wait)
    if wait := await count_sms(settings):
        raise RateLimited(wait)
    challenge, code, at = new_token(), f"{secrets.randbelow(10**6):06}", utc_now()
    await work.execute(
        "INSERT INTO phone_code (challenge_hash, code_hmac, phone, purpose, account_id, created_at, ends_at, tries) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, 0)",
        token_hash(challenge),
        _hmac(challenge, code),
        phone,
        purpose.value,
        account_id,
        at,
        at + CODE_LASTS,
    )
    sms(work, "phone_code", phone, viewer.language, account_id=account_id, code=code)
    return challenge


async def count_sms(settings: Settings) -> int:
    """Count one text message, for whatever it is; the seconds to wait where the day has had all that the service pays for, else 0."""
    return await count_request("sms-all", settings.sms_a_day, DAY)


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
