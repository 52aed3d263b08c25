"""Signing in by a provider: whose account it is, a new one for whoever has none, and adding a provider to an account.

The key is the provider's subject. An e-mail address opens an account only where the provider is the one who gives out
its mailboxes, and only an account that has proved the same address.
"""

from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from babel.core import get_global
from babel.numbers import get_territory_currencies

from auth.in_standing import hold_in_standing
from auth.policy import Policy, policy_of
from auth.provider_sign_in import Adding, Begun, open_flow
from auth.providers.provider import Profile, Provider
from auth.sessions import end_other_sessions, rotate
from auth.step_up import require_recent
from auth.viewer import Viewer
from models.accounts import Account, IdentityKind, fold_email
from models.instants import utc_now
from models.reads import reads
from models.refusals import ErrorCode, IdentityTaken, Refusal
from models.standing import Deed, require_may
from models.storage_failures import is_taken
from models.unit_of_work import Work, unit_of_work
from resolvers.entry import Entry
from resolvers.provider_identities import add_identity, notify, owner_of_identity
from resolvers.second_factor import Asked, enter_or_ask, entered, forget_second_factor, has_second_factor
from resolvers.sign_up import forget_unproved
from settings import Settings

FALLBACK_REGION, FALLBACK_CURRENCY = "US", "USD"

P = ParamSpec("P")
T = TypeVar("T")


async def begin(viewer: Viewer, provider: Provider, browser: str, return_to: str, region: str, *, link: bool) -> str:
    """The state of a sign-in that begins; with `link` it will add the provider to the viewer's account.

    Raises:
        NotInStanding. Unauthenticated, Refusal: REAUTH_REQUIRED, the account's owner has to sign in first. Failure: RATE_LIMITED.
    """
    if link:
        viewer.require_may(Deed.CHANGE_WAYS_IN)
        await require_recent(viewer)
    return await open_flow(viewer, provider, browser, Begun(viewer.session_id if link else None, return_to, region))


def region_of(asked: str | None, accept_language: str | None) -> str:
    """The ISO 3166 code of the country that a new account is for: the one asked for, or that of the browser's language."""
    likely = get_global("likely_subtags")
    for tag in [f"-{asked}" if asked else "", *(accept_language or "")[:256].split(",")]:
        language, _, territory = tag.partition(";")[0].strip().partition("-")
        region = (territory or likely.get(language.lower(), "").rpartition("_")[2]).rpartition("-")[2].upper()
        if len(region) == 2 and region in get_global("territory_currencies"):
            return region
    return FALLBACK_REGION


async def sign_in_by(viewer: Viewer, settings: Settings, provider: Provider, profile: Profile, region: str) -> Entry:
    """A new session of whoever the profile belongs to, on an account that is opened for them if there is none.

    Raises:
        Refusal: ACCOUNT_LINK_REQUIRES_SIGN_IN, an account has proved the profile's address. SignUpClosed: the policy opens
            no account in this way, or has closed the provider, or adding it, in the account's region. SecondFactorRequired.
    """
    return entered(await _once_more(_arrive, viewer, settings, provider, profile, region))


async def link(viewer: Viewer, settings: Settings, provider: Provider, profile: Profile) -> str:
    """Add the provider to the viewer's account; the session's new token.

    Raises:
        NotInStanding. IdentityTaken: another account signs in with it. SignUpClosed: the policy does not let it be added.
    """
    viewer.require_buyer()
    policy_of(settings).require_link(viewer.account.region, provider.kind)
    return await _once_more(_link, viewer, provider, profile)


async def _once_more(unit: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Two first sign-ins of one buyer at once: the unique identity decides, and the other finds what the first made."""
    try:
        return await unit(*args, **kwargs)
    except Exception as error:
        if not is_taken(error):
            raise
    return await unit(*args, **kwargs)


@unit_of_work
async def _link(work: Work, viewer: Viewer, provider: Provider, profile: Profile) -> str:
    account_id = (await hold_in_standing(viewer, Deed.CHANGE_WAYS_IN)).id
    owner = await owner_of_identity(work, provider.kind, profile.subject)
    if owner not in (None, account_id):
        raise IdentityTaken
    if owner is None:
        await add_identity(work, viewer, account_id, provider.kind, profile.subject)
        await notify(work, account_id, provider.kind)
    return await rotate(work, viewer)


@unit_of_work
async def _arrive(work: Work, viewer: Viewer, settings: Settings, provider: Provider, profile: Profile, region: str) -> Entry | Asked:
    account_id, adding = await _account_of(work, viewer, policy_of(settings), provider, profile, region)
    return await enter_or_ask(viewer, settings, account_id, adding=adding)


async def _account_of(
    work: Work, viewer: Viewer, policy: Policy, provider: Provider, profile: Profile, region: str
) -> tuple[int, Adding | None]:
    """The account of the profile's owner, and what is added to it only once its second factor is answered."""
    owner = await owner_of_identity(work, provider.kind, profile.subject)
    if owner is not None:
        ((home,),) = await work.fetch("SELECT region FROM account WHERE id = $1", owner)
        policy.require_sign_in(home, provider.kind)
        return owner, None
    if profile.email is not None:
        known = await _of_address(work, viewer, policy, provider, profile)
        if known is not None:
            return known
    policy.require_sign_up(region, provider.kind)
    return await _open_account(work, viewer, provider, profile, region), None


def gives_out_mailboxes(kind: IdentityKind, profile: Profile) -> bool:
    """Whether the provider itself runs the mailbox, so that whoever signs in there reads its mail."""
    if kind is not IdentityKind.GOOGLE or not profile.email_verified or profile.email is None:
        return False
    return profile.hosted_domain is not None or fold_email(profile.email).endswith("@gmail.com")


def is_same_mailbox(told: str, proved: str | None) -> bool:
    """Whether two addresses that fold alike are one mailbox: beyond ASCII two domains may, as straße and strasse do."""
    return told.isascii() and (proved or "").isascii()


async def _of_address(work: Work, viewer: Viewer, policy: Policy, provider: Provider, profile: Profile) -> tuple[int, Adding | None] | None:
    """The account that has the profile's address, if the provider may open it; None where nobody has proved the address.

    The provider is added to it, where it has a second factor once that is answered: the mailbox alone opens nothing there.

    Raises:
        Refusal: ACCOUNT_LINK_REQUIRES_SIGN_IN. SignUpClosed: the policy lets nobody of the account's region add the provider.
        NotInStanding: the account is blocked, and gets no further way in.
    """
    assert profile.email is not None
    # The update holds the row, so that the address is neither proved nor given up meanwhile.
    found = await work.fetch(
        "UPDATE identity SET subject = subject WHERE kind = $1 AND subject = $2 RETURNING id, account_id, verified_at",
        IdentityKind.EMAIL.value,
        fold_email(profile.email),
    )
    if not found:
        return None
    address_id, account_id, verified_at = found[0]
    account = await reads(Account).one("id = $1", account_id)
    assert account is not None
    proven = gives_out_mailboxes(provider.kind, profile) and is_same_mailbox(profile.email, account.email)
    if verified_at is None:
        proven = proven and policy.way(account.region, provider.kind).link
        claimed = await _claimed(work, viewer, account_id, provider, profile) if proven else None
        return None if claimed is None else (claimed, None)
    if not proven:
        raise Refusal(ErrorCode.ACCOUNT_LINK_REQUIRES_SIGN_IN)
    policy.require_link(account.region, provider.kind)
    require_may(account, Deed.CHANGE_WAYS_IN, viewer.now)
    if await has_second_factor(work, account_id):
        return account_id, Adding(provider.kind, profile.subject, address_id)
    await add_identity(work, viewer, account_id, provider.kind, profile.subject)
    await notify(work, account_id, provider.kind)
    return account_id, None


async def _claimed(work: Work, viewer: Viewer, account_id: int, provider: Provider, profile: Profile) -> int | None:
    """Somebody has named the address and never proved it; its owner is here now.

    An account that nothing else has proved becomes the owner's, without anything that its maker could come back with.
    One that has an owner by another way stays theirs and loses the address.
    """
    assert profile.email is not None
    others = await work.fetch("SELECT 1 FROM identity WHERE account_id = $1 AND verified_at IS NOT NULL LIMIT 1", account_id)
    if others:
        await forget_unproved(work, fold_email(profile.email))
        await work.execute("UPDATE account SET email = NULL WHERE id = $1", account_id)
        work.record(viewer, "address_lost", "account", account_id)
        return None
    for table in ("password", "password_reset", "email_change", "known_device"):
        await work.execute(f"DELETE FROM {table} WHERE account_id = $1", account_id)
    await forget_second_factor(work, account_id)
    await work.execute("DELETE FROM identity WHERE account_id = $1 AND kind <> $2", account_id, IdentityKind.EMAIL.value)
    await work.execute("UPDATE identity SET verified_at = $1 WHERE account_id = $2", utc_now(), account_id)
    await end_other_sessions(work, account_id, None)
    await forget_unproved(work, fold_email(profile.email))
    name = profile.name or provider.title
    await work.execute("UPDATE account SET phone = NULL, display_name = $1 WHERE id = $2", name, account_id)
    work.record(viewer, "account_claimed", "account", account_id)
    await add_identity(work, viewer, account_id, provider.kind, profile.subject)
    return account_id


async def _open_account(work: Work, viewer: Viewer, provider: Provider, profile: Profile, region: str) -> int:
    """A new account. The profile's address is not written down: nobody has proved it to us."""
    currencies = get_territory_currencies(region)
    found = await work.fetch(
        "INSERT INTO account (display_name, language, region, currency, created_at) VALUES ($1, $2, $3, $4, $5) RETURNING id",
        profile.name or provider.title,
        viewer.language,
        region,
        currencies[0] if currencies else FALLBACK_CURRENCY,
        utc_now(),
    )
    account_id = found[0][0]
    await work.create_counters([account_id])
    work.record(viewer, "account_created", "account", account_id, by=provider.kind.value)
    await add_identity(work, viewer, account_id, provider.kind, profile.subject)
    return account_id
