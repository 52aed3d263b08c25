"""Sessions of apps: a short access token, and a refresh token that is turned into the next pair once.

A turn that is asked for again within ten seconds, because its answer was lost or two asked at once, is told the same
pair. Both are an HMAC of the token that was turned, with a salt of this turn from the database and a key outside it:
they need not be kept to be told again, and a copy of the database makes none of them, having no token to begin with.
"""

import base64
import hashlib
import hmac
import secrets
from datetime import datetime
from typing import NamedTuple

from auth.keys import keys_for
from auth.sessions import ACCESS_PREFIX, family_hash, insert_session, live, new_refresh_token, new_token, token_hash
from auth.viewer import Viewer
from models.database import for_update
from models.instants import as_instant, utc_now
from models.refusals import InvalidCredentials
from models.sessions import ACCESS_LASTS, Turn, turn_of
from models.unit_of_work import Work, unit_of_work
from settings import Settings


class AppTokens(NamedTuple):
    """An app's pair, told once; `access_until` is the machine's."""

    access: str
    access_until: datetime
    refresh: str


class Turned(NamedTuple):
    """What a refresh token was good for: the next pair, or none for one that was turned before."""

    session_id: int
    account_id: int
    tokens: AppTokens | None


@unit_of_work
async def open_app_session(work: Work, viewer: Viewer, account_id: int, settings: Settings, *, remember: bool = True) -> AppTokens:
    """A new session of the account, and its first pair. Without `remember` it lasts 24 hours at most."""
    at = utc_now()
    tokens = AppTokens(new_token(ACCESS_PREFIX), at + ACCESS_LASTS, new_refresh_token())
    session_id = await insert_session(work, viewer, account_id, settings, tokens.access, tokens.access_until, remember)
    await work.execute(
        "INSERT INTO refresh_token (session_id, family_hash, token_hash, salt, turned_at) VALUES ($1, $2, $3, $4, $5)",
        session_id,
        family_hash(tokens.refresh),
        token_hash(tokens.refresh),
        _salt(),
        at,
    )
    return tokens


class _Family(NamedTuple):
    """A live session with what is kept of its refresh tokens, as it is now that both are locked."""

    session_id: int
    account_id: int
    ends_at: datetime
    access_until: datetime
    current: str
    previous: str | None
    salt: str
    turned_at: datetime


async def turn(work: Work, settings: Settings, presented: str) -> Turned:
    """The next pair for a refresh token; for one that was turned before, its session is revoked and its sockets close.

    Raises:
        InvalidCredentials: nobody's, or its session is over.
    """
    at = utc_now()
    family = await _locked(work, settings, family_hash(presented), at)
    keys = await keys_for("refresh tokens", settings)
    tokens: AppTokens | None = None
    match turn_of(token_hash(presented), family.current, family.previous, family.turned_at, at):
        case Turn.NEXT:
            salt = _salt()
            tokens = successor(keys[0], presented, salt, min(at + ACCESS_LASTS, family.ends_at))
            await _keep(work, family.session_id, presented, tokens, salt, at)
        case Turn.AGAIN:
            told = [successor(key, presented, family.salt, family.access_until) for key in keys]
            tokens = next((pair for pair in told if token_hash(pair.refresh) == family.current), None)
            if tokens is None:  # the service's secret was changed in between, and the one before it is not accepted
                raise invalid()
        case Turn.REUSED:
            await work.execute("UPDATE session SET revoked_at = $1 WHERE id = $2", at, family.session_id)
            work.announce(f"session:{family.session_id}")
    return Turned(family.session_id, family.account_id, tokens)


def invalid() -> InvalidCredentials:
    """The one answer to every refresh token that is not turned."""
    return InvalidCredentials(field="refreshToken", text="REFRESH_TOKEN_INVALID")


async def _locked(work: Work, settings: Settings, family: str, at: datetime) -> _Family:
    found = await work.fetch("SELECT session_id FROM refresh_token WHERE family_hash = $1", family)
    session_id = found[0][0] if found else 0
    # The session's row first, as whatever revokes or rotates takes it: then its tokens stand still.
    session = await work.fetch(
        "SELECT account_id, used_at, ends_at, revoked_at, access_until FROM session WHERE id = $1" + for_update(), session_id
    )
    kept = await work.fetch("SELECT token_hash, previous_hash, salt, turned_at FROM refresh_token WHERE family_hash = $1", family)
    if not session or not kept:
        raise invalid()
    account_id, used, ends, revoked, until = session[0]
    current, previous, salt, turned = kept[0]
    ends_at, access_until, turned_at = as_instant(ends), as_instant(until), as_instant(turned)
    assert ends_at is not None and access_until is not None and turned_at is not None
    if not live(used, ends, revoked, at, settings):
        raise invalid()
    return _Family(session_id, account_id, ends_at, access_until, current, previous, salt, turned_at)


def successor(key: bytes, presented: str, salt: str, access_until: datetime) -> AppTokens:
    """The pair that follows a refresh token in a turn with this salt: the same whoever computes it."""
    family = presented.partition(".")[0]
    return AppTokens(ACCESS_PREFIX + _derived(key, "access", salt, presented), access_until, f"{family}.{_derived(key, 'refresh', salt, presented)}")


def _derived(key: bytes, what: str, salt: str, presented: str) -> str:
    mac = hmac.digest(key, f"{what}:{salt}:{presented}".encode("utf-8", "surrogatepass"), hashlib.sha256)
    return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


def _salt() -> str:
    return secrets.token_hex(32)


async def _keep(work: Work, session_id: int, presented: str, tokens: AppTokens, salt: str, at: datetime) -> None:
    await work.execute(
        "UPDATE session SET token_hash = $1, access_until = $2, used_at = $3 WHERE id = $4",
        token_hash(tokens.access),
        tokens.access_until,
        at,
        session_id,
    )
    await work.execute(
        "UPDATE refresh_token SET token_hash = $1, previous_hash = $2, salt = $3, turned_at = $4 WHERE session_id = $5",
        token_hash(tokens.refresh),
        token_hash(presented),
        salt,
        at,
        session_id,
    )
