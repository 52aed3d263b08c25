"""The authenticator of an account: set up, confirmed by a code, taken away, and the recovery codes for when it is lost."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import NamedTuple, TypeVar

import pyotp

from auth.second_factor import (
    count_code,
    forget_wrong_codes,
    keep_recovery_codes,
    new_recovery_codes,
    sealed_for,
    spend_code,
    step_of,
    uri_of,
)
from auth.sessions import end_other_sessions, rotate
from auth.step_up import require_recent
from auth.viewer import Viewer
from models.accounts import hold_account
from models.instants import utc_now
from models.refusals import CodeInvalid, ErrorCode, Unavailable
from models.second_factor import ENROLMENT_LASTS, given_code
from models.unit_of_work import Work, unit_of_work
from resolvers.second_factor import by_accounts, forget_second_factor
from resolvers.sign_in_notices import tell
from resolvers.standing import account_named
from settings import Settings

T = TypeVar("T")


class Enrolment(NamedTuple):
    """What an authenticator is told, once."""

    secret: str
    uri: str
    expires_at: datetime


async def begin_second_factor(viewer: Viewer, settings: Settings) -> Enrolment:
    """A secret for an authenticator, which counts once a code of it has come back; one begun before counts no longer.

    Raises:
        ReauthRequired. Unavailable: WRONG_STATE, it is on.
    """
    account_id = viewer.require_buyer()
    await require_recent(viewer)
    secret = pyotp.random_base32()
    begun_at = await _begin(viewer, account_id, await sealed_for(account_id, secret, settings))
    return Enrolment(secret, uri_of(secret, viewer.account, settings), begun_at + ENROLMENT_LASTS)


@unit_of_work
async def _begin(work: Work, viewer: Viewer, account_id: int, sealed: tuple[str, str]) -> datetime:
    at = utc_now()
    begun = await work.execute(
        "INSERT INTO second_factor (account_id, sealed_secret, sealed_by, begun_at, last_step) VALUES ($1, $2, $3, $4, 0) "
        "ON CONFLICT (account_id) DO UPDATE SET sealed_secret = excluded.sealed_secret, sealed_by = excluded.sealed_by, "
        "begun_at = excluded.begun_at WHERE second_factor.enabled_at IS NULL",
        account_id,
        *sealed,
        at,
    )
    if not begun:
        raise Unavailable(ErrorCode.WRONG_STATE, text="SECOND_FACTOR_ON")
    work.record(viewer, "second_factor_begun", "account", account_id)
    return at


async def confirm_second_factor(viewer: Viewer, settings: Settings, code: str) -> tuple[list[str], str]:
    """Turn it on by a code of the authenticator; its recovery codes, told once, and the session's new token. All other
    sessions end, and the owner is told.

    Raises:
        CodeInvalid: another code, or nothing was begun in the last 15 minutes. RateLimited: too many wrong ones.
    """
    account_id = viewer.require_buyer()
    return await _counted(_confirm, viewer, settings, account_id, code)


@unit_of_work
async def _confirm(work: Work, viewer: Viewer, settings: Settings, account_id: int, code: str) -> tuple[list[str], str]:
    await hold_account(work, account_id)
    at, digits = utc_now(), given_code(code).digits
    found = await work.fetch(
        "SELECT sealed_secret, begun_at FROM second_factor WHERE account_id = $1 AND enabled_at IS NULL AND begun_at > $2",
        account_id,
        at - ENROLMENT_LASTS,
    )
    if digits is None or not found:
        raise CodeInvalid(field="code")
    ((sealed, begun_at),) = found
    step = await step_of(sealed, account_id, digits, settings)
    if not await work.execute(
        "UPDATE second_factor SET enabled_at = $1, last_step = $2 WHERE account_id = $3 AND begun_at = $4", at, step, account_id, begun_at
    ):
        raise CodeInvalid(field="code")  # it was begun anew meanwhile
    codes = new_recovery_codes()
    await keep_recovery_codes(work, account_id, codes)
    await _changed(work, viewer, account_id, "second_factor_on")
    return codes, await rotate(work, viewer)


async def renew_recovery_codes(viewer: Viewer, settings: Settings, code: str) -> list[str]:
    """Ten new recovery codes, told once; those that there were count no longer. Other sessions end, and a mail tells.

    Raises:
        ReauthRequired, CodeInvalid, RateLimited. Unavailable: WRONG_STATE, it is off.
    """
    account_id = await _require_on(viewer)
    return await _counted(_renew, viewer, settings, account_id, code)


@unit_of_work
async def _renew(work: Work, viewer: Viewer, settings: Settings, account_id: int, code: str) -> list[str]:
    await hold_account(work, account_id)
    await spend_code(work, settings, account_id, code)
    codes = new_recovery_codes()
    await keep_recovery_codes(work, account_id, codes)
    await _changed(work, viewer, account_id, "recovery_codes_renewed")
    return codes


async def remove_second_factor(viewer: Viewer, settings: Settings, code: str) -> tuple[datetime, str]:
    """Turn it off; when that was, and the session's new token. Other sessions end, and the owner is told.

    Raises:
        ReauthRequired, CodeInvalid, RateLimited. Unavailable: WRONG_STATE, it is off.
    """
    account_id = await _require_on(viewer)
    return await _counted(_remove, viewer, settings, account_id, code)


@unit_of_work
async def _remove(work: Work, viewer: Viewer, settings: Settings, account_id: int, code: str) -> tuple[datetime, str]:
    await hold_account(work, account_id)
    await spend_code(work, settings, account_id, code)
    await forget_second_factor(work, account_id)
    await _changed(work, viewer, account_id, "second_factor_off")
    return utc_now(), await rotate(work, viewer)


async def remove_lost(name: str) -> None:
    """Turn the second factor of an account off from the command line, for an owner who has lost all that answers it.

    Raises:
        NotFound: there is no such account. Unavailable: WRONG_STATE, it is off.
    """
    await _remove_lost((await account_named(name)).id)


@unit_of_work
async def _remove_lost(work: Work, account_id: int) -> None:
    await hold_account(work, account_id)
    if account_id not in await by_accounts([account_id]):
        raise Unavailable(ErrorCode.WRONG_STATE, text="SECOND_FACTOR_OFF")
    await forget_second_factor(work, account_id)
    await end_other_sessions(work, account_id, None)
    work.record(None, "second_factor_off", "account", account_id)
    await tell(work, account_id, "second_factor_off")


async def _require_on(viewer: Viewer) -> int:
    account_id = viewer.require_buyer()
    await require_recent(viewer)
    if account_id not in await by_accounts([account_id]):
        raise Unavailable(ErrorCode.WRONG_STATE, text="SECOND_FACTOR_OFF")
    return account_id


async def _counted(
    change: Callable[[Viewer, Settings, int, str], Awaitable[T]], viewer: Viewer, settings: Settings, account_id: int, code: str
) -> T:
    """The change that a code opens, the code counted before it is looked at."""
    await count_code(viewer, account_id)
    result = await change(viewer, settings, account_id, code)
    await forget_wrong_codes(viewer, account_id)
    return result


async def _changed(work: Work, viewer: Viewer, account_id: int, what: str) -> None:
    """What every change of the second factor brings about."""
    await end_other_sessions(work, account_id, viewer.session_id)
    work.record(viewer, what, "account", account_id)
    await tell(work, account_id, what)
