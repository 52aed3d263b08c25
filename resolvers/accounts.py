"""Accounts: the buyer's own row, and those that the platform sends."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from auth.passwords import Passwords
from auth.viewer import Viewer
from delivery.texts import LANGUAGES
from models.accounts import Account, IdentityKind, fold_email
from models.database import any_of
from models.instants import utc_now
from models.money import currency_code
from models.reads import reads
from models.refusals import BadUserInput, ErrorCode, Failure, Refusal, Unauthenticated
from models.rows import insert_rows
from models.unit_of_work import Work, unit_of_work
from resolvers.bulk import RowResult, RowStatus, pending, repeated, results_of

_EMAIL = re.compile(r"^[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f.]+(\.[^@\s\x00-\x1f.]+)*$")
_PHONE = re.compile(r"^\+[1-9]\d{6,14}$")
_REGION = re.compile(r"^[A-Z]{2}$")


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


async def me(viewer: Viewer) -> Account | None:
    """The viewer's account; None when nobody is signed in.

    Raises:
        Unauthenticated: a credential came and is not valid.
    """
    if viewer.refused:
        raise Unauthenticated
    return viewer.account


async def put_accounts(viewer: Viewer, passwords: Passwords, rows: Sequence[GivenAccount], demo: bool) -> list[RowResult]:
    """Create or update buyers by external id; scope accounts."""
    viewer.require_scope("accounts")
    hashes = {}
    for row in rows[:500]:
        if row.password is not None:
            if not demo:
                raise Failure(ErrorCode.BAD_USER_INPUT, text="PASSWORD_IN_DEMO_ONLY")
            hashes[row.external_id] = await passwords.hash(row.password)
    return await repeated(_put, viewer, rows, hashes)


def require_account(row: GivenAccount) -> None:
    """Refuse a row that cannot be a buyer.

    Raises:
        BadUserInput: names the field.
    """
    if not row.display_name.strip() or len(row.display_name) > 200 or any(ord(c) < 32 for c in row.display_name):
        raise BadUserInput(field="displayName")
    if row.email is not None and (len(row.email) > 254 or not _EMAIL.match(row.email.strip())):
        raise BadUserInput(field="email")
    if row.phone is not None and not _PHONE.match(row.phone):
        raise BadUserInput(field="phone")
    if row.language not in LANGUAGES:
        raise BadUserInput(field="language")
    if not _REGION.match(row.region):
        raise BadUserInput(field="region")
    currency_code(row.currency)


@unit_of_work
async def _put(work: Work, viewer: Viewer, rows: Sequence[GivenAccount], hashes: dict[str, str]) -> list[RowResult]:
    results = results_of(rows)
    known = await _known(rows)
    owners = await _owners(work, rows)
    taken: dict[tuple[str, str], str] = {}
    created: list[GivenAccount] = []
    changed: list[tuple[int, GivenAccount]] = []
    for row, result in pending(rows, results):
        try:
            require_account(row)
            for subject in _subjects(row):
                if taken.setdefault(subject, row.external_id) != row.external_id or owners.get(subject, row.external_id) != row.external_id:
                    raise Refusal(ErrorCode.CONFLICT, field=subject[0].lower())
        except Refusal as refusal:
            result.refuse(refusal)
            continue
        present = known.get(row.external_id)
        if present is None:
            result.status = RowStatus.CREATED
            created.append(row)
        elif _facts(present) != _facts(row) or row.external_id in hashes:
            result.status = RowStatus.UPDATED
            changed.append((present.id, row))
    ids = await _create(work, viewer, created)
    await _change(work, viewer, changed)
    written = [(ids[row.external_id], row) for row in created] + changed
    await _identify(work, written)
    await _set_passwords(work, [(account_id, hashes[row.external_id]) for account_id, row in written if row.external_id in hashes])
    return results


def _subjects(row: GivenAccount) -> list[tuple[str, str]]:
    found = [(IdentityKind.EMAIL.value, fold_email(row.email))] if row.email else []
    return found + ([(IdentityKind.PHONE.value, row.phone)] if row.phone else [])


def _facts(row: GivenAccount | Account) -> tuple:
    return (row.display_name, row.email, row.phone, row.language, row.region, row.currency)


async def _known(rows: Sequence[GivenAccount]) -> dict[str, Account]:
    found = await reads(Account).where(any_of("external_id", 1, "text"), [row.external_id for row in rows])
    return {account.external_id: account for account in found}


async def _owners(work: Work, rows: Sequence[GivenAccount]) -> dict[tuple[str, str], str]:
    """Whose each way of signing in already is, by kind and subject: the owner's external id."""
    subjects = [subject for row in rows for _, subject in _subjects(row)]
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


async def _identify(work: Work, written: list[tuple[int, GivenAccount]]) -> None:
    """The platform's word counts as verification; an address or number that is gone no longer signs in."""
    if not written:
        return
    await work.execute(
        "DELETE FROM identity WHERE kind IN ('EMAIL', 'PHONE') AND " + any_of("account_id", 1), [i for i, _ in written]
    )
    rows = [(account_id, kind, subject, utc_now()) for account_id, row in written for kind, subject in _subjects(row)]
    if rows:
        await insert_rows(work.connection, "identity", "account_id, kind, subject, verified_at", "bigint text text timestamptz", rows)


async def _set_passwords(work: Work, hashes: list[tuple[int, str]]) -> None:
    await work.execute_each(
        "INSERT INTO password (account_id, hash, changed_at) VALUES ($1, $2, $3) "
        "ON CONFLICT (account_id) DO UPDATE SET hash = excluded.hash, changed_at = excluded.changed_at",
        [(account_id, stored, utc_now()) for account_id, stored in hashes],
    )
