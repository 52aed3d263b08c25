"""Favourites, watches and price drops in the graph."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import strawberry

from models import catalog as catalog_rows
from models import favorites as rows
from models import money
from models.price_watch import condition_holds
from resolvers import catalog, favorites, price_watch
from schema.bulk import BulkResult, bulk, given
from schema.catalog import Product
from schema.context import Context
from schema.edges import attribute, derived, edge, identity, mutation, stream, to_one
from schema.errors import BadUserInput, NotFound, Unavailable, answered
from schema.money import Money, MoneyInput, of
from schema.node import Node, own_id, reads_rows_of
from schema.paging import After, Before, Connection, First, Last, window
from schema.scalars import Instant, global_id, local_id

WatchKind = rows.WatchKind
strawberry.enum(WatchKind, name="WatchKind", description="What a watch waits for.")


@strawberry.type(description="What a favourite's watch waits for. It alerts at most once a price point, and not again within 24 hours.")
class Watch:
    kind: WatchKind = attribute("ANY_DROP: under the price before; TARGET: at or under an amount; PERCENT: so much under the price at adding.")
    target: Money | None = attribute("The amount of TARGET, in the product's currency; null for other kinds.")
    percent: int | None = attribute("The percentage of PERCENT, 1 to 99; null for other kinds.")
    paused: bool = attribute("Whether it is silent until it is resumed.")
    already_met: bool = attribute("Whether the price now is what it waits for.")


@strawberry.type(description="How a price differs from the one at adding.")
class PriceChange:
    amount: Money = attribute("Price now less price at adding; negative when it fell.")
    percent: float = attribute("The same in per cent of the price at adding, two decimals.")


class Shown:
    """A watch or a price change as the graph shows it."""

    __slots__ = ("already_met", "amount", "kind", "paused", "percent", "target")

    def __init__(self, **values: Any):
        for name, value in values.items():
            setattr(self, name, value)


async def _products(found: list[Any], context: Context) -> list[Any]:
    products = await context.loads.by_id(catalog_rows.Product, [row.product_id for row in found])
    return [products[row.product_id] for row in found]


async def _prices(found: list[Any], context: Context) -> list[Any]:
    return [money.Money(product.price_minor, product.currency) for product in await _products(found, context)]


async def _lowest(found: list[Any], context: Context) -> list[Any]:
    lowest = await catalog.lowest_prices([row.product_id for row in found], context.viewer.now)
    return [of(lowest.get(row.product_id), row.currency) for row in found]


async def _changes(found: list[Any], context: Context) -> list[Any]:
    shown = []
    for row, product in zip(found, await _products(found, context), strict=True):
        difference = product.price_minor - row.price_minor
        percent = round(difference * 100 / row.price_minor, 2)
        shown.append(Shown(amount=money.Money(difference, row.currency), percent=percent))
    return shown


async def _watches(found: list[Any], context: Context) -> list[Any]:
    shown = []
    for row, product in zip(found, await _products(found, context), strict=True):
        met = row.watch_kind is not rows.WatchKind.ANY_DROP and condition_holds(price_watch.watch_of(row), product.price_minor, None)
        shown.append(
            Shown(
                kind=row.watch_kind,
                target=of(row.watch_target_minor, row.currency),
                percent=row.watch_percent,
                paused=row.watch_paused,
                already_met=met,
            )
        )
    return shown


async def _favorite(context: Context, favorite_id: int) -> Any:
    return await favorites.favorite(context.viewer, favorite_id, "id")


@strawberry.type(description="One product on the buyer's wish list, with the watch on its price.")
@reads_rows_of(rows.Favorite, _favorite)
class Favorite(Node):
    id: strawberry.ID = identity("Favorite")
    product: Product | None = to_one(catalog_rows.Product, key="product_id", description="What is wished for.")
    added_at: Instant = attribute("When it was put on the list; only later prices alert.")
    price_when_added: Money = derived(
        lambda row, context: money.Money(row.price_minor, row.currency), description="What it cost when it was added."
    )
    price: Money = edge(_prices, description="What it costs now.")
    lowest_price_30_days: Money | None = edge(_lowest, description="The lowest price observed in the last 30 days; null where none was.")
    change: PriceChange = edge(_changes, description="How the price changed since.")
    watch: Watch | None = edge(_watches, description="The watch; ANY_DROP unless it was set otherwise.")


async def _dropped_favorites(found: list[Any], context: Context) -> list[Any]:
    known = await context.loads.by_id(rows.Favorite, [row.row.favorite_id for row in found])
    return [known.get(row.row.favorite_id) for row in found]


async def _dropped_products(found: list[Any], context: Context) -> list[Any]:
    known = await context.loads.by_id(catalog_rows.Product, [row.row.product_id for row in found])
    return [known.get(row.row.product_id) for row in found]


@strawberry.type(description="One alert that one favourite raised. Kept for good.")
class PriceDrop:
    cursor: str = attribute("Good for `after` of this list and of the subscription priceDrops.")
    favorite: Favorite | None = edge(_dropped_favorites, description="What raised it; null once it is off the list.")
    product: Product | None = edge(_dropped_products, description="What became cheaper.")
    old_price: Money = derived(lambda drop, context: money.Money(drop.row.old_minor, drop.row.currency), description="The price before.")
    new_price: Money = derived(lambda drop, context: money.Money(drop.row.new_minor, drop.row.currency), description="The price that alerted.")
    at: Instant = derived(lambda drop, context: drop.row.at, description="Since when the new price holds.")


async def _of_accounts(accounts: list[Any], context: Context, first: First = None, after: After = None, last: Last = None, before: Before = None) -> list[Any]:  # fmt: skip
    return [await favorites.favorites(account.id, window(first, after, last, before)) for account in accounts]


async def _drops_of_accounts(accounts: list[Any], context: Context, first: First = None, after: After = None, last: Last = None, before: Before = None) -> list[Any]:  # fmt: skip
    return [await price_watch.price_drops(account.id, window(first, after, last, before)) for account in accounts]


@strawberry.type
class AccountFavorites:
    favorites: Connection[Favorite] | None = edge(_of_accounts, description="The wish list, newest first.")
    price_drops: Connection[PriceDrop] | None = edge(
        _drops_of_accounts, description="Alerts, newest first; a cursor of this list is good for the subscription's `after`."
    )


@strawberry.type(description="The product is on the list; it may have been before.")
class FavoriteAdded:
    favorite: Favorite = strawberry.field(description="With the price at adding.")


@strawberry.type(description="The product is off the list, and its watch has ended.")
class FavoriteRemoved:
    favorite_id: strawberry.ID = strawberry.field(description="The id it had.")


@strawberry.type(description="The watch is set.")
class WatchSet:
    favorite: Favorite = strawberry.field(description="With its new watch.")


AddFavoriteResult = Annotated[FavoriteAdded | NotFound | Unavailable, strawberry.union("AddFavoriteResult", description="What addFavorite answers.")]
RemoveFavoriteResult = Annotated[FavoriteRemoved | NotFound, strawberry.union("RemoveFavoriteResult", description="What removeFavorite answers.")]
SetWatchResult = Annotated[WatchSet | NotFound | BadUserInput, strawberry.union("SetWatchResult", description="What setWatch answers.")]


@strawberry.input(description="What a favourite's watch is to wait for.")
class SetWatchInput:
    favorite_id: strawberry.ID = strawberry.field(description="The favourite.")
    kind: WatchKind = strawberry.field(description="Another kind, target or percentage than before begins the watch anew.")
    target: MoneyInput | None = strawberry.field(default=strawberry.UNSET, description="For TARGET alone; in the product's currency.")
    percent: int | None = strawberry.field(default=strawberry.UNSET, description="For PERCENT alone; 1 to 99.")
    paused: bool | None = strawberry.field(default=strawberry.UNSET, description="Left out: as it is.")


@strawberry.input(description="A favourite as the platform knows it.")
class FavoriteRow:
    account_external_id: str = strawberry.field(description="The buyer.")
    product_external_id: str = strawberry.field(description="The product.")
    added_at: Instant | None = strawberry.field(default=strawberry.UNSET, description="The time of the call when left out.")


@strawberry.input(description="Up to 500 favourites.")
class PutFavoritesInput:
    rows: list[FavoriteRow] = strawberry.field(description="Known by buyer and product; results name the buyer.")


FavoriteId = Annotated[strawberry.ID, strawberry.argument(description="A favourite's id.")]
ProductId = Annotated[strawberry.ID, strawberry.argument(description="A product's id.")]


async def _set_watch(context: Context, input: SetWatchInput) -> Any:
    target = given(input.target)
    wish = favorites.WatchWish(
        kind=input.kind,
        target=target.given("target") if target else None,
        percent=given(input.percent),
        paused=given(input.paused),
    )
    return await favorites.set_watch(context.viewer, own_id(context, input.favorite_id, "Favorite", "favoriteId"), wish)


async def _add(context: Context, product_id: str) -> Any:
    return await favorites.add_favorite(context.viewer, own_id(context, product_id, "Product", "productId"))


async def _remove(context: Context, favorite_id: str) -> Any:
    return await favorites.remove_favorite(context.viewer, own_id(context, favorite_id, "Favorite", "favoriteId"))


async def _remove_of(context: Context, product_id: str) -> Any:
    return await favorites.remove_favorite_of(context.viewer, own_id(context, product_id, "Product", "productId"))


def _removed(favorite_id: int) -> FavoriteRemoved:
    return FavoriteRemoved(favorite_id=strawberry.ID(global_id("Favorite", favorite_id)))


@strawberry.type
class FavoritesMutation:
    @mutation(description="Put a product on the wish list. Again: the same favourite.")
    async def add_favorite(context: Context, product_id: ProductId) -> AddFavoriteResult:
        return await answered(context, _add(context, product_id), lambda row: FavoriteAdded(favorite=row))

    @mutation(description="Take a favourite off the wish list. Its alerts stay readable.")
    async def remove_favorite(context: Context, favorite_id: FavoriteId) -> RemoveFavoriteResult:
        return await answered(context, _remove(context, favorite_id), _removed)

    @mutation(description="Take a product off the wish list, for whoever knows the product alone (Product.isFavorite). Otherwise as removeFavorite.")
    async def remove_favorite_of(context: Context, product_id: ProductId) -> RemoveFavoriteResult:
        return await answered(context, _remove_of(context, product_id), _removed)

    @mutation(description="Set what a favourite's watch waits for, or pause and resume it.")
    async def set_watch(context: Context, input: SetWatchInput) -> SetWatchResult:
        return await answered(context, _set_watch(context, input), lambda row: WatchSet(favorite=row))

    @mutation(description="Put products on buyers' wish lists. Scope favorites.")
    async def put_favorites(context: Context, input: PutFavoritesInput) -> BulkResult:
        listed = [
            favorites.GivenFavorite(row.account_external_id, row.product_external_id, given(row.added_at)) for row in input.rows
        ]
        return await bulk(context, favorites.put_favorites(context.viewer, listed))


@strawberry.type(description="A product's price has changed. The same for everybody.")
class PriceChanged:
    product: Product = to_one(catalog_rows.Product, key="product_id", description="With its new price.")
    old_price: Money = derived(lambda point, context: money.Money(point.previous_minor, point.currency), description="The price before.")
    new_price: Money = derived(lambda point, context: money.Money(point.price_minor, point.currency), description="The price now.")
    at: Instant = attribute("Since when it holds.")


async def _follow_drops(context: Context, after: After = None) -> AsyncIterator[Any]:
    events = price_watch.follow_price_drops(context.viewer, context.bus, context.resume_after or after, context.poll_seconds)
    async for drop in events:
        yield drop


async def _follow_prices(context: Context, product_id: ProductId) -> AsyncIterator[Any]:
    product = local_id(product_id, "Product", "productId")
    async for point in price_watch.follow_prices(context.bus, product, context.poll_seconds):
        yield point


@strawberry.type
class FavoritesSubscription:
    price_drops: PriceDrop = stream(
        _follow_drops,
        description="The buyer's alerts. With `after`: first what was missed, oldest first, then live; without: live only.",
    )
    price_changed: PriceChanged = stream(
        _follow_prices, description="Every change of a product's price, for anybody who asks.", personal=False
    )

