"""Coupons from outside: issued by the platform, read by their buyers, held and used by orders."""

import asyncio
import itertools
from datetime import datetime, timedelta
from typing import Any

import pytest

from auth.viewer import Viewer
from models.coupons import Coupon, CouponState, state_of
from models.database import fetch
from models.orders import Order
from models.pages import Window
from models.reads import reads
from models.refusals import ErrorCode, Refusal
from models.unit_of_work import Work, unit_of_work
from resolvers import coupons
from resolvers.staff import create_token
from schema.scalars import global_id
from tests.shop import Buyer, Client, Shop

DAY, HOUR, TICK = timedelta(days=1), timedelta(hours=1), timedelta(microseconds=1)
LIST = """query($states: [CouponState!], $first: Int, $after: String, $last: Int, $before: String) {
  me { coupons(states: $states, first: $first, after: $after, last: $last, before: $before) {
    totalCount edges { cursor node { id state } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }"""
WHOLE = """{ me { coupons { edges { node { id issuer state title amountOff { amount currency formatted } percentOff
  maximumOff { amount } minimumSpend { amount } startsAt endsAt secondsLeft usedAt revokedAt store { name } } } } } }"""
ISSUE = "mutation($input: IssueCouponsInput!) { issueCoupons(input: $input) { results { status code } } }"
_numbers = itertools.count(1)


def titled(english: str, russian: str | None = None) -> list[dict[str, str]]:
    return [{"language": "en", "text": english}] + ([{"language": "ru", "text": russian}] if russian else [])


async def offered(shop: Shop, **given: Any) -> str:
    """A new offer's external id: by default five dollars off, from the platform."""
    row = {"externalId": f"offer-{next(_numbers)}", "issuer": "PLATFORM", "titles": titled("Five off"), **given}
    if "percentOff" not in row:
        row = {"amountOff": "5.00", "currency": "USD"} | row
    (result,) = await shop.put("putCouponOffers", [row])
    assert result["status"] == "CREATED", result
    return row["externalId"]


async def row_for(shop: Shop, buyer: Buyer, offer: str | None = None, starts: timedelta = -DAY, ends: timedelta = DAY, **given: Any) -> dict:
    """A row for issueCoupons; `starts` and `ends` count from now."""
    now = (await shop.now()).replace(microsecond=0)
    return {
        "externalId": f"coupon-{next(_numbers)}",
        "accountExternalId": buyer.external_id,
        "offerExternalId": offer or await offered(shop),
        "startsAt": (now + starts).isoformat(),
        "endsAt": (now + ends).isoformat(),
        **given,
    }


async def issued(shop: Shop, *rows: dict) -> list[int]:
    """The ids of newly issued coupons."""
    results = await shop.put("issueCoupons", list(rows))
    assert [result["status"] for result in results] == ["CREATED"] * len(rows), results
    return [(await stored(row["externalId"])).id for row in rows]


async def stored(external_id: str) -> Any:
    return await reads(Coupon).one("external_id = $1", external_id)


async def listed(buyer: Buyer, **arguments: Any) -> list[tuple[int, str]]:
    """The page's coupons: number and state."""
    found = (await buyer.data(LIST, **arguments))["me"]["coupons"]["edges"]
    numbers = {global_id("Coupon", row.id): row.id for row in await reads(Coupon).where("1 = 1")}
    return [(numbers[edge["node"]["id"]], edge["node"]["state"]) for edge in found]


async def account_of(buyer: Buyer) -> int:
    return (await fetch("SELECT id FROM account WHERE external_id = $1", buyer.external_id))[0][0]


async def events_of(buyer: Buyer) -> list[str]:
    rows = await fetch("SELECT kind FROM event WHERE account_id = $1 ORDER BY number", await account_of(buyer))
    return [kind for (kind,) in rows]


@unit_of_work
async def ordered(work: Work, shop_row: str, account_id: int, at: datetime) -> int:
    """A new unpaid order's id."""
    (store_id,) = (await work.fetch("SELECT id FROM store WHERE external_id = $1", shop_row))[0]
    number = f"order-{next(_numbers)}"
    order = await Order.create(
        external_id=number, account_id=account_id, store_id=store_id, number=number, number_folded=number, region="US",
        currency="USD", total_minor=1000, guarantee_days=60, placed_at=at, pay_by_at=at + DAY,
    )  # fmt: skip
    return order.id


@unit_of_work
async def hold(work: Work, order_id: int, account_id: int, external_ids: list[str], at: datetime, until: datetime) -> None:
    named = await coupons.named_coupons(work, external_ids)
    rows = named.take(external_ids, f"order {order_id}", order_id, account_id, at)
    await coupons.hold_coupons(work, Viewer(now=at, staff_id=1), [coupons.Hold(row, order_id, at, until) for row in rows])


@unit_of_work
async def use(work: Work, order_id: int, at: datetime) -> None:
    await coupons.use_coupons(work, Viewer(now=at, staff_id=1), {order_id: at})


@unit_of_work
async def release(work: Work, order_id: int, at: datetime) -> None:
    await coupons.release_coupons(work, None, {order_id: at})


async def placed(shop: Shop, buyer: Buyer, at: datetime) -> tuple[int, int]:
    """A new unpaid order's id, and its buyer's."""
    account_id = await account_of(buyer)
    return await ordered(await shop.store(), account_id, at), account_id


async def test_an_issued_coupon_reads_whole_in_the_buyers_language(shop: Shop) -> None:
    buyer = await shop.buyer(language="ru")
    store = await shop.store()
    offer = await offered(
        shop, issuer="STORE", storeExternalId=store, titles=titled("Ten off", "Минус десять"), amountOff="10.00", minimumSpend="99.90"
    )
    row = await row_for(shop, buyer, offer)
    (number,) = await issued(shop, row)
    (node,) = [edge["node"] for edge in (await buyer.data(WHOLE))["me"]["coupons"]["edges"]]
    assert 86_000 < node.pop("secondsLeft") <= 86_400
    assert node == {
        "id": global_id("Coupon", number),
        "issuer": "STORE",
        "state": "ACTIVE",
        "title": "Минус десять",
        "amountOff": {"amount": "10.00", "currency": "USD", "formatted": "10,00\xa0$"},
        "percentOff": None,
        "maximumOff": None,
        "minimumSpend": {"amount": "99.90"},
        "startsAt": row["startsAt"].replace("+00:00", "Z"),
        "endsAt": row["endsAt"].replace("+00:00", "Z"),
        "usedAt": None,
        "revokedAt": None,
        "store": {"name": f"Store {store.removeprefix('store-')}"},
    }
    assert await events_of(buyer) == ["coupon_issued"]
    found = await buyer.data("query($id: ID!) { node(id: $id) { ... on Coupon { state title } } }", id=node["id"])
    assert found == {"node": {"state": "ACTIVE", "title": "Минус десять"}}


async def test_a_percentage_without_amounts_needs_no_currency(shop: Shop) -> None:
    buyer = await shop.buyer()
    await issued(shop, await row_for(shop, buyer, await offered(shop, percentOff=15)))
    node = (await buyer.data(WHOLE))["me"]["coupons"]["edges"][0]["node"]
    assert (node["percentOff"], node["amountOff"], node["maximumOff"], node["minimumSpend"], node["store"]) == (15, None, None, None, None)


async def test_usable_ones_come_first_by_their_end_then_the_rest_latest_first(shop: Shop) -> None:
    buyer, offer = await shop.buyer(), await offered(shop)
    ends = {
        "expired long ago": (-9 * DAY, -8 * DAY),
        "ends tomorrow": (-DAY, DAY),
        "expired yesterday": (-9 * DAY, -DAY),
        "begins next week": (7 * DAY, 14 * DAY),
        "ends in an hour": (-DAY, HOUR),
        "ends next year": (-DAY, 365 * DAY),
    }
    rows = [await row_for(shop, buyer, offer, starts, ends) for starts, ends in ends.values()]
    names = dict(zip(await issued(shop, *rows), ends, strict=True))
    assert [(names[number], state) for number, state in await listed(buyer)] == [
        ("ends in an hour", "ACTIVE"),
        ("ends tomorrow", "ACTIVE"),
        ("ends next year", "ACTIVE"),
        ("begins next week", "SCHEDULED"),
        ("expired yesterday", "EXPIRED"),
        ("expired long ago", "EXPIRED"),
    ]
    assert [names[number] for number, _ in await listed(buyer, states=["EXPIRED"])] == ["expired yesterday", "expired long ago"]
    assert [names[n] for n, _ in await listed(buyer, states=["EXPIRED", "ACTIVE"], first=4)][2:] == ["ends next year", "expired yesterday"]
    assert await listed(buyer, states=[]) == await listed(buyer, states=["USED"]) == []
    assert (await buyer.data(LIST, states=["ACTIVE"], first=1))["me"]["coupons"]["totalCount"] == 3
    assert (await buyer.data(LIST, states=["USED"], first=1))["me"]["coupons"]["totalCount"] == 0


@unit_of_work
async def force(work: Work, coupon_id: int, facts: dict[str, Any]) -> None:
    places = ", ".join(f"{column} = ${n}" for n, column in enumerate(facts, 2))
    await work.execute(f"UPDATE coupon SET {places} WHERE id = $1", coupon_id, *facts.values())


async def every_kind(shop: Shop, buyer: Buyer, at: datetime) -> list[Any]:
    """Coupons of the buyer with all combinations of facts, each at, just before and just after the instant `at`."""
    order_id, _ = await placed(shop, buyer, at)
    offer, facts = await offered(shop), []
    for starts, ends in itertools.product((at - DAY, at - TICK, at, at + TICK), (at - HOUR, at, at + TICK, at + DAY)):
        for revoked_at, until, used_at in itertools.product((None, at), (None, at, at + TICK), (None, at)):
            if starts >= ends or (used_at and not until):
                continue
            held = {"order_id": order_id, "reserved_at": at - DAY, "reserved_until": until, "used_at": used_at} if until else {}
            facts.append({"starts_at": starts, "ends_at": ends} | ({"revoked_at": revoked_at} if revoked_at else {}) | held)
    rows = [await row_for(shop, buyer, offer) for _ in facts]
    for number, own in zip(await issued(shop, *rows), facts, strict=True):
        await force(number, own)
    return await reads(Coupon).where("account_id = $1", await account_of(buyer))


async def test_the_states_in_sql_are_those_of_the_rule_at_every_edge(shop: Shop) -> None:
    buyer = await shop.buyer()
    at = (await shop.now()).replace(microsecond=500)
    rows = await every_kind(shop, buyer, at)
    assert len(rows) > 60 and {state_of(row, at) for row in rows} == set(CouponState)
    account_id = await account_of(buyer)
    for now in (at - TICK, at, at + TICK):
        viewer = Viewer(now=now, account_id=account_id)
        for wanted in [{state} for state in CouponState] + [set(CouponState), {CouponState.ACTIVE, CouponState.USED}]:
            page = await (await coupons.coupons(viewer, account_id, wanted, Window(first=100))).load()
            expected = in_order([row for row in rows if state_of(row, now) in wanted], now)
            assert [edge.node for edge in page.edges] == expected, (now, wanted)
            assert await page.count() == len(expected)


def in_order(rows: list[Any], now: datetime) -> list[Any]:
    usable = [row for row in rows if state_of(row, now) is CouponState.ACTIVE]
    rest = [row for row in rows if row not in usable]
    return sorted(usable, key=lambda r: (r.ends_at, r.id)) + sorted(rest, key=lambda r: (r.ends_at, r.id), reverse=True)


async def test_pages_of_any_size_both_ways_make_up_the_list_while_time_goes_on(shop: Shop) -> None:
    buyer = await shop.buyer()
    at = await shop.now()
    rows = await every_kind(shop, buyer, at)
    account_id = await account_of(buyer)
    whole = [row.id for row in in_order(rows, at)]
    for size in (1, 3, 7, 100):
        for forwards in (True, False):
            now, cursor, found = at, None, []
            while True:
                window = Window(first=size, after=cursor) if forwards else Window(last=size, before=cursor)
                page = await (await coupons.coupons(Viewer(now=now, account_id=account_id), account_id, None, window)).load()
                numbers = [edge.node.id for edge in page.edges]
                found = found + numbers if forwards else numbers + found
                info = page.page_info
                cursor, more = (info.end_cursor, info.has_next_page) if forwards else (info.start_cursor, info.has_previous_page)
                now += DAY  # by the second page many have ended that were usable on the first
                if not more:
                    break
            assert found == whole, (size, forwards)
    first = await (await coupons.coupons(Viewer(now=at, account_id=account_id), account_id, None, Window(first=100))).load()
    between = Window(first=100, after=first.edges[4].cursor, before=first.edges[-5].cursor)
    page = await (await coupons.coupons(Viewer(now=at + DAY, account_id=account_id), account_id, None, between)).load()
    assert [edge.node.id for edge in page.edges] == whole[5:-5]


async def test_what_is_no_cursor_of_this_list_is_refused(shop: Shop) -> None:
    buyer, offer = await shop.buyer(), await offered(shop)
    await issued(shop, *[await row_for(shop, buyer, offer) for _ in range(3)])
    early = (await buyer.data(LIST, first=1))["me"]["coupons"]["pageInfo"]["endCursor"]
    late = (await buyer.data(LIST, last=1))["me"]["coupons"]["pageInfo"]["endCursor"]
    for arguments in (
        {"after": "nonsense"}, {"after": ""}, {"before": "W10"}, {"after": early, "before": late}, {"first": 0}, {"first": 101},
        {"last": 101}, {"first": 1, "last": 1},
    ):  # fmt: skip
        answer = await buyer.run(LIST, **arguments)
        assert answer["data"] == {"me": {"coupons": None}}, arguments
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["BAD_USER_INPUT"]


async def test_a_stranger_sees_nothing_of_it(shop: Shop) -> None:
    buyer, stranger = await shop.buyer(), await shop.buyer()
    (number,) = await issued(shop, await row_for(shop, buyer))
    for client in (stranger, shop.nobody, shop.staff):
        assert await client.run("query($id: ID!) { node(id: $id) { id } }", id=global_id("Coupon", number)) == {"data": {"node": None}}
    assert await listed(stranger) == []
    assert await shop.nobody.data(WHOLE) == {"me": None}


async def test_only_staff_with_the_scope_issue_coupons(shop: Shop) -> None:
    buyer = await shop.buyer()
    rows = {"rows": [await row_for(shop, buyer)]}
    others = Client(shop.http, await create_token("others", ["orders", "catalog"]))
    before = await counts()
    for client, code in ((shop.nobody, "UNAUTHENTICATED"), (buyer, "UNAUTHENTICATED"), (others, "FORBIDDEN")):
        assert await client.codes(ISSUE, input=rows) == [code]
        offers = {"rows": [{"externalId": "x", "issuer": "PLATFORM", "titles": titled("x"), "percentOff": 1}]}
        query = "mutation($input: PutCouponOffersInput!) { putCouponOffers(input: $input) { results { status } } }"
        assert await client.codes(query, input=offers) == [code]
    assert await counts() == before


async def counts() -> tuple[int, ...]:
    """Offers, coupons, activity and events there are."""
    tables = ("coupon_offer", "coupon", "activity", "event")
    return tuple([(await fetch(f"SELECT count(*) FROM {table}"))[0][0] for table in tables])


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"externalId": ""}, "BAD_USER_INPUT"),
        ({"externalId": "x" * 121}, "BAD_USER_INPUT"),
        ({"titles": []}, "BAD_USER_INPUT"),
        ({"titles": [{"language": "fr", "text": "Cinq"}]}, "BAD_USER_INPUT"),
        ({"titles": titled(" ")}, "BAD_USER_INPUT"),
        ({"titles": titled("a\x00b")}, "BAD_USER_INPUT"),
        ({"amountOff": None}, "BAD_USER_INPUT"),
        ({"percentOff": 5}, "BAD_USER_INPUT"),
        ({"amountOff": "0"}, "BAD_USER_INPUT"),
        ({"amountOff": "1.001"}, "BAD_USER_INPUT"),
        ({"currency": None}, "BAD_USER_INPUT"),
        ({"currency": "XXZ"}, "BAD_USER_INPUT"),
        ({"amountOff": None, "percentOff": 0}, "BAD_USER_INPUT"),
        ({"amountOff": None, "percentOff": 101}, "BAD_USER_INPUT"),
        ({"maximumOff": "1.00"}, "BAD_USER_INPUT"),
        ({"minimumSpend": "0.00"}, "BAD_USER_INPUT"),
        ({"issuer": "STORE"}, "BAD_USER_INPUT"),
        ({"storeExternalId": "no-such-store"}, "BAD_USER_INPUT"),
        ({"issuer": "STORE", "storeExternalId": "no-such-store"}, "UNKNOWN_REFERENCE"),
        ({"withdrawnAt": "2090-01-01T00:00:00Z"}, "BAD_USER_INPUT"),
    ],
)
async def test_a_worthless_or_wrong_offer_is_refused_and_not_kept(shop: Shop, wrong: dict, code: str) -> None:
    row = {"externalId": "wrong", "issuer": "PLATFORM", "titles": titled("Off"), "amountOff": "5.00", "currency": "USD"}
    before = await counts()
    (result,) = await shop.put("putCouponOffers", [row | wrong])
    assert (result["status"], result["code"]) == ("REFUSED", code)
    assert result["message"]
    assert await counts() == before


async def test_wrong_coupons_are_refused_one_by_one_and_the_others_stand(shop: Shop) -> None:
    buyer = await shop.buyer()
    good = await row_for(shop, buyer)
    late = (await shop.now() + DAY).isoformat()
    withdrawn = await offered(shop, withdrawnAt=(await shop.now()).isoformat())
    rows = [
        (good, "CREATED", None),
        (good, "REFUSED", "DUPLICATE"),
        (await row_for(shop, buyer, accountExternalId="nobody"), "REFUSED", "UNKNOWN_REFERENCE"),
        (await row_for(shop, buyer, offerExternalId="no-offer"), "REFUSED", "UNKNOWN_REFERENCE"),
        (await row_for(shop, buyer, starts=DAY, ends=DAY), "REFUSED", "BAD_USER_INPUT"),
        (await row_for(shop, buyer, revokedAt=late), "REFUSED", "BAD_USER_INPUT"),
        (await row_for(shop, buyer, withdrawn), "REFUSED", "WRONG_STATE"),
        (await row_for(shop, buyer, externalId=""), "REFUSED", "BAD_USER_INPUT"),
    ]
    before = await counts()
    results = await shop.put("issueCoupons", [row for row, _, _ in rows])
    assert [(result["status"], result["code"]) for result in results] == [(status, code) for _, status, code in rows]
    assert await counts() == (before[0], *(count + 1 for count in before[1:]))
    assert await shop.staff.codes(ISSUE, input={"rows": [good] * 501}) == ["BAD_USER_INPUT"]


async def test_the_same_again_changes_nothing_and_says_nothing(shop: Shop) -> None:
    buyer = await shop.buyer()
    offer = await offered(shop)
    row = await row_for(shop, buyer, offer)
    await issued(shop, row)
    before = await counts()
    same = {"externalId": offer, "issuer": "PLATFORM", "titles": titled("Five off"), "amountOff": "5.0", "currency": "USD"}
    assert [result["status"] for result in await shop.put("putCouponOffers", [same])] == ["UNCHANGED"]
    assert [result["status"] for result in await shop.put("issueCoupons", [row])] == ["UNCHANGED"]
    assert await counts() == before


async def test_issued_eight_times_at_once_there_is_one(shop: Shop) -> None:
    buyer = await shop.buyer()
    row = await row_for(shop, buyer)
    results = await asyncio.gather(*(shop.put("issueCoupons", [row]) for _ in range(8)))
    assert sorted(result["status"] for (result,) in results) == ["CREATED"] + ["UNCHANGED"] * 7
    assert len(await listed(buyer)) == 1 and await events_of(buyer) == ["coupon_issued"]


async def test_an_offer_may_change_and_its_coupons_keep_what_they_were_worth(shop: Shop) -> None:
    buyer, offer = await shop.buyer(), await offered(shop)
    (old,) = await issued(shop, await row_for(shop, buyer, offer))
    changed = {"externalId": offer, "issuer": "SPECIAL", "titles": titled("A tenth off"), "percentOff": 10, "maximumOff": "1.00", "currency": "EUR"}
    assert [result["status"] for result in await shop.put("putCouponOffers", [changed])] == ["UPDATED"]
    (new,) = await issued(shop, await row_for(shop, buyer, offer, ends=2 * DAY))
    withdrawal = changed | {"withdrawnAt": (await shop.now()).isoformat()}
    assert [result["status"] for result in await shop.put("putCouponOffers", [withdrawal])] == ["UPDATED"]
    assert [result["status"] for result in await shop.put("putCouponOffers", [changed])] == ["UNCHANGED"]
    earlier = changed | {"withdrawnAt": "2026-01-01T00:00:00Z"}
    assert [result["code"] for result in await shop.put("putCouponOffers", [earlier])] == ["CONFLICT"]
    nodes = {edge["node"]["id"]: edge["node"] for edge in (await buyer.data(WHOLE))["me"]["coupons"]["edges"]}
    first, second = nodes[global_id("Coupon", old)], nodes[global_id("Coupon", new)]
    assert (first["issuer"], first["title"], first["amountOff"]["amount"], first["percentOff"]) == ("PLATFORM", "Five off", "5.00", None)
    assert (second["issuer"], second["title"], second["percentOff"], second["maximumOff"]) == ("SPECIAL", "A tenth off", 10, {"amount": "1.00"})


async def test_neither_owner_nor_offer_of_a_coupon_changes(shop: Shop) -> None:
    buyer, other = await shop.buyer(), await shop.buyer()
    row = await row_for(shop, buyer)
    await issued(shop, row)
    before, kept = await counts(), await stored(row["externalId"])
    for wrong in (
        {"accountExternalId": other.external_id},
        {"offerExternalId": await offered(shop)},
        {"startsAt": (await shop.now()).isoformat()},
        {"endsAt": (await shop.now()).isoformat()},
    ):
        (result,) = await shop.put("issueCoupons", [row | wrong])
        assert (result["status"], result["code"]) == ("REFUSED", "CONFLICT"), wrong
    assert await stored(row["externalId"]) == kept
    assert (await counts())[1] == before[1] and await events_of(buyer) == ["coupon_issued"]


async def test_a_coupon_may_get_longer_and_be_revoked_once(shop: Shop) -> None:
    buyer = await shop.buyer()
    row = await row_for(shop, buyer)
    (number,) = await issued(shop, row)
    longer = row | {"endsAt": (await shop.now() + 9 * DAY).isoformat()}
    revoked = longer | {"revokedAt": (await shop.now()).isoformat()}
    for sent, status in ((longer, "UPDATED"), (longer, "UNCHANGED"), (revoked, "UPDATED"), (revoked, "UNCHANGED"), (longer, "UNCHANGED")):
        assert [result["status"] for result in await shop.put("issueCoupons", [sent])] == [status]
    assert await listed(buyer) == [(number, "REVOKED")]
    again = revoked | {"revokedAt": (await shop.now()).isoformat()}
    assert [result["code"] for result in await shop.put("issueCoupons", [again])] == ["CONFLICT"]
    assert await events_of(buyer) == ["coupon_issued", "coupon_updated", "coupon_revoked"]


async def test_an_order_holds_uses_and_gives_back_a_coupon(shop: Shop) -> None:
    buyer, now = await shop.buyer(), await shop.now()
    row = await row_for(shop, buyer)
    (number,) = await issued(shop, row)
    order_id, account_id = await placed(shop, buyer, now)
    await hold(order_id, account_id, [row["externalId"]], now, now + DAY)
    assert await listed(buyer) == [(number, "RESERVED")]
    assert [c.id for c in (await coupons.coupons_of_orders([order_id, order_id + 1000]))[order_id]] == [number]
    await release(order_id, now)
    assert await listed(buyer) == [(number, "ACTIVE")] and await coupons.coupons_of_orders([order_id]) == {}
    await hold(order_id, account_id, [row["externalId"]], now, now + DAY)
    await hold(order_id, account_id, [row["externalId"]], now, now + DAY)  # again: nothing happens
    await use(order_id, now)
    await use(order_id, now + HOUR)
    assert await listed(buyer) == [(number, "USED")] and (await stored(row["externalId"])).used_at == now
    revoked = row | {"revokedAt": now.isoformat()}
    assert [result["code"] for result in await shop.put("issueCoupons", [revoked])] == ["CONFLICT"]
    await release(order_id, now + 2 * DAY)
    assert await listed(buyer) == [(number, "USED")]
    await release(order_id, now + HOUR)
    assert await listed(buyer) == [(number, "ACTIVE")]
    verbs = await fetch("SELECT verb FROM activity WHERE subject_kind = 'coupon' AND subject_id = $1 ORDER BY id", number)
    assert [verb for (verb,) in verbs] == ["coupon_issued", "coupon_reserved", "coupon_released", "coupon_reserved", "coupon_used", "coupon_released"]


async def test_an_order_takes_no_coupon_that_is_not_free(shop: Shop) -> None:
    buyer, now = await shop.buyer(), await shop.now()
    row = await row_for(shop, buyer)
    await issued(shop, row)
    order_id, account_id = await placed(shop, buyer, now)
    other_order, other_account = await placed(shop, await shop.buyer(), now)
    name = row["externalId"]
    await hold(order_id, account_id, [name], now, now + DAY)
    kept = await stored(name)
    second = await ordered(await shop.store(), account_id, now)
    for order, account, names, code in (
        (other_order, other_account, [name], ErrorCode.CONFLICT),
        (second, account_id, [name], ErrorCode.CONFLICT),
        (second, account_id, ["no-such-coupon"], ErrorCode.UNKNOWN_REFERENCE),
        (order_id, account_id, [name, name], ErrorCode.CONFLICT),
    ):
        with pytest.raises(Refusal) as refused:
            await hold(order, account, names, now, now + DAY)
        assert (refused.value.code, refused.value.field) == (code, "couponExternalIds")
        assert await stored(name) == kept
    await hold(second, account_id, [name], now + DAY, now + 2 * DAY)  # the first was not paid in time
    assert (await stored(name)).order_id == second


async def test_two_orders_of_one_call_cannot_name_the_same_coupon(shop: Shop) -> None:
    buyer, now = await shop.buyer(), await shop.now()
    row = await row_for(shop, buyer)
    await issued(shop, row)
    account_id = await account_of(buyer)
    named = coupons.NamedCoupons({row["externalId"]: await stored(row["externalId"])})
    assert len(named.take([row["externalId"]], "first", None, account_id, now)) == 1
    with pytest.raises(Refusal):
        named.take([row["externalId"]], "second", None, account_id, now)
    assert len(named.take([row["externalId"]], "first", None, account_id, now)) == 1


async def test_an_order_that_gave_its_coupon_back_does_not_take_it_by_being_told_again(shop: Shop) -> None:
    buyer, now = await shop.buyer(), await shop.now()
    row = await row_for(shop, buyer)
    await issued(shop, row)
    name = row["externalId"]
    first, account_id = await placed(shop, buyer, now)
    second = await ordered(await shop.store(), account_id, now)
    await hold(first, account_id, [name], now, now + DAY)
    named = coupons.NamedCoupons({name: await stored(name)})
    assert [c.order_id for c in named.take([name], "first", first, account_id, now, told=[name])] == [first]
    await release(first, now)
    for order_id in (None, second):
        if order_id:
            await hold(order_id, account_id, [name], now, now + DAY)
        assert coupons.NamedCoupons({name: await stored(name)}).take([name], "first", first, account_id, now, told=[name]) == []


async def test_of_many_orders_at_once_one_gets_the_coupon(shop: Shop) -> None:
    buyer, now = await shop.buyer(), await shop.now()
    row = await row_for(shop, buyer)
    await issued(shop, row)
    account_id, store = await account_of(buyer), await shop.store()
    orders = [await ordered(store, account_id, now) for _ in range(6)]
    attempts = [hold(order, account_id, [row["externalId"]], now, now + DAY) for order in orders]
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes].count(type(None)) == 1
    assert all(isinstance(outcome, Refusal | None) for outcome in outcomes)
    assert len(await coupons.coupons_of_orders(orders)) == 1


async def test_coupons_that_end_within_72_hours_are_counted(shop: Shop) -> None:
    buyer, other = await shop.buyer(), await shop.buyer()
    offer = await offered(shop)
    rows = [await row_for(shop, buyer, offer, ends=ends) for ends in (HOUR, 71 * HOUR, 72 * HOUR, 80 * HOUR, -HOUR)]
    rows.append(await row_for(shop, buyer, offer, starts=HOUR, ends=2 * HOUR))
    await issued(shop, *rows)
    mine, others = await account_of(buyer), await account_of(other)
    ends_at = (await stored(rows[2]["externalId"])).ends_at
    assert await coupons.ending_counts([mine, others], ends_at - 72 * HOUR) == {mine: 2}
    assert await coupons.ending_counts([mine], ends_at - 72 * HOUR + TICK) == {mine: 3}


@pytest.mark.parametrize("size", [0, 1, 20, 100])
async def test_a_page_takes_one_statement_whatever_its_size(shop: Shop, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    buyer, offer = await shop.buyer(), await offered(shop, issuer="STORE", storeExternalId=await shop.store())
    if size:
        windows = itertools.cycle([(-DAY, DAY), (-2 * DAY, -DAY), (DAY, 2 * DAY)])
        await issued(shop, *[await row_for(shop, buyer, offer, starts, ends) for _, (starts, ends) in zip(range(size), windows, strict=False)])
    account_id = await account_of(buyer)
    seen: list[str] = []
    real = coupons.fetch

    async def watched(sql: str, *params: Any) -> Any:
        seen.append(sql)
        return await real(sql, *params)

    monkeypatch.setattr(coupons, "fetch", watched)
    page = await (await coupons.coupons(Viewer(now=await shop.now(), account_id=account_id), account_id, None, Window(first=100))).load()
    assert len(page.edges) == size and len(seen) == 1
