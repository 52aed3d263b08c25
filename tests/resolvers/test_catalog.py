"""The catalogue from outside: search, pages, products as the platform sends them."""

from tests.shop import Shop

SEARCH = """query($search: String, $first: Int, $after: String, $last: Int, $before: String) {
  products(search: $search, first: $first, after: $after, last: $last, before: $before) {
    totalCount edges { cursor node { title } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""


async def test_search_folds_case_in_every_language_and_takes_wildcards_literally(shop: Shop) -> None:
    titles = [{"language": "ru", "text": "Настольная ЛАМПА 100%"}, {"language": "en", "text": "Straße_Lamp"}]
    await shop.product(titles=titles)
    for search, hits in (("лампа", 1), ("STRASSE", 1), ("100%", 1), ("0_%", 0), ("e_l", 1), ("e%l", 0), ("\\", 0)):
        found = (await shop.nobody.data(SEARCH, search=search))["products"]
        assert found["totalCount"] == hits, search


async def test_pages_forwards_and_backwards_meet(shop: Shop) -> None:
    for number in range(7):
        await shop.product(titles=[{"language": "en", "text": f"Paged {number}"}])
    forwards, cursor = [], None
    while True:
        page = (await shop.nobody.data(SEARCH, search="paged", first=3, after=cursor))["products"]
        forwards += [edge["node"]["title"] for edge in page["edges"]]
        cursor = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert forwards == [f"Paged {number}" for number in range(6, -1, -1)]
    backwards, cursor = [], None
    while True:
        page = (await shop.nobody.data(SEARCH, search="paged", last=3, before=cursor))["products"]
        backwards = [edge["node"]["title"] for edge in page["edges"]] + backwards
        cursor = page["pageInfo"]["startCursor"]
        if not page["pageInfo"]["hasPreviousPage"]:
            break
    assert backwards == forwards


async def test_what_is_no_page_is_refused(shop: Shop) -> None:
    buyer = await shop.buyer()
    await buyer.data("mutation($p: ID!) { addFavorite(productId: $p) { __typename } }", p=(await shop.product()).id)
    other = (await buyer.data("{ me { favorites { edges { cursor } } } }"))["me"]["favorites"]["edges"][0]["cursor"]
    for wrong, field in (
        ({"first": 0}, "first"), ({"first": -1}, "first"), ({"first": 101}, "first"), ({"last": 0}, "last"),
        ({"first": 1, "last": 1}, "last"), ({"after": "nonsense"}, "after"), ({"after": ""}, "after"), ({"before": "é"}, "before"),
        ({"after": other}, "after"),
    ):  # fmt: skip
        answer = await shop.nobody.run(SEARCH, **wrong)
        assert answer["data"] == {"products": None}, wrong
        assert [(e["extensions"]["code"], e["extensions"]["field"]) for e in answer["errors"]] == [("BAD_USER_INPUT", field)], wrong


async def test_products_are_created_updated_left_alone_and_refused(shop: Shop) -> None:
    store = await shop.store()
    row = {
        "externalId": "put-1", "storeExternalId": store, "titles": [{"language": "en", "text": "Lamp"}], "amount": "5.00", "currency": "USD",
    }  # fmt: skip
    assert [r["status"] for r in await shop.put("putProducts", [row, {**row, "titles": []}])] == ["CREATED", "REFUSED"]
    assert [r["status"] for r in await shop.put("putProducts", [row])] == ["UNCHANGED"]
    assert [r["status"] for r in await shop.put("putProducts", [{**row, "available": False}])] == ["UPDATED"]
    assert [r["status"] for r in await shop.put("putProducts", [{**row, "available": False, "amount": "4.00"}])] == ["UPDATED"]
    found = await shop.nobody.data('{ products(search: "Lamp", first: 1) { edges { node { available price { amount } store { name } priceHistory { price { amount } } } } } }')
    node = found["products"]["edges"][0]["node"]
    assert node["available"] is False and node["price"]["amount"] == "4.00"
    assert [point["price"]["amount"] for point in node["priceHistory"]] == ["5.00", "4.00"]
    for wrong, code in (
        ({"storeExternalId": "unknown"}, "UNKNOWN_REFERENCE"), ({"titles": []}, "BAD_USER_INPUT"), ({"titles": [{"language": "xx", "text": "x"}]}, "BAD_USER_INPUT"),
        ({"amount": None}, "BAD_USER_INPUT"), ({"amount": "0.00"}, "BAD_USER_INPUT"), ({"currency": None}, "BAD_USER_INPUT"),
    ):  # fmt: skip
        (refused,) = await shop.put("putProducts", [{**row, "externalId": "put-2", **wrong}])
        assert (refused["status"], refused["code"]) == ("REFUSED", code), wrong


async def test_a_missing_product_is_null_with_not_found_and_node_is_null_without(shop: Shop) -> None:
    buyer = await shop.buyer()
    for wrong in ("nonsense", "UHJvZHVjdDo5OTk5OTk=", buyer.id, "U3RvcmU6MQ=="):
        assert await shop.nobody.codes("query($id: ID!) { product(id: $id) { id } }", id=wrong) == ["NOT_FOUND"]
    for wrong in ("nonsense", "UHJvZHVjdDo5OTk5OTk="):
        assert await shop.nobody.run("query($id: ID!) { node(id: $id) { id } }", id=wrong) == {"data": {"node": None}}
    assert (await buyer.data("query($id: ID!) { node(id: $id) { __typename id } }", id=buyer.id))["node"]["__typename"] == "Account"
    assert await shop.nobody.run("query($id: ID!) { node(id: $id) { id } }", id=buyer.id) == {"data": {"node": None}}


async def test_a_text_with_nul_is_refused_on_both_databases_and_nothing_is_written(shop: Shop) -> None:
    query = "mutation($input: PutStoresInput!) { putStores(input: $input) { results { status } } }"
    rows = [{"externalId": "nul", "name": "with \x00 in it"}, {"externalId": "fine", "name": "fine"}]
    assert await shop.staff.codes(query, input={"rows": rows}) == ["BAD_USER_INPUT"]
    for wrong in ("\x00", "a\x00b", "x" * 201):
        assert await shop.nobody.codes(SEARCH, search=wrong) == ["BAD_USER_INPUT"]
    assert [r["status"] for r in await shop.put("putStores", rows[1:])] == ["CREATED"]
