"""Prices as the platform sets them, and the history they leave."""

from datetime import timedelta

from models.catalog import PricePoint
from tests.shop import Shop

PRODUCT = """query($id: ID!) { product(id: $id) { price { amount currency formatted } lowestPrice30Days { amount }
  priceHistory(days: 90) { at price { amount } } } }"""


async def test_a_price_is_created_once_and_its_repetition_changes_nothing(shop: Shop) -> None:
    product, at = await shop.product("10.00"), (await shop.now() - timedelta(hours=1)).isoformat()
    row = {"externalId": product.external_id, "amount": "9.00", "currency": "USD", "at": at}
    assert [r["status"] for r in await shop.put("setPrices", [row])] == ["CREATED"]
    assert [r["status"] for r in await shop.put("setPrices", [row])] == ["UNCHANGED"]
    (refused,) = await shop.put("setPrices", [{**row, "amount": "8.00"}])
    assert (refused["status"], refused["code"]) == ("REFUSED", "CONFLICT")
    found = (await shop.nobody.data(PRODUCT, id=product.id))["product"]
    assert found["price"] == {"amount": "9.00", "currency": "USD", "formatted": "$9.00"}
    assert [point["price"]["amount"] for point in found["priceHistory"]] == ["10.00", "9.00"]


async def test_bad_rows_are_refused_each_by_itself(shop: Shop) -> None:
    product, now = await shop.product(), await shop.now()
    good = {"externalId": product.external_id, "amount": "5.00", "currency": "USD"}
    rows = [
        {**good, "at": (now - timedelta(hours=2)).isoformat()},
        {**good, "amount": "0", "at": (now - timedelta(hours=3)).isoformat()},
        {**good, "amount": "1.234", "at": (now - timedelta(hours=4)).isoformat()},
        {**good, "currency": "EUR", "at": (now - timedelta(hours=5)).isoformat()},
        {**good, "currency": "NOPE", "at": (now - timedelta(hours=6)).isoformat()},
        {**good, "at": (now + timedelta(hours=1)).isoformat()},
        {**good, "externalId": "unknown"},
        {**good, "externalId": ""},
        {**good, "at": (now - timedelta(hours=2)).isoformat()},
    ]
    results = await shop.put("setPrices", rows)
    assert [(r["status"], r["code"]) for r in results] == [
        ("CREATED", None), ("REFUSED", "BAD_USER_INPUT"), ("REFUSED", "BAD_USER_INPUT"), ("REFUSED", "CURRENCY_MISMATCH"),
        ("REFUSED", "BAD_USER_INPUT"), ("REFUSED", "BAD_USER_INPUT"), ("REFUSED", "UNKNOWN_REFERENCE"),
        ("REFUSED", "BAD_USER_INPUT"), ("REFUSED", "DUPLICATE"),
    ]  # fmt: skip
    history = (await shop.nobody.data(PRODUCT, id=product.id))["product"]["priceHistory"]
    assert [point["price"]["amount"] for point in history] == ["100.00", "5.00"]


async def test_a_history_in_one_call_is_applied_in_its_order_and_an_old_point_stays_history(shop: Shop) -> None:
    product, now = await shop.product("10.00"), await shop.now()
    days = {3: "7.00", 1: "8.00", 2: "6.00"}
    rows = [
        {"externalId": product.external_id, "amount": amount, "currency": "USD", "at": (now - timedelta(days=day)).isoformat()}
        for day, amount in days.items()
    ]
    assert {r["status"] for r in await shop.put("setPrices", rows)} == {"CREATED"}
    late = {**rows[0], "amount": "1.00", "at": (now - timedelta(days=2, hours=1)).isoformat()}
    await shop.put("setPrices", [late])
    points = await PricePoint.filter(product__external_id=product.external_id).order_by("at").values_list("price_minor", "previous_minor")
    assert points == [(1000, None), (700, 1000), (100, None), (600, 700), (800, 600)]
    found = (await shop.nobody.data(PRODUCT, id=product.id))["product"]
    assert (found["price"]["amount"], found["lowestPrice30Days"]["amount"]) == ("8.00", "1.00")


async def test_the_lowest_of_thirty_days_leaves_older_points_out(shop: Shop) -> None:
    product, now = await shop.product("5.00", days_ago=31), await shop.now()
    assert (await shop.nobody.data(PRODUCT, id=product.id))["product"]["lowestPrice30Days"] is None
    await shop.set_price(product, "9.00", now - timedelta(days=29))
    assert (await shop.nobody.data(PRODUCT, id=product.id))["product"]["lowestPrice30Days"] == {"amount": "9.00"}


async def test_more_than_500_rows_and_a_missing_scope_refuse_the_whole_call(shop: Shop) -> None:
    product, before = await shop.product(), await PricePoint.all().count()
    row = {"externalId": product.external_id, "amount": "5.00", "currency": "USD"}
    query = "mutation($input: SetPricesInput!) { setPrices(input: $input) { results { status } } }"
    assert await shop.staff.codes(query, input={"rows": [row] * 501}) == ["BAD_USER_INPUT"]
    assert await shop.nobody.codes(query, input={"rows": [row]}) == ["UNAUTHENTICATED"]
    assert await (await shop.buyer()).codes(query, input={"rows": [row]}) == ["UNAUTHENTICATED"]
    assert await (await shop.staff_with("catalog")).codes(query, input={"rows": [row]}) == ["FORBIDDEN"]
    assert await PricePoint.all().count() == before


async def test_currencies_with_other_minor_digits(shop: Shop) -> None:
    for currency, amount in (("JPY", "1200"), ("KWD", "1.250")):
        product = await shop.product(amount, currency=currency)
        found = (await shop.nobody.data(PRODUCT, id=product.id))["product"]["price"]
        assert (found["amount"], found["currency"]) == (amount, currency)
