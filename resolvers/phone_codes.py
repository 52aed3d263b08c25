"""Signing up, signing in and linking by a code that comes to a phone."""

from dataclasses import dataclass

from auth.in_standing import hold_in_standing
from auth.passwords import Passwords
from auth.phone_codes import Tried, Wanted, send_code, try_code, use_code
from auth.phones import parse_phone
from auth.policy import policy_of
from auth.sessions import rotate
from auth.step_up import require_recent
from auth.viewer import Viewer
from models.accounts import Account, IdentityKind
from models.instants import utc_now
from models.phone_codes import CodePurpose
from models.reads import reads
from models.refusals import ErrorCode, IdentityTaken, NotFound, Refusal
from models.sessions import IN_BROWSER, Stay
from models.sign_in_methods import masked
from models.standing import Deed
from models.unit_of_work import Work, unit_of_work
from resolvers.accounts import GivenAccount, require_account
from resolvers.entry import Entry, Linked
from resolvers.second_factor import Asked, enter_or_ask, entered
from resolvers.sign_in_notices import tell
from settings import Settings

PHONE = IdentityKind.PHONE.value


@dataclass(frozen=True, slots=True)
class Newcomer:
    """What a future buyer says of themselves."""

    display_name: str
    language: str
    region: str
    currency: str


async def request_phone_code(
    viewer: Viewer, settings: Settings, passwords: Passwords, phone: str, purpose: CodePurpose, captcha: str | None = None
) -> str:
    """Send a code; the challenge that it answers. The same work whether or not the number is known.

    Raises:
        BadUserInput: no number, or of a country that is not served. RateLimited. CaptchaFailed: much of what may be sent in a
            day is sent, and `captcha` is no solution. For LINK: NotInStanding, ReauthRequired, SignUpClosed.
    """
    number = await parse_phone(phone, settings.sms_countries)
    if purpose is not CodePurpose.LINK:
        return await send_code(viewer, settings, passwords, Wanted(number, purpose), captcha)
    account_id = viewer.require_buyer()
    viewer.require_may(Deed.CHANGE_WAYS_IN)
    await require_recent(viewer)
    policy_of(settings).require_link(viewer.account.region, IdentityKind.PHONE)
    return await send_code(viewer, settings, passwords, Wanted(number, purpose, account_id), captcha)


async def verify_phone_code(
    viewer: Viewer, settings: Settings, challenge: str, code: str, newcomer: Newcomer, stay: Stay = IN_BROWSER
) -> Entry | Linked:
    """Sign in, or sign up, by a code: an entry. Or add its number to the account that asked.

    Raises:
        CodeInvalid, CodeAttemptsExceeded. To sign up: BadUserInput, SignUpClosed. To sign in: NotFound, nobody has the
        number. To link: NotInStanding, ReauthRequired, IdentityTaken. None of the latter uses the code up; SecondFactorRequired
        does.
    """
    tried = await try_code(challenge, code, viewer.account_id)
    if tried.purpose is CodePurpose.LINK:
        return await _link(viewer, tried)
    return entered(await _enter(viewer, settings, tried, newcomer, stay))


@unit_of_work
async def _enter(work: Work, viewer: Viewer, settings: Settings, tried: Tried, newcomer: Newcomer, stay: Stay) -> Entry | Asked:
    await use_code(work, tried)
    found = await work.fetch(
        "SELECT account_id FROM identity WHERE kind = $1 AND subject = $2 AND verified_at IS NOT NULL", PHONE, tried.phone
    )
    if found:
        account_id = found[0][0]
    elif tried.purpose is CodePurpose.SIGN_IN:
        raise NotFound(text="NOBODY_HAS_PHONE")
    else:
        account_id = await _sign_up(work, viewer, settings, tried.phone, newcomer)
    return await enter_or_ask(viewer, settings, account_id, stay)


async def _sign_up(work: Work, viewer: Viewer, settings: Settings, phone: str, newcomer: Newcomer) -> int:
    given = GivenAccount("", newcomer.display_name, None, phone, newcomer.language, newcomer.region, newcomer.currency)
    require_account(given)
    policy_of(settings).require_sign_up(given.region, IdentityKind.PHONE)
    ((account_id,),) = await work.fetch(
        "INSERT INTO account (display_name, phone, language, region, currency, created_at) VALUES ($1, $2, $3, $4, $5, $6) RETURNING id",
        given.display_name.strip(),
        phone,
        given.language,
        given.region,
        given.currency,
        utc_now(),
    )
    if not await _identify(work, account_id, phone):
        raise Refusal(ErrorCode.CONFLICT)  # two codes for one number at once; the one who tries again signs in
    await work.create_counters([account_id])
    work.record(viewer, "account_created", "account", account_id)
    return account_id


@unit_of_work
async def _link(work: Work, viewer: Viewer, tried: Tried) -> Linked:
    """Make the number the viewer's own, in place of the one that they had."""
    account_id = viewer.require_buyer()
    await hold_in_standing(viewer, Deed.CHANGE_WAYS_IN)
    await require_recent(viewer)
    await use_code(work, tried)
    # Told at the contact in force until now, which may be the number that goes.
    await tell(work, account_id, "sign_in_method_added", kind=PHONE, masked=masked(IdentityKind.PHONE, tried.phone) or "")
    await work.execute("DELETE FROM identity WHERE kind = $1 AND account_id = $2", PHONE, account_id)
    if not await _identify(work, account_id, tried.phone):
        raise IdentityTaken(field="challengeId")
    await work.execute("UPDATE account SET phone = $1 WHERE id = $2", tried.phone, account_id)
    work.record(viewer, "sign_in_method_added", "account", account_id, kind=PHONE)
    account = await reads(Account).one("id = $1", account_id)
    assert account is not None
    return Linked(account, await rotate(work, viewer))


async def _identify(work: Work, account_id: int, phone: str) -> bool:
    """Let the account be signed in to by a number just proved. False: another account has proved it."""
    await work.execute("DELETE FROM identity WHERE kind = $1 AND subject = $2 AND verified_at IS NULL", PHONE, phone)
    return bool(
        await work.execute(
            "INSERT INTO identity (account_id, kind, subject, verified_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            account_id,
            PHONE,
            phone,
            utc_now(),
        )
    )
