"""Sessions: opaque tokens, of which the database keeps only the SHA-256."""

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import NamedTuple

from auth.viewer import Viewer
from models.database import fetch
from models.instants import as_instant, utc_now
from models.sessions import LIVE_SESSIONS, UNREMEMBERED_LASTS, is_live
from models.unit_of_work import Work, unit_of_work
from settings import Settings

ACCESS_PREFIX, REFRESH_PREFIX = "kat_", "krt_"


def new_token(prefix: str = "") -> str:
    """256 random bits as text, behind a prefix that says what it is."""
    return prefix + secrets.token_urlsafe(32)


def new_refresh_token() -> str:
    """The first refresh token of a new family: 128 random bits that all of the family begin with, and 256 of its own."""
    return f"{REFRESH_PREFIX}{secrets.token_urlsafe(16)}.{secrets.token_urlsafe(32)}"


def token_hash(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def family_hash(refresh_token: str) -> str:
    """What is kept of the beginning that all refresh tokens of a family have."""
    return token_hash(refresh_token.partition(".")[0])


@unit_of_work
async def open_session(work: Work, viewer: Viewer, account_id: int, settings: Settings, *, remember: bool = True) -> str:
    """A new session of the account; its token, told once. Without `remember` it lasts 24 hours at most."""
    token = new_token()
    await insert_session(work, viewer, account_id, settings, token, None, remember)
    return token


async def insert_session(
    work: Work, viewer: Viewer, account_id: int, settings: Settings, token: str, access_until: datetime | None, remember: bool
) -> int:
    """The row of a session that begins now; its id. Beyond 50 live sessions the oldest end."""
    at = utc_now()
    ends_at = at + (timedelta(days=settings.session_days) if remember else UNREMEMBERED_LASTS)
    ((session_id,),) = await work.fetch(
        "INSERT INTO session (account_id, token_hash, created_at, used_at, proved_at, ends_at, access_until, remembered, address, agent) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING id",
        account_id,
        token_hash(token),
        at,
        at,
        at,
        ends_at,
        access_until,
        remember,
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
    for (ended_id,) in ended:
        work.announce(f"session:{ended_id}")
    work.record(viewer, "signed_in", "account", account_id)
    return session_id


async def rotate(work: Work, viewer: Viewer) -> str:
    """A new token for the viewer's session; the old one is dead with the commit, and whoever opened a socket with it is
    told to come back with the new one.

    Call it where how an account is signed in to changes: the password, a way of signing in, a second factor. For an app it
    is a refresh token, the first of a new family: its access token, and whatever refresh token anybody has, are dead too.
    """
    token = new_token()
    work.announce(f"session:{viewer.session_id}")
    # The column itself: SQLite 3.40 answers RETURNING access_until IS NOT NULL with 1 for a null here.
    found = await work.fetch("UPDATE session SET token_hash = $1 WHERE id = $2 RETURNING access_until", token_hash(token), viewer.session_id)
    if not found or found[0][0] is None:
        return token
    refresh_token = new_refresh_token()  # the token above is told to nobody
    await work.execute(
        "UPDATE refresh_token SET family_hash = $1, token_hash = $2, previous_hash = NULL WHERE session_id = $3",
        family_hash(refresh_token),
        token_hash(refresh_token),
        viewer.session_id,
    )
    return refresh_token


@unit_of_work
async def remember_device(work: Work, account_id: int) -> str:
    """A token for the browser that has just signed in, told once."""
    token = new_token()
    await work.execute(
        "INSERT INTO known_device (account_id, token_hash, at) VALUES ($1, $2, $3)", account_id, token_hash(token), utc_now()
    )
    return token


async def known_device(viewer: Viewer, account_id: int) -> str | None:
    """The hash of the browser's token where it has signed in to this very account before."""
    if not viewer.device:
        return None
    device = token_hash(viewer.device)
    found = await fetch("SELECT 1 FROM known_device WHERE token_hash = $1 AND account_id = $2", device, account_id)
    return device if found else None


@unit_of_work
async def end_session(work: Work, viewer: Viewer) -> None:
    """Revoke the viewer's own session; its sockets close."""
    await work.execute(
        "UPDATE session SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL", utc_now(), viewer.session_id
    )
    work.record(viewer, "signed_out", "account", viewer.account_id)
    work.announce(f"session:{viewer.session_id}")


async def end_other_sessions(work: Work, account_id: int, kept_session_id: int | None) -> int:
    """Revoke the account's sessions but the kept one, or all; their sockets close. How many it were.

    Sign-ins that wait for the second factor end as well.
    """
    await work.execute("DELETE FROM second_factor_challenge WHERE account_id = $1", account_id)
    ended = await work.fetch(
        "UPDATE session SET revoked_at = $1 WHERE account_id = $2 AND id <> $3 AND revoked_at IS NULL AND ends_at > $4 RETURNING id",
        (at := utc_now()),
        account_id,
        kept_session_id or 0,
        at,
    )
    work.announce(*(f"session:{session_id}" for (session_id,) in ended))
    return len(ended)


class Tokens(NamedTuple):
    """What a session goes by, as hashes: its token, and for an app the family of its refresh tokens."""

    token: str
    family: str | None


async def tokens_of(session_id: int, settings: Settings) -> Tokens | None:
    """What a session goes by, as the database has it now; None where it counts no longer."""
    found = await fetch(
        "SELECT s.used_at, s.ends_at, s.revoked_at, s.token_hash, r.family_hash FROM session s "
        "LEFT JOIN refresh_token r ON r.session_id = s.id WHERE s.id = $1",
        session_id,
    )
    if not found:
        return None
    used, ends, revoked, token, family = found[0]
    return Tokens(token, family) if live(used, ends, revoked, utc_now(), settings) else None


def live(used: object, ends: object, revoked: object, at: datetime, settings: Settings) -> bool:
    """Whether a session counts at `at`, by its columns as the database gives them."""
    used_at, ends_at = as_instant(used), as_instant(ends)  # type: ignore[arg-type]
    assert used_at is not None and ends_at is not None
    return is_live(used_at, ends_at, as_instant(revoked), at, timedelta(days=settings.session_idle_days))  # type: ignore[arg-type]
