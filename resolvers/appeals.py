"""Appeals: a buyer who does not agree with a decision, and staff who look at it once more."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from auth.viewer import Viewer
from models.accounts import Level
from models.appeals import (
    BY_BUYER,
    OVER,
    Appeal,
    AppealAuthor,
    AppealMessage,
    AppealState,
    require_answerable,
    require_appealable,
    require_next,
)
from models.database import any_of, for_update
from models.free_text import cleaned
from models.letters import mail
from models.pages import Key, Keyset, Page, Window, page
from models.reads import reads
from models.refusals import BadUserInput, ErrorCode, NotFound, Refusal
from models.standing import LONGEST_TEXT, standing_of
from models.unit_of_work import Work, unit_of_work
from resolvers.bulk import RowResult, RowStatus, pending, repeated, results_of
from resolvers.standing import Change, Decision, change_standings, locked

APPEALS = Keyset("appeals", (Key("opened_at", datetime), Key("id", int)))


@dataclass(frozen=True, slots=True)
class GivenVerdict:
    """Where staff take an appeal, and what they say to the buyer with it. `external_id` is the appeal's id as it was sent."""

    external_id: str
    appeal_id: int
    state: AppealState
    text: str | None = None


@unit_of_work
async def appeal(work: Work, viewer: Viewer, text: str) -> Any:
    """Appeal against the viewer's standing.

    Raises:
        BadUserInput: nothing is said, or too much. Refusal: CARD_DATA_REJECTED. Unavailable: WRONG_STATE, there is nothing
            to appeal against; ALREADY_ASKED, one is open; TOO_EARLY, within 30 days of the one before.
    """
    account_id = viewer.require_buyer()
    said = cleaned(text, "text", LONGEST_TEXT)
    account = await locked(work, account_id)  # two taps wait for each other here, and the second finds the first one's
    require_appealable(standing_of(account, viewer.now), await latest(account_id), viewer.now)
    written = await work.fetch(
        "INSERT INTO appeal (account_id, change_id, state, opened_at) "
        "SELECT account_id, max(id), $2, $3 FROM standing_change WHERE account_id = $1 GROUP BY account_id RETURNING id",
        account_id,
        AppealState.OPEN.value,
        viewer.now,
    )
    appeal_id = written[0][0]
    await _say(work, appeal_id, account_id, viewer, said)
    work.record(viewer, "appeal_opened", "appeal", appeal_id)
    return await reads(Appeal).one("id = $1", appeal_id)


@unit_of_work
async def answer_appeal(work: Work, viewer: Viewer, text: str) -> Any:
    """Tell staff what they have asked for; the appeal is in review again.

    Raises:
        BadUserInput: nothing is said, or too much. Refusal: CARD_DATA_REJECTED. Unavailable: WRONG_STATE, nothing is asked.
    """
    account_id = viewer.require_buyer()
    said = cleaned(text, "text", LONGEST_TEXT)
    await locked(work, account_id)
    found = await latest(account_id)
    require_answerable(found)
    assert found is not None
    await work.execute("UPDATE appeal SET state = $1 WHERE id = $2", BY_BUYER[found.state].value, found.id)
    await _say(work, found.id, account_id, viewer, said)
    work.record(viewer, "appeal_answered", "appeal", found.id)
    return await reads(Appeal).one("id = $1", found.id)


async def _say(work: Work, appeal_id: int, account_id: int, viewer: Viewer, text: str) -> None:
    author = AppealAuthor.BUYER if viewer.staff_id is None else AppealAuthor.STAFF
    await work.execute(
        "INSERT INTO appeal_message (appeal_id, account_id, author, staff_id, text, at) VALUES ($1, $2, $3, $4, $5, $6)",
        appeal_id,
        account_id,
        author.value,
        viewer.staff_id,
        text,
        viewer.now,
    )


async def latest(account_id: int) -> Any | None:
    """The account's latest appeal."""
    return (await by_accounts([account_id])).get(account_id)


async def own_appeal(viewer: Viewer, appeal_id: int) -> Any:
    """Raises:
    NotFound: there is none, or it is another buyer's.
    """
    found = await reads(Appeal).one("id = $1 AND account_id = $2", appeal_id, viewer.require_buyer())
    if found is None:
        raise NotFound(field="id")
    return found


async def by_accounts(account_ids: Iterable[int]) -> dict[int, Any]:
    """The latest appeal of each account that has made one."""
    found = await reads(Appeal).where(
        f"id IN (SELECT max(id) FROM appeal WHERE {any_of('account_id', 1)} GROUP BY account_id)", list(account_ids)
    )
    return {row.account_id: row for row in found}


async def messages_of(appeal_ids: Iterable[int]) -> dict[int, list[Any]]:
    """What was said in each appeal, the first first."""
    return await reads(AppealMessage).by("appeal_id", appeal_ids, "id")


async def appeals(viewer: Viewer, states: Sequence[AppealState] | None, window: Window) -> Page:
    """The appeals in these states, or all, the newest first; scope standing."""
    viewer.require_scope("standing")
    wanted = [state.value for state in (AppealState if states is None else states)]
    return await page(reads(Appeal), any_of("state", 1, "text"), [wanted], APPEALS, window)


async def decide_appeals(viewer: Viewer, rows: Sequence[GivenVerdict]) -> list[RowResult]:
    """Take appeals from state to state; scope standing. What is granted restores the account's good standing."""
    viewer.require_scope("standing")
    return await repeated(_decide, viewer, rows)


@unit_of_work
async def _decide(work: Work, viewer: Viewer, rows: Sequence[GivenVerdict]) -> list[RowResult]:
    results = results_of(rows, lambda row: row.appeal_id or row.external_id)
    found = await _locked(work, [row.appeal_id for row in rows])
    for row, result in pending(rows, results):
        present = found.get(row.appeal_id)
        try:
            if present is None:
                raise Refusal(ErrorCode.NOT_FOUND, field="appealId")
            said = await _required(work, viewer, row, present)
        except Refusal as refusal:
            result.refuse(refusal)
            continue
        result.status = RowStatus.UPDATED
        await _move(work, viewer, present, row.state, said)
    return results


async def _locked(work: Work, appeal_ids: list[int]) -> dict[int, Any]:
    # Accounts first, as whoever changes a standing does: nobody waits for each other.
    await work.fetch(
        f"SELECT id FROM account WHERE id IN (SELECT account_id FROM appeal WHERE {any_of('id', 1)}) ORDER BY id{for_update()}", appeal_ids
    )
    return await reads(Appeal).by_id(appeal_ids)


async def _required(work: Work, viewer: Viewer, row: GivenVerdict, present: Any) -> str | None:
    """The text of a verdict that may be given.

    Raises:
        BadUserInput: it says nothing to the buyer. Refusal: WRONG_STATE; CONFLICT, it was decided by the same staff.
    """
    require_next(present.state, row.state)
    if row.text is None and row.state in (AppealState.REJECTED, AppealState.NEEDS_INFO):
        raise BadUserInput(field="text")
    said = None if row.text is None else cleaned(row.text, "text", LONGEST_TEXT)
    own = await work.fetch(
        "SELECT 1 FROM standing_change WHERE account_id = $1 AND id >= $2 AND staff_id = $3 LIMIT 1",
        present.account_id, present.change_id, viewer.staff_id,
    )  # fmt: skip
    if own:
        raise Refusal(ErrorCode.CONFLICT, field="appealId", text="OWN_DECISION")
    return said


async def _move(work: Work, viewer: Viewer, present: Any, state: AppealState, said: str | None) -> None:
    await work.execute(
        "UPDATE appeal SET state = $2, decided_at = $3, staff_id = $4 WHERE id = $1",
        present.id, state.value, viewer.now if state in OVER else None, viewer.staff_id,
    )  # fmt: skip
    if said is not None:
        await _say(work, present.id, present.account_id, viewer, said)
    work.record(viewer, "appeal_moved", "appeal", present.id, state=state.value)
    account = await locked(work, present.account_id)
    if state is AppealState.GRANTED and standing_of(account, viewer.now).level not in (Level.GOOD, Level.CLOSED):
        await change_standings(work, viewer, viewer.now, [Change(account, Decision(Level.GOOD, text=said))])
    elif account.email is not None and state is not AppealState.IN_REVIEW:
        mail(work, "appeal_decided", account.email, account.language, account_id=account.id, state=state.value, text=said or "")
