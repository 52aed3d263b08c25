"""Standing: what staff and operators decide about accounts, and who is told."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from auth.sessions import end_other_sessions
from auth.viewer import Viewer
from models import clock
from models.accounts import Account, IdentityKind, Level, StandingReason, fold_email
from models.database import any_of, for_update
from models.free_text import cleaned
from models.instants import as_text
from models.letters import mail
from models.reads import reads
from models.refusals import BadUserInput, ErrorCode, NotFound, Refusal
from models.rows import insert_rows
from models.standing import LONGEST_TEXT, StandingChange, require_decision, standing_of
from models.unit_of_work import Work, unit_of_work
from resolvers.bulk import RowResult, RowStatus, pending, repeated, results_of

LARGEST_ID = 2**63


class Decision(NamedTuple):
    """What an account's standing is to be. `text` is for the buyer; `until` None: with an open end."""

    level: Level
    reason: StandingReason | None = None
    text: str | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class GivenStanding:
    """A decision as the platform names it, about an account that it names by its own id or by ours."""

    external_id: str
    account_external_id: str | None
    account_id: int | None
    decision: Decision


class Change(NamedTuple):
    """A decision about one account (its row), ready to be written."""

    account: Any
    decision: Decision
    external_id: str | None = None


async def set_standings(viewer: Viewer, rows: Sequence[GivenStanding]) -> list[RowResult]:
    """Set the standing of accounts, each decision once by its external id; scope standing."""
    viewer.require_scope("standing")
    return await repeated(_set, viewer, rows)


def worded(decision: Decision) -> Decision:
    """The decision with its text cleaned; only one for the better needs none.

    Raises:
        BadUserInput: nothing is said to the buyer, or too much. Refusal: CARD_DATA_REJECTED.
    """
    if decision.text is None and decision.level is not Level.GOOD:
        raise BadUserInput(field="text")
    return decision._replace(text=None if decision.text is None else cleaned(decision.text, "text", LONGEST_TEXT))


def require_possible(account: Any, decision: Decision, now: datetime) -> None:
    """Refuse what cannot be decided about an account (its row).

    Raises:
        BadUserInput: names the field. Refusal: WRONG_STATE, the account was erased.
    """
    require_decision(decision.level, decision.reason, decision.until, now)
    if account.standing_level is Level.CLOSED:
        raise Refusal(ErrorCode.WRONG_STATE)


@unit_of_work
async def _set(work: Work, viewer: Viewer, rows: Sequence[GivenStanding]) -> list[RowResult]:
    results = results_of(rows)
    found = await _named(work, rows)
    known = await reads(StandingChange).by_external_id(row.external_id for row in rows)
    changes = []
    for row, result in pending(rows, results):
        try:
            account, decision, present = _account_of(row, found), worded(row.decision), known.get(row.external_id)
            if present is None:
                require_possible(account, decision, viewer.now)
                changes.append(Change(account, decision, row.external_id))
                result.status = RowStatus.CREATED
            elif (account.id, *decision) != (present.account_id, present.level, present.reason, present.text, present.until):
                raise Refusal(ErrorCode.CONFLICT, field="externalId")
        except Refusal as refusal:
            result.refuse(refusal)
    await change_standings(work, viewer, viewer.now, changes)
    return results


async def _named(work: Work, rows: Sequence[GivenStanding]) -> list[Any]:
    """The accounts that are named, locked: who changes the standing of one waits for who does so too."""
    source = reads(Account)
    return source.decode(
        await work.fetch(
            f"SELECT {source.columns} FROM account WHERE {any_of('external_id', 1, 'text')} OR {any_of('id', 2)} ORDER BY id{for_update()}",
            [row.account_external_id for row in rows if row.account_external_id is not None],
            [row.account_id for row in rows if row.account_id is not None],
        )
    )


def _account_of(row: GivenStanding, found: Sequence[Any]) -> Any:
    """Raises:
    BadUserInput: named by both ids, or by none. Refusal: UNKNOWN_REFERENCE.
    """
    by_external_id = row.account_external_id is not None
    if by_external_id is (row.account_id is not None):
        raise BadUserInput(field="accountExternalId")
    for account in found:
        if (account.external_id == row.account_external_id) if by_external_id else (account.id == row.account_id):
            return account
    raise Refusal(ErrorCode.UNKNOWN_REFERENCE, field="accountExternalId" if by_external_id else "accountId")


async def change_standings(work: Work, viewer: Viewer | None, at: datetime, changes: Sequence[Change]) -> None:
    """Write what was decided by `viewer` (None: by the operator, or the service itself) about accounts that are locked,
    tell the buyers, and have their connections looked at."""
    if not changes:
        return
    staff_id = viewer.staff_id if viewer else None
    await insert_rows(
        work.connection,
        "standing_change",
        "external_id, account_id, level, reason, text, staff_id, at, until",
        "text bigint text text text bigint timestamptz timestamptz",
        [
            (external_id, account.id, decision.level.value, decision.reason and decision.reason.value, decision.text, staff_id, at, decision.until)
            for account, decision, external_id in changes
        ],
    )
    await work.execute_each(
        "UPDATE account SET standing_level = $2, standing_reason = $3, standing_text = $4, standing_since = $5, standing_until = $6 WHERE id = $1",
        [
            (account.id, decision.level.value, decision.reason and decision.reason.value, decision.text, at, decision.until)
            for account, decision, _ in changes
        ],
    )
    levels: dict[int, Level] = {}
    for account, decision, _ in changes:
        reason = decision.reason.value if decision.reason else None
        work.record(viewer, "standing_changed", "account", account.id, at=at, level=decision.level.value, reason=reason)
        if {decision.level, levels.get(account.id, standing_of(account, at).level)} != {Level.GOOD}:
            _tell(work, account, decision)
        levels[account.id] = decision.level
    await _recheck(work, changes)


def _tell(work: Work, account: Any, decision: Decision) -> None:
    """Write to the buyer."""
    if account.email is None or decision.level is Level.CLOSED:
        return
    mail(
        work,
        "standing_changed",
        account.email,
        account.language,
        account_id=account.id,
        level=decision.level.value,
        reason=decision.reason.value if decision.reason else "",
        text=decision.text or "",
        until_at=as_text(decision.until) if decision.until else "",
    )


async def _recheck(work: Work, changes: Sequence[Change]) -> None:
    """Have every process look at these accounts' sessions now; those of a closed account end."""
    for account, decision, _ in changes:
        if decision.level is Level.CLOSED:
            await end_other_sessions(work, account.id, None)
    live = await work.fetch(
        f"SELECT id FROM session WHERE revoked_at IS NULL AND {any_of('account_id', 1)}", [change.account.id for change in changes]
    )
    work.announce(*(f"session:{session_id}" for (session_id,) in live))


async def account_named(name: str) -> Any:
    """The account that an operator means: by the platform's id, an e-mail address that signs in to it, or `#` and its number.

    Raises:
        NotFound
    """
    found = await reads(Account).one("external_id = $1", name)
    if found is None and "@" in name:
        found = await reads(Account).one(
            "id = (SELECT account_id FROM identity WHERE kind = $1 AND subject = $2)", IdentityKind.EMAIL.value, fold_email(name)
        )
    number = name.removeprefix("#")
    if found is None and name.startswith("#") and number.isdecimal() and int(number) < LARGEST_ID:
        found = await reads(Account).one("id = $1", int(number))
    if found is None:
        raise NotFound
    return found


async def ban(name: str, decision: Decision, lasts: timedelta | None = None) -> None:
    """Decide about an account as the operator of the service, from the command line; `lasts` None: with an open end.

    Raises:
        NotFound: there is no such account. BadUserInput: names the field. Refusal: WRONG_STATE, it was erased.
    """
    now = await clock.now()
    decision = worded(decision)._replace(until=now + lasts if lasts else None)
    await _ban((await account_named(name)).id, decision, now)


@unit_of_work
async def _ban(work: Work, account_id: int, decision: Decision, now: datetime) -> None:
    account = await locked(work, account_id)
    require_possible(account, decision, now)
    await change_standings(work, None, now, [Change(account, decision)])


async def locked(work: Work, account_id: int) -> Any:
    """The account's row, locked to the end of the unit."""
    source = reads(Account)
    (account,) = source.decode(await work.fetch(f"SELECT {source.columns} FROM account WHERE id = $1{for_update()}", account_id))
    return account


async def revoke_sessions(name: str) -> int:
    """End all sessions of an account from the command line; how many that were.

    Raises:
        NotFound: there is no such account.
    """
    return await _revoke_sessions((await account_named(name)).id)


@unit_of_work
async def _revoke_sessions(work: Work, account_id: int) -> int:
    ended = await end_other_sessions(work, account_id, None)
    work.record(None, "sessions_revoked", "account", account_id, sessions=ended)
    return ended
