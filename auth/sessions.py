"""Sessions: opaque tokens, of which the database keeps only the SHA-256."""

import hashlib
import secrets
from datetime import datetime, timedelta

from auth.viewer import Viewer
from models.database import fetch
from models.instants import as_instant, utc_now
from models.sessions import LIVE_SESSIONS, is_live
from models.unit_of_work import Work, unit_of_work
from settings import Settings


def new_token(prefix: str = "") -> str:
    """256 random bits as text, behind a prefix that says what it is."""
    return prefix + secrets.token_urlsafe(32)


def token_hash(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


@unit_of_work
async def open_session(work: Work, viewer: Viewer, account_id: int, settings: Settings) -> str:
    """A new session of the account; its token, told once. Beyond 50 live sessions the oldest end."""
    token, at = new_token(), utc_now()
    await work.execute(
        "INSERT INTO session (account_id, token_hash, created_at, used_at, ends_at, address, agent) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7)",
        account_id,
        token_hash(token),
        at,
        at,
        at + timedelta(days=settings.session_days),
        viewer.address[:45],
        viewer.agent[:200],
    )
    ended = await work.fetch(
        "UPDATE session SET revoked_at = $1 WHERE id IN (SELECT id FROM session WHERE account_id = $2 AND revoked_at IS NULL "
        f"AND ends_at > $3 ORDER BY created_at DESC, id DESC LIMIT 1000 OFFSET {LIVE_SESSIONS}) RETURNING id",
        at,
        account_id,
        at,
    )
    for (session_id,) in ended:
        work.announce(f"session:{session_id}")
    work.record(viewer, "signed_in", "account", account_id)
    return token


@unit_of_work
async def remember_device(work: Work, account_id: int) -> str:
    """A token for the browser that has just signed in, told once."""
    token = new_token()
    await work.execute(
        "INSERT INTO known_device (account_id, token_hash, at) VALUES ($1, $2, $3)", account_id, token_hash(token), utc_now()
    )
    return token


@unit_of_work
async def end_session(work: Work, viewer: Viewer) -> None:
    """Revoke the viewer's own session; its sockets close."""
    await work.execute(
        "UPDATE session SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL", utc_now(), viewer.session_id
    )
    work.record(viewer, "signed_out", "account", viewer.account_id)
    work.announce(f"session:{viewer.session_id}")


async def is_session_live(session_id: int, settings: Settings) -> bool:
    """Whether a session still counts, as the database has it now."""
    found = await fetch("SELECT used_at, ends_at, revoked_at FROM session WHERE id = $1", session_id)
    return bool(found) and _live(found[0][0], found[0][1], found[0][2], utc_now(), settings)


def _live(used: object, ends: object, revoked: object, at: datetime, settings: Settings) -> bool:
    used_at, ends_at = as_instant(used), as_instant(ends)  # type: ignore[arg-type]
    assert used_at is not None and ends_at is not None
    return is_live(used_at, ends_at, as_instant(revoked), at, timedelta(days=settings.session_idle_days))  # type: ignore[arg-type]
