"""Accounts: the buyer's own row, and those that the platform sends."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from auth.former_buyers import erased_among, external_id_hashes
from auth.passwords import Passwords
from auth.policy import Policy, policy_of
from auth.viewer import Viewer
from delivery.texts import LANGUAGES
from models.accounts import Account, is_email, is_region
from models.database import any_of, for_update
from models.given_contacts import Contacts
from models.instants import utc_now
from models.money import currency_code
from models.reads import reads
from models.refusals import BadUserInput, ErrorCode, Failure, Refusal, Unauthenticated
from models.rows import insert_rows
from models.unit_of_work import Work, unit_of_work
from resolvers.bulk import RowResult, RowStatus, pending, repeated, results_of
from resolvers.given_contacts import Held, Move, carry_out, held_by, remember
from resolvers.passwords import set_passwords
from settings import Settings

_PHONE = re.compile(r"\+[1-9][0-9]{6,14}")


@dataclass(frozen=True, slots=True)
class GivenAccount:
    """A buyer as the platform knows them. `password` is for demo mode alone."""

    external_id: str
    display_name: str
    email: str | None = None
    phone: str | None = None
    language: str = "en"
    region: str = ""
    currency: str = ""
    password: str | None = None


class Taken(NamedTuple):
    """A row that is not refused: as it was sent, as it counts, and what the account was before; None: there was none."""

    row: GivenAccount
    settled: GivenAccount
    moves: list[Move]
    present: Account | None
    sent_before: Contacts


async def me(viewer: Viewer) -> Account | None:
    """The viewer's account; None when nobody is signed in.

    Raises:
        Unauthenticated: a credential came and is not valid.
    """
    if viewer.refused:
        raise Unauthenticated
    return viewer.account


async def put_accounts(viewer: Viewer, settings: Settings, passwords: Passwords, rows: Sequence[GivenAccount]) -> list[RowResult]:
    """Create or update buyers by external id; scope accounts. A contact that the buyer has changed since is left alone."""
    viewer.require_scope("accounts")
    rows = [replace(row, email=row.email.strip()) if row.email else row for row in rows]
    hashes = {}
    for row in rows[:500]:
        if row.password is not None:
            if not settings.is_demo:
                raise Failure(ErrorCode.BAD_USER_INPUT, text="PASSWORD_IN_DEMO_ONLY")
            hashes[row.external_id] = await passwords.hash(row.password)
    former = await external_id_hashes(row.external_id for row in rows[:500])
    return await repeated(_put, viewer, policy_of(settings), rows, hashes, former)


def require_account(row: GivenAccount) -> None:
    """Refuse a row that cannot be a buyer.

    Raises:
        BadUserInput: names the field.
    """
    if not row.display_name.strip() or len(row.display_name) > 200 or any(ord(c) < 32 for c in row.display_name):
        raise BadUserInput(field="displayName")
    if row.email is not None and not is_email(row.email):
        raise BadUserInput(field="email")
    if row.phone is not None and not _PHONE.fullmatch(row.phone):
        raise BadUserInput(field="phone")
    if row.language not in LANGUAGES:
        raise BadUserInput(field="language")
    if not is_region(row.region):
        raise BadUserInput(field="region")
    currency_code(row.currency)


@unit_of_work
async def _put(
    work: Work, viewer: Viewer, policy: Policy, rows: Sequence[GivenAccount], hashes: dict[str, str], former: dict[str, str]
) -> list[RowResult]:
    results = results_of(rows)
    known = await _known(rows)
    erased = await erased_among(former)
    held = await held_by(work, [account.id for account in known.values()], policy)
    owners = await _owners(work, rows)
    taken: list[Taken] = []
    for row, result in pending(rows, results):
        present = known.get(row.external_id)
        own = held[present.id] if present else Held()
        try:
            require_account(row)
            if row.external_id in erased:
                raise Refusal(ErrorCode.CONFLICT, field="externalId", text="ACCOUNT_ERASED")
            settled, moves = _settled(row, present, own)
            _require_free(owners, row.external_id, moves)
        except Refusal as refusal:
            result.refuse(refusal)
            continue
        taken.append(Taken(row, settled, moves, present, own.sent))
        result.status = _status(taken[-1], hashes)
    await _write(work, viewer, taken, hashes)
    return results


def _status(one: Taken, hashes: dict[str, str]) -> RowStatus:
    if one.present is None:
        return RowStatus.CREATED
    changes = _facts(one.present) != _facts(one.settled) or one.moves or one.row.external_id in hashes
    return RowStatus.UPDATED if changes else RowStatus.UNCHANGED


async def _write(work: Work, viewer: Viewer, taken: Sequence[Taken], hashes: dict[str, str]) -> None:
    ids = {one.row.external_id: one.present.id for one in taken if one.present is not None}
    changed = [one for one in taken if _status(one, hashes) is RowStatus.UPDATED]
    ids |= await _create(work, viewer, [one.row for one in taken if one.present is None])
    await _change(work, viewer, [(ids[one.row.external_id], one.settled) for one in changed])
    await carry_out(work, [(ids[one.row.external_id], move) for one in taken for move in one.moves])
    sent = [(one, _contacts(one.row)) for one in taken]
    await remember(work, [(ids[one.row.external_id], now) for one, now in sent if one.present is None or one.sent_before != now])
    await set_passwords(work, [(ids[external_id], stored) for external_id, stored in hashes.items() if external_id in ids])


def _require_free(owners: dict[tuple[str, str], str], external_id: str, moves: Sequence[Move]) -> None:
    """Refuse what another account, or another row of this call, signs in by; note the rest as this account's.

    Raises:
        Refusal: CONFLICT.
    """
    for kind, _, subject in moves:
        if subject is not None and owners.setdefault((kind.value, subject), external_id) != external_id:
            raise Refusal(ErrorCode.CONFLICT, field=kind.value.lower())


def _contacts(row: GivenAccount) -> Contacts:
    return Contacts(row.email, row.phone)


def _settled(row: GivenAccount, present: Account | None, held: Held) -> tuple[GivenAccount, list[Move]]:
    """The row as it counts: without the contacts that are the buyer's own by now; and the ways of signing in that change by it."""
    kinds, moves = held.moved(_contacts(row))
    kept: dict[str, Any] = {name: getattr(present, name, None) for name in Contacts._fields if name.upper() not in kinds}
    return replace(row, **kept), moves


def _facts(row: GivenAccount | Account) -> tuple:
    return (row.display_name, row.email, row.phone, row.language, row.region, row.currency)


async def _known(rows: Sequence[GivenAccount]) -> dict[str, Account]:
    # Locked: the buyer changes no contact between the look at it and the write, and what is being erased is not written to afterwards.
    return await reads(Account).by_external_id((row.external_id for row in rows), for_update())


async def _owners(work: Work, rows: Sequence[GivenAccount]) -> dict[tuple[str, str], str]:
    """Whose each way of signing in already is, by kind and subject: the owner's external id."""
    subjects = [subject for row in rows for subject in _contacts(row).subjects().values()]
    found = await work.fetch(
        "SELECT i.kind, i.subject, a.external_id FROM identity i JOIN account a ON a.id = i.account_id WHERE "
        + any_of("i.subject", 1, "text"),
        subjects,
    )
    return {(kind, subject): external_id or "" for kind, subject, external_id in found}


async def _create(work: Work, viewer: Viewer, rows: list[GivenAccount]) -> dict[str, int]:
    if not rows:
        return {}
    at = utc_now()
    await insert_rows(
        work.connection,
        "account",
        "external_id, display_name, email, phone, language, region, currency, created_at",
        "text text text text text text text timestamptz",
        [(row.external_id, *_facts(row), at) for row in rows],
    )
    found = await work.fetch(
        "SELECT external_id, id FROM account WHERE " + any_of("external_id", 1, "text"), [row.external_id for row in rows]
    )
    ids = {external_id: account_id for external_id, account_id in found}
    await work.create_counters(ids.values())
    for external_id, account_id in ids.items():
        work.record(viewer, "account_created", "account", account_id, external_id=external_id)
    return ids


async def _change(work: Work, viewer: Viewer, changed: list[tuple[int, GivenAccount]]) -> None:
    await work.execute_each(
        "UPDATE account SET display_name = $2, email = $3, phone = $4, language = $5, region = $6, currency = $7 WHERE id = $1",
        [(account_id, *_facts(row)) for account_id, row in changed],
    )
    for account_id, _ in changed:
        work.record(viewer, "account_updated", "account", account_id)
