"""What a buyer is told by mail of the ways into the account."""

from auth.guessing import FREE_FAILURES
from auth.viewer import Viewer
from models import letters
from models.accounts import Account
from models.instants import as_text, utc_now
from models.unit_of_work import Work


async def tell(work: Work, account_id: int, template: str, **values: str) -> None:
    """Mail the account's owner, at the address in force when the unit calls; nothing where there is none."""
    ((email, language),) = await work.fetch("SELECT email, language FROM account WHERE id = $1", account_id)
    if email:
        letters.mail(work, template, email, language, account_id=account_id, **values)


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
