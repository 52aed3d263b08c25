"""From what a request brings along to who is asking."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from auth.sessions import token_hash
from auth.viewer import Viewer
from models.accounts import Account, Level
from models.database import fetch, opened
from models.instants import as_instant, utc_now
from models.reads import Reads, as_json, reads
from models.sessions import DEMO_STAFF_TOKEN, STAFF_PREFIX, TOUCH_EVERY, is_live
from models.unit_of_work import Work, unit_of_work
from settings import Settings

LONGEST_TOKEN, LONGEST_AGENT = 200, 200


@dataclass(frozen=True, slots=True)
class Credentials:
    """The cookie's and the Authorization header's token, and where they came from. `language` is what was asked for
    in Accept-Language, among the languages spoken. `session_id` is the session that a socket was opened with: it counts
    instead of the tokens, since they change while the session goes on."""

    cookie: str | None = None
    bearer: str | None = None
    session_id: int | None = None
    address: str = ""
    agent: str = ""
    language: str | None = None
    device: str | None = None
    browser: str | None = None


async def viewer_of(credentials: Credentials, settings: Settings, now: datetime) -> Viewer:
    """Who asks. With a cookie and a bearer the bearer alone counts; one that is not valid makes a refused viewer."""
    viewer = Viewer(
        now=now,
        language=credentials.language or "en",
        address=credentials.address,
        agent=credentials.agent,
        device=credentials.device,
        browser=credentials.browser,
    )
    if credentials.session_id is not None:
        await _as_owner(viewer, credentials.session_id, settings)
        return viewer
    token = credentials.bearer or credentials.cookie
    if not token:
        return viewer
    if len(token) > LONGEST_TOKEN:
        viewer.refused = True
    elif token.startswith(STAFF_PREFIX):
        await _as_staff(viewer, token if credentials.bearer else "")
    else:
        viewer.by_bearer, viewer.by_cookie = credentials.bearer is not None, credentials.cookie == token
        await _as_buyer(viewer, token, settings)
    return viewer


async def _as_staff(viewer: Viewer, token: str) -> None:
    found = await _staff(token)
    if not found:
        viewer.refused = True
        return
    viewer.staff_id, viewer.scopes = found[0][0], frozenset(as_json(found[0][1]))


async def _as_buyer(viewer: Viewer, token: str, settings: Settings) -> None:
    viewer.token_hash = token_hash(token)
    found = await fetch(_session_sql(reads(Account), "token_hash"), viewer.token_hash)
    access_until = as_instant(found[0][4]) if found else None
    # An access token is an app's: as a cookie it does not count.
    if not found or (access_until is not None and (not viewer.by_bearer or utc_now() >= access_until)):
        viewer.refused = True
        return
    await _seen(viewer, found[0], settings)


async def _as_owner(viewer: Viewer, session_id: int, settings: Settings) -> None:
    found = await fetch(_session_sql(reads(Account), "id"), session_id)
    if not found:
        viewer.refused = True
        return
    await _seen(viewer, found[0], settings)


async def _seen(viewer: Viewer, row: Sequence[Any], settings: Settings) -> None:
    session_id, used, ends, revoked, _, remembered, *columns = row
    used_at, ends_at, at, idle = as_instant(used), as_instant(ends), utc_now(), timedelta(days=settings.session_idle_days)
    assert used_at is not None and ends_at is not None
    if not is_live(used_at, ends_at, as_instant(revoked), at, idle):
        viewer.refused = True
        return
    (account,) = reads(Account).decode([columns])
    if account.standing_level is Level.CLOSED:
        viewer.refused = True
        return
    viewer.account, viewer.account_id, viewer.session_id, viewer.language = account, account.id, session_id, account.language
    if at >= used_at + TOUCH_EVERY:
        await _touch(session_id, at)
        used_at = at
    viewer.remembered, viewer.session_until = bool(remembered), min(ends_at, used_at + idle)


@cache
def _session_sql(accounts: Reads, key: str) -> str:
    return (
        f"SELECT s.id, s.used_at, s.ends_at, s.revoked_at, s.access_until, s.remembered, {accounts.columns_of('a')} FROM session s "
        f"JOIN account a ON a.id = s.account_id WHERE s.{key} = $1"
    )


@unit_of_work
async def _touch(work: Work, session_id: int, at: datetime) -> None:
    await work.execute("UPDATE session SET used_at = $1 WHERE id = $2 AND used_at < $3", at, session_id, at)


async def is_staff_token(token: str) -> bool:
    """Whether a staff token is valid, before anything else of the request is read."""
    if not token.startswith(STAFF_PREFIX) or len(token) > LONGEST_TOKEN:
        return False
    return bool(await _staff(token))


async def _staff(token: str) -> Sequence[Any]:
    """The id and the scopes of a staff token that counts."""
    if token == DEMO_STAFF_TOKEN and not opened().settings.is_demo:
        return ()
    return await fetch("SELECT id, scopes FROM staff_token WHERE token_hash = $1 AND revoked_at IS NULL", token_hash(token))
