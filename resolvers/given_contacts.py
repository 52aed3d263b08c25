"""Contacts that the platform gives: what an account has, and making the ways of signing in follow."""

from collections.abc import Iterable
from typing import NamedTuple

from auth.policy import Policy
from models.accounts import IdentityKind
from models.database import any_of
from models.given_contacts import Contacts, settable
from models.instants import utc_now
from models.rows import insert_rows
from models.sign_in_methods import Method
from models.unit_of_work import Work
from resolvers.sign_in_methods import by_accounts


class Move(NamedTuple):
    """A way of signing in that changes by the platform's word; None: there is none."""

    kind: IdentityKind
    before: str | None
    after: str | None


class Held(NamedTuple):
    """What the platform has sent last for an account, and the ways of signing in that it has."""

    sent: Contacts = Contacts()
    methods: tuple[Method, ...] = ()

    def moved(self, given: Contacts) -> tuple[frozenset[IdentityKind], list[Move]]:
        """Which contacts `given` sets, and what changes of the ways of signing in by it."""
        kinds, after = settable(self.sent, given, self.methods), given.subjects()
        before = {method.kind: method.subject for method in self.methods}
        moves = [Move(kind, before.get(kind), after.get(kind)) for kind in sorted(kinds)]
        return kinds, [move for move in moves if move.before != move.after]


async def held_by(work: Work, account_ids: Iterable[int], policy: Policy) -> dict[int, Held]:
    """What each account has. Call it with the accounts locked: buyers change their contacts under the same lock."""
    ids = list(account_ids)
    found = await work.fetch(f"SELECT account_id, email, phone FROM given_contacts WHERE {any_of('account_id', 1)}", ids)
    sent = {account_id: Contacts(email, phone) for account_id, email, phone in found}
    methods = await by_accounts(ids, policy)
    return {id: Held(sent.get(id, Contacts()), tuple(methods.get(id, ()))) for id in ids}


async def carry_out(work: Work, moves: list[tuple[int, Move]]) -> None:
    """The platform's word counts as verification; an address or number that is gone no longer signs in."""
    await work.execute_each(
        "DELETE FROM identity WHERE account_id = $1 AND kind = $2",
        [(account_id, move.kind.value) for account_id, move in moves if move.before is not None],
    )
    rows = [(account_id, move.kind.value, move.after, utc_now()) for account_id, move in moves if move.after is not None]
    if rows:
        await insert_rows(work.connection, "identity", "account_id, kind, subject, verified_at", "bigint text text timestamptz", rows)


async def remember(work: Work, sent: list[tuple[int, Contacts]]) -> None:
    """Keep what the platform has sent."""
    await work.execute_each(
        "INSERT INTO given_contacts (account_id, email, phone) VALUES ($1, $2, $3) "
        "ON CONFLICT (account_id) DO UPDATE SET email = excluded.email, phone = excluded.phone",
        [(account_id, *contacts) for account_id, contacts in sent],
    )
