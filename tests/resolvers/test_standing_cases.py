"""Signals propose cases, each thing once, and only staff make something of them."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from models.activity import Activity
from models.instants import utc_now
from models.standing_cases import CaseState, Signal, StandingCase
from resolvers import standing_signals
from resolvers.standing_signals import Finding, look_at_some, propose
from tests.resolvers.orders import order_row
from tests.resolvers.standings import put, standing_of
from tests.rows import account_of, change, letters
from tests.shop import Buyer, Client, Shop
from tests.statements import statements

LISTED = """query($states: [CaseState!]) { standingCases(states: $states, first: 100) { totalCount edges { node {
  id signal state openedAt closedAt facts { name value } evidence accountId accountExternalId } } } }"""


async def with_orders(shop: Shop, disputed: list[str], others: int, days_ago: int = 10) -> tuple[Buyer, list[str]]:
    """A buyer with orders of which some are disputed, each in a way of `disputed`; the ids of these."""
    buyer, product = await shop.buyer(), await shop.product()
    await add_orders(shop, buyer, product, disputed, others, days_ago)
    return buyer, [order async for order in ids_of_disputed(buyer)]


async def add_orders(shop: Shop, buyer: Buyer, product: Any, disputed: list[str], others: int, days_ago: int = 10) -> None:
    rows = [await order_row(shop, buyer, product, timedelta(days=days_ago)) for _ in range(len(disputed) + others)]
    results = await shop.put("putOrders", rows)
    assert {result["status"] for result in results} == {"CREATED"}
    for way, row in zip(disputed, rows, strict=False):
        await change(f"UPDATE orders SET {WAYS[way]} WHERE external_id = $2", utc_now(), row["externalId"])


WAYS = {
    "open": "frozen_at = $1, kept_seconds = 60",
    "refunded": "closed_at = $1",
    "settled": "completed_at = $1, completion = 'SETTLED'",
}


async def ids_of_disputed(buyer: Buyer) -> Any:
    found = await buyer.data("{ me { orders(first: 100) { edges { node { id status actions { code } } } } } }")
    for edge in found["me"]["orders"]["edges"]:
        order = edge["node"]
        if order["status"] in ("CLOSED", "COMPLETED") or order["actions"][0]["code"] == "DISPUTE_OPEN":
            yield order["id"]


async def look(shop: Shop) -> None:
    """Look at all accounts once, as the worker does once an hour."""
    after: int | None = 0
    while after is not None:
        after = await look_at_some(after, await shop.now())


async def cases_of(shop: Shop, buyer: Buyer, **variables: Any) -> list[dict[str, Any]]:
    edges = (await shop.staff.data(LISTED, **variables))["standingCases"]["edges"]
    return [edge["node"] for edge in edges if edge["node"]["accountId"] == buyer.id]


async def decide(staff: Client, case_id: str, **given: Any) -> dict[str, Any]:
    return await put(staff, "decideCases", "DecideCasesInput", {"caseId": case_id, **given})


async def disputing(shop: Shop) -> tuple[Buyer, str]:
    """A buyer about whom a case is open, and its id."""
    buyer, _ = await with_orders(shop, ["open"] * 5, 0)
    await look(shop)
    return buyer, (await cases_of(shop, buyer))[0]["id"]


async def test_many_disputes_propose_one_case_and_nothing_happens_to_the_account(shop: Shop) -> None:
    buyer, disputed = await with_orders(shop, ["open", "refunded", "settled"], 2)
    await look(shop)
    await look(shop)
    (case,) = await cases_of(shop, buyer)
    assert (case["signal"], case["state"], case["closedAt"], case["accountExternalId"]) == ("DISPUTES", "OPEN", None, buyer.external_id)
    assert case["facts"] == [{"name": "orders", "value": 5}, {"name": "disputed", "value": 3}]
    assert len(disputed) == 3 and sorted(case["evidence"]) == sorted(disputed)
    assert (await standing_of(buyer))["level"] == "GOOD" and await letters(buyer.email) == []
    account_id = await account_of(buyer)
    (entry,) = [one for one in await Activity.filter(verb="case_opened") if one.details["account_id"] == account_id]
    assert (entry.actor_kind, entry.details["signal"]) == ("system", "DISPUTES")


@pytest.mark.parametrize(("disputed", "others", "days_ago"), [(4, 0, 10), (3, 3, 10), (5, 0, 181)])
async def test_few_orders_half_of_them_or_old_ones_propose_nothing(shop: Shop, disputed: int, others: int, days_ago: int) -> None:
    buyer, _ = await with_orders(shop, ["refunded"] * disputed, others, days_ago)
    await look(shop)
    assert await cases_of(shop, buyer) == []


async def test_a_case_that_was_closed_comes_back_only_with_something_new(shop: Shop) -> None:
    buyer, case_id = await disputing(shop)
    assert await decide(shop.staff, case_id) == {"externalId": case_id, "status": "UPDATED", "code": None, "message": None}
    await look(shop)
    (case,) = await cases_of(shop, buyer)
    assert case["state"] == "DISMISSED" and case["closedAt"]
    await add_orders(shop, buyer, await shop.product(), ["open"], 0)
    await look(shop)
    assert [one["state"] for one in await cases_of(shop, buyer)] == ["OPEN", "DISMISSED"]
    assert len((await cases_of(shop, buyer, states=["OPEN"]))[0]["evidence"]) == 6


async def test_a_case_is_decided_with_a_standing(shop: Shop) -> None:
    buyer, case_id = await disputing(shop)
    for wrong in ({"level": "RESTRICTED"}, {"level": "RESTRICTED", "reason": "DISPUTE_ABUSE"}, {"level": "CLOSED", "text": "x"}):
        assert (await decide(shop.staff, case_id, **wrong))["code"] == "BAD_USER_INPUT"
    assert (await standing_of(buyer))["level"] == "GOOD"
    given = {"level": "RESTRICTED", "reason": "DISPUTE_ABUSE", "text": "Too many disputes."}
    assert (await decide(shop.staff, case_id, **given))["status"] == "UPDATED"
    told = await standing_of(buyer)
    assert (told["level"], told["reason"], told["text"]) == ("RESTRICTED", "DISPUTE_ABUSE", "Too many disputes.")
    assert [letter["values"]["level"] for letter in await letters(buyer.email)] == ["RESTRICTED"]
    assert (await decide(shop.staff, case_id))["code"] == "WRONG_STATE"
    (case,) = await cases_of(shop, buyer)
    assert case["state"] == "DECIDED"


async def test_a_number_and_coupons_in_common_propose_a_case_for_each(shop: Shop) -> None:
    one, two, other = [await shop.buyer() for _ in range(3)]
    ids = [await account_of(buyer) for buyer in (one, two, other)]
    await change("UPDATE account SET phone = '+79165550001' WHERE id IN ($1, $2)", *ids[:2])
    await change("UPDATE account SET phone = '+79165550002' WHERE id = $1", ids[2])
    await use_coupons(shop, [one, two, other], "shared")
    await look(shop)
    assert [await cases_of(shop, buyer) for buyer in (one, two, other)] == [[], [], []]  # nobody has verified the number
    await change("INSERT INTO identity (account_id, kind, subject, verified_at) VALUES ($1, 'PHONE', '+79165550001', $2)", ids[0], utc_now())
    await look(shop)
    for buyer, sharing in ((one, two), (two, one)):
        (case,) = await cases_of(shop, buyer)
        assert (case["signal"], case["evidence"], case["facts"]) == ("SHARED_PHONE", [sharing.id], [{"name": "accounts", "value": 1}])
    assert await cases_of(shop, other) == []


async def test_a_number_alone_proposes_nothing(shop: Shop) -> None:
    one, two = await shop.buyer(phone="+79165550003"), await shop.buyer()
    await change("UPDATE account SET phone = '+79165550003' WHERE id = $1", await account_of(two))
    await use_coupons(shop, [one], "first's")
    await use_coupons(shop, [two], "second's")
    await look(shop)
    assert await cases_of(shop, one) == await cases_of(shop, two) == []


async def use_coupons(shop: Shop, buyers: list[Buyer], offer: str) -> None:
    """Each buyer has used a coupon of one offer."""
    now = await shop.now()
    await shop.put("putCouponOffers", [{"externalId": offer, "issuer": "PLATFORM", "titles": [{"language": "en", "text": "Off"}], "percentOff": 5}])
    window = {"startsAt": (now - timedelta(days=1)).isoformat(), "endsAt": (now + timedelta(days=90)).isoformat()}
    rows = [{"externalId": f"{offer}-{buyer.external_id}", "accountExternalId": buyer.external_id, "offerExternalId": offer, **window} for buyer in buyers]
    await shop.put("issueCoupons", rows)
    for buyer in buyers:
        row = await order_row(shop, buyer, await shop.product(), paidAt=now.isoformat(), couponExternalIds=[f"{offer}-{buyer.external_id}"])
        (result,) = await shop.put("putOrders", [row])
        assert result["status"] == "CREATED", result


async def test_cases_are_for_staff_with_the_scope(shop: Shop) -> None:
    buyer, case_id = await disputing(shop)
    stranger = await shop.staff_with("accounts", "orders")
    query = "mutation($input: DecideCasesInput!) { decideCases(input: $input) { results { status } } }"
    for client, code in ((stranger, "FORBIDDEN"), (buyer, "UNAUTHENTICATED"), (shop.nobody, "UNAUTHENTICATED")):
        assert await client.codes(LISTED) == [code]
        assert await client.codes(query, input={"rows": [{"caseId": case_id}]}) == [code]
    for wrong in (buyer.id, "nonsense", "U3RhbmRpbmdDYXNlOjk5OTk5OQ=="):
        assert (await decide(shop.staff, wrong))["code"] == "NOT_FOUND"
    assert (await cases_of(shop, buyer))[0]["state"] == "OPEN"


async def test_a_list_costs_the_same_at_any_length(shop: Shop) -> None:
    buyers = [await shop.buyer() for _ in range(20)]
    findings = [Finding(await account_of(buyer), Signal.DISPUTES, {"orders": 5, "disputed": 5, "evidence": [n]}) for n, buyer in enumerate(buyers, 1)]
    await propose(findings, await shop.now())
    counts = []
    for size in (1, 20):
        async with statements() as seen:
            assert len((await shop.staff.data(LISTED.replace("100", str(size))))["standingCases"]["edges"]) == size
        counts.append(len([text for text in seen if "domain_clock" not in text]))
    assert counts[0] == counts[1] <= 4


async def test_two_workers_at_once_open_one_case(shop: Shop) -> None:
    for _ in range(3):
        buyer, _ = await with_orders(shop, ["open"] * 5, 0)
        await asyncio.gather(*(look(shop) for _ in range(4)))
        assert await StandingCase.filter(account_id=await account_of(buyer)).count() == 1


async def test_a_case_decided_twice_at_once_is_decided_once(shop: Shop) -> None:
    buyer, case_id = await disputing(shop)
    given = {"level": "WARNED", "reason": "DISPUTE_ABUSE", "text": "Careful."}
    answers = await asyncio.gather(decide(shop.staff, case_id), decide(shop.staff, case_id, **given), decide(shop.staff, case_id))
    assert sorted(one["status"] for one in answers) == ["REFUSED", "REFUSED", "UPDATED"]
    won = answers[1]["status"] == "UPDATED"
    case = await StandingCase.get(account_id=await account_of(buyer))
    assert case.state is (CaseState.DECIDED if won else CaseState.DISMISSED)
    assert (await standing_of(buyer))["level"] == ("WARNED" if won else "GOOD")


async def test_the_worker_looks_once_an_hour_and_some_accounts_at_a_time(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []

    async def noted(after: int, now: Any) -> int | None:
        looked.append(after)
        return await look_at_some(after, now)

    monkeypatch.setattr(standing_signals, "look_at_some", noted)
    monkeypatch.setattr(standing_signals, "BATCH", 3)
    monkeypatch.setattr(standing_signals, "_round", standing_signals.Round())
    for _ in range(7):
        await shop.buyer()
    await shop.work()
    assert looked[0] == 0 and len(looked) >= 3 and looked == sorted(set(looked))
    count = len(looked)
    await shop.work()
    assert len(looked) == count
