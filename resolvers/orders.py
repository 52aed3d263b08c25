"""Orders: as their buyers read them, and what every change of an order writes down."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from auth.viewer import Viewer
from models.database import any_of, fetch, for_update
from models.messages import UNREAD
from models.orders import (
    LAPSED,
    NOT_DONE,
    OPEN,
    REVIEW_WITHIN,
    RUN_OUT,
    STATUS_SQL,
    TAB_SQL,
    UNDER_WAY,
    Completion,
    Facts,
    Order,
    OrderItem,
    OrderStatus,
    OrderTab,
    facts_of,
)
from models.pages import Key, Keyset, Page, Window, page
from models.protection import ENDING, REMINDERS, ProtectionExtension, require_under_way, timers_of
from models.reads import reads
from models.refusals import NotFound
from models.search import beginning, containing, searched
from models.timers import change_timers
from models.unit_of_work import Work, unit_of_work

ORDERS = Keyset("orders", (Key("placed_at", datetime), Key("id", int)))


class Figures(NamedTuple):
    """How many orders of a buyer are in each status, are disputed, and have protection that ends within 72 hours; how
    many of the sellers' messages are unread."""

    counts: dict[OrderStatus, int]
    disputed: int
    protection_ending: int
    unread: int


class Change(NamedTuple):
    """An order's facts before and after; `asked`: whether its buyer waits for an answer about more time, then and now."""

    order: Any
    facts: Facts
    was_asked: bool = False
    asked: bool = False


async def order(viewer: Viewer, order_id: int, field: str = "id") -> Order:
    """Raises:
    NotFound: there is none, or it is another buyer's.
    """
    found = await reads(Order).one("id = $1 AND account_id = $2", order_id, viewer.require_buyer())
    if found is None:
        raise NotFound(field=field)
    return found


async def orders(account_id: int, tab: OrderTab, search: str | None, window: Window, now: datetime) -> Page:
    """The account's orders in `tab`, newest first; with `search`, those whose number begins with it, or that have it in
    the title of an item, in whatever case.

    Raises:
        BadUserInput: a search of more than 200 characters or with NUL, or a wrong page.
    """
    condition, params = "account_id = $1", list[Any]([account_id])
    if tab is not OrderTab.ALL:
        condition += f" AND {_bracketed(TAB_SQL[tab])}"
        params += [instant for place, instant in (("$2", now), ("$3", now - REVIEW_WITHIN)) if place in condition]
    text = searched(search)
    if text:
        first, second = f"${len(params) + 1}", f"${len(params) + 2}"
        # Not EXISTS: PostgreSQL would read the items of every buyer first, instead of those of this one's orders in turn.
        condition += (
            rf" AND (number_folded LIKE {first} ESCAPE '\' OR coalesce((SELECT true FROM order_item i "
            rf"WHERE i.order_id = orders.id AND i.title_folded LIKE {second} ESCAPE '\' LIMIT 1), false))"
        )
        params += [beginning(text), containing(text)]
    return await page(reads(Order), condition, params, ORDERS, window)


def _bracketed(condition: str) -> str:
    return f"({condition})" if " OR " in condition else condition


async def figures(account_id: int, now: datetime) -> Figures:
    """What the buyer's start page counts: one statement, which looks at open orders and counts the others."""
    found = await fetch(_FIGURES, account_id, now, now + ENDING)
    unread, total, disputed, closed, not_done, open_orders, ending, lapsed, run_out, *numbers = found[0]
    counts = dict(zip(_COUNTED, numbers, strict=True))
    counts[OrderStatus.CLOSED] = closed
    counts[OrderStatus.CANCELLED] = not_done - open_orders + lapsed
    counts[OrderStatus.COMPLETED] = total - not_done - closed + run_out
    return Figures({stage: counts[stage] for stage in OrderStatus}, disputed, ending, unread)


async def order_counts(account_id: int, now: datetime) -> dict[OrderStatus, int]:
    """How many orders the account has in each status, zeros too."""
    return (await figures(account_id, now)).counts


_COUNTED = [stage for stage in STATUS_SQL if stage not in (OrderStatus.COMPLETED, OrderStatus.CANCELLED, OrderStatus.CLOSED)]
_OF_ACCOUNT = "SELECT count(*) FROM orders WHERE account_id = $1"
_FIGURES = (
    f"SELECT (SELECT count(*) FROM message WHERE account_id = $1 AND {UNREAD}), ({_OF_ACCOUNT}), ({_OF_ACCOUNT} AND frozen_at IS NOT NULL), ({_OF_ACCOUNT} AND closed_at IS NOT NULL), "
    f"({_OF_ACCOUNT} AND {NOT_DONE}), count(*), "
    f"count(*) FILTER (WHERE {UNDER_WAY} AND frozen_at IS NULL AND ends_at < $3), "
    f"count(*) FILTER (WHERE {LAPSED}), count(*) FILTER (WHERE {RUN_OUT}), "
    + ", ".join(f"count(*) FILTER (WHERE {STATUS_SQL[stage]})" for stage in _COUNTED)
    + f" FROM orders WHERE account_id = $1 AND {OPEN}"
)


async def items_of(order_ids: list[int]) -> dict[int, list[OrderItem]]:
    """The items of orders, each order's as they were given."""
    return await reads(OrderItem).by("order_id", order_ids, "id")


async def extensions_of(order_ids: Iterable[int]) -> dict[int, list[ProtectionExtension]]:
    """The extensions of orders' protection, each order's in the order of time."""
    return await reads(ProtectionExtension).by("order_id", order_ids, "id")


@unit_of_work
async def confirm_receipt(work: Work, viewer: Viewer, order_id: int) -> Order:
    """Let the buyer say that all has arrived: the order is completed, and after-sale begins.

    Raises:
        NotFound: no such order. Unavailable: WRONG_STATE, TOO_LATE, DISPUTE_OPEN.
    """
    account_id = viewer.require_buyer()
    (found,) = await locked(work, "id = $1 AND account_id = $2", order_id, account_id) or [None]
    if found is None:
        raise NotFound(field="orderId")
    require_under_way(found, viewer.now)
    asked = order_id in await asking(work, [order_id])
    facts = facts_of(found)._replace(completed_at=viewer.now, completion=Completion.BUYER_CONFIRMED)
    await save(work, [Change(found, facts, asked)], viewer.now)
    await lapse(work, [order_id], viewer.now)
    tell(work, viewer, found, "receipt_confirmed", viewer.now)
    return await order(viewer, order_id, "orderId")


async def locked(work: Work, condition: str, *params: Any) -> list[Any]:
    """Orders, locked until the unit ends, in the order of their ids: whoever locks several does it in this order."""
    source = reads(Order)
    return source.decode(
        await work.fetch(f"SELECT {source.columns} FROM orders WHERE {condition} ORDER BY id{for_update()}", *params)
    )


async def asking(work: Work, order_ids: Sequence[int]) -> set[int]:
    """Which of these orders have a request for more time that nobody has answered."""
    found = await work.fetch(
        "SELECT order_id FROM protection_extension WHERE granted_at IS NULL AND declined_at IS NULL AND lapsed_at IS NULL AND "
        + any_of("order_id", 1),
        list(order_ids),
    )
    return {order_id for (order_id,) in found}


async def lapse(work: Work, order_ids: Sequence[int], at: datetime) -> None:
    """Close the open requests of these orders unanswered."""
    await work.execute(
        "UPDATE protection_extension SET lapsed_at = $2 WHERE granted_at IS NULL AND declined_at IS NULL AND lapsed_at IS NULL "
        f"AND {any_of('order_id', 1)}",
        list(order_ids),
        at,
    )


async def save(work: Work, changes: Sequence[Change], now: datetime, *, past: bool = True) -> None:
    """Write changed facts, and set the orders' timers by them. `past`: a deadline that is over already is acted on."""
    names = Facts._fields
    assignments = ", ".join(f"{name} = ${n}" for n, name in enumerate(names, 2))
    rows = [(change.order.id, *columns_of(change.facts)) for change in changes if facts_of(change.order) != change.facts]
    if rows:
        await work.execute_each(f"UPDATE orders SET {assignments} WHERE id = $1", rows)
    started, stopped = [], []
    for change in changes:
        before = timers_of(change.order, asked=change.was_asked)
        after = timers_of(change.facts, asked=change.asked)
        begun, ended = moved_timers(change.order.id, before, after, now, past=past)
        started += begun
        stopped += ended
    await change_timers(work, started, stopped)


def columns_of(facts: Facts) -> tuple:
    """The facts as a statement takes them."""
    return tuple(facts._replace(completion=facts.completion and facts.completion.value))  # type: ignore[arg-type]


def moved_timers(
    order_id: int, before: dict[str, datetime], after: dict[str, datetime], now: datetime, *, past: bool
) -> tuple[list[tuple[str, int, datetime]], list[tuple[str, int]]]:
    """The timers to start or move, and those to stop. Nobody is reminded of what is over, whatever `past` says."""
    started = [
        (kind, order_id, due_at)
        for kind, due_at in after.items()
        if before.get(kind) != due_at and (due_at > now or (past and kind not in REMINDERS))
    ]
    begun = {kind for kind, _, _ in started}
    stopped = [(kind, order_id) for kind, due_at in before.items() if after.get(kind) != due_at and kind not in begun]
    return started, stopped


def tell(work: Work, viewer: Viewer | None, order: Any, verb: str, at: datetime, **details: Any) -> None:
    """Record what was done to an order, and let its buyer's subscribers and those of the order know."""
    work.record(viewer, verb, "order", order.id, at=at, **details)
    work.event(order.account_id, "order_changed", order.id, at)
    work.announce(f"order:{order.id}")
