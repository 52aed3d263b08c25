"""Adding an e-mail address to one's account, and changing it: asked for, proved by the mail's link, and only then in force."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from auth.guessing import count_mail, count_request, subject_of
from auth.in_standing import hold_in_standing
from auth.policy import policy_of
from auth.sessions import new_token, rotate, token_hash
from auth.step_up import require_recent
from auth.viewer import Viewer
from models.accounts import Account, IdentityKind, fold_email
from models.database import any_of, fetch
from models.email_changes import LINK_LASTS
from models.instants import as_instant, utc_now
from models.letters import mail
from models.reads import reads
from models.refusals import BadUserInput, CodeInvalid, IdentityTaken, NotFound, RateLimited
from models.sign_in_methods import masked
from models.standing import Deed
from models.unit_of_work import Work, unit_of_work
from resolvers.entry import Linked
from resolvers.passwords import owner_of
from resolvers.sign_in_notices import tell
from resolvers.sign_up import forget_unproved, require_address
from settings import Settings

EMAIL = IdentityKind.EMAIL
RESEND_AFTER, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
OF_ACCOUNT_A_DAY, MAILS_OF_ADDRESS = 10, 5


class Pending(NamedTuple):
    """An address that waits to be proved."""

    email: str
    expires_at: datetime


async def by_accounts(account_ids: Iterable[int]) -> dict[int, Pending]:
    """The address that each account waits for."""
    found = await fetch(
        f"SELECT account_id, email, ends_at FROM email_change WHERE {any_of('account_id', 2)} AND ends_at > $1", utc_now(), list(account_ids)
    )
    return {account_id: Pending(email, as_instant(ends_at)) for account_id, email, ends_at in found}  # type: ignore[arg-type]


async def request_email_change(viewer: Viewer, settings: Settings, email: str) -> None:
    """Mail a link that makes the address the viewer's; to one that another account has, a mail that says so.

    Raises:
        BadUserInput: no address, or the one that is in force. ReauthRequired. SignUpClosed: e-mail cannot be added in the
            buyer's region. RateLimited: asked for less than a minute ago, or too often today.
    """
    viewer.require_buyer()
    require_address(email)
    await require_recent(viewer)
    policy_of(settings).require_link(viewer.account.region, EMAIL)
    await _ask(viewer, settings, email.strip())


@unit_of_work
async def _ask(work: Work, viewer: Viewer, settings: Settings, email: str) -> None:
    account_id, subject = viewer.require_buyer(), fold_email(email)
    owner = await owner_of(work, subject)
    if owner is not None and owner[0] == account_id:
        raise BadUserInput(field="email", text="EMAIL_IS_YOURS")
    for key, most, window in (("minute", 1, RESEND_AFTER), ("day", OF_ACCOUNT_A_DAY, DAY)):
        wait = await count_request(f"email-change-{key}:{account_id}", most, window)
        if wait:
            raise RateLimited(wait)
    had_enough = await count_request(f"email-change:{subject_of(email)}", MAILS_OF_ADDRESS, HOUR) or await count_mail(email)
    token, at = new_token(), utc_now()
    await work.execute(
        "INSERT INTO email_change (account_id, token_hash, email, subject, asked_at, ends_at) VALUES ($1, $2, $3, $4, $5, $6) "
        "ON CONFLICT (account_id) DO UPDATE SET token_hash = excluded.token_hash, email = excluded.email, "
        "subject = excluded.subject, asked_at = excluded.asked_at, ends_at = excluded.ends_at",
        account_id,
        token_hash(token),
        email,
        subject,
        at,
        at + LINK_LASTS,
    )
    work.record(viewer, "email_change_requested", "account", account_id)
    if viewer.account.email:
        told = masked(EMAIL, subject) or ""
        mail(work, "email_change_requested", viewer.account.email, viewer.account.language, account_id=account_id, masked=told)
    if had_enough:
        return
    # Both are the letter of whoever asks: a copy of their data tells the same of either.
    if owner is None:
        link = f"{settings.base_url}/confirm-email?token={token}"
        mail(work, "confirm_email", email, viewer.account.language, account_id=account_id, link=link)
    else:
        mail(work, "email_taken", owner[1], owner[2], account_id=account_id)


async def confirm_email_change(viewer: Viewer, token: str) -> Linked:
    """Make the address of a link the viewer's own, in place of the one before; the account with it, and the session's new token.

    Only for the account that asked, signed in: a stranger who has somebody else follow the link gets nothing by it.

    Raises:
        CodeInvalid: wrong, used, replaced, too old, or another account's. IdentityTaken: another account has proved the address
            meanwhile; whoever has the link reads its mail, and may know. Nothing waits any longer then.
    """
    try:
        return await _confirm(viewer, token)
    except IdentityTaken:
        await _give_up(viewer, token)
        raise


@unit_of_work
async def _give_up(work: Work, viewer: Viewer, token: str) -> None:
    await work.execute("DELETE FROM email_change WHERE token_hash = $1 AND account_id = $2", token_hash(token), viewer.require_buyer())


@unit_of_work
async def _confirm(work: Work, viewer: Viewer, token: str) -> Linked:
    account_id = viewer.require_buyer()
    before = await hold_in_standing(viewer, Deed.CHANGE_WAYS_IN)
    known = token_hash(token), account_id, utc_now()
    found = await work.fetch("SELECT email, subject FROM email_change WHERE token_hash = $1 AND account_id = $2 AND ends_at > $3", *known)
    if not found:
        raise CodeInvalid(field="token")
    email, subject = found[0]
    # The unique identity comes first: of two who confirm one address at once, the other waits here and holds nothing.
    await _identify(work, account_id, subject)
    if not await work.execute("DELETE FROM email_change WHERE token_hash = $1 AND account_id = $2 AND ends_at > $3", *known):
        raise CodeInvalid(field="token")
    await forget_unproved(work, subject)
    change = {"masked": masked(EMAIL, subject) or ""}
    await tell(work, account_id, "email_changed", **change)  # at the contact in force until now
    await work.execute("UPDATE account SET email = $1 WHERE id = $2", email, account_id)
    await work.execute("DELETE FROM password_reset WHERE account_id = $1", account_id)  # links that went to the address before
    work.record(viewer, "email_changed", "account", account_id)
    if email != before.email:
        mail(work, "email_changed", email, before.language, account_id=account_id, **change)
    account = await reads(Account).one("id = $1", account_id)
    assert account is not None
    return Linked(account, await rotate(work, viewer))


async def _identify(work: Work, account_id: int, subject: str) -> None:
    await work.execute(
        "DELETE FROM identity WHERE kind = $1 AND (account_id = $2 OR (subject = $3 AND verified_at IS NULL))", EMAIL.value, account_id, subject
    )
    identified = await work.execute(
        "INSERT INTO identity (account_id, kind, subject, verified_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        account_id,
        EMAIL.value,
        subject,
        utc_now(),
    )
    if not identified:
        raise IdentityTaken(field="token")


@unit_of_work
async def cancel_email_change(work: Work, viewer: Viewer) -> None:
    """Have the viewer's address stay as it is; the link that was mailed is void.

    Raises:
        NotFound: nothing waits.
    """
    account_id = viewer.require_buyer()
    if not await work.execute("DELETE FROM email_change WHERE account_id = $1 AND ends_at > $2", account_id, utc_now()):
        raise NotFound
    work.record(viewer, "email_change_cancelled", "account", account_id)
