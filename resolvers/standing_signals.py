"""Signals: what of the rows looks as if somebody should look. They propose cases to staff, and do nothing else."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from models import clock
from models.accounts import IdentityKind
from models.columns import dump_json
from models.database import any_of, fetch
from models.instants import utc_now
from models.orders import Completion
from models.reads import as_json
from models.standing_cases import CaseState, Signal, disputes_too_often, is_news, since
from models.unit_of_work import Work, unit_of_work

EVERY = timedelta(hours=1)
BATCH = 200

# What there is of disputes: an open one freezes protection, a settled one closes the order or completes it. One that was
# withdrawn or rejected leaves nothing here.
DISPUTED = f"(frozen_at IS NOT NULL OR closed_at IS NOT NULL OR coalesce(completion, '') = '{Completion.SETTLED.value}')"


class Finding(NamedTuple):
    """What a signal has found about an account; `facts` have `evidence`."""

    account_id: int
    signal: Signal
    facts: dict[str, Any]


class Round:
    """How far the worker's look at all accounts has come. `after` None: it is over. `begun_at` is the machine's."""

    begun_at: datetime | None = None
    after: int | None = None


_round = Round()


async def propose_cases() -> bool:
    """Once an hour: look at every account, some at a time, and put before staff what looks wrong. Whether there is more."""
    at = utc_now()
    if _round.after is None:
        if _round.begun_at is not None and at < _round.begun_at + EVERY:
            return False
        _round.begun_at, _round.after = at, 0
    _round.after = await look_at_some(_round.after, await clock.now())
    return _round.after is not None


async def look_at_some(after: int, now: datetime) -> int | None:
    """Look at the next accounts behind the id `after`; the last one's id, None where there are no more."""
    found = await fetch(f"SELECT id FROM account WHERE id > $1 AND standing_level <> 'CLOSED' ORDER BY id LIMIT {BATCH}", after)
    if not found:
        return None
    account_ids = [account_id for (account_id,) in found]
    findings = [*await _disputes(account_ids, now), *await _shared_phones(account_ids)]
    if findings:
        await propose(findings, now)
    return account_ids[-1]


async def _disputes(account_ids: list[int], now: datetime) -> list[Finding]:
    """The accounts that dispute more than half of at least five orders of 180 days."""
    counted = await fetch(
        f"SELECT account_id, count(*), sum(CASE WHEN {DISPUTED} THEN 1 ELSE 0 END) FROM orders "
        f"WHERE {any_of('account_id', 1)} AND placed_at > $2 GROUP BY account_id",
        account_ids, since(now),
    )  # fmt: skip
    often = {account_id: (orders, disputed) for account_id, orders, disputed in counted if disputes_too_often(orders, disputed)}
    if not often:
        return []
    disputed_ids = _grouped(
        await fetch(
            f"SELECT account_id, id FROM orders WHERE {any_of('account_id', 1)} AND placed_at > $2 AND {DISPUTED} ORDER BY id",
            list(often), since(now),
        )
    )  # fmt: skip
    return [
        Finding(account_id, Signal.DISPUTES, {"orders": orders, "disputed": disputed, "evidence": disputed_ids[account_id]})
        for account_id, (orders, disputed) in often.items()
    ]


async def _shared_phones(account_ids: list[int]) -> list[Finding]:
    """The accounts that have a verified number in common with others, and have used coupons of the same offers."""
    found = await fetch(
        "SELECT DISTINCT a.id, b.id, x.offer_id FROM account a JOIN account b ON b.phone = a.phone AND b.id <> a.id "
        "JOIN coupon x ON x.account_id = a.id AND x.used_at IS NOT NULL "
        "JOIN coupon y ON y.account_id = b.id AND y.used_at IS NOT NULL AND y.offer_id = x.offer_id "
        f"WHERE {any_of('a.id', 1)} AND EXISTS (SELECT 1 FROM identity i WHERE i.kind = '{IdentityKind.PHONE.value}' "
        "AND i.subject = a.phone AND i.verified_at IS NOT NULL)",
        account_ids,
    )
    others = _grouped((account_id, other) for account_id, other, _ in found)
    offers = _grouped((account_id, offer_id) for account_id, _, offer_id in found)
    return [
        Finding(account_id, Signal.SHARED_PHONE, {"accounts": len(evidence), "offers": offers[account_id], "evidence": evidence})
        for account_id, evidence in others.items()
    ]


def _grouped(pairs: Iterable[Sequence[int]]) -> dict[int, list[int]]:
    """The second of each pair by its first, each once and in order."""
    grouped: defaultdict[int, set[int]] = defaultdict(set)
    for first, second in pairs:
        grouped[first].add(second)
    return {first: sorted(seconds) for first, seconds in grouped.items()}


@unit_of_work
async def propose(work: Work, findings: Sequence[Finding], now: datetime) -> int:
    """Open a case for each finding that says something new; how many that were."""
    known: defaultdict[tuple[int, str], list[dict[str, Any]]] = defaultdict(list)
    rows = await work.fetch(
        f"SELECT account_id, signal, facts FROM standing_case WHERE {any_of('account_id', 1)}", [one.account_id for one in findings]
    )
    for account_id, signal, facts in rows:
        known[account_id, signal].append(as_json(facts))
    opened = 0
    for account_id, signal, facts in findings:
        if is_news(facts["evidence"], known[account_id, signal.value]):
            opened += await _open(work, account_id, signal, facts, now)
    return opened


async def _open(work: Work, account_id: int, signal: Signal, facts: dict[str, Any], now: datetime) -> int:
    """One, or none where a case is open already: two workers may find the same at once."""
    written = await work.fetch(
        "INSERT INTO standing_case (account_id, signal, state, facts, opened_at) VALUES ($1, $2, $3, $4, $5) "
        "ON CONFLICT DO NOTHING RETURNING id",
        account_id, signal.value, CaseState.OPEN.value, dump_json(facts), now,
    )  # fmt: skip
    for (case_id,) in written:
        work.record(None, "case_opened", "standing_case", case_id, at=now, account_id=account_id, signal=signal.value)
    return len(written)
