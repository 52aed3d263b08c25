"""An authenticator's codes and recovery codes: made, and counted when they are given. Times are the machine's."""

import base64
import logging
import secrets
from urllib.parse import urlsplit

import pyotp

from auth.guessing import count_attempt, forget_failures
from auth.keys import Undecipherable, decrypt, encrypt, in_force, renewed
from auth.sessions import known_device, token_hash
from auth.viewer import Viewer
from models.accounts import Account
from models.database import fetch
from models.instants import utc_now
from models.refusals import CodeInvalid
from models.second_factor import RECOVERY_BYTES, RECOVERY_CODES, given_code, in_groups
from models.unit_of_work import Work, unit_of_work
from settings import Settings

WINDOW = 1

log = logging.getLogger("kabinet.second_factor")


async def sealed_for(account_id: int, secret: str, settings: Settings) -> tuple[str, str]:
    """An authenticator's secret as it is kept, of use to this account alone, and the name of what it is encrypted by."""
    return await encrypt(_purpose(account_id), secret, settings), await in_force(settings)


async def renew_secrets(settings: Settings) -> None:
    """While the service's secret is being changed: encrypt anew what the one before it has encrypted."""
    if not settings.secret_key_previous.get_secret_value():
        return
    own, last = await in_force(settings), 0
    while found := await fetch(
        "SELECT account_id, sealed_secret FROM second_factor WHERE account_id > $1 AND sealed_by <> $2 ORDER BY account_id LIMIT 100", last, own
    ):
        last = found[-1][0]
        await _renew([(account_id, sealed) for account_id, sealed in found], own, settings)


@unit_of_work
async def _renew(work: Work, kept: list[tuple[int, str]], own: str, settings: Settings) -> None:
    for account_id, sealed in kept:
        try:
            anew = await renewed(_purpose(account_id), sealed, settings)
        except Undecipherable:  # under a secret of long ago: recovery codes still count
            continue
        await work.execute(
            "UPDATE second_factor SET sealed_secret = $1, sealed_by = $2 WHERE account_id = $3 AND sealed_secret = $4", anew, own, account_id, sealed
        )


def uri_of(secret: str, account: Account, settings: Settings) -> str:
    """What an authenticator reads from a QR code."""
    label = account.email or account.phone or account.display_name
    return pyotp.TOTP(secret).provisioning_uri(name=label, issuer_name=urlsplit(settings.base_url).hostname)


def new_recovery_codes() -> list[str]:
    """Ten codes as they are shown."""
    return [in_groups(base64.b32encode(secrets.token_bytes(RECOVERY_BYTES)).decode()) for _ in range(RECOVERY_CODES)]


async def keep_recovery_codes(work: Work, account_id: int, codes: list[str]) -> None:
    """Let these count, and none that there were."""
    await work.execute("DELETE FROM recovery_code WHERE account_id = $1", account_id)
    rows = [(account_id, token_hash(given_code(code).recovery or "")) for code in codes]
    await work.execute_each("INSERT INTO recovery_code (account_id, code_hash) VALUES ($1, $2)", rows)


async def count_code(viewer: Viewer, account_id: int) -> None:
    """Count one code given for the account before it is looked at: its own counter, whatever sign-in it is for.

    Raises:
        RateLimited: too many wrong ones; this one is not counted. Failure: RATE_LIMITED, the whole address has to wait.
    """
    await count_attempt(_subject(account_id), viewer.address, await known_device(viewer, account_id))


async def forget_wrong_codes(viewer: Viewer, account_id: int) -> int:
    """A code was right: the account's counters begin anew. How many wrong ones there were."""
    return await forget_failures(_subject(account_id), viewer.address, await known_device(viewer, account_id))


async def spend_code(work: Work, settings: Settings, account_id: int, typed: str) -> bool:
    """Use up a code of the account's second factor; whether it was a recovery code.

    Raises:
        CodeInvalid: wrong, used, of another time, or the account has no second factor.
    """
    given = given_code(typed)
    if given.recovery is not None:
        await _spend_recovery_code(work, account_id, given.recovery)
        return True
    found = await work.fetch(
        "SELECT sealed_secret, begun_at FROM second_factor WHERE account_id = $1 AND enabled_at IS NOT NULL", account_id
    )
    if given.digits is None or not found:
        raise CodeInvalid(field="code")
    ((sealed, begun_at),) = found
    step = await step_of(sealed, account_id, given.digits, settings)
    # Of two who come with one code at once the second finds its step taken, or another authenticator.
    if not await work.execute(
        "UPDATE second_factor SET last_step = $1 WHERE account_id = $2 AND begun_at = $3 "
        "AND enabled_at IS NOT NULL AND last_step < $1",
        step,
        account_id,
        begun_at,
    ):
        raise CodeInvalid(field="code")
    return False


async def step_of(sealed: str, account_id: int, digits: str, settings: Settings) -> int:
    """The 30-second step that the code belongs to: the present one, or that before or behind it.

    Raises:
        CodeInvalid: none of them, or the secret was encrypted under one that the service no longer has.
    """
    try:
        totp = pyotp.TOTP(await decrypt(_purpose(account_id), sealed, settings))
        return totp.verify_and_get_timecode(digits, for_time=utc_now(), valid_window=WINDOW)
    except pyotp.OTPVerificationError:
        raise CodeInvalid(field="code") from None
    except Undecipherable:
        log.warning("an authenticator's secret was encrypted under one that the service no longer has, or for another account")
        raise CodeInvalid(field="code") from None


async def _spend_recovery_code(work: Work, account_id: int, code: str) -> None:
    if not await work.execute(
        "DELETE FROM recovery_code WHERE account_id = $1 AND code_hash = $2", account_id, token_hash(code)
    ):
        raise CodeInvalid(field="code")


def _purpose(account_id: int) -> str:
    return f"second-factor:{account_id}"


def _subject(account_id: int) -> str:
    return f"factor:{account_id}"
