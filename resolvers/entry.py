"""Entering: the session that every way of signing in ends with."""

from typing import NamedTuple

from auth.app_sessions import AppTokens, open_app_session
from auth.sessions import end_session, known_device, open_session, remember_device
from auth.viewer import Viewer
from models.accounts import Account, share_account
from models.reads import reads
from models.sessions import IN_BROWSER, Stay, Transport
from models.storage_failures import overloaded
from models.unit_of_work import Work, unit_of_work
from resolvers.sign_in_notices import tell_of_new_browser
from settings import Settings


class Entry(NamedTuple):
    """A sign-in that succeeded: the session's token, the account's row, and a token for a browser that was not known.

    `tokens` are an app's; its `token` is the access token among them. A session that is not `remembered` ends with the
    browser, or after 24 hours.
    """

    token: str
    account: Account
    device_token: str | None
    tokens: AppTokens | None = None
    remembered: bool = True


class Linked(NamedTuple):
    """An account whose ways of signing in the viewer has changed, and the new token of their session."""

    account: Account
    token: str


@unit_of_work
async def enter(work: Work, viewer: Viewer, settings: Settings, account_id: int, stay: Stay = IN_BROWSER) -> Entry:
    """A new session of the account, whose owner has just proved who they are.

    The session that the request came with does not outlive it. A browser that is not known is told the token by which
    it will be, and the owner by mail of it. An app keeps no cookies: it is not known another time.

    Raises:
        Failure: OVERLOADED, the account has been erased meanwhile; whoever tries again is told as everybody is.
    """
    known = await known_device(viewer, account_id)
    if viewer.session_id is not None:
        await end_session(viewer)
    # Of a sign-in and the erasure of the account one waits for the other, and then sees what it has done.
    await share_account(work, account_id)
    account = await reads(Account).one("id = $1 AND NOT EXISTS (SELECT 1 FROM erasure WHERE account_id = $1)", account_id)
    if account is None:
        raise overloaded()
    if not known:
        await tell_of_new_browser(work, viewer, account)
    if stay.transport is Transport.APP:
        tokens = await open_app_session(viewer, account_id, settings, remember=stay.remembered)
        return Entry(tokens.access, account, None, tokens, stay.remembered)
    token = await open_session(viewer, account_id, settings, remember=stay.remembered)
    return Entry(token, account, None if known else await remember_device(account_id), None, stay.remembered)
