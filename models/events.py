"""Events: what happened to an account, numbered without a gap in order of commit; subscriptions replay them.

The number is taken by an UPDATE of the account's counter as the last thing before COMMIT: its row lock puts the
account's units in order. A sequence would not, for a later number may commit first and a reader passes the earlier
one for ever.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from tortoise import fields
from tortoise.models import Model

from models.columns import GivenKey
from models.database import UnitConnection, fetch
from models.instants import as_instant
from models.rows import insert_rows

# Made by SQL, for Tortoise has no keys of two columns.
EVENT_TABLE = {
    "sqlite": (
        "CREATE TABLE event (account_id BIGINT NOT NULL, number BIGINT NOT NULL, kind VARCHAR(64) NOT NULL, "
        "subject_id BIGINT, at TIMESTAMP NOT NULL, PRIMARY KEY (account_id, number)) WITHOUT ROWID"
    ),
    "postgres": (
        "CREATE TABLE event (account_id BIGINT NOT NULL, number BIGINT NOT NULL, kind VARCHAR(64) NOT NULL, "
        "subject_id BIGINT, at TIMESTAMPTZ NOT NULL, PRIMARY KEY (account_id, number))"
    ),
}


class AccountEventCounter(Model):
    """The number of the account's newest event; made with the account."""

    account_id = GivenKey()
    newest = fields.BigIntField(source_field="last", default=0)  # a Model has a `last` of its own

    class Meta:
        table = "account_event_counter"


@dataclass(slots=True, frozen=True)
class News:
    """An event to be written."""

    account_id: int
    kind: str
    subject_id: int | None
    at: datetime


@dataclass(slots=True, frozen=True)
class Event:
    """A written event. `number` counts the account's events from 1, without a gap."""

    number: int
    kind: str
    subject_id: int | None
    at: datetime


async def create_counters(connection: UnitConnection, account_ids: Iterable[int]) -> None:
    await connection.execute_rows(
        f"INSERT INTO account_event_counter (account_id, last) SELECT {_listed(connection)} "
        "ON CONFLICT (account_id) DO NOTHING",
        [sorted(set(account_ids))],
    )


def _listed(connection: UnitConnection) -> str:
    # `WHERE true` keeps SQLite from reading ON CONFLICT as a join's ON.
    if connection.capabilities.dialect == "sqlite":
        return "value, 0 FROM json_each($1) WHERE true"
    return "id, 0 FROM unnest($1::bigint[]) AS given (id)"


async def take_numbers(connection: UnitConnection, amounts: dict[int, int]) -> dict[int, int]:
    """Take `amounts[account]` numbers for each account; gives the highest one taken.

    The counters stay locked to the end of the transaction, so this comes last in it; accounts are locked in the
    order of their ids, so that two units never wait for each other.
    """
    wanted = dict(sorted(amounts.items()))
    highest = await _raised(connection, wanted)
    missing = wanted.keys() - highest.keys()
    if missing:
        await create_counters(connection, missing)
        highest |= await _raised(connection, {account: wanted[account] for account in sorted(missing)})
    return highest


async def _raised(connection: UnitConnection, wanted: dict[int, int]) -> dict[int, int]:
    if len(wanted) == 1:
        ((account_id, amount),) = wanted.items()
        rows = await connection.fetch_rows(
            "UPDATE account_event_counter SET last = last + $2 WHERE account_id = $1 RETURNING account_id, last",
            [account_id, amount],
        )
    elif connection.capabilities.dialect == "sqlite":
        rows = await connection.fetch_rows(
            "UPDATE account_event_counter SET last = last + given.amount FROM "
            "(SELECT value ->> 0 AS id, value ->> 1 AS amount FROM json_each($1)) AS given "
            "WHERE account_id = given.id RETURNING account_id, last",
            [[list(pair) for pair in wanted.items()]],
        )
    else:
        await connection.execute_rows(
            "SELECT 1 FROM account_event_counter WHERE account_id = ANY($1::bigint[]) ORDER BY account_id FOR UPDATE",
            [list(wanted)],
        )
        rows = await connection.fetch_rows(
            "UPDATE account_event_counter AS counter SET last = counter.last + given.amount "
            "FROM unnest($1::bigint[], $2::bigint[]) AS given (id, amount) "
            "WHERE counter.account_id = given.id RETURNING counter.account_id, counter.last",
            [list(wanted), list(wanted.values())],
        )
    return {row[0]: row[1] for row in rows}


async def write_events(connection: UnitConnection, news: Sequence[News]) -> None:
    """Number the events, each account's in the order given, and write them."""
    amounts = Counter(item.account_id for item in news)
    highest = await take_numbers(connection, amounts)
    rows = []
    for account_id, items in groupby(sorted(news, key=lambda item: item.account_id), key=lambda item: item.account_id):
        first = highest[account_id] - amounts[account_id] + 1
        rows += [(account_id, first + n, item.kind, item.subject_id, item.at) for n, item in enumerate(items)]
    await insert_rows(
        connection, "event", "account_id, number, kind, subject_id, at", "bigint bigint text bigint timestamptz", rows
    )


async def events_after(account_id: int, number: int, limit: int = 100) -> list[Event]:
    """The account's events after `number`, in order, `limit` at most."""
    rows = await fetch(
        "SELECT number, kind, subject_id, at FROM event WHERE account_id = $1 AND number > $2 ORDER BY number LIMIT $3",
        account_id,
        number,
        limit,
    )
    return [Event(row[0], row[1], row[2], as_instant(row[3])) for row in rows]  # type: ignore[arg-type]


async def last_number(account_id: int) -> int:
    """The number of the account's newest event; 0: it has none."""
    rows = await fetch("SELECT last FROM account_event_counter WHERE account_id = $1", account_id)
    return rows[0][0] if rows else 0
