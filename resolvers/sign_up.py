"""Signing up by e-mail: asked for, proved by the mail's link, and only then an account."""

import hmac
import re
from dataclasses import dataclass
from datetime import timedelta

from auth.captcha import Solved, captcha_challenge, check_captcha, spend_captcha
from auth.guessing import count_mail, count_request, require_few, subject_of
from auth.passwords import Passwords
from auth.policy import policy_of
from auth.sessions import new_token, token_hash
from auth.viewer import Viewer
from models.accounts import IdentityKind, fold_email, is_email
from models.database import fetch
from models.instants import as_instant, utc_now
from models.letters import mail
from models.refusals import BadUserInput, CodeInvalid, PasswordNeeded
from models.sign_up import ACTIVATION_LASTS
from models.unit_of_work import Work, unit_of_work
from resolvers.accounts import GivenAccount, require_account
from resolvers.entry import Entry, enter
from resolvers.passwords import owner_of, require_alike, require_strong, set_password
from settings import Settings

HOUR = timedelta(hours=1)
SIGN_UPS_OF_NETWORK, MAILS_OF_ADDRESS = 30, 5
LONGEST_VERSION, LONGEST_PROOF = 40, 200
_NOT_IN_ADDRESSES = re.compile(r'[<>()\[\]\\,;:"]')


@dataclass(frozen=True, slots=True)
class GivenSignUp:
    """What a future buyer has typed. `terms_version` names the terms that they have agreed to."""

    email: str
    display_name: str
    password: str
    password_again: str
    captcha: str
    terms_version: str
    language: str
    region: str
    currency: str


async def challenge(settings: Settings) -> str:
    """A new captcha, as JSON for its widget."""
    return await captcha_challenge(settings)


async def sign_up(viewer: Viewer, settings: Settings, passwords: Passwords, given: GivenSignUp) -> str:
    """Mail a link that makes the account; to an address that has one, a mail that says so. The same work either way.

    Gives what the browser, which may have it already, shows to be known when it follows the link.

    Raises:
        BadUserInput, SignUpClosed, CaptchaFailed, PasswordTooWeak: nothing is written, and the captcha is not used up.
        Failure: RATE_LIMITED, the network has asked too often; OVERLOADED.
    """
    require_sign_up(settings, given)
    known = viewer.browser and len(viewer.browser) <= LONGEST_PROOF  # so that the links of several sign-ups are all good there
    proof = viewer.browser if viewer.browser and known else new_token()
    with passwords.turn():
        await require_few("sign-up", viewer.address, SIGN_UPS_OF_NETWORK, HOUR)
        solved = await check_captcha(settings, passwords, given.captcha)
        await require_strong(settings, passwords, given.password, (given.display_name, given.email), "password")
        await _keep(settings, given, await passwords.hash(given.password), proof, solved)
    return proof


def require_address(email: str) -> None:
    """Refuse what no mail is to be sent to.

    Raises:
        BadUserInput.
    """
    if _NOT_IN_ADDRESSES.search(email) or not is_email(email):
        raise BadUserInput(field="email")


def require_sign_up(settings: Settings, given: GivenSignUp) -> None:
    """Refuse what cannot be an account, or not in this region.

    Raises:
        BadUserInput: names the field. SignUpClosed: e-mail is no way to sign up there.
    """
    require_address(given.email)
    require_account(GivenAccount("", given.display_name, given.email, None, given.language, given.region, given.currency))
    if not given.terms_version.strip() or len(given.terms_version) > LONGEST_VERSION or not given.terms_version.isprintable():
        raise BadUserInput(field="termsVersion")
    require_alike(given.password, given.password_again, "password")
    policy_of(settings).require_sign_up(given.region, IdentityKind.EMAIL)


@unit_of_work
async def _keep(work: Work, settings: Settings, given: GivenSignUp, hashed: str, proof: str, solved: Solved) -> None:
    await spend_captcha(work, solved)
    if await count_request(f"sign-up:{subject_of(given.email)}", MAILS_OF_ADDRESS, HOUR) or await count_mail(given.email):
        return
    subject, at, token = fold_email(given.email), utc_now(), new_token()
    owner = await owner_of(work, subject)
    await work.execute(
        "INSERT INTO sign_up (token_hash, browser_hash, subject, email, display_name, password_hash, terms_version, language, "
        "region, currency, created_at, ends_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        token_hash(token),
        token_hash(proof),
        subject,
        given.email.strip(),
        given.display_name.strip(),
        "" if owner else hashed,
        given.terms_version,
        given.language,
        given.region,
        given.currency,
        at,
        at if owner else at + ACTIVATION_LASTS,
    )
    if owner is None:
        # Nothing that a stranger has typed goes into a mail to somebody who has not asked for it.
        mail(work, "activate", given.email.strip(), given.language, account_id=None, link=f"{settings.base_url}/activate?token={token}")
        return
    account_id, address, language = owner
    # Nobody's deed: in a copy of their own data whoever asked, signed in elsewhere, would read that the address is known.
    work.record(None, "sign_up_of_known_address", "account", account_id)
    mail(work, "already_registered", address, language, account_id=account_id)


async def activate(
    viewer: Viewer, settings: Settings, passwords: Passwords, token: str, proof: str | None, password: str | None, again: str | None
) -> Entry:
    """Make the account that a sign-up asked for, and sign in to it.

    Anybody can sign up with anybody's address: the password typed then counts only in the browser that typed it, shown
    by its cookie or by `proof`. Elsewhere whoever reads the address's mail sets their own.

    Raises:
        CodeInvalid: the token is wrong, used or too old, or the address has been proved for an account meanwhile.
        PasswordNeeded, BadUserInput, PasswordTooWeak: the link stays good. Failure: OVERLOADED, the same.
    """
    if password is None:
        return await _follow(viewer, settings, token, proof)
    require_alike(password, again or "", "password")
    with passwords.turn():
        about = (await _asked_for(token))[1:]
        await require_strong(settings, passwords, password, about, "password")
        return await _activate(viewer, settings, token, await passwords.hash(password))


async def _follow(viewer: Viewer, settings: Settings, token: str, proof: str | None) -> Entry:
    browser_hash = (await _asked_for(token))[0]
    if not hmac.compare_digest(token_hash(proof or viewer.browser or ""), browser_hash):
        raise PasswordNeeded(field="password")
    return await _activate(viewer, settings, token, None)


async def _asked_for(token: str) -> tuple[str, str, str]:
    """The browser that signed up, hashed, and what others know of the buyer: name and address.

    Raises:
        CodeInvalid
    """
    found = await fetch(
        "SELECT browser_hash, display_name, email FROM sign_up WHERE token_hash = $1 AND ends_at > $2", token_hash(token), utc_now()
    )
    if not found:
        raise CodeInvalid(field="token")
    browser_hash, name, email = found[0]
    return browser_hash, name, email


@unit_of_work
async def _activate(work: Work, viewer: Viewer, settings: Settings, token: str, chosen: str | None) -> Entry:
    found = await work.fetch(
        "DELETE FROM sign_up WHERE token_hash = $1 AND ends_at > $2 RETURNING "
        "subject, email, display_name, password_hash, terms_version, language, region, currency, created_at",
        token_hash(token),
        utc_now(),
    )
    if not found:
        raise CodeInvalid(field="token")
    subject, email, display_name, hashed, terms, language, region, currency, accepted_at = found[0]
    await forget_unproved(work, subject)
    account_id = await _open_account(work, subject, email, display_name, language, region, currency)
    await set_password(work, account_id, chosen or hashed)
    await work.execute(
        "INSERT INTO terms_acceptance (account_id, version, accepted_at) VALUES ($1, $2, $3)", account_id, terms, as_instant(accepted_at)
    )
    work.record(viewer, "account_created", "account", account_id)
    return await enter(viewer, settings, account_id)


async def _open_account(work: Work, subject: str, email: str, name: str, language: str, region: str, currency: str) -> int:
    """A new account with its proved address.

    Raises:
        CodeInvalid: of two links for one address, followed at once, the unique subject lets one account come about.
    """
    at = utc_now()
    ((account_id,),) = await work.fetch(
        "INSERT INTO account (display_name, email, language, region, currency, created_at) VALUES ($1, $2, $3, $4, $5, $6) RETURNING id",
        name,
        email,
        language,
        region,
        currency,
        at,
    )
    identified = await work.execute(
        "INSERT INTO identity (account_id, kind, subject, verified_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        account_id,
        IdentityKind.EMAIL.value,
        subject,
        at,
    )
    if not identified:
        raise CodeInvalid(field="token")
    await work.create_counters([account_id])
    return int(account_id)


async def forget_unproved(work: Work, subject: str) -> None:
    """Somebody has proved a folded address: what others have asked for in its name, unproved, is void.

    Their sign-ups go with their passwords, and where their account was given the address unproved, it loses it. Changes to it
    go on waiting, for nothing, so that who asked for one does not learn by it that the owner is here.
    """
    await work.execute("UPDATE email_change SET token_hash = 'void ' || CAST(account_id AS TEXT) WHERE subject = $1", subject)
    await work.execute("DELETE FROM sign_up WHERE subject = $1", subject)
    await work.execute(
        "DELETE FROM identity WHERE kind = $1 AND subject = $2 AND verified_at IS NULL", IdentityKind.EMAIL.value, subject
    )
