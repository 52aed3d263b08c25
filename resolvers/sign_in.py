"""Signing in and out."""

import hashlib
from typing import NamedTuple

from auth.guessing import count_attempt, forget_failures
from auth.passwords import LONGEST, Passwords
from auth.sessions import end_session, open_session, remember_device, token_hash
from auth.viewer import Viewer
from models.accounts import Account, IdentityKind, fold_email
from models.database import fetch
from models.instants import utc_now
from models.reads import reads
from models.refusals import BadUserInput, InvalidCredentials
from settings import Settings


class Entry(NamedTuple):
    """A sign-in that succeeded: the session's token, the account's row, and a token for a browser that was not known."""

    token: str
    account: Account
    device_token: str | None


async def sign_in(viewer: Viewer, settings: Settings, passwords: Passwords, email: str, password: str) -> Entry:
    """A new session.

    Raises:
        BadUserInput: an empty or too long value. RateLimited: too many failures. InvalidCredentials: anything else that
            does not fit; the same answer, after the same work, whether or not the address is known.
    """
    if not email.strip() or len(email) > 254:
        raise BadUserInput(field="email")
    if not password or len(password) > LONGEST:
        raise BadUserInput(field="password")
    address = fold_email(email)
    subject = hashlib.sha256(address.encode("utf-8", "surrogatepass")).hexdigest()
    device = token_hash(viewer.device) if viewer.device else None
    found = await fetch(
        "SELECT i.account_id, p.hash FROM identity i JOIN password p ON p.account_id = i.account_id "
        "WHERE i.kind = $1 AND i.subject = $2 AND i.verified_at IS NOT NULL",
        IdentityKind.EMAIL.value,
        address,
    )
    account_id, stored = found[0] if found else (None, None)
    known = await fetch("SELECT 1 FROM known_device WHERE token_hash = $1 AND account_id = $2", device or "", account_id or 0)
    device = device if known else None
    await count_attempt(subject, viewer.address, device)
    if not await passwords.matches(stored, password) or account_id is None:
        raise InvalidCredentials
    await forget_failures(subject, viewer.address, device)
    if viewer.session_id is not None:
        await end_session(viewer)  # the session that the request came with does not outlive the sign-in
    token = await open_session(viewer, account_id, settings)
    account = await reads(Account).one("id = $1", account_id)
    assert account is not None
    return Entry(token, account, None if device else await remember_device(account_id))


async def sign_out(viewer: Viewer) -> object:
    """End the viewer's session; the instant of it."""
    viewer.require_buyer()
    await end_session(viewer)
    return utc_now()
