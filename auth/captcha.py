"""Captchas: ALTCHA's proof of work, made and checked here; nobody else is asked. Times are the machine's."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import orjson
from altcha import Payload, create_challenge, verify_solution

from auth.keys import key_for, keys_for
from auth.passwords import Passwords
from models.instants import utc_now
from models.refusals import CaptchaFailed
from models.unit_of_work import Work
from settings import Settings

ALGORITHM, PREFIX = "PBKDF2/SHA-256", "00"
LASTS = timedelta(minutes=10)


class Solved(NamedTuple):
    """A solution that is right and may have been used before."""

    signature_hash: str
    ends_at: datetime


async def captcha_challenge(settings: Settings) -> str:
    """A new challenge, as JSON that ALTCHA's widget takes."""
    challenge = create_challenge(
        ALGORITHM,
        settings.captcha_cost,
        key_prefix=PREFIX,
        expires_at=utc_now() + LASTS,
        hmac_secret=await key_for("captcha", settings),
    )
    return orjson.dumps(challenge.to_dict()).decode()


async def check_captcha(settings: Settings, passwords: Passwords, solution: str) -> Solved:
    """What is to be spent by whoever does the work that the captcha guards.

    Raises:
        CaptchaFailed: it is no solution of a challenge of ours, or too old.
    """
    keys = await keys_for("captcha", settings)
    try:
        payload = Payload.from_base64(solution)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise CaptchaFailed(field="captcha") from None
    verified = await passwords.run(lambda: any(verify_solution(payload, key).verified for key in keys))
    ends = payload.challenge.parameters.expires_at
    if not verified or ends is None:
        raise CaptchaFailed(field="captcha")
    signature = payload.challenge.signature or ""
    return Solved(hashlib.sha256(signature.encode()).hexdigest(), datetime.fromtimestamp(ends, UTC))


async def spend_captcha(work: Work, solved: Solved) -> None:
    """Use the solution, in the unit that does what it guards: a refusal there leaves it as it was.

    Raises:
        CaptchaFailed: it has been used. Of two that come at once the unique key lets one pass.
    """
    spent = await work.execute(
        "INSERT INTO used_captcha (signature_hash, ends_at) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        solved.signature_hash,
        solved.ends_at,
    )
    if not spent:
        raise CaptchaFailed(field="captcha")
