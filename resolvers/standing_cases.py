"""Cases: what signals have put before staff, and what staff make of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from auth.viewer import Viewer
from models.accounts import Account
from models.database import any_of, for_update
from models.pages import Key, Keyset, Page, Window, page
from models.reads import reads
from models.refusals import ErrorCode, Refusal
from models.standing_cases import CaseState, StandingCase, require_open
from models.unit_of_work import Work, unit_of_work
from resolvers.bulk import RowResult, RowStatus, pending, repeated, results_of
from resolvers.standing import Change, Decision, change_standings, require_possible, worded

CASES = Keyset("standingCases", (Key("opened_at", datetime), Key("id", int)))


@dataclass(frozen=True, slots=True)
class GivenOutcome:
    """What staff make of a case; `decision` None: nothing. `external_id` is the case's id as it was sent."""

    external_id: str
    case_id: int
    decision: Decision | None


async def standing_cases(viewer: Viewer, states: Sequence[CaseState] | None, window: Window) -> Page:
    """The cases in these states, or all, the newest first; scope standing."""
    viewer.require_scope("standing")
    wanted = [state.value for state in (CaseState if states is None else states)]
    return await page(reads(StandingCase), any_of("state", 1, "text"), [wanted], CASES, window)


async def decide_cases(viewer: Viewer, rows: Sequence[GivenOutcome]) -> list[RowResult]:
    """Dismiss cases, or decide about the standing of their accounts; scope standing."""
    viewer.require_scope("standing")
    return await repeated(_decide, viewer, rows)


@unit_of_work
async def _decide(work: Work, viewer: Viewer, rows: Sequence[GivenOutcome]) -> list[RowResult]:
    results = results_of(rows, lambda row: row.case_id or row.external_id)
    case_ids = [row.case_id for row in rows]
    accounts = await _locked(work, case_ids)
    cases = await reads(StandingCase).by_id(case_ids)
    closed: list[tuple[Any, CaseState]] = []
    changes: list[Change] = []
    for row, result in pending(rows, results):
        try:
            case = _open(cases.get(row.case_id))
            if row.decision is not None:
                changes.append(_change(accounts[case.account_id], row.decision, viewer.now))
        except Refusal as refusal:
            result.refuse(refusal)
            continue
        result.status = RowStatus.UPDATED
        closed.append((case, CaseState.DISMISSED if row.decision is None else CaseState.DECIDED))
    await work.execute_each(
        "UPDATE standing_case SET state = $2, closed_at = $3, staff_id = $4 WHERE id = $1",
        [(case.id, state.value, viewer.now, viewer.staff_id) for case, state in closed],
    )
    for case, state in closed:
        work.record(viewer, f"case_{state.value.lower()}", "standing_case", case.id, account_id=case.account_id)
    await change_standings(work, viewer, viewer.now, changes)
    return results


async def _locked(work: Work, case_ids: list[int]) -> dict[int, Any]:
    """The cases' accounts, locked: two who decide about one wait for each other, and the second finds it decided."""
    source = reads(Account)
    found = await work.fetch(
        f"SELECT {source.columns} FROM account WHERE id IN (SELECT account_id FROM standing_case WHERE {any_of('id', 1)}) "
        f"ORDER BY id{for_update()}",
        case_ids,
    )
    return {account.id: account for account in source.decode(found)}


def _open(case: Any | None) -> Any:
    """Raises:
    Refusal: NOT_FOUND, there is no such case; WRONG_STATE, it is closed.
    """
    if case is None:
        raise Refusal(ErrorCode.NOT_FOUND, field="caseId")
    require_open(case)
    return case


def _change(account: Any, given: Decision, now: datetime) -> Change:
    decision = worded(given)
    require_possible(account, decision, now)
    return Change(account, decision)
