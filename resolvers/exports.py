"""Exports: a copy of all that is kept of a buyer, asked for, made by the worker, told by a letter, and taken once."""

import asyncio
import zlib
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, NamedTuple

import orjson
from tortoise.models import Model

from auth.phone_codes import count_sms, most_sms
from auth.sessions import new_token, token_hash
from auth.step_up import require_recent
from auth.viewer import Viewer
from models.accounts import IdentityKind, as_proved, hold_account
from models.catalog import Product, Store
from models.database import any_of, dialect, fetch, for_update, opened
from models.instants import as_instant, utc_now
from models.leaving import EXPORT_LASTS, MOST_EXPORTS_A_DAY, DataExport
from models.letters import mail, sms
from models.personal_data import TABLES, Owner, bound
from models.reads import Reads, reads, reads_without
from models.refusals import CodeInvalid, ErrorCode, Unavailable
from models.unit_of_work import Work, unit_of_work
from resolvers.erasures import owner_of_rows

DAY = timedelta(days=1)
LEASE = timedelta(minutes=5)
ROWS_A_TURN = 500
GZIP = 31
EVENT_COLUMNS = ("account_id", "number", "kind", "subject_id", "at")


class Address(NamedTuple):
    """Where the letter with the link goes."""

    identity_id: int
    kind: IdentityKind
    to: str
    language: str


async def latest_of(account_ids: Iterable[int]) -> dict[int, Any]:
    """The newest export of each account, as long as its link lasts."""
    found = await _shown().where(
        f"{any_of('account_id', 1)} AND (ends_at IS NULL OR ends_at > $2) ORDER BY id", list(account_ids), utc_now()
    )
    return {row.account_id: row for row in found}


def _shown() -> Reads:
    return reads_without(DataExport, dialect(), "token_hash", "content")


@unit_of_work
async def export_my_data(work: Work, viewer: Viewer) -> Any:
    """Ask for a copy of all that is kept of the viewer.

    Raises:
        ReauthRequired. Unavailable: ALREADY_ASKED, one is being made; LIMIT_REACHED, three in a day; WRONG_STATE, there
            is neither an address nor a number for the link.
    """
    account_id, at = viewer.require_buyer(), utc_now()
    await require_recent(viewer)
    await hold_account(work, account_id)  # two calls at once pass one by one
    if await _address_of(account_id) is None:
        raise Unavailable(ErrorCode.WRONG_STATE, text="EXPORT_NEEDS_ADDRESS")
    lately = await _shown().where("account_id = $1 AND requested_at > $2 ORDER BY id", account_id, at - DAY)
    if lately and lately[-1].ready_at is None:
        raise Unavailable(ErrorCode.ALREADY_ASKED)
    if len(lately) >= MOST_EXPORTS_A_DAY:
        raise Unavailable(ErrorCode.LIMIT_REACHED, available_from=lately[-MOST_EXPORTS_A_DAY].requested_at + DAY)
    await work.execute("INSERT INTO data_export (account_id, requested_at, due_at) VALUES ($1, $2, $3)", account_id, at, at)
    work.record(viewer, "data_export_requested", "account", account_id)
    work.announce("work")
    return (await latest_of([account_id]))[account_id]


async def prepare_exports() -> bool:
    """Make the export that has waited longest; whether there was one."""
    taken = await _take()
    if taken is None:
        return False
    export_id, account_id = taken
    await _keep(export_id, account_id, await _copy(account_id))
    return True


@unit_of_work
async def _take(work: Work) -> tuple[int, int] | None:
    """Begin with an export that is due; nobody else does before the lease is over."""
    at = utc_now()
    found = await work.fetch(
        "UPDATE data_export SET due_at = $2 WHERE id = (SELECT id FROM data_export WHERE due_at <= $1 ORDER BY due_at, id LIMIT 1) "
        "AND due_at <= $1 RETURNING id, account_id",
        at,
        at + LEASE,
    )
    return tuple(found[0]) if found else None


async def _copy(account_id: int) -> bytes:
    """Every row about the buyer as JSON, compressed, with the names of the products and stores in them. Requests are answered
    between the pieces of it."""
    owner = await owner_of_rows(account_id)
    named: dict[str, set[int]] = {"product_id": set(), "store_id": set()}
    packer = zlib.compressobj(wbits=GZIP)
    parts = [packer.compress(b'{"exportedAt":' + orjson.dumps(utc_now()) + b',"tables":{')]
    for place, table in enumerate(name for name, personal in TABLES.items() if personal.rows is not None):
        rows = await _rows(table, owner)
        parts.append(packer.compress(b"," * bool(place) + orjson.dumps(table) + b":["))
        for column, ids in named.items():
            ids |= {row[column] for row in rows if row.get(column) is not None}
        for first in range(0, len(rows), ROWS_A_TURN):
            said = b",".join(orjson.dumps(row) for row in rows[first : first + ROWS_A_TURN])
            parts.append(packer.compress(b"," * bool(first) + said))
            await asyncio.sleep(0)
        parts.append(packer.compress(b"]"))
    products, stores = await reads(Product).by_id(named["product_id"]), await reads(Store).by_id(named["store_id"])
    names = {"products": {str(id): row.titles for id, row in products.items()}, "stores": {str(id): row.name for id, row in stores.items()}}
    return b"".join([*parts, packer.compress(b'},"names":' + orjson.dumps(names) + b"}"), packer.flush()])


async def _rows(table: str, owner: Owner) -> list[dict[str, Any]]:
    """A table's rows about the buyer, without what is secret."""
    personal = TABLES[table]
    condition, params = bound(f"{personal.rows} ORDER BY 1", owner)
    model = _models().get(table)
    if model is None:
        return await _events(condition, params)
    return [row._asdict() for row in await reads_without(model, dialect(), *personal.secret).where(condition, *params)]


async def _events(condition: str, params: list[Any]) -> list[dict[str, Any]]:
    """Rows of `event`, the one table that has no model."""
    rows = [dict(zip(EVENT_COLUMNS, row, strict=True)) for row in await fetch(f"SELECT {', '.join(EVENT_COLUMNS)} FROM event WHERE {condition}", *params)]
    return [row | {"at": as_instant(row["at"])} for row in rows]


def _models() -> dict[str, type[Model]]:
    apps = opened().context.apps
    assert apps is not None
    return {model._meta.db_table: model for model in apps["models"].values()}


@unit_of_work
async def _keep(work: Work, export_id: int, account_id: int, content: bytes) -> None:
    """Keep the copy and tell its owner by a letter, unless another worker has, or the account is gone."""
    token, at = new_token(), utc_now()
    await hold_account(work, account_id)  # an erasure is over, or begins after the letter
    address = await _address_of(account_id)
    is_sms = address is not None and address.kind is IdentityKind.PHONE
    if is_sms and (wait := await count_sms(most_sms(opened().settings, is_owner=True))):
        later = at + timedelta(seconds=wait)  # the copy is made anew then
        await work.execute("UPDATE data_export SET due_at = $2 WHERE id = $1 AND ready_at IS NULL", export_id, later)
        return
    kept = await work.execute(
        "UPDATE data_export SET content = $2, token_hash = $3, ready_at = $4, ends_at = $5, identity_id = $6, due_at = NULL "
        "WHERE id = $1 AND ready_at IS NULL",
        export_id,
        content,
        token_hash(token),
        at,
        at + EXPORT_LASTS,
        address and address.identity_id,
    )
    if not kept or address is None:
        return
    link = f"{opened().settings.base_url}/export?token={token}"
    if address.kind is IdentityKind.EMAIL:
        mail(work, "export_ready", address.to, address.language, account_id=account_id, link=link)
    else:
        sms(work, "export_ready_sms", address.to, address.language, account_id=account_id, link=link)


async def _address_of(account_id: int) -> Address | None:
    """The account's proved e-mail address, else its proved number."""
    found = await fetch(
        "SELECT i.id, i.kind, i.subject, a.email, a.language FROM identity i JOIN account a ON a.id = i.account_id "
        "WHERE i.account_id = $1 AND i.verified_at IS NOT NULL AND i.kind IN ('EMAIL', 'PHONE') ORDER BY i.kind LIMIT 1",
        account_id,
    )
    if not found:
        return None
    identity_id, kind, subject, email, language = found[0]
    return Address(identity_id, IdentityKind(kind), as_proved(subject, email), language)


@unit_of_work
async def take_export(work: Work, token: str) -> bytes:
    """The copy that a link's token stands for, compressed; it is not kept any longer.

    Raises:
        CodeInvalid: wrong, used or too old, or sent to an address or number that is the account's no longer.
    """
    found = await work.fetch(
        "SELECT id, account_id, content FROM data_export WHERE token_hash = $1 AND ends_at > $2 AND EXISTS (SELECT 1 FROM identity i "
        "WHERE i.id = data_export.identity_id AND i.account_id = data_export.account_id)" + for_update(),
        token_hash(token),
        utc_now(),
    )
    if not found:
        raise CodeInvalid(field="token")
    export_id, account_id, content = found[0]
    await work.execute("UPDATE data_export SET content = NULL, token_hash = NULL, taken_at = $2 WHERE id = $1", export_id, utc_now())
    work.record(None, "data_export_taken", "account", account_id)
    return bytes(content)


def unpacked_in(content: bytes, size: int = 64 * 1024) -> Iterable[bytes]:
    """A copy's JSON in pieces."""
    unpacker = zlib.decompressobj(wbits=GZIP)
    piece = unpacker.decompress(content, size)
    while piece:
        yield piece
        piece = unpacker.decompress(unpacker.unconsumed_tail, size)
