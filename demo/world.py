"""The demo world: a small shop with buyers to sign in as, filled through the same functions as the staff half.

Everything hangs on the instant at which it is filled and on fixed seeds: the same start gives the same world.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from auth.passwords import Passwords
from auth.viewer import Viewer
from demo import coupons, messages, orders, products
from models.clock import now
from models.database import fetch
from models.refusals import ErrorCode, Failure
from models.sessions import DEMO_STAFF_TOKEN, SCOPES
from models.unit_of_work import Work, unit_of_work
from resolvers import accounts, catalog, favorites, prices
from resolvers.bulk import RowResult
from resolvers.coupon_offers import issue_coupons, put_coupon_offers
from resolvers.given_orders import put_orders
from resolvers.jobs import JOBS
from resolvers.seller_messages import send_seller_messages
from resolvers.shipments import ship_orders
from resolvers.staff import create_token
from resolvers.tracking import add_tracking_events
from resolvers.worker import until_idle
from settings import Settings

PASSWORD = "demo-Kabinet-2026"
STAFF_TOKEN = DEMO_STAFF_TOKEN
BUYERS = (
    ("anna", "Анна Смирнова", "ru", "RU", "RUB", "+79160000001"),
    ("boris", "Борис Орлов", "ru", "RU", "RUB", "+79160000002"),
    ("vera", "Vera Novak", "en", "CZ", "EUR", None),
)
FAVORITES = {"anna": range(0, 60, 3), "boris": range(1, 30, 4), "vera": range(2, 200, 11)}

FILL_SECONDS = 300.0

Progress = Callable[[int], object]


class DemoRefused(Exception):
    """A row of the demo world was refused: the world and the rules have come apart."""


def buyers() -> list[dict[str, str]]:
    """Who may be signed in as."""
    return [{"email": f"{name}@demo.example", "password": PASSWORD, "displayName": shown} for name, shown, *_ in BUYERS]


async def fill_if_empty(settings: Settings, progress: Progress) -> bool:
    """Fill the open database, if it has no buyers yet; whether it did. `progress` is told how many rows were written.

    A fill that is killed leaves nothing behind, so that the next start fills anew; what its price points still have to
    say by then is the worker's.
    """
    filled = False
    while not await has_buyers():
        try:
            filled = await _fill(settings, progress)
        except Failure as failure:  # another process is filling it, and takes longer than one waits for a lock
            if failure.code is not ErrorCode.OVERLOADED:
                raise
    if filled:
        await until_idle(JOBS)
    return filled


async def has_buyers() -> bool:
    return bool(await fetch("SELECT 1 FROM account LIMIT 1"))


@unit_of_work(seconds=FILL_SECONDS)
async def _fill(work: Work, settings: Settings, progress: Progress) -> bool:
    """All of the world in one unit, which the calls of the staff half join; False: another process was quicker."""
    await create_token("demo", SCOPES, STAFF_TOKEN)  # of two processes that fill, the second waits here for the first
    if await has_buyers():
        return False
    at = await now()
    ((staff_id,),) = await fetch("SELECT id FROM staff_token WHERE name = $1", "demo")
    viewer = Viewer(now=at, staff_id=staff_id, scopes=frozenset(SCOPES))

    async def put(call: Awaitable[list[RowResult]]) -> None:
        results = await call
        refused = [result for result in results if result.refusal is not None]
        if refused:
            first = refused[0]
            raise DemoRefused(f"{first.external_id}: {first.refusal}, field {first.refusal.field if first.refusal else None}")
        progress(len(results))

    passwords = Passwords(settings)
    await put(accounts.put_accounts(viewer, settings, passwords, given_accounts()))
    passwords.close()
    await put(catalog.put_stores(viewer, products.stores()))
    await put(catalog.put_products(viewer, products.products(at)))
    await put(favorites.put_favorites(viewer, given_favorites(at)))
    for rows in products.prices(at):
        await put(prices.set_prices(viewer, rows))
    for name, *_ in BUYERS:
        used = coupons.used_in(name)
        await put(put_coupon_offers(viewer, coupons.offers(name)))
        await put(issue_coupons(viewer, coupons.coupons(name, at)))
        await put(put_orders(viewer, orders.orders(name, at, used)))
        await put(ship_orders(viewer, orders.parcels(name, at)))
        await put(add_tracking_events(viewer, list(orders.scans(name, at))))
        await put(put_orders(viewer, orders.completions(name, at, used)))
        await put(send_seller_messages(viewer, messages.messages(name, at)))
    return True


def given_accounts() -> Sequence[accounts.GivenAccount]:
    return [
        accounts.GivenAccount(name, shown, f"{name}@demo.example", phone, language, region, currency, PASSWORD)
        for name, shown, language, region, currency, phone in BUYERS
    ]


def given_favorites(at: datetime) -> Sequence[Any]:
    """Wish lists that have grown over the last half a year."""
    return [
        favorites.GivenFavorite(name, products.external_id(number), at - timedelta(days=180 - 5 * place % 175, hours=place))
        for name, wished in FAVORITES.items()
        for place, number in enumerate(wished)
    ]
