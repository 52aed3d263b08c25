"""Home: the numbers of a buyer's start page."""

from collections.abc import Sequence

from models.catalog import Store
from models.database import any_of, fetch
from models.reads import reads

MOST_STORES = 5


async def favorite_stores(account_ids: Sequence[int]) -> dict[int, list[Store]]:
    """The stores of the products on each wish list, most of them first, five at most: one statement."""
    source = reads(Store)
    found = await fetch(
        f"SELECT c.account_id, {source.columns_of('s')} FROM (SELECT f.account_id, p.store_id, count(*) AS wished "
        f"FROM favorite f JOIN product p ON p.id = f.product_id WHERE {any_of('f.account_id', 1)} GROUP BY f.account_id, p.store_id) c "
        "JOIN store s ON s.id = c.store_id ORDER BY c.account_id, c.wished DESC, s.id",
        list(account_ids),
    )
    grouped: dict[int, list[Store]] = {}
    for account_id, *columns in found:
        own = grouped.setdefault(account_id, [])
        if len(own) < MOST_STORES:
            own += source.decode([columns])
    return grouped
