"""Appeals: once at a time, looked at by others than who decided, and what comes of them."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from models.activity import Activity
from models.appeals import Appeal, AppealMessage
from models.instants import as_instant
from models.standing import StandingChange
from tests.resolvers.standings import appeal, decide, put, standing_of
from tests.rows import account_of, letters
from tests.shop import Buyer, Client, Shop
from tests.statements import statements

ANSWER = """mutation($input: AnswerAppealInput!) { answerAppeal(input: $input) {
  ... on AppealAnswered { appeal { state messages { author text } } } ... on Refusal { code field } } }"""
LISTED = """query($states: [AppealState!]) { appeals(states: $states, first: 100) { totalCount edges { node {
  id state accountId accountExternalId against { level reason text at until } messages { author text } } } } }"""


async def blocked(shop: Shop, level: str = "BLOCKED") -> Buyer:
    buyer = await shop.buyer()
    await decide(shop, buyer, f"b-{buyer.external_id}", level)
    return buyer


async def move(staff: Client, appeal_id: str, state: str, text: str | None = None) -> dict[str, Any]:
    return await put(staff, "decideAppeals", "DecideAppealsInput", {"appealId": appeal_id, "state": state, "text": text})


async def answer(buyer: Buyer, text: str = "My sister uses the same phone.") -> dict[str, Any]:
    return (await buyer.data(ANSWER, input={"text": text}))["answerAppeal"]


async def listed(staff: Client, appeal_id: str) -> dict[str, Any]:
    pages = (await staff.data(LISTED))["appeals"]["edges"]
    return next(edge["node"] for edge in pages if edge["node"]["id"] == appeal_id)


@pytest.mark.parametrize("level", ["WARNED", "RESTRICTED", "BLOCKED"])
async def test_whoever_is_not_in_good_standing_may_appeal_once(shop: Shop, level: str) -> None:
    buyer = await blocked(shop, level)
    before = {one["name"]: one["allowed"] for one in (await standing_of(buyer))["actions"]}
    assert before == {"appeal": True, "answerAppeal": False}
    made = (await appeal(buyer, " It was not me.\n"))["appeal"]
    assert (made["state"], made["messages"]) == ("OPEN", [{"author": "BUYER", "text": "It was not me."}])
    told = await standing_of(buyer)
    assert told["appeal"] == {"id": made["id"], "state": "OPEN"}
    assert {one["name"]: one["code"] for one in told["actions"]} == {"appeal": "ALREADY_ASKED", "answerAppeal": "WRONG_STATE"}
    assert await appeal(buyer) == {"code": "ALREADY_ASKED", "field": None, "availableFrom": None}
    assert await AppealMessage.filter(account_id=await account_of(buyer)).count() == 1
    assert await Activity.filter(verb="appeal_opened", actor_id=await account_of(buyer), actor_kind="buyer").count() == 1


async def test_there_is_nothing_to_appeal_against_in_good_standing(shop: Shop) -> None:
    buyer = await shop.buyer()
    assert (await appeal(buyer))["code"] == "WRONG_STATE"
    await decide(shop, buyer, f"u-{buyer.external_id}", until=(await shop.now() + timedelta(hours=1)).isoformat())
    await shop.advance(hours=2)
    assert (await appeal(buyer))["code"] == "WRONG_STATE"
    assert await shop.nobody.codes('mutation { appeal(input: {text: "x"}) { __typename } }') == ["UNAUTHENTICATED"]
    assert await shop.nobody.codes('mutation { answerAppeal(input: {text: "x"}) { __typename } }') == ["UNAUTHENTICATED"]
    assert await Appeal.filter(account_id=await account_of(buyer)).count() == 0


@pytest.mark.parametrize(("text", "code"), [(" \n", "BAD_USER_INPUT"), ("x" * 2001, "BAD_USER_INPUT"), ("4111-1111-1111-1111", "CARD_DATA_REJECTED")])
async def test_an_appeal_says_something_and_no_card_number(shop: Shop, text: str, code: str) -> None:
    buyer = await blocked(shop)
    refused = await appeal(buyer, text)
    assert (refused["code"], refused["field"]) == (code, "text")
    assert await Appeal.filter(account_id=await account_of(buyer)).count() == 0


async def test_staff_ask_the_buyer_answers_and_what_is_granted_restores_the_account(shop: Shop) -> None:
    buyer, other = await blocked(shop), await shop.staff_with("standing")
    made = (await appeal(buyer))["appeal"]["id"]
    seen = await listed(other, made)
    assert (seen["state"], seen["accountId"], seen["accountExternalId"]) == ("OPEN", buyer.id, buyer.external_id)
    assert (seen["against"]["level"], seen["against"]["reason"], seen["against"]["text"]) == ("BLOCKED", "RULES", "You have sent spam.")
    assert (await move(other, made, "IN_REVIEW"))["status"] == "UPDATED"
    assert (await answer(buyer))["code"] == "WRONG_STATE"
    assert (await move(other, made, "NEEDS_INFO"))["code"] == "BAD_USER_INPUT"
    assert (await move(other, made, "NEEDS_INFO", "Who else uses your phone?"))["status"] == "UPDATED"
    assert {one["name"]: one["allowed"] for one in (await standing_of(buyer))["actions"]} == {"appeal": False, "answerAppeal": True}
    assert (await answer(buyer))["appeal"] == {
        "state": "IN_REVIEW",
        "messages": [
            {"author": "BUYER", "text": "It was not me."},
            {"author": "STAFF", "text": "Who else uses your phone?"},
            {"author": "BUYER", "text": "My sister uses the same phone."},
        ],
    }
    assert (await answer(buyer))["code"] == "WRONG_STATE"
    assert await move(other, made, "GRANTED", "We are sorry.") == {"externalId": made, "status": "UPDATED", "code": None, "message": None}
    told = await standing_of(buyer)
    assert (told["level"], told["appeal"]["state"]) == ("GOOD", "GRANTED")
    assert [(one["template"], one["values"].get("level") or one["values"]["state"], one["values"]["text"]) for one in await letters(buyer.email)] == [
        ("standing_changed", "BLOCKED", "You have sent spam."),
        ("appeal_decided", "NEEDS_INFO", "Who else uses your phone?"),
        ("standing_changed", "GOOD", "We are sorry."),
    ]
    moves = await Activity.filter(verb="appeal_moved", actor_kind="staff").order_by("-id").limit(3)
    assert [entry.details["state"] for entry in moves] == ["GRANTED", "NEEDS_INFO", "IN_REVIEW"]


async def test_what_is_rejected_stands_and_is_heard_again_after_thirty_days(shop: Shop) -> None:
    buyer, other = await blocked(shop), await shop.staff_with("standing")
    made = (await appeal(buyer))["appeal"]
    await move(other, made["id"], "IN_REVIEW")
    await move(other, made["id"], "REJECTED", "We have looked at it again.")
    assert (await standing_of(buyer))["level"] == "BLOCKED"
    assert (await letters(buyer.email))[-1]["values"] == {"state": "REJECTED", "text": "We have looked at it again."}
    refused = await appeal(buyer)
    opened_at, available_from = as_instant(made["openedAt"]), as_instant(refused["availableFrom"])
    assert opened_at and (refused["code"], available_from) == ("TOO_EARLY", opened_at + timedelta(days=30))
    (asked, _) = (await standing_of(buyer))["actions"]
    assert (asked["code"], asked["availableFrom"]) == ("TOO_EARLY", refused["availableFrom"])
    await shop.advance(days=30)
    assert (await appeal(buyer))["appeal"]["state"] == "OPEN"


async def test_who_decided_about_the_account_does_not_decide_about_the_appeal(shop: Shop) -> None:
    one, other = await shop.staff_with("standing"), await shop.staff_with("standing")
    buyer = await shop.buyer()
    await decide(shop, buyer, f"o-{buyer.external_id}", by=one)
    made = (await appeal(buyer))["appeal"]["id"]
    assert (await move(one, made, "IN_REVIEW"))["code"] == "CONFLICT"
    await decide(shop, buyer, f"p-{buyer.external_id}", "RESTRICTED", by=other)
    assert (await move(other, made, "IN_REVIEW"))["code"] == "CONFLICT"
    assert (await move(shop.staff, made, "IN_REVIEW"))["status"] == "UPDATED"
    assert (await move(one, made, "GRANTED"))["code"] == "CONFLICT"
    assert (await standing_of(buyer))["level"] == "RESTRICTED"
    assert (await move(shop.staff, made, "GRANTED"))["status"] == "UPDATED"
    assert (await standing_of(buyer))["level"] == "GOOD"


async def test_an_appeal_moves_along_its_ways_alone(shop: Shop) -> None:
    buyer, other = await blocked(shop), await shop.staff_with("standing")
    made = (await appeal(buyer))["appeal"]["id"]
    for state in ("GRANTED", "REJECTED", "NEEDS_INFO", "OPEN"):
        assert (await move(other, made, state, "x"))["code"] == "WRONG_STATE"
    for wrong in (buyer.id, "nonsense", "QXBwZWFsOjk5OTk5OQ=="):
        result = await move(other, wrong, "IN_REVIEW")
        assert (result["externalId"], result["status"], result["code"]) == (wrong, "REFUSED", "NOT_FOUND")
    assert (await standing_of(buyer))["appeal"]["state"] == "OPEN"
    assert await AppealMessage.filter(account_id=await account_of(buyer)).count() == 1


async def test_appeals_are_listed_for_staff_with_the_scope_and_read_by_their_buyer_alone(shop: Shop) -> None:
    buyer, stranger = await blocked(shop), await blocked(shop)
    made = (await appeal(buyer))["appeal"]["id"]
    assert await (await shop.staff_with("accounts")).codes(LISTED) == ["FORBIDDEN"]
    for client in (buyer, shop.nobody):
        assert await client.codes(LISTED) == ["UNAUTHENTICATED"]
    only = (await shop.staff.data(LISTED, states=["REJECTED", "NEEDS_INFO"]))["appeals"]["edges"]
    assert made not in [edge["node"]["id"] for edge in only]
    assert (await shop.staff.data(LISTED, states=[]))["appeals"] == {"totalCount": 0, "edges": []}
    query = "query($id: ID!) { node(id: $id) { id } }"
    assert (await buyer.data(query, id=made))["node"] == {"id": made}
    for client in (stranger, shop.nobody, shop.staff):
        assert (await client.data(query, id=made))["node"] is None


async def test_a_list_costs_the_same_at_any_length(shop: Shop) -> None:
    for _ in range(20):
        await appeal(await blocked(shop))
    counts = []
    for size in (1, 20):
        async with statements() as seen:
            assert len((await shop.staff.data(LISTED.replace("100", str(size))))["appeals"]["edges"]) == size
        counts.append(len([text for text in seen if "domain_clock" not in text]))
    assert counts[0] == counts[1] <= 6


async def test_two_appeals_at_once_are_one(shop: Shop) -> None:
    for _ in range(5):
        buyer = await blocked(shop)
        answers = await asyncio.gather(*(appeal(buyer) for _ in range(4)))
        assert sorted(one.get("code", "") for one in answers) == ["", *["ALREADY_ASKED"] * 3]
        assert await Appeal.filter(account_id=await account_of(buyer)).count() == 1
        assert await AppealMessage.filter(account_id=await account_of(buyer)).count() == 1


async def test_an_appeal_decided_twice_at_once_is_decided_once(shop: Shop) -> None:
    other = await shop.staff_with("standing")
    for _ in range(5):
        buyer = await blocked(shop)
        made = (await appeal(buyer))["appeal"]["id"]
        await move(other, made, "IN_REVIEW")
        answers = await asyncio.gather(*(move(other, made, state, "x") for state in ("GRANTED", "REJECTED", "GRANTED")))
        assert sorted(one["status"] for one in answers) == ["REFUSED", "REFUSED", "UPDATED"]
        assert {one["code"] for one in answers} == {None, "WRONG_STATE"}
        won = next(state for state, one in zip(("GRANTED", "REJECTED", "GRANTED"), answers, strict=True) if one["status"] == "UPDATED")
        told = await standing_of(buyer)
        assert (told["appeal"]["state"], told["level"]) == (won, "GOOD" if won == "GRANTED" else "BLOCKED")
        assert await StandingChange.filter(account_id=await account_of(buyer)).count() == (2 if won == "GRANTED" else 1)


async def test_two_answers_at_once_are_one(shop: Shop) -> None:
    buyer, other = await blocked(shop), await shop.staff_with("standing")
    made = (await appeal(buyer))["appeal"]["id"]
    await move(other, made, "IN_REVIEW")
    await move(other, made, "NEEDS_INFO", "Who else?")
    answers = await asyncio.gather(*(answer(buyer) for _ in range(4)))
    assert sorted(one.get("code", "") for one in answers) == ["", *["WRONG_STATE"] * 3]
    assert await AppealMessage.filter(account_id=await account_of(buyer)).count() == 3
