"""Signing in and out."""

from datetime import datetime

from auth.captcha import Solved, check_captcha, spend_captcha
from auth.guessing import count_attempt, forget_failures, is_alarmed, note_failure, subject_of
from auth.passwords import LONGEST, Passwords
from auth.phones import parse_phone
from auth.sessions import end_session, known_device
from auth.viewer import Viewer
from models.accounts import IdentityKind, fold_email
from models.database import fetch, for_share
from models.instants import utc_now
from models.refusals import BadUserInput, CaptchaFailed, InvalidCredentials
from models.sessions import IN_BROWSER, Stay
from models.unit_of_work import Work, unit_of_work
from resolvers.entry import Entry
from resolvers.second_factor import Asked, enter_or_ask, entered
from resolvers.sign_in_notices import tell_of_guesses
from settings import Settings


async def sign_in(
    viewer: Viewer, settings: Settings, passwords: Passwords, email: str, password: str, phone: str | None = None,
    captcha: str | None = None, stay: Stay = IN_BROWSER,
) -> Entry:  # fmt: skip
    """A new session; by `phone` where there is one, and `email` is empty then.

    Raises:
        BadUserInput: an empty or too long value. CaptchaFailed: sign-ins fail by the thousand, and `captcha` is no
            solution. RateLimited: too many failures. InvalidCredentials: anything else that does not fit; the same answer,
            after the same work, whether or not the address is known. SecondFactorRequired. Failure: RATE_LIMITED;
            OVERLOADED, and the attempt is not counted, for it was not looked at.
    """
    if phone is not None and email.strip():
        raise BadUserInput(field="phone", text="EMAIL_OR_PHONE")
    if phone is None and (not email.strip() or len(email) > 254):
        raise BadUserInput(field="email")
    if not password or len(password) > LONGEST:
        raise BadUserInput(field="password")
    way = (IdentityKind.EMAIL, fold_email(email)) if phone is None else (IdentityKind.PHONE, await parse_phone(phone))
    with passwords.turn():
        if await is_alarmed(settings):
            await _prove_human(settings, passwords, captcha)
        return await _prove_and_enter(viewer, settings, passwords, *way, password, stay)


async def _prove_and_enter(
    viewer: Viewer, settings: Settings, passwords: Passwords, kind: IdentityKind, address: str, password: str, stay: Stay
) -> Entry:
    subject = subject_of(address)
    found = await fetch(
        "SELECT i.account_id, p.hash, p.changed_at FROM identity i JOIN password p ON p.account_id = i.account_id "
        "WHERE i.kind = $1 AND i.subject = $2 AND i.verified_at IS NOT NULL",
        kind.value,
        address,
    )
    account_id, stored, changed_at = found[0] if found else (None, None, None)
    device = await known_device(viewer, account_id or 0)
    async with passwords.few_writing:
        await count_attempt(subject, viewer.address, device)
    if not await passwords.matches(stored, password) or account_id is None:
        await note_failure(settings)
        raise InvalidCredentials
    if stored is not None and passwords.is_outdated(stored):
        await _renew(account_id, stored, await passwords.hash(password))
    async with passwords.few_writing:
        return entered(await _enter(viewer, settings, account_id, changed_at, stay, subject, device))


async def _prove_human(settings: Settings, passwords: Passwords, captcha: str | None) -> None:
    """Use a captcha up, before anything is looked up: one solution is one attempt, whatever becomes of it.

    Raises:
        CaptchaFailed
    """
    if captcha is None:
        raise CaptchaFailed(field="captcha", text="CAPTCHA_NEEDED")
    await _spend(await check_captcha(settings, passwords, captcha))


@unit_of_work
async def _spend(work: Work, solved: Solved) -> None:
    await spend_captcha(work, solved)


@unit_of_work
async def _enter(
    work: Work, viewer: Viewer, settings: Settings, account_id: int, changed_at: object, stay: Stay, subject: str, device: str | None
) -> Entry | Asked:
    # A change of the password ends the sessions that it finds: one that came since the check must not let this one in.
    if not await work.fetch("SELECT 1 FROM password WHERE account_id = $1 AND changed_at = $2" + for_share(), account_id, changed_at):
        raise InvalidCredentials
    await tell_of_guesses(work, viewer, account_id, await forget_failures(subject, viewer.address, device))
    return await enter_or_ask(viewer, settings, account_id, stay)


@unit_of_work
async def _renew(work: Work, account_id: int, stored: str, renewed: str) -> None:
    """Keep a costlier hash of the same password, unless the password has been changed meanwhile."""
    await work.execute("UPDATE password SET hash = $1 WHERE account_id = $2 AND hash = $3", renewed, account_id, stored)


async def sign_out(viewer: Viewer) -> datetime:
    """End the viewer's session; the instant of it."""
    viewer.require_buyer()
    await end_session(viewer)
    return utc_now()
