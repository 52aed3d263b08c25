"""Leaving: a buyer asks for the end of their account, and may change their mind."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from auth.in_standing import hold_in_standing
from auth.sessions import end_other_sessions
from auth.step_up import require_recent
from auth.viewer import Viewer
from models.database import any_of, fetch, for_update
from models.instants import as_instant, as_text
from models.leaving import ERASURE, GRACE, UNSETTLED, AccountDeletion, require_free
from models.letters import mail
from models.orders import Order
from models.protection import AFTER_SALE
from models.reads import reads
from models.refusals import Unauthenticated
from models.standing import Deed
from models.timers import set_timer, stop_timer
from models.unit_of_work import Work, unit_of_work
from resolvers.sign_in_notices import tell


class Leaver(NamedTuple):
    """Where a buyer who leaves, or stays, is told."""

    email: str | None
    language: str


async def deletions_of(account_ids: Iterable[int]) -> dict[int, Any]:
    """The deletions that accounts wait for."""
    found = await reads(AccountDeletion).where(any_of("account_id", 1), list(account_ids))
    return {row.account_id: row for row in found}


@unit_of_work
async def delete_account(work: Work, viewer: Viewer) -> datetime:
    """Let the viewer's account be erased in seven days; when. All sessions end, the present one too.

    Asked for again it stays at the first date.

    Raises:
        ReauthRequired. Unavailable: DISPUTE_OPEN, or WRONG_STATE while money is held; with the date where it is known.
    """
    account_id = viewer.require_buyer()
    await require_recent(viewer)
    await hold_in_standing(viewer, Deed.LEAVE)
    require_free(await reads(Order).where(UNSETTLED, account_id, viewer.now - AFTER_SALE), viewer.now)
    begun = await work.fetch(
        "INSERT INTO account_deletion (account_id, requested_at, erase_at) VALUES ($1, $2, $3) "
        "ON CONFLICT (account_id) DO NOTHING RETURNING erase_at",
        account_id,
        viewer.now,
        viewer.now + GRACE,
    )
    await end_other_sessions(work, account_id, None)
    if not begun:
        return (await deletions_of([account_id]))[account_id].erase_at
    await set_timer(work, ERASURE, account_id, viewer.now + GRACE)
    work.record(viewer, "account_deletion_requested", "account", account_id)
    await tell(work, account_id, "account_deletion_requested", when=as_text(viewer.now + GRACE))
    erase_at = as_instant(begun[0][0])
    assert erase_at is not None
    return erase_at


@unit_of_work
async def keep_account(work: Work, viewer: Viewer) -> None:
    """Take the wish to leave back; without one nothing happens.

    Raises:
        Unauthenticated: nobody is signed in, or the account has been erased meanwhile.
    """
    account_id = viewer.require_buyer()
    leaver = await locked_leaver(work, account_id)
    if not await work.execute("DELETE FROM account_deletion WHERE account_id = $1", account_id):
        return
    await stop_timer(work, ERASURE, account_id)
    work.record(viewer, "account_kept", "account", account_id)
    if leaver.email:
        mail(work, "account_kept", leaver.email, leaver.language, account_id=account_id)


async def locked_leaver(work: Work, account_id: int) -> Leaver:
    """The account, locked: leaving, staying and erasing pass one by one.

    Raises:
        Unauthenticated: it has been erased.
    """
    ((email, language),) = await work.fetch("SELECT email, language FROM account WHERE id = $1" + for_update(), account_id)
    if await fetch("SELECT 1 FROM erasure WHERE account_id = $1", account_id):
        raise Unauthenticated
    return Leaver(email, language)
