"""Favourites: a buyer's wish list and the watch on each of its prices."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from auth.viewer import Viewer
from models.accounts import Account
from models.catalog import Product
from models.database import any_of, fetch, for_update
from models.favorites import MOST_WATCHES, Favorite, WatchKind
from models.money import Money
from models.pages import Key, Keyset, Page, Window, page
from models.reads import reads
from models.refusals import BadUserInput, ErrorCode, NotFound, Refusal, Unavailable
from models.rows import insert_rows
from models.unit_of_work import Work, unit_of_work
from resolvers.bulk import RowResult, RowStatus, pending, repeated, results_of

ROOM = 100  # how many adds of one buyer may be at work at once without their counting each other

FAVORITES = Keyset("favorites", (Key("added_at", datetime), Key("id", int)))


@dataclass(frozen=True, slots=True)
class GivenFavorite:
    """A favourite as the platform knows it, since `added_at`; the time of the call where that is None."""

    external_id: str
    product_external_id: str
    added_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class WatchWish:
    """What a buyer wants of a watch; `paused` None leaves it as it is."""

    kind: WatchKind
    target: Money | None = None
    percent: int | None = None
    paused: bool | None = None


async def favorites(account_id: int, window: Window) -> Page:
    """The account's favourites, newest first."""
    return await page(reads(Favorite), "account_id = $1", [account_id], FAVORITES, window)


async def favorite(viewer: Viewer, favorite_id: int, field: str = "favoriteId") -> Favorite:
    """Raises:
    NotFound: there is none, or it is another buyer's.
    """
    found = await reads(Favorite).one("id = $1 AND account_id = $2", favorite_id, viewer.require_buyer())
    if found is None:
        raise NotFound(field=field)
    return found


async def favored(viewer: Viewer, product_ids: list[int]) -> set[int]:
    """Which of the products are on the viewer's list."""
    found = await fetch(
        f"SELECT product_id FROM favorite WHERE account_id = $1 AND {any_of('product_id', 2)}", viewer.account_id, product_ids
    )
    return {product_id for (product_id,) in found}


async def add_favorite(viewer: Viewer, product_id: int) -> Favorite:
    """Put a product on the viewer's list with its present price; again gives the same favourite.

    Raises:
        NotFound: no such product. Unavailable: LIMIT_REACHED, the list has 500 already.
    """
    viewer.require_buyer()
    return await _add_with_room(viewer, product_id) or await _add_counting(viewer, product_id)


@unit_of_work(single=True)
async def _add_with_room(work: Work, viewer: Viewer, product_id: int) -> Favorite | None:
    """None: nothing was added, or the list is so long that adds at the same time could pass its limit."""
    return await _insert(work, viewer, product_id, MOST_WATCHES - ROOM)


@unit_of_work
async def _add_counting(work: Work, viewer: Viewer, product_id: int) -> Favorite:
    await _lock_lists(work, [viewer.require_buyer()])
    added = await _insert(work, viewer, product_id, MOST_WATCHES)
    if added is not None:
        return added
    present = await reads(Favorite).one("account_id = $1 AND product_id = $2", viewer.account_id, product_id)
    if present is not None:
        return present
    if await reads(Product).one("id = $1", product_id) is None:
        raise NotFound(field="productId")
    raise Unavailable(ErrorCode.LIMIT_REACHED, field="productId")


async def _lock_lists(work: Work, account_ids: list[int]) -> None:
    """Whoever counts a buyer's list before it adds to it does so alone; the order of ids keeps two from deadlock."""
    await work.fetch(f"SELECT id FROM account WHERE {any_of('id', 1)} ORDER BY id{for_update()}", account_ids)


async def _insert(work: Work, viewer: Viewer, product_id: int, most: int) -> Favorite | None:
    """One statement: it finds the price, counts the list, and makes nothing where the product is on it already."""
    source = reads(Favorite)
    made = await work.fetch_recorded(
        viewer, "favorite_added", "favorite",
        "INSERT INTO favorite (account_id, product_id, added_at, price_minor, currency, watch_kind, watch_paused, armed) "
        "SELECT $1, p.id, $2, p.price_minor, p.currency, 'ANY_DROP', $3, $4 FROM product p WHERE p.id = $5 "
        f"AND (SELECT count(*) FROM favorite WHERE account_id = $6) < {most} "
        f"ON CONFLICT (account_id, product_id) DO NOTHING RETURNING {source.columns}",
        viewer.account_id, viewer.now, False, True, product_id, viewer.account_id,
    )  # fmt: skip
    return source.decode(made)[0] if made else None


async def remove_favorite(viewer: Viewer, favorite_id: int) -> int:
    """Take a favourite off the viewer's list; its watch ends, its alerts stay.

    Raises:
        NotFound: there is none, or it is another buyer's.
    """
    if await _delete(viewer, "id", favorite_id) is None:
        raise NotFound(field="favoriteId")
    return favorite_id


async def remove_favorite_of(viewer: Viewer, product_id: int) -> int:
    """Take a product off the viewer's list, as `remove_favorite`; gives the favourite's id.

    Raises:
        NotFound: it is not on the list.
    """
    removed = await _delete(viewer, "product_id", product_id)
    if removed is None:
        raise NotFound(field="productId")
    return removed


@unit_of_work(single=True)
async def _delete(work: Work, viewer: Viewer, column: str, value: int) -> int | None:
    """The id of the favourite that is gone; None: there was none."""
    removed = await work.fetch_recorded(
        viewer, "favorite_removed", "favorite",
        f"DELETE FROM favorite WHERE account_id = $1 AND {column} = $2 RETURNING id", viewer.require_buyer(), value,
    )  # fmt: skip
    return removed[0][0] if removed else None


@unit_of_work
async def set_watch(work: Work, viewer: Viewer, favorite_id: int, wish: WatchWish) -> Favorite:
    """Set what the favourite's watch waits for. A watch that waits for something else begins anew.

    Raises:
        NotFound: no such favourite. BadUserInput: a target or percentage that does not fit the kind.
        Refusal: CURRENCY_MISMATCH, a target in another currency than the product's.
    """
    await work.fetch(f"SELECT id FROM favorite WHERE id = $1{for_update()}", favorite_id)
    present = await favorite(viewer, favorite_id)
    (product,) = await reads(Product).where("id = $1", present.product_id)
    require_watch(wish, product.currency)
    paused = present.watch_paused if wish.paused is None else wish.paused
    target = wish.target.minor if wish.target else None
    await work.execute(
        "UPDATE favorite SET watch_kind = $2, watch_target_minor = $3, watch_percent = $4, watch_paused = $5 WHERE id = $1",
        favorite_id, wish.kind.value, target, wish.percent, paused,
    )  # fmt: skip
    if (present.watch_kind, present.watch_target_minor, present.watch_percent) != (wish.kind, target, wish.percent):
        await work.execute(
            "UPDATE favorite SET armed = $2, alerted_minor = NULL, alerted_at = NULL, peak_minor = NULL WHERE id = $1",
            favorite_id, True,
        )  # fmt: skip
    work.record(viewer, "watch_set", "favorite", favorite_id, kind=wish.kind.value, paused=paused)
    return await favorite(viewer, favorite_id)


def require_watch(wish: WatchWish, currency: str) -> None:
    """Raises:
    BadUserInput: a target or a percentage is missing, out of bounds, or given where the kind has none.
    Refusal: CURRENCY_MISMATCH.
    """
    if (wish.target is not None) != (wish.kind is WatchKind.TARGET):
        raise BadUserInput(field="target")
    if (wish.percent is not None) != (wish.kind is WatchKind.PERCENT):
        raise BadUserInput(field="percent")
    if wish.percent is not None and not 1 <= wish.percent <= 99:
        raise BadUserInput(field="percent")
    if wish.target is not None and wish.target.minor <= 0:
        raise BadUserInput(field="target")
    if wish.target is not None and wish.target.currency != currency:
        raise Refusal(ErrorCode.CURRENCY_MISMATCH, field="target")


async def put_favorites(viewer: Viewer, rows: Sequence[GivenFavorite]) -> list[RowResult]:
    """Put products on buyers' lists; scope favorites. A row is known by its buyer and its product."""
    viewer.require_scope("favorites")
    return await repeated(_put, viewer, rows)


@unit_of_work
async def _put(work: Work, viewer: Viewer, rows: Sequence[GivenFavorite]) -> list[RowResult]:
    results = results_of(rows, lambda row: (row.external_id, row.product_external_id))
    accounts = await reads(Account).by_external_id(row.external_id for row in rows)
    products = await reads(Product).by_external_id(row.product_external_id for row in rows)
    account_ids = sorted(account.id for account in accounts.values())
    await _lock_lists(work, account_ids)
    listed = await work.fetch(f"SELECT account_id, product_id FROM favorite WHERE {any_of('account_id', 1)}", account_ids)
    present = {(account_id, product_id) for account_id, product_id in listed}
    lengths: dict[int, int] = {}
    for account_id, _ in present:
        lengths[account_id] = lengths.get(account_id, 0) + 1
    created: list[tuple[int, Any, datetime]] = []
    for row, result in pending(rows, results):
        account, product = accounts.get(row.external_id), products.get(row.product_external_id)
        if account is None or product is None:
            field = "accountExternalId" if account is None else "productExternalId"
            result.refuse(Refusal(ErrorCode.UNKNOWN_REFERENCE, field=field))
        elif (row.added_at or viewer.now) > viewer.now:
            result.refuse(BadUserInput(field="addedAt", text="FUTURE"))
        elif (account.id, product.id) in present:
            continue
        elif lengths.get(account.id, 0) >= MOST_WATCHES:
            result.refuse(Refusal(ErrorCode.LIMIT_REACHED))
        else:
            result.status = RowStatus.CREATED
            lengths[account.id] = lengths.get(account.id, 0) + 1
            created.append((account.id, product, row.added_at or viewer.now))
    await _create(work, viewer, created)
    return results


async def _create(work: Work, viewer: Viewer, created: list[tuple[int, Any, datetime]]) -> None:
    if not created:
        return
    prices = await _prices_at(work, [(product.id, at) for _, product, at in created])
    await insert_rows(
        work.connection,
        "favorite",
        "account_id, product_id, added_at, price_minor, currency, watch_kind, watch_paused, armed",
        "bigint bigint timestamptz bigint text text bool bool",
        [
            (account_id, product.id, at, prices[(product.id, at)], product.currency, WatchKind.ANY_DROP.value, False, True)
            for account_id, product, at in created
        ],
    )
    for account_id, product, _ in created:
        work.record(viewer, "favorite_added", "product", product.id, account_id=account_id)


async def _prices_at(work: Work, wanted: list[tuple[int, datetime]]) -> dict[tuple[int, datetime], int]:
    """What each product cost at each instant; before its first price point, that one's price."""
    pairs = list(dict.fromkeys(wanted))
    if not for_update():  # a statement a pair costs SQLite nothing
        return {(product_id, at): (await work.fetch(_PRICE_AT.format("$1", "$2"), product_id, at))[0][0] for product_id, at in pairs}
    found = await work.fetch(
        f"SELECT w.product_id, w.at, ({_PRICE_AT.format('w.product_id', 'w.at')}) FROM unnest($1::bigint[], $2::timestamptz[]) AS w (product_id, at)",
        *(list(column) for column in zip(*pairs, strict=True)),
    )
    return {(product_id, at): price for product_id, at, price in found}


_PRICE_AT = (
    "SELECT coalesce((SELECT price_minor FROM price_point WHERE product_id = {0} AND at <= {1} ORDER BY at DESC LIMIT 1), "
    "(SELECT price_minor FROM price_point WHERE product_id = {0} ORDER BY at LIMIT 1))"
)
