"""The second factor: asked for after the first proof of whichever way of signing in, and answered by a code."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple

from auth.provider_sign_in import Adding, carried, carrying
from auth.second_factor import count_code, forget_wrong_codes, spend_code
from auth.sessions import new_token, token_hash
from auth.viewer import Viewer
from models.accounts import share_account
from models.database import any_of, fetch
from models.instants import as_instant, utc_now
from models.refusals import CodeAttemptsExceeded, CodeInvalid, Failure, RateLimited, SecondFactorRequired
from models.second_factor import CHALLENGE_LASTS, MOST_TRIES
from models.sessions import IN_BROWSER, Stay
from models.standing import NotInStanding
from models.unit_of_work import Work, unit_of_work
from resolvers.entry import Entry, enter
from resolvers.provider_identities import add_by_mailbox
from resolvers.sign_in_notices import tell, tell_of_guesses
from settings import Settings


class Asked(NamedTuple):
    """A sign-in that waits for the second factor; `challenge` is told once."""

    challenge: str
    expires_at: datetime
    recovery_codes_left: int


class InForce(NamedTuple):
    """An account's second factor that is on."""

    enabled_at: datetime
    recovery_codes_left: int


async def by_accounts(account_ids: Iterable[int]) -> dict[int, InForce]:
    """The second factor of each account that has one."""
    found = await fetch(
        "SELECT f.account_id, f.enabled_at, (SELECT count(*) FROM recovery_code r WHERE r.account_id = f.account_id) "
        f"FROM second_factor f WHERE {any_of('f.account_id', 1)} AND f.enabled_at IS NOT NULL",
        list(account_ids),
    )
    return {account_id: InForce(as_instant(enabled_at), left) for account_id, enabled_at, left in found}  # type: ignore[arg-type]


async def has_second_factor(work: Work, account_id: int) -> bool:
    """Whether sign-ins to the account are asked for a code; until the unit ends that does not change."""
    await share_account(work, account_id)
    return account_id in await by_accounts([account_id])


@unit_of_work
async def enter_or_ask(
    work: Work, viewer: Viewer, settings: Settings, account_id: int, stay: Stay = IN_BROWSER, adding: Adding | None = None
) -> Entry | Asked:
    """What a right first proof opens: a session, or a challenge where the account has a second factor.

    The challenge's answer adds the provider that is `adding`. An answer and no exception: the challenge, and what the first
    proof has used up, are to be committed. Whoever calls this hands the answer through `entered` once they are.
    """
    # A second factor ends the sessions that it finds when it goes on: one that begins just now is to see it, or be found.
    await share_account(work, account_id)
    found = (await by_accounts([account_id])).get(account_id)
    if found is None:
        return await enter(viewer, settings, account_id, stay)
    challenge, at = new_token(), utc_now()
    if adding is not None:
        challenge = await carrying(challenge, account_id, adding, settings)
    await work.execute(
        "INSERT INTO second_factor_challenge (challenge_hash, account_id, device_hash, created_at, ends_at, tries) "
        "VALUES ($1, $2, $3, $4, $5, 0)",
        token_hash(challenge),
        account_id,
        token_hash(viewer.device) if viewer.device else None,
        at,
        at + CHALLENGE_LASTS,
    )
    return Asked(challenge, at + CHALLENGE_LASTS, found.recovery_codes_left)


def entered(found: Entry | Asked) -> Entry:
    """The entry, if it is one.

    Raises:
        SecondFactorRequired: it waits for a code.
    """
    if isinstance(found, Asked):
        raise SecondFactorRequired(found.challenge, found.expires_at, found.recovery_codes_left)
    return found


async def answer_second_factor(viewer: Viewer, settings: Settings, challenge: str, code: str, stay: Stay = IN_BROWSER) -> Entry:
    """A new session, by the code that a sign-in waits for.

    Raises:
        CodeInvalid: wrong or used, or the challenge is unknown, used, too old or another browser's. CodeAttemptsExceeded: it
            has been answered wrongly five times. RateLimited: the account has been, lately.
    """
    account_id = await _tried(viewer, challenge)
    if account_id is None:
        raise await _refused(challenge)
    try:
        await count_code(viewer, account_id)
    except (RateLimited, Failure):
        await _give_back(challenge)
        raise
    return await _answer(viewer, settings, account_id, challenge, code, stay)


@unit_of_work(single=True)
async def _tried(work: Work, viewer: Viewer, challenge: str) -> int | None:
    """One try counted: committed before the code is looked at, so that tries made at once are five too. Whose sign-in it is."""
    found = await work.fetch(
        "UPDATE second_factor_challenge SET tries = tries + 1 WHERE challenge_hash = $1 AND used_at IS NULL AND ends_at > $2 "
        f"AND tries < {MOST_TRIES} AND coalesce(device_hash, $3) = $3 RETURNING account_id",
        token_hash(challenge),
        utc_now(),
        token_hash(viewer.device or ""),
    )
    return int(found[0][0]) if found else None


@unit_of_work(single=True)
async def _give_back(work: Work, challenge: str) -> None:
    """A try that has to wait was none."""
    await work.fetch("UPDATE second_factor_challenge SET tries = tries - 1 WHERE challenge_hash = $1 RETURNING id", token_hash(challenge))


async def _refused(challenge: str) -> CodeInvalid | CodeAttemptsExceeded:
    """Why there is no try left."""
    worn_out = await fetch(
        f"SELECT 1 FROM second_factor_challenge WHERE challenge_hash = $1 AND tries >= {MOST_TRIES} AND used_at IS NULL AND ends_at > $2",
        token_hash(challenge),
        utc_now(),
    )
    return CodeAttemptsExceeded(field="code", text="SIGN_IN_ANEW") if worn_out else CodeInvalid(field="code")


@unit_of_work
async def _answer(
    work: Work, viewer: Viewer, settings: Settings, account_id: int, challenge: str, code: str, stay: Stay
) -> Entry:
    await share_account(work, account_id)
    if not await work.execute(
        "UPDATE second_factor_challenge SET used_at = $1 WHERE challenge_hash = $2 AND used_at IS NULL", utc_now(), token_hash(challenge)
    ):
        raise CodeInvalid(field="code")  # of two right codes at once the second finds it used
    await spend_and_tell(work, settings, account_id, code)
    await tell_of_guesses(work, viewer, account_id, await forget_wrong_codes(viewer, account_id))
    adding = await carried(challenge, account_id, settings)
    if adding is not None:
        with suppress(NotInStanding):  # whoever was blocked meanwhile comes in as before
            await add_by_mailbox(work, viewer, account_id, adding)
    return await enter(viewer, settings, account_id, stay)


async def spend_and_tell(work: Work, settings: Settings, account_id: int, code: str) -> None:
    """Use up a code of the account's second factor; one on paper is told by mail, with how many there are still.

    Raises:
        CodeInvalid
    """
    if await spend_code(work, settings, account_id, code):
        ((left,),) = await work.fetch("SELECT count(*) FROM recovery_code WHERE account_id = $1", account_id)
        await tell(work, account_id, "recovery_code_used", left=str(left))


async def forget_second_factor(work: Work, account_id: int) -> None:
    """Nothing of the account's second factor is left, and nobody is asked for it."""
    for table in ("recovery_code", "second_factor", "second_factor_challenge"):
        await work.execute(f"DELETE FROM {table} WHERE account_id = $1", account_id)
