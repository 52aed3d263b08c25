"""A sign-in's way to a provider and back: bound to a browser, used once, ten minutes long.

Nothing that is stored is of use to whoever reads it: of the state and the cookie there are hashes, and the verifier and
the nonce are derived from both.
"""

import base64
import hashlib
import hmac
from typing import NamedTuple

from auth.guessing import network_of
from auth.keys import Undecipherable, decrypt, encrypt
from auth.providers.provider import Flow, Provider
from auth.sessions import new_token, token_hash
from auth.viewer import Viewer
from models.accounts import IdentityKind
from models.instants import utc_now
from models.provider_sign_in import LASTS, MOST_OPEN
from models.refusals import CodeInvalid, ErrorCode, Failure
from models.unit_of_work import Work, unit_of_work
from settings import Settings


class Begun(NamedTuple):
    """What a sign-in was begun with; `session_id` where a signed-in buyer adds a way of signing in."""

    session_id: int | None
    return_to: str
    region: str


class Adding(NamedTuple):
    """A provider's identity that a sign-in by its mailbox adds to the account, once the second factor is answered.

    The mailbox is the account's as long as there is the identity of its address, `address_id`.
    """

    kind: IdentityKind
    subject: str
    address_id: int


def flow_of(state: str, browser: str, redirect_uri: str) -> Flow:
    """The secrets of the sign-in that has this state, in the browser whose cookie is `browser`."""
    return Flow(state, _derived(browser, "verifier", state), _derived(browser, "nonce", state), redirect_uri)


@unit_of_work
async def open_flow(work: Work, viewer: Viewer, provider: Provider, browser: str, begun: Begun) -> str:
    """The state of a new sign-in.

    Raises:
        Failure: RATE_LIMITED, 100 sign-ins begun from the viewer's address are open.
    """
    state, at, network = new_token(), utc_now(), network_of(viewer.address)
    (open_now,) = await work.fetch(
        "SELECT count(*) FROM provider_sign_in WHERE network = $1 AND ends_at > $2", network, at
    )
    if open_now[0] >= MOST_OPEN:
        raise Failure(ErrorCode.RATE_LIMITED, retry_after_seconds=60)
    await work.execute(
        "INSERT INTO provider_sign_in (state_hash, browser_hash, provider, session_id, return_to, region, network, ends_at) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        token_hash(state),
        token_hash(browser),
        provider.kind.value,
        *begun,
        network,
        at + LASTS,
    )
    return state


@unit_of_work(single=True)
async def close_flow(work: Work, provider: Provider, browser: str, state: str) -> Begun | None:
    """What the sign-in was begun with, once; None for another provider's, another browser's, an old or used state."""
    found = await work.fetch(
        "DELETE FROM provider_sign_in WHERE state_hash = $1 AND browser_hash = $2 AND provider = $3 AND ends_at > $4 "
        "RETURNING session_id, return_to, region",
        token_hash(state),
        token_hash(browser),
        provider.kind.value,
        utc_now(),
    )
    return Begun(*found[0]) if found else None


async def carrying(challenge: str, account_id: int, adding: Adding, settings: Settings) -> str:
    """The challenge of a second factor that says itself what its sign-in adds: nothing is kept before the code has come.

    Of the challenge the hash of the whole is kept, so that nobody else can say it.
    """
    text = f"{adding.address_id} {adding.kind.value} {adding.subject}"
    return f"{challenge}.{await encrypt(_purpose(account_id), text, settings)}"


async def carried(challenge: str, account_id: int, settings: Settings) -> Adding | None:
    """What the sign-in of this challenge adds, if anything.

    Raises:
        CodeInvalid: it was said under a secret that the service no longer has.
    """
    _, _, sealed = challenge.partition(".")
    if not sealed:
        return None
    try:
        address_id, kind, subject = (await decrypt(_purpose(account_id), sealed, settings)).split(" ", 2)
    except Undecipherable:
        raise CodeInvalid(field="code") from None
    return Adding(IdentityKind(kind), subject, int(address_id))


def _purpose(account_id: int) -> str:
    return f"added-by-mailbox:{account_id}"


def _derived(browser: str, purpose: str, state: str) -> str:
    digest = hmac.new(browser.encode("utf-8", "surrogatepass"), f"{purpose}:{state}".encode("utf-8", "surrogatepass"), hashlib.sha256)
    return base64.urlsafe_b64encode(digest.digest()).decode().rstrip("=")
