"""Step-up: what changes how an account is signed in to asks for a recent proof of who asks. Times are the machine's."""

from datetime import datetime, timedelta

from auth.viewer import Viewer
from models.database import fetch
from models.instants import as_instant, utc_now
from models.refusals import ReauthRequired, Unauthenticated
from models.unit_of_work import Work, unit_of_work

PROOF_LASTS = timedelta(minutes=15)


async def require_recent(viewer: Viewer) -> None:
    """Refuse whoever has not proved lately who they are.

    Raises:
        Unauthenticated: nobody is signed in any longer. ReauthRequired: the session's last proof is more than 15 minutes old.
    """
    viewer.require_buyer()
    found = await fetch("SELECT proved_at FROM session WHERE id = $1 AND revoked_at IS NULL", viewer.session_id)
    if not found:  # the session was ended while this request was on its way
        raise Unauthenticated
    proved_at = as_instant(found[0][0])
    if proved_at is None or utc_now() > proved_at + PROOF_LASTS:
        raise ReauthRequired


@unit_of_work
async def prove(work: Work, viewer: Viewer) -> datetime:
    """The session's owner has just proved who they are; until when that counts."""
    at = utc_now()
    await work.execute("UPDATE session SET proved_at = $1 WHERE id = $2", at, viewer.session_id)
    work.record(viewer, "reauthenticated", "account", viewer.account_id)
    return at + PROOF_LASTS
