"""Passkeys of one's own: adding and naming them, signing in by one, and proving again who one is."""

import logging
from datetime import datetime, timedelta
from typing import NamedTuple

from auth.guessing import require_few
from auth.in_standing import hold_in_standing
from auth.passkeys import (
    Assertion,
    Challenge,
    Holder,
    KnownCredential,
    MadePasskey,
    check_assertion,
    check_creation,
    creation_options,
    open_challenge,
    refused,
    request_options,
    spend_challenge,
)
from auth.policy import Policy, policy_of
from auth.sessions import new_token
from auth.step_up import prove, require_recent
from auth.viewer import Viewer
from models.accounts import IdentityKind
from models.database import fetch, for_update
from models.instants import utc_now
from models.passkeys import goes_on, require_passkey_name, require_room
from models.refusals import BadUserInput, CodeInvalid, IdentityTaken, NotFound
from models.sessions import IN_BROWSER, Stay
from models.sign_in_methods import Method
from models.standing import Deed
from models.unit_of_work import Work, unit_of_work
from resolvers.entry import Entry, enter
from resolvers.sign_in_methods import by_accounts
from resolvers.sign_in_notices import tell
from settings import Settings

PASSKEY = IdentityKind.PASSKEY.value
OF_NETWORK, WINDOW = 100, timedelta(minutes=5)
"""How many challenges a network may begin, and how many it may answer, in five minutes. Guessing a signature is hopeless:
this bounds work, and offices share a network."""

_OF_ACCOUNT = "FROM passkey k JOIN identity i ON i.id = k.identity_id WHERE i.account_id = $1"

log = logging.getLogger("kabinet.passkeys")


class OwnMethod(NamedTuple):
    """A way of signing in of the viewer's, among all that they have."""

    method: Method
    methods: list[Method]


async def begin_passkey(viewer: Viewer, settings: Settings) -> tuple[Challenge, str]:
    """A challenge for a new passkey of the viewer's, and what the browser is to ask of the device, as JSON.

    Raises:
        ReauthRequired, SignUpClosed. Unavailable: LIMIT_REACHED. Failure: RATE_LIMITED.
    """
    account_id, account = viewer.require_buyer(), viewer.account
    await require_few("passkey", viewer.address, OF_NETWORK, WINDOW)
    await require_recent(viewer)
    policy_of(settings).require_link(account.region, IdentityKind.PASSKEY)
    known = [KnownCredential(*row) for row in await fetch(f"SELECT k.credential_id, k.transports {_OF_ACCOUNT} ORDER BY i.id", account_id)]
    require_room(len(known))
    holder = Holder(await _handle(account_id), account.email or account.phone or account.display_name, account.display_name)
    challenge = await open_challenge(account_id)
    return challenge, creation_options(settings, challenge, holder, known)


@unit_of_work
async def _handle(work: Work, account_id: int) -> str:
    """By what the account is known to devices: drawn once, the same for all its passkeys."""
    await work.execute(
        "INSERT INTO passkey_holder (account_id, handle) VALUES ($1, $2) ON CONFLICT DO NOTHING", account_id, new_token()
    )
    ((handle,),) = await work.fetch("SELECT handle FROM passkey_holder WHERE account_id = $1", account_id)
    return str(handle)


async def add_passkey(viewer: Viewer, settings: Settings, challenge_id: str, credential: str, name: str) -> OwnMethod:
    """Let the viewer sign in by the passkey that their device has made. They are told of it.

    Raises:
        ReauthRequired, SignUpClosed: the challenge stays good. CodeInvalid: it is old, used or another's. BadUserInput: the
            name, or no passkey for the challenge. IdentityTaken. Unavailable: LIMIT_REACHED. Failure: RATE_LIMITED.
    """
    account_id, name = viewer.require_buyer(), require_passkey_name(name)
    await require_few("passkey-answer", viewer.address, OF_NETWORK, WINDOW)
    await require_recent(viewer)
    policy_of(settings).require_link(viewer.account.region, IdentityKind.PASSKEY)
    if not await spend_challenge(challenge_id, account_id):
        raise CodeInvalid(field="challengeId")
    return await _add(viewer, policy_of(settings), check_creation(settings, challenge_id, credential), name)


@unit_of_work
async def _add(work: Work, viewer: Viewer, policy: Policy, made: MadePasskey, name: str) -> OwnMethod:
    account_id = viewer.require_buyer()
    # Two that are added at once both count the others: the account's row lets them pass one by one.
    await hold_in_standing(viewer, Deed.CHANGE_WAYS_IN)
    ((passkeys,),) = await work.fetch(f"SELECT count(*) {_OF_ACCOUNT}", account_id)
    require_room(passkeys)
    identity_id = await _identify(work, account_id, made.subject)
    await work.execute(
        "INSERT INTO passkey (identity_id, credential_id, public_key, sign_count, transports, backed_up, name) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7)",
        identity_id,
        made.credential_id,
        made.public_key,
        made.sign_count,
        made.transports,
        made.backed_up,
        name,
    )
    work.record(viewer, "sign_in_method_added", "account", account_id, kind=PASSKEY)
    await tell(work, account_id, "sign_in_method_added", kind=PASSKEY, masked="")
    return await _own(account_id, identity_id, policy)


async def _identify(work: Work, account_id: int, subject: str) -> int:
    """Raises:
    IdentityTaken: it is another account's. BadUserInput: the account has it already.
    """
    added = await work.fetch(
        "INSERT INTO identity (account_id, kind, subject, verified_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING RETURNING id",
        account_id,
        PASSKEY,
        subject,
        utc_now(),
    )
    if added:
        return int(added[0][0])
    own = await work.fetch("SELECT 1 FROM identity WHERE kind = $1 AND subject = $2 AND account_id = $3", PASSKEY, subject, account_id)
    raise BadUserInput(field="credential", text="PASSKEY_KNOWN") if own else IdentityTaken(field="credential")


@unit_of_work
async def rename_passkey(work: Work, viewer: Viewer, policy: Policy, identity_id: int, name: str) -> OwnMethod:
    """Call a passkey of the viewer's otherwise.

    Raises:
        BadUserInput. NotFound: missing, no passkey, or another buyer's.
    """
    account_id, name = viewer.require_buyer(), require_passkey_name(name)
    renamed = await work.execute(
        "UPDATE passkey SET name = $1 WHERE identity_id = (SELECT id FROM identity WHERE id = $2 AND account_id = $3)",
        name,
        identity_id,
        account_id,
    )
    if not renamed:
        raise NotFound(field="id")
    work.record(viewer, "passkey_renamed", "account", account_id)
    return await _own(account_id, identity_id, policy)


async def _own(account_id: int, identity_id: int, policy: Policy) -> OwnMethod:
    methods = (await by_accounts([account_id], policy))[account_id]
    return OwnMethod(next(method for method in methods if method.id == identity_id), methods)


async def begin_passkey_sign_in(viewer: Viewer, settings: Settings) -> tuple[Challenge, str]:
    """A challenge for whoever has a passkey here, and what the browser is to ask of the device, as JSON.

    Raises:
        Failure: RATE_LIMITED.
    """
    await require_few("passkey", viewer.address, OF_NETWORK, WINDOW)
    challenge = await open_challenge(None)
    return challenge, request_options(settings, challenge)


async def sign_in_by_passkey(viewer: Viewer, settings: Settings, challenge_id: str, credential: str, stay: Stay = IN_BROWSER) -> Entry:
    """A new session of the passkey's owner. The device has asked for a finger or a code: that is both factors.

    Raises:
        InvalidCredentials: anything that does not fit. Failure: RATE_LIMITED.
    """
    await require_few("passkey-answer", viewer.address, OF_NETWORK, WINDOW)
    assertion = await check_assertion(settings, challenge_id, credential)
    entry = await _enter(viewer, settings, assertion, stay)
    if entry is None:
        raise refused()
    return entry


@unit_of_work
async def _enter(work: Work, viewer: Viewer, settings: Settings, assertion: Assertion, stay: Stay) -> Entry | None:
    return await enter(viewer, settings, assertion.account_id, stay) if await _use(work, viewer, assertion) else None


async def reauthenticate_by_passkey(viewer: Viewer, settings: Settings, challenge_id: str, credential: str) -> datetime:
    """Prove by a passkey of one's own who asks; until when that counts.

    Raises:
        InvalidCredentials: anything that does not fit, another account's passkey too. Failure: RATE_LIMITED.
    """
    account_id = viewer.require_buyer()
    await require_few("passkey-answer", viewer.address, OF_NETWORK, WINDOW)
    assertion = await check_assertion(settings, challenge_id, credential)
    until = await _prove(viewer, assertion) if assertion.account_id == account_id else None
    if until is None:
        raise refused()
    return until


@unit_of_work
async def _prove(work: Work, viewer: Viewer, assertion: Assertion) -> datetime | None:
    return await prove(viewer) if await _use(work, viewer, assertion) else None


async def _use(work: Work, viewer: Viewer, assertion: Assertion) -> bool:
    """Write down that the passkey was used. False where it has gone meanwhile, or where its count goes back: then somebody
    has a copy of it, and the owner is told, which stays although the sign-in is refused."""
    found = await work.fetch("SELECT sign_count, name FROM passkey WHERE identity_id = $1" + for_update(), assertion.identity_id)
    if not found:
        return False
    before, name = found[0]
    if not goes_on(assertion.sign_count, before):
        await _tell_of_copy(work, viewer, assertion.account_id, name)
        return False
    await work.execute(
        "UPDATE passkey SET sign_count = $1, backed_up = $2, last_used_at = $3 WHERE identity_id = $4",
        assertion.sign_count,
        assertion.backed_up,
        utc_now(),
        assertion.identity_id,
    )
    return True


async def _tell_of_copy(work: Work, viewer: Viewer, account_id: int, name: str) -> None:
    log.warning("a passkey's count went back: somebody may have a copy of it")
    work.record(viewer, "passkey_copy_suspected", "account", account_id)
    await tell(work, account_id, "passkey_copy_suspected", name=name)
