"""Sessions of apps: turning a refresh token into the next pair."""

import logging
from datetime import timedelta

from auth.app_sessions import Turned, invalid, turn
from auth.guessing import forgive_request, require_few
from auth.viewer import Viewer
from models.accounts import Account
from models.reads import reads
from models.unit_of_work import Work, unit_of_work
from resolvers.entry import Entry
from resolvers.sign_in_notices import tell
from settings import Settings

WRONG_OF_NETWORK, WINDOW = 300, timedelta(minutes=5)

log = logging.getLogger("kabinet.sessions")


async def refresh_session(viewer: Viewer, settings: Settings, refresh_token: str) -> Entry:
    """The next pair of tokens of the session that this refresh token is of; no session begins or ends by it.

    Raises:
        InvalidCredentials: wrong, ended, rotated away or used before: one answer for all. The last revokes the session,
            and its owner is told. Failure: RATE_LIMITED, the network has brought too many wrong ones.
    """
    await require_few("refresh", viewer.address, WRONG_OF_NETWORK, WINDOW)
    turned, account = await _turn(viewer, settings, refresh_token)
    if turned.tokens is None:
        log.warning("refresh_reuse")
        raise invalid()
    return Entry(turned.tokens.access, account, None, turned.tokens)


@unit_of_work
async def _turn(work: Work, viewer: Viewer, settings: Settings, refresh_token: str) -> tuple[Turned, Account]:
    turned = await turn(work, settings, refresh_token)
    account = await reads(Account).one("id = $1", turned.account_id)
    assert account is not None
    if turned.tokens is not None:
        await forgive_request("refresh", viewer.address, WRONG_OF_NETWORK, WINDOW)
        return turned, account
    # Nothing is raised here: the revocation, the record and the notice are to stay.
    work.record(viewer, "refresh_reuse", "session", turned.session_id)
    await tell(work, account.id, "refresh_reuse", address=viewer.address or "—")
    return turned, account
