"""A buyer's own sessions: what there is, ending them, and proving again who one is."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from auth.guessing import count_attempt, forget_failures
from auth.passwords import LONGEST, Passwords
from auth.second_factor import count_code, forget_wrong_codes
from auth.sessions import end_other_sessions
from auth.step_up import prove
from auth.viewer import Viewer
from models.database import any_of, fetch
from models.instants import utc_now
from models.reads import reads
from models.refusals import BadUserInput, ErrorCode, InvalidCredentials, NotFound, Unavailable
from models.sessions import Session
from models.unit_of_work import Work, unit_of_work
from resolvers import second_factor
from settings import Settings

_LIVE = "revoked_at IS NULL AND ends_at > $2 AND used_at > $3"


async def by_accounts(account_ids: Iterable[int], idle: timedelta) -> dict[int, list[Any]]:
    """The live sessions of each account, the one used last first."""
    at = utc_now()
    found = await reads(Session).where(
        f"{any_of('account_id', 1)} AND {_LIVE} ORDER BY used_at DESC, id DESC", list(account_ids), at, at - idle
    )
    sessions: dict[int, list[Any]] = {}
    for row in found:
        sessions.setdefault(row.account_id, []).append(row)
    return sessions


async def session(viewer: Viewer, session_id: int, idle: timedelta) -> Any:
    """A live session of the viewer's.

    Raises:
        NotFound: ended, missing, or another buyer's.
    """
    at = utc_now()
    found = await reads(Session).one(f"id = $1 AND {_LIVE} AND account_id = $4", session_id, at, at - idle, viewer.require_buyer())
    if found is None:
        raise NotFound(field="id")
    return found


@unit_of_work
async def revoke_session(work: Work, viewer: Viewer, session_id: int) -> None:
    """End a session of the viewer's, the present one too; its sockets close.

    Raises:
        NotFound: it has ended, is missing, or another buyer's.
    """
    at = utc_now()
    ended = await work.execute(
        "UPDATE session SET revoked_at = $1 WHERE id = $2 AND account_id = $3 AND revoked_at IS NULL AND ends_at > $4",
        at,
        session_id,
        viewer.require_buyer(),
        at,
    )
    if not ended:
        raise NotFound(field="id")
    work.record(viewer, "session_revoked", "session", session_id)
    work.announce(f"session:{session_id}")


@unit_of_work
async def sign_out_elsewhere(work: Work, viewer: Viewer) -> int:
    """End all sessions of the viewer's but the present one; how many that were."""
    account_id = viewer.require_buyer()
    ended = await end_other_sessions(work, account_id, viewer.session_id)
    work.record(viewer, "signed_out_elsewhere", "account", account_id, sessions=ended)
    return ended


async def reauthenticate(viewer: Viewer, settings: Settings, passwords: Passwords, password: str | None, code: str | None) -> datetime:
    """Prove who asks by the password or, where the account has a second factor, by a code of it alone; until when that counts.

    Raises:
        BadUserInput: an empty or too long value, or not one of the two. RateLimited: too many failures. InvalidCredentials: it
            is another password, or the account has none. CodeInvalid: it is no code of the account's. Unavailable:
            SECOND_FACTOR_REQUIRED, a password where a code is wanted. Failure: RATE_LIMITED; OVERLOADED, and the attempt is
            not counted.
    """
    if (password is None) is (code is None):
        raise BadUserInput(field="password", text="PASSWORD_OR_CODE")
    if code is not None:
        account_id = viewer.require_buyer()
        await count_code(viewer, account_id)
        until = await _prove_by_code(viewer, settings, account_id, code)
        await forget_wrong_codes(viewer, account_id)
        return until
    return await _prove_by_password(viewer, passwords, password or "")


@unit_of_work
async def _prove_by_code(work: Work, viewer: Viewer, settings: Settings, account_id: int, code: str) -> datetime:
    await second_factor.spend_and_tell(work, settings, account_id, code)
    return await prove(viewer)


async def _prove_by_password(viewer: Viewer, passwords: Passwords, password: str) -> datetime:
    account_id = viewer.require_buyer()
    if not password or len(password) > LONGEST:
        raise BadUserInput(field="password")
    # What a proof opens is more than a password: a passkey, added by it, signs in without a code. Not even looked at, it tells nothing.
    if await second_factor.by_accounts([account_id]):
        raise Unavailable(ErrorCode.SECOND_FACTOR_REQUIRED, field="code")
    with passwords.turn():
        return await _prove_by(viewer, passwords, account_id, password)


async def _prove_by(viewer: Viewer, passwords: Passwords, account_id: int, password: str) -> datetime:
    subject = f"proof:{account_id}"  # its own counter: with a stolen session nobody makes the owner wait at the door
    await count_attempt(subject, viewer.address)
    found = await fetch("SELECT hash FROM password WHERE account_id = $1", account_id)
    if not await passwords.matches(found[0][0] if found else None, password):
        raise InvalidCredentials(text="WRONG_PASSWORD", field="password")
    await forget_failures(subject, viewer.address)
    return await prove(viewer)
