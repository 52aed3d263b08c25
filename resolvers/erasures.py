"""Erasing accounts whose time has come, each at once and wholly or not at all, and wiping what the files still hold of them."""

from datetime import datetime, timedelta
from typing import Any

from auth.former_buyers import external_id_hashes
from auth.guessing import subject_of
from models import clock
from models.accounts import Account, Level, fold_email
from models.database import fetch, for_update, opened
from models.instants import as_instant, as_text, utc_now
from models.leaving import ERASURE, LATECOMERS, UNSETTLED, erasure_put_off_to
from models.letters import mail
from models.personal_data import TABLES, Owner, bound, erasing
from models.protection import AFTER_SALE
from models.reads import reads
from models.sqlite_engine import SqliteEngine
from models.timers import Timer, claim_timer, due_timers, set_timer
from models.unit_of_work import Work, unit_of_work
from resolvers.orders import locked
from resolvers.standing import Change, Decision, change_standings

SECONDS = 60.0
LATECOMERS_AFTER = timedelta(hours=1)
WIPED_EVERY = timedelta(hours=1)
TRIED_AGAIN_AFTER = timedelta(minutes=1)

_failed_at: list[datetime] = []


async def erase_due_accounts() -> bool:
    """Erase the accounts whose time has come, or put that off; whether there were any. One that fails holds up no other.

    Raises:
        Exception: what the last one failed with, once all have had their turn.
    """
    due = await due_timers(await clock.now(), kinds=(ERASURE, LATECOMERS))
    failure: Exception | None = None
    for timer in due:
        try:
            await (_end if timer.kind == ERASURE else _erase_latecomers)(timer)
        except Exception as error:
            failure = error
    if failure is not None:
        raise failure
    return bool(due)


@unit_of_work(seconds=SECONDS)
async def _end(work: Work, timer: Timer) -> None:
    account_id, now = timer.subject_id, await clock.now()
    orders = await locked(work, UNSETTLED, account_id, now - AFTER_SALE)  # before the account, as others lock them
    ((external_id, email, language),) = await work.fetch(
        "SELECT external_id, email, language FROM account WHERE id = $1" + for_update(), account_id
    )
    if not await claim_timer(work, timer):  # the buyer has kept the account, or another worker was here
        return
    erase_at = erasure_put_off_to(orders, now)
    if erase_at is not None:
        await _put_off(work, account_id, erase_at, now, email, language)
        return
    hashes = await external_id_hashes([external_id] if external_id else [])
    found = await work.fetch("SELECT requested_at FROM account_deletion WHERE account_id = $1", account_id)
    await change_standings(work, None, now, [Change(await reads(Account).one("id = $1", account_id), Decision(Level.CLOSED))])
    await _erase(work, account_id)
    await work.execute(
        "INSERT INTO erasure (account_id, external_id_hash, requested_at, erased_at) VALUES ($1, $2, $3, $4)",
        account_id,
        hashes.get(external_id),
        as_instant(found[0][0]),
        now,
    )
    await set_timer(work, LATECOMERS, account_id, now + LATECOMERS_AFTER)
    work.record(None, "account_erased", "account", account_id)


async def _put_off(work: Work, account_id: int, erase_at: datetime, now: datetime, email: str | None, language: str) -> None:
    """Wait for money or a dispute, and tell the buyer; where the end of that is not known, once."""
    found = await work.fetch("SELECT put_off_at FROM account_deletion WHERE account_id = $1", account_id)
    told = found[0][0] is not None and erase_at <= now + timedelta(days=1)
    await work.execute("UPDATE account_deletion SET erase_at = $2, put_off_at = $3 WHERE account_id = $1", account_id, erase_at, now)
    await set_timer(work, ERASURE, account_id, erase_at)
    work.record(None, "account_erasure_put_off", "account", account_id)
    if email and not told:
        mail(work, "account_erasure_put_off", email, language, account_id=account_id, when=as_text(erase_at))


@unit_of_work(seconds=SECONDS)
async def _erase_latecomers(work: Work, timer: Timer) -> None:
    """Erase what requests that were under way when the account was erased have written since."""
    await work.fetch("SELECT 1 FROM account WHERE id = $1" + for_update(), timer.subject_id)
    if await claim_timer(work, timer) and await _erase(work, timer.subject_id):
        await work.execute("UPDATE erasure SET wiped_at = NULL WHERE account_id = $1", timer.subject_id)


async def _erase(work: Work, account_id: int) -> int:
    """Erase by the table of personal data; how many rows were touched."""
    owner = await owner_of_rows(account_id)
    touched = 0
    for table, personal in TABLES.items():
        statement = erasing(table, personal)
        if statement is not None:
            sql, params = bound(statement, owner)
            touched += await work.execute(sql, *params)
    return touched


async def owner_of_rows(account_id: int) -> Owner:
    """The account with all addresses and numbers that are its own, as they may be written, and their hashes."""
    nameless = Owner(account_id, [], [])
    given = await _told(nameless, "addresses")
    addresses = {form for address in given for form in (address, address.lower(), fold_email(address), _small(address))}
    hashes = {subject_of(address) for address in given} | set(await _told(nameless, "hashes"))
    return Owner(account_id, sorted(addresses), sorted(hashes))


async def _told(owner: Owner, what: str) -> list[str]:
    told: list[Any] = []
    for table, personal in TABLES.items():
        for column in getattr(personal, what):
            sql, params = bound(f"SELECT {column} FROM {table} WHERE {personal.rows}", owner)
            told += [value for (value,) in await fetch(sql, *params) if value]
    return told


def _small(text: str) -> str:
    """As SQLite's `lower` writes it, which knows ASCII alone."""
    return "".join(character.lower() if character.isascii() else character for character in text)


async def wipe_erased() -> bool:
    """Have the files of SQLite hold nothing any more of accounts that were erased: at once, and at most once an hour; where it fails, again
    after a minute.

    PostgreSQL's own vacuum does that for itself.
    """
    if not await fetch("SELECT 1 FROM erasure WHERE wiped_at IS NULL LIMIT 1"):
        return False
    at, engine = utc_now(), opened().engine
    ((last,),) = await fetch("SELECT max(wiped_at) FROM erasure")
    wiped_at = as_instant(last)
    if (wiped_at is not None and at < wiped_at + WIPED_EVERY) or (_failed_at and at < _failed_at[0] + TRIED_AGAIN_AFTER):
        return False
    _failed_at[:] = [at]
    erased = [account_id for (account_id,) in await fetch("SELECT account_id FROM erasure WHERE wiped_at IS NULL")]
    if not isinstance(engine, SqliteEngine) or await engine.wipe():
        await _note_wiped(erased, at)
        _failed_at.clear()
    return False


@unit_of_work
async def _note_wiped(work: Work, account_ids: list[int], at: datetime) -> None:
    await work.execute_each("UPDATE erasure SET wiped_at = $2 WHERE account_id = $1", [(id, at) for id in account_ids])
