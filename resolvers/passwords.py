"""Passwords: what a new one must be, changing it, and setting a new one where it is forgotten."""

from collections.abc import Iterable
from datetime import timedelta
from urllib.parse import urlsplit

from auth.captcha import Solved, check_captcha, spend_captcha
from auth.guessing import (
    count_attempt,
    count_mail,
    count_request,
    forget_account,
    forget_failures,
    require_few,
    subject_of,
)
from auth.passwords import LONGEST, Passwords
from auth.sessions import end_other_sessions, new_token, rotate, token_hash
from auth.strength import weakness_of
from auth.viewer import Viewer
from models.accounts import IdentityKind, as_proved, fold_email, is_email
from models.database import any_of, fetch
from models.instants import utc_now
from models.letters import mail, withhold_mail
from models.passwords import RESET_LASTS
from models.refusals import BadUserInput, CodeInvalid, InvalidCredentials, PasswordTooWeak
from models.sign_in_methods import REACHING
from models.unit_of_work import Work, unit_of_work
from resolvers.sign_in_notices import tell_of_password
from settings import Settings

HOUR = timedelta(hours=1)
RESETS_OF_NETWORK, RESETS_OF_ADDRESS = 10, 3
SITE = ("kabinet", "кабинет")


def require_alike(password: str, again: str, field: str) -> None:
    """Refuse what cannot be a password, before anything is computed of it.

    Raises:
        BadUserInput: too long, or typed differently; names the field.
    """
    if len(password) > LONGEST:
        raise BadUserInput(field=field)
    if password != again:
        raise BadUserInput(field=f"{field}Again", text="PASSWORDS_DIFFER")


async def require_strong(settings: Settings, passwords: Passwords, password: str, about: Iterable[str | None], field: str) -> None:
    """Refuse a password that would be guessed. `about`: what others know of the buyer, null where nothing.

    Raises:
        PasswordTooWeak: with the reason. Failure: OVERLOADED.
    """
    least = settings.password_min_length
    known = [*SITE, urlsplit(settings.base_url).hostname or "", *filter(None, about)]
    weakness = await passwords.run(lambda: weakness_of(password, known, least))
    if weakness is not None:
        raise PasswordTooWeak(weakness, field=field, least=least)


async def change_password(
    viewer: Viewer, settings: Settings, passwords: Passwords, current: str, new: str, new_again: str
) -> str:
    """Set another password; the present session goes on under the new token that is the answer, all others end.

    Raises:
        BadUserInput, PasswordTooWeak. RateLimited: too many wrong ones. InvalidCredentials: `current` is not the
            password, or there is none. Failure: OVERLOADED, and the attempt is not counted.
    """
    account_id = viewer.require_buyer()
    if not current or len(current) > LONGEST:
        raise BadUserInput(field="current")
    require_alike(new, new_again, "new")
    with passwords.turn():
        return await _prove_and_change(viewer, settings, passwords, account_id, current, new)


async def _prove_and_change(viewer: Viewer, settings: Settings, passwords: Passwords, account_id: int, current: str, new: str) -> str:
    account = viewer.account
    subject = f"proof:{account_id}"  # its own counter: with a stolen session nobody makes the owner wait at the door
    await count_attempt(subject, viewer.address)
    found = await fetch("SELECT hash FROM password WHERE account_id = $1", account_id)
    stored = found[0][0] if found else None
    if not await passwords.matches(stored, current) or stored is None:
        raise InvalidCredentials(text="WRONG_PASSWORD", field="current")
    await forget_failures(subject, viewer.address)
    await require_strong(settings, passwords, new, (account.display_name, account.email, account.phone), "new")
    return await _change(viewer, stored, await passwords.hash(new))


@unit_of_work
async def _change(work: Work, viewer: Viewer, stored: str, renewed: str) -> str:
    account = viewer.account
    changed = await work.execute(
        "UPDATE password SET hash = $1, changed_at = $2 WHERE account_id = $3 AND hash = $4", renewed, utc_now(), account.id, stored
    )
    if not changed:  # another change came first: what was typed as the current one is no longer
        raise InvalidCredentials(text="WRONG_PASSWORD", field="current")
    for table in ("password_reset", "email_change"):
        await work.execute(f"DELETE FROM {table} WHERE account_id = $1", account.id)
    # A thief's browser is one that is told of again.
    await work.execute("DELETE FROM known_device WHERE account_id = $1 AND token_hash <> $2", account.id, token_hash(viewer.device or ""))
    await end_other_sessions(work, account.id, viewer.session_id)
    work.record(viewer, "password_changed", "account", account.id)
    await tell_of_password(work, account.id)
    return await rotate(work, viewer)


async def request_password_reset(viewer: Viewer, settings: Settings, passwords: Passwords, email: str, captcha: str) -> None:
    """Mail a link that sets a new password; to an address without an account, a mail that says so.

    Where strangers have had very many mails sent to a mailbox, its owner still gets the link.

    Raises:
        BadUserInput, CaptchaFailed. Failure: RATE_LIMITED, the network has asked too often; OVERLOADED.
    """
    if not is_email(email):
        raise BadUserInput(field="email")
    with passwords.turn():
        await require_few("reset", viewer.address, RESETS_OF_NETWORK, HOUR)
        await _post_link(viewer, settings, email, await check_captcha(settings, passwords, captcha))


@unit_of_work
async def _post_link(work: Work, viewer: Viewer, settings: Settings, email: str, solved: Solved) -> None:
    await spend_captcha(work, solved)
    if await count_request(f"reset:{subject_of(email)}", RESETS_OF_ADDRESS, HOUR):
        return
    had_enough = await count_mail(email)
    owner = await owner_of(work, fold_email(email))
    token, at = new_token(), utc_now()
    await work.execute(
        "INSERT INTO password_reset (account_id, token_hash, ends_at, identity_id) "
        "VALUES ($1, $2, $3, (SELECT id FROM identity WHERE kind = $4 AND subject = $5))",
        owner and owner[0],
        token_hash(token),
        at + RESET_LASTS,
        IdentityKind.EMAIL.value,
        fold_email(email),
    )
    if owner is None and had_enough:
        withhold_mail(work)
        return
    if owner is None:
        mail(work, "no_account", email.strip(), viewer.language, account_id=None)
        return
    account_id, address, language = owner
    # Nobody's deed: in a copy of their own data whoever asked, signed in elsewhere, would read that the address is known.
    work.record(None, "password_reset_requested", "account", account_id)
    link = f"{settings.base_url}/reset-password?token={token}"
    mail(work, "reset_password", address, language, account_id=account_id, link=link)


async def owner_of(work: Work, subject: str) -> tuple[int, str, str] | None:
    """Whose a folded address is that was proved: the account, the address as it was proved, the language.

    Mail goes to that one, never to what somebody has typed: two mailboxes may fold to the same text.
    """
    found = await work.fetch(
        "SELECT a.id, a.email, a.language FROM identity i JOIN account a ON a.id = i.account_id "
        "WHERE i.kind = $1 AND i.subject = $2 AND i.verified_at IS NOT NULL",
        IdentityKind.EMAIL.value,
        subject,
    )
    if not found:
        return None
    account_id, email, language = found[0]
    return account_id, as_proved(subject, email), language


async def reset_password(viewer: Viewer, settings: Settings, passwords: Passwords, token: str, password: str, again: str) -> None:
    """Set a new password by a link's token; all sessions end.

    Raises:
        BadUserInput, PasswordTooWeak: the link stays good. CodeInvalid: wrong, used or too old, or mailed to an address that
            is the account's no longer.
    """
    require_alike(password, again, "password")
    with passwords.turn():
        found = await fetch(
            "SELECT a.display_name, a.email, a.phone FROM password_reset r JOIN account a ON a.id = r.account_id "
            "JOIN identity i ON i.id = r.identity_id AND i.account_id = a.id WHERE r.token_hash = $1 AND r.ends_at > $2",
            token_hash(token),
            utc_now(),
        )
        if not found:
            raise CodeInvalid(field="token")
        await require_strong(settings, passwords, password, found[0], "password")
        await _reset(viewer, token, await passwords.hash(password))


@unit_of_work
async def _reset(work: Work, viewer: Viewer, token: str, renewed: str) -> None:
    at = utc_now()
    taken = await work.fetch(
        "DELETE FROM password_reset WHERE token_hash = $1 AND ends_at > $2 AND EXISTS (SELECT 1 FROM identity i "
        "WHERE i.id = password_reset.identity_id AND i.account_id = password_reset.account_id) RETURNING account_id",
        token_hash(token),
        at,
    )
    if not taken:  # of two that come at once the second finds nothing
        raise CodeInvalid(field="token")
    account_id = taken[0][0]
    for table in ("password_reset", "email_change", "known_device"):  # a thief's browser is one that is told of again
        await work.execute(f"DELETE FROM {table} WHERE account_id = $1", account_id)
    await set_password(work, account_id, renewed)
    await end_other_sessions(work, account_id, None)
    work.record(viewer, "password_reset", "account", account_id)
    reached = [kind.value for kind in REACHING]
    proved = await work.fetch(
        f"SELECT subject FROM identity WHERE account_id = $1 AND verified_at IS NOT NULL AND {any_of('kind', 2, 'text')}", account_id, reached
    )
    for (subject,) in proved:  # the password is one for all of them, and so are the guesses at it
        await forget_account(subject_of(subject))
    await tell_of_password(work, account_id)


async def set_password(work: Work, account_id: int, hashed: str) -> None:
    """Keep the hash of the account's password, whether or not it had one."""
    await set_passwords(work, [(account_id, hashed)])


async def set_passwords(work: Work, hashes: Iterable[tuple[int, str]]) -> None:
    """The same for many accounts."""
    await work.execute_each(
        "INSERT INTO password (account_id, hash, changed_at) VALUES ($1, $2, $3) "
        "ON CONFLICT (account_id) DO UPDATE SET hash = excluded.hash, changed_at = excluded.changed_at",
        [(account_id, hashed, utc_now()) for account_id, hashed in hashes],
    )
