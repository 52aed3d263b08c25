"""Events past their time: kept for a week and at least the newest thousand of an account, so that a client can come back.

What replays from rows of its own (price drops) loses nothing by it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic

from models import clock
from models.database import fetch
from models.unit_of_work import Work, unit_of_work

KEPT_FOR = timedelta(days=7)
KEPT_AT_LEAST = 1000
ACCOUNTS_A_LOOK = 500
EVENTS_A_UNIT = 5000
SECONDS_BETWEEN_ROUNDS = 3600.0


@dataclass(slots=True)
class Round:
    """How far a process's round over all accounts has come, and when (its own seconds) it begins or goes on."""

    account_id: int = 0
    due: float = 0.0


_round = Round()


async def prune_events(at: Round = _round) -> bool:
    """Go on with the round over the accounts: the next 500. False when it is done; the next begins an hour later."""
    if monotonic() < at.due:
        return False
    accounts = await fetch(
        f"SELECT account_id, last FROM account_event_counter WHERE account_id > $1 ORDER BY account_id LIMIT {ACCOUNTS_A_LOOK}",
        at.account_id,
    )
    before = await clock.now() - KEPT_FOR
    for account_id, last in accounts:
        if last > KEPT_AT_LEAST:
            while await prune_account(account_id, last - KEPT_AT_LEAST, before):
                pass
    if len(accounts) < ACCOUNTS_A_LOOK:
        at.account_id, at.due = 0, monotonic() + SECONDS_BETWEEN_ROUNDS
        return False
    at.account_id = accounts[-1][0]
    return True


@unit_of_work
async def prune_account(work: Work, account_id: int, highest: int, before: datetime) -> bool:
    """Forget the account's oldest events up to number `highest`, as far as they are older than `before`; up to 5,000.

    Never one from the middle: a reader knows by the first number behind its cursor that nothing is missing. True: more.
    """
    found = await work.fetch("SELECT min(number) FROM event WHERE account_id = $1", account_id)
    if found[0][0] is None:
        return False
    end = min(highest, found[0][0] + EVENTS_A_UNIT - 1)
    kept = await work.fetch(
        "SELECT number FROM event WHERE account_id = $1 AND number <= $2 AND at >= $3 ORDER BY number LIMIT 1",
        account_id, end, before,
    )  # fmt: skip
    if kept:
        end = kept[0][0] - 1
    await work.execute("DELETE FROM event WHERE account_id = $1 AND number <= $2", account_id, end)
    return not kept and end < highest
