"""What a buyer is told of the ways into the account: by mail, and of what is most serious by text message where there is no address."""

import logging
from datetime import timedelta

from auth.guessing import FREE_FAILURES, count_request, subject_of
from auth.phone_codes import count_sms, most_sms
from auth.viewer import Viewer
from models import letters
from models.accounts import Account, IdentityKind
from models.database import opened
from models.find_account import told_ways
from models.instants import as_text, utc_now
from models.unit_of_work import Work

DAY = timedelta(days=1)
TEXTS_OF_NUMBER_A_DAY = 5
BY_TEXT_TOO = frozenset(
    {
        "account_deletion_requested",
        "email_changed",
        "password_changed",
        "refresh_reuse",
        "second_factor_off",
        "second_factor_on",
        "sign_in_method_added",
        "sign_in_method_removed",
    }
)
"""What is told by text message where there is no address, in the words of the template with `_sms` behind its name."""

log = logging.getLogger("kabinet.notices")


async def tell(work: Work, account_id: int, template: str, **values: str) -> None:
    """Tell the account's owner, at the address in force when the unit calls; where there is none, at the number proved until then."""
    ((email, language),) = await work.fetch("SELECT email, language FROM account WHERE id = $1", account_id)
    if email:
        letters.mail(work, template, email, language, account_id=account_id, **values)
    elif template in BY_TEXT_TOO:
        for kind, subject in await _proved(work, account_id):
            if kind is IdentityKind.PHONE:
                await _text(work, account_id, template, subject, language, values)


async def _text(work: Work, account_id: int, template: str, phone: str, language: str, values: dict[str, str]) -> None:
    """Within bounds: whoever has got in causes notices as they like, and the operator pays for each."""
    counter = f"notices:{subject_of(phone)}"
    if await count_request(counter, TEXTS_OF_NUMBER_A_DAY, DAY) or await count_sms(most_sms(opened().settings, is_owner=False)):
        log.warning("the day's text messages are used up: nobody is told by %s_sms", template)
        return
    letters.sms(work, f"{template}_sms", phone, language, account_id=account_id, **values)


async def tell_of_password(work: Work, account_id: int) -> None:
    """Tell that the password is another one, and the ways of signing in that there are: a thief may have added some."""
    await tell(work, account_id, "password_changed", ways=told_ways(await _proved(work, account_id)))


async def _proved(work: Work, account_id: int) -> list[tuple[IdentityKind, str]]:
    found = await work.fetch("SELECT kind, subject FROM identity WHERE account_id = $1 AND verified_at IS NOT NULL ORDER BY id", account_id)
    return [(IdentityKind(kind), subject) for kind, subject in found]


async def tell_of_new_browser(work: Work, viewer: Viewer, account: Account) -> None:
    """Mail that somebody has signed in from a browser that is not known, unless nobody ever had before.

    Call it before the session and the browser of this sign-in are written.
    """
    if account.email is None:
        return
    before = await work.fetch(
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM session WHERE account_id = $1) "
        "OR EXISTS (SELECT 1 FROM known_device WHERE account_id = $1)",
        account.id,
    )
    if before:
        letters.mail(work, "new_sign_in", account.email, account.language, account_id=account.id, **_whence(viewer))


async def tell_of_guesses(work: Work, viewer: Viewer, account_id: int, failures: int) -> None:
    """Mail that a sign-in has succeeded after so many failures that somebody may have guessed."""
    if failures >= FREE_FAILURES:
        await tell(work, account_id, "sign_in_after_failures", failures=str(failures), **_whence(viewer))


def _whence(viewer: Viewer) -> dict[str, str]:
    return {"when": as_text(utc_now()), "address": viewer.address or "—", "agent": viewer.agent or "—"}
