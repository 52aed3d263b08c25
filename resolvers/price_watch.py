"""Price drops: the alerts that favourites raise, made by the worker and read by their buyers."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, NamedTuple

from auth.viewer import Viewer
from delivery.bus import Bus
from models.catalog import PricePoint, Product
from models.clock import now
from models.database import any_of, fetch, for_update
from models.favorites import FanOut, Favorite, PriceDrop
from models.pages import Edge, Key, Keyset, Page, Window, page
from models.price_watch import Watch, after_point
from models.reads import reads
from models.refusals import NotFound
from models.rows import insert_rows
from models.unit_of_work import Work, unit_of_work

DROPS = Keyset("price_drops", (Key("number", int),))
CHUNK = 1000
POINTS_A_UNIT = 50
BATCH = 100


class Drop(NamedTuple):
    """A price drop as the subscription sends it."""

    cursor: str
    row: PriceDrop


class ChangedWatch(NamedTuple):
    """What a price has changed of a favourite's watch, in the order of the statement that writes it."""

    favorite_id: int
    armed: bool
    alerted_minor: int | None
    alerted_at: datetime | None
    peak_minor: int | None


class Turn(NamedTuple):
    """Favourites that a waiting price point is taken through now; `done`: these are its last."""

    job: Any
    point: Any
    favorites: list[Any]
    done: bool


async def price_drops(account_id: int, window: Window) -> Page:
    """The account's alerts, newest first, each as the subscription sends it."""
    return await page(reads(PriceDrop), "account_id = $1", [account_id], DROPS, window, _drop)


def _drop(keyset: Keyset, row: Any) -> Edge:
    return Edge(keyset, row, Drop(keyset.cursor(row), row))


async def follow_price_drops(viewer: Viewer, bus: Bus, after: str | None, poll_seconds: float) -> AsyncIterator[Drop]:
    """The viewer's alerts: those behind the cursor `after`, oldest first, then each as it is committed.

    Raises:
        Unauthenticated: nobody is signed in. BadUserInput: not a cursor of this list.
    """
    account_id = viewer.require_buyer()
    (seen,) = DROPS.place(after, "after") if after is not None else (await newest_number(account_id),)
    with bus.listen(f"account:{account_id}") as news:
        while True:
            found = await reads(PriceDrop).where(
                f"account_id = $1 AND number > $2 ORDER BY number LIMIT {BATCH}", account_id, seen
            )
            for row in found:
                seen = row.number
                yield Drop(DROPS.cursor(row), row)
            if len(found) < BATCH:
                await news.wait(poll_seconds)


async def follow_prices(bus: Bus, product_id: int, poll_seconds: float) -> AsyncIterator[PricePoint]:
    """The changes of a product's price, each as it is committed.

    Raises:
        NotFound: there is no such product.
    """
    if await reads(Product).one("id = $1", product_id) is None:
        raise NotFound(field="productId")
    with bus.listen(f"product:{product_id}") as news:
        found = await fetch("SELECT coalesce(max(id), 0) FROM price_point WHERE product_id = $1", product_id)
        seen = found[0][0]
        while True:
            points = await reads(PricePoint).where(
                f"product_id = $1 AND id > $2 AND previous_minor IS NOT NULL ORDER BY id LIMIT {BATCH}", product_id, seen
            )
            for point in points:
                seen = point.id
                yield point
            if len(points) < BATCH:
                await news.wait(poll_seconds)


async def newest_number(account_id: int) -> int:
    """The number of the account's newest event; 0 before the first."""
    found = await fetch("SELECT last FROM account_event_counter WHERE account_id = $1", account_id)
    return int(found[0][0]) if found else 0


@unit_of_work
async def fan_out(work: Work) -> bool:
    """Work off a part of the waiting price points: up to 50, up to 1,000 favourites, by the set. False when none waits.

    A kill in the middle loses nothing and repeats nothing: what a unit did and how far it came commit together.
    """
    waiting = await _waiting(work)
    if not waiting:
        return False
    points = await reads(PricePoint).by_id([job.point_id for job in waiting])
    products = await reads(Product).by_id([job.product_id for job in waiting])
    turns = await _turns(work, [(job, points[job.point_id]) for job in waiting])
    alerts, changed = _judged(turns, products)
    await _change_watches(work, changed)
    await work.execute(f"DELETE FROM fan_out WHERE {any_of('point_id', 1)}", [turn.job.point_id for turn in turns if turn.done])
    await work.execute_each(
        "UPDATE fan_out SET account_id = $2 WHERE point_id = $1",
        [(turn.job.point_id, turn.favorites[-1].account_id) for turn in turns if not turn.done],
    )
    await _raise_alerts(work, alerts)
    return True


async def _waiting(work: Work) -> list[Any]:
    """Some price points that wait, of each product only the oldest: the next one must see the watches as that one leaves them."""
    skip = " SKIP LOCKED" if for_update() else ""
    source = reads(FanOut)
    return source.decode(
        await work.fetch(
            f"SELECT {source.columns_of('f')} FROM fan_out f WHERE NOT EXISTS (SELECT 1 FROM fan_out g WHERE "
            f"g.product_id = f.product_id AND g.at < f.at) ORDER BY f.point_id LIMIT {POINTS_A_UNIT}{for_update()}{skip}"
        )
    )


def _judged(turns: list[Turn], products: dict[int, Any]) -> tuple[list[tuple[Any, Any]], list[ChangedWatch]]:
    """The favourites that are alerted, each with its price point, and the watches that are otherwise from now on."""
    alerts: list[tuple[Any, Any]] = []
    changed: list[ChangedWatch] = []
    for job, point, favorites, _ in turns:
        available = products[job.product_id].available
        for favorite in favorites:
            before = watch_of(favorite)
            watch, alerted = after_point(before, point.price_minor, point.previous_minor, point.at, available)
            if alerted:
                alerts.append((favorite, point))
            if watch != before:
                changed.append(ChangedWatch(favorite.id, watch.armed, watch.alerted_minor, watch.alerted_at, watch.peak_minor))
    return alerts, changed


# Watches that a price can neither alert nor change are not read.
_CONCERNED = (
    "favorite.product_id = {product} AND favorite.account_id > {above} AND favorite.added_at <= {at} AND ("
    "favorite.alerted_at IS NOT NULL OR (favorite.watch_kind = 'ANY_DROP' AND {price} < {previous}) OR "
    "(favorite.watch_kind = 'TARGET' AND favorite.watch_target_minor >= {price}) OR "
    "(favorite.watch_kind = 'PERCENT' AND {price} * 100 <= favorite.price_minor * (100 - favorite.watch_percent))) "
    "ORDER BY favorite.account_id"
)


async def _turns(work: Work, jobs: list[tuple[Any, Any]]) -> list[Turn]:
    """The next favourites of the waiting points, each point's in the order of their accounts; CHUNK in all."""
    return await _turns_by_the_set(work, jobs) if for_update() else await _turns_one_by_one(work, jobs)


async def _turns_one_by_one(work: Work, jobs: list[tuple[Any, Any]]) -> list[Turn]:
    source = reads(Favorite)
    concerned = _CONCERNED.format(product="$1", above="$2", at="$3", price="$4", previous="$5")
    turns: list[Turn] = []
    left = CHUNK
    for job, point in jobs:
        if left <= 0:
            break
        rows = await work.fetch(
            f"SELECT {source.columns} FROM favorite WHERE {concerned} LIMIT {left}",
            job.product_id, job.account_id, point.at, point.price_minor, point.previous_minor,
        )  # fmt: skip
        turns.append(Turn(job, point, source.decode(rows), done=len(rows) < left))
        left -= len(rows)
    return turns


async def _turns_by_the_set(work: Work, jobs: list[tuple[Any, Any]]) -> list[Turn]:
    """One statement, which locks the favourites. Each point has the same share of the chunk: one with many goes on in
    the next units, the others end."""
    source, share = reads(Favorite), max(CHUNK // len(jobs), 1)
    concerned = _CONCERNED.format(product="w.product_id", above="w.above", at="w.at", price="w.price", previous="w.previous")
    given = [(job.product_id, job.account_id, point.at, point.price_minor, point.previous_minor) for job, point in jobs]
    rows = await work.fetch(
        f"SELECT {source.columns_of('t')} FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[], $4::bigint[], $5::bigint[]) "
        "AS w (product_id, above, at, price, previous) CROSS JOIN LATERAL "
        f"(SELECT * FROM favorite WHERE {concerned} LIMIT {share}{for_update()}) AS t",
        *(list(column) for column in zip(*given, strict=True)),
    )
    by_product: dict[int, list[Any]] = {}
    for favorite in source.decode(rows):
        by_product.setdefault(favorite.product_id, []).append(favorite)
    found = [(job, point, by_product.get(job.product_id, [])) for job, point in jobs]
    return [Turn(job, point, favorites, done=len(favorites) < share) for job, point, favorites in found]


def watch_of(favorite: Any) -> Watch:
    """The watch in a favourite's row."""
    return Watch(
        kind=favorite.watch_kind,
        added_minor=favorite.price_minor,
        target_minor=favorite.watch_target_minor,
        percent=favorite.watch_percent,
        paused=favorite.watch_paused,
        armed=favorite.armed,
        alerted_minor=favorite.alerted_minor,
        alerted_at=favorite.alerted_at,
        peak_minor=favorite.peak_minor,
    )


async def _change_watches(work: Work, changed: list[ChangedWatch]) -> None:
    if not changed:
        return
    if not for_update():
        await work.execute_each(
            "UPDATE favorite SET armed = $2, alerted_minor = $3, alerted_at = $4, peak_minor = $5 WHERE id = $1", changed
        )
        return
    await work.execute(
        "UPDATE favorite SET armed = w.armed, alerted_minor = w.alerted_minor, alerted_at = w.alerted_at, peak_minor = w.peak "
        "FROM unnest($1::bigint[], $2::bool[], $3::bigint[], $4::timestamptz[], $5::bigint[]) "
        "AS w (id, armed, alerted_minor, alerted_at, peak) WHERE favorite.id = w.id",
        *(list(column) for column in zip(*changed, strict=True)),
    )


async def _raise_alerts(work: Work, alerts: list[tuple[Any, Any]]) -> None:
    """Write the alerts and their events, numbered in each account's order. One account may have several products'."""
    by_turn: list[list[tuple[Any, Any]]] = []
    told_at = await now()  # of the event: it is kept for so long from when it was told, however old the price is
    turns: dict[int, int] = {}
    for favorite, point in alerts:
        turn = turns.get(favorite.account_id, 0)
        turns[favorite.account_id] = turn + 1
        if turn == len(by_turn):
            by_turn.append([])
        by_turn[turn].append((favorite, point))
    for turn_alerts in by_turn:
        numbers = await work.numbered([favorite.account_id for favorite, _ in turn_alerts])
        await insert_rows(
            work.connection,
            "price_drop",
            "account_id, number, favorite_id, product_id, point_id, old_minor, new_minor, currency, at",
            "bigint bigint bigint bigint bigint bigint bigint text timestamptz",
            [
                (f.account_id, numbers[f.account_id], f.id, f.product_id, p.id, p.previous_minor, p.price_minor, p.currency, p.at)
                for f, p in turn_alerts
            ],
        )
        await insert_rows(
            work.connection,
            "event",
            "account_id, number, kind, subject_id, at",
            "bigint bigint text bigint timestamptz",
            [(f.account_id, numbers[f.account_id], "price_drop", p.id, told_at) for f, p in turn_alerts],
        )
