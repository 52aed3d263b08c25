"""Staff: the tokens that services and operators call with, and the demo world's clock."""

from datetime import datetime, timedelta
from typing import Any

import orjson

from auth.sessions import new_token, token_hash
from auth.viewer import Viewer
from models import clock
from models.instants import as_instant, utc_now
from models.reads import as_json
from models.refusals import BadUserInput
from models.sessions import SCOPES, STAFF_PREFIX
from models.unit_of_work import Work, unit_of_work
from resolvers.jobs import JOBS
from resolvers.worker import until_idle


@unit_of_work
async def create_token(work: Work, name: str, scopes: tuple[str, ...], token: str | None = None) -> str:
    """A new staff token with these scopes; it is told once. `token` is for the demo world alone.

    Raises:
        BadUserInput: an unknown scope, or none.
    """
    if not scopes or not set(scopes) <= set(SCOPES):
        raise BadUserInput(field="scopes")
    made = token or new_token(STAFF_PREFIX)
    rows = await work.fetch(
        "INSERT INTO staff_token (name, token_hash, scopes, created_at) VALUES ($1, $2, $3, $4) "
        "ON CONFLICT (token_hash) DO UPDATE SET name = excluded.name, scopes = excluded.scopes, revoked_at = NULL RETURNING id",
        name[:100], token_hash(made), orjson.dumps(sorted(scopes)).decode(), utc_now(),
    )  # fmt: skip
    work.record(None, "staff_token_created", "staff_token", rows[0][0], name=name)
    return made


@unit_of_work
async def revoke_token(work: Work, token_id: int) -> bool:
    """End a token; False when there is none or it has ended before."""
    ended = await work.execute("UPDATE staff_token SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL", utc_now(), token_id)
    if ended:
        work.record(None, "staff_token_revoked", "staff_token", token_id)
    return bool(ended)


@unit_of_work
async def tokens(work: Work) -> list[dict[str, Any]]:
    """All tokens, without themselves: id, name, scopes, when made and when revoked."""
    found = await work.fetch("SELECT id, name, scopes, created_at, revoked_at FROM staff_token ORDER BY id")
    return [
        {"id": row[0], "name": row[1], "scopes": as_json(row[2]), "created_at": as_instant(row[3]), "revoked_at": as_instant(row[4])}
        for row in found
    ]


async def advance_clock(viewer: Viewer, step: timedelta) -> datetime:
    """Move the domain's clock forwards; the instant it shows after everything due by then has happened. Scope clock.

    Raises:
        BadUserInput: backwards, not at all, or more than 400 days.
    """
    viewer.require_scope("clock")
    if not timedelta(0) < step <= clock.LARGEST_STEP:
        raise BadUserInput(field="days", text="CLOCK_STEP")
    await _advance(viewer, step)
    await until_idle(JOBS)
    return await clock.now()


@unit_of_work
async def _advance(work: Work, viewer: Viewer, step: timedelta) -> None:
    await clock.advance(work, step)
    work.record(viewer, "clock_advanced", "clock", 1, seconds=int(step.total_seconds()))
    work.announce("clock:1", "work")
