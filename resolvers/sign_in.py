"""Signing in and out."""

import hashlib

from auth.guessing import count_attempt, forget_failures
from auth.passwords import LONGEST, Passwords
from auth.sessions import end_session, open_session
from auth.viewer import Viewer
from models.accounts import Account, IdentityKind, fold_email
from models.database import fetch
from models.instants import utc_now
from models.reads import reads
from models.refusals import BadUserInput, InvalidCredentials
from settings import Settings


async def sign_in(viewer: Viewer, settings: Settings, passwords: Passwords, email: str, password: str) -> tuple[str, Account]:
    """A new session: its token and the account's row.

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
    await count_attempt(subject, viewer.address)
    found = await fetch(
        "SELECT i.account_id, p.hash FROM identity i JOIN password p ON p.account_id = i.account_id "
        "WHERE i.kind = $1 AND i.subject = $2 AND i.verified_at IS NOT NULL",
        IdentityKind.EMAIL.value,
        address,
    )
    account_id, stored = found[0] if found else (None, None)
    if not await passwords.matches(stored, password) or account_id is None:
        raise InvalidCredentials
    await forget_failures(subject, viewer.address)
    if viewer.session_id is not None:
        await end_session(viewer)  # the session that the request came with does not outlive the sign-in
    token = await open_session(viewer, account_id, settings)
    account = await reads(Account).one("id = $1", account_id)
    assert account is not None
    return token, account


async def sign_out(viewer: Viewer) -> object:
    """End the viewer's session; the instant of it."""
    viewer.require_buyer()
    await end_session(viewer)
    return utc_now()
