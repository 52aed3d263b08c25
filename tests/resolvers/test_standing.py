"""Standing: what staff decide, what the buyer is told, and what is refused then, wherever it is asked."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from auth.credentials import Credentials, viewer_of
from auth.passkeys import MadePasskey
from auth.phone_codes import Tried
from auth.policy import policy_of
from auth.viewer import Viewer
from models.accounts import Identity, IdentityKind, Level, StandingReason
from models.activity import Activity
from models.database import opened
from models.favorites import Favorite
from models.messages import Message
from models.outbox import OutboxMessage
from models.phone_codes import CodePurpose
from models.refusals import BadUserInput, NotFound, Refusal, Unauthenticated
from models.standing import DEEDS, MAY, Deed, NotInStanding, StandingChange
from resolvers import email_changes, leaving, passkeys, phone_codes, provider_sign_in, sign_in_methods
from resolvers.standing import Decision, ban, revoke_sessions
from tests.resolvers.orders import ASK, CONFIRM, put_order, ship
from tests.resolvers.standings import decide, standing_of
from tests.resolvers.test_phone_codes import sent, verify
from tests.rows import account_of, change, letters
from tests.shop import Buyer, Shop
from tests.statements import statements

REFUSED = "{ __typename ... on Refusal { code message field standing { level reason text until appeal { state } } } }"
ACTIONS = "query($id: ID!) { order(id: $id) { actions { name allowed code availableFrom } } }"


def calls(product: str, favorite: str, conversation: str, order: str, method: str) -> dict[str, str]:
    """A call of each mutation that a blocked buyer may not make, as a good one could."""
    return {
        "addFavorite": f'addFavorite(productId: "{product}")',
        "removeFavorite": f'removeFavorite(favoriteId: "{favorite}")',
        "removeFavoriteOf": f'removeFavoriteOf(productId: "{product}")',
        "setWatch": f'setWatch(input: {{favoriteId: "{favorite}", kind: PERCENT, percent: 50}})',
        "sendMessage": f'sendMessage(input: {{conversationId: "{conversation}", text: "Hello"}})',
        "confirmReceipt": f'confirmReceipt(orderId: "{order}")',
        "requestProtectionExtension": f'requestProtectionExtension(input: {{orderId: "{order}", days: 3}})',
        "unlinkSignInMethod": f'unlinkSignInMethod(id: "{method}")',
        "beginPasskey": "beginPasskey",
        "addPasskey": 'addPasskey(input: {challengeId: "x", credential: "{}", name: "Phone"})',
        "renamePasskey": f'renamePasskey(id: "{method}", name: "Phone")',
        "requestEmailChange": 'requestEmailChange(input: {email: "wanted@shop.example"})',
        "confirmEmailChange": 'confirmEmailChange(input: {token: "x"})',
        "deleteAccount": "deleteAccount",
    }


async def with_everything(shop: Shop) -> tuple[Buyer, str, dict[str, str]]:
    """A buyer who could do all of `calls`, the order, and the calls."""
    buyer, product = await shop.buyer(), await shop.product()
    row, order = await put_order(shop, buyer, product, paidAt=(await shop.now()).isoformat())
    await ship(shop, row, f"TN-{row['externalId']}")
    await buyer.data("mutation($id: ID!) { addFavorite(productId: $id) { __typename } }", id=product.id)
    await change(
        "INSERT INTO identity (account_id, kind, subject, verified_at) SELECT account_id, 'VK', $2, verified_at FROM identity WHERE account_id = $1",
        await account_of(buyer), buyer.external_id,
    )  # fmt: skip
    found = (await buyer.data("{ me { favorites { edges { node { id } } } orders { edges { node { conversation { id } } } } signInMethods { methods { id } } } }"))["me"]
    favorite, conversation = found["favorites"]["edges"][0]["node"]["id"], found["orders"]["edges"][0]["node"]["conversation"]["id"]
    return buyer, order, calls(product.id, favorite, conversation, order, found["signInMethods"]["methods"][1]["id"])


async def test_nobody_is_anything_but_good_before_staff_decide(shop: Shop) -> None:
    standing = await standing_of(await shop.buyer())
    assert standing.pop("actions") == [
        {"name": "appeal", "allowed": False, "code": "WRONG_STATE", "availableFrom": None},
        {"name": "answerAppeal", "allowed": False, "code": "WRONG_STATE", "availableFrom": None},
    ]
    assert standing == {"level": "GOOD", "reason": None, "text": None, "since": None, "until": None, "appeal": None}


async def test_a_decision_is_shown_recorded_and_mailed_and_made_once(shop: Shop) -> None:
    buyer = await shop.buyer()
    account_id, until = await account_of(buyer), (await shop.now() + timedelta(days=9)).isoformat()
    given = {"externalId": f"d-{buyer.external_id}", "status": "CREATED", "code": None, "message": None}
    assert await decide(shop, buyer, given["externalId"], "RESTRICTED", until=until) == given
    told = await standing_of(buyer)
    assert (told["level"], told["reason"], told["text"]) == ("RESTRICTED", "RULES", "You have sent spam.")
    assert told["since"] and told["until"][:19] == until[:19]
    again = await decide(shop, buyer, given["externalId"], "RESTRICTED", until=until, text=" You have sent spam.\n")
    assert again == {**given, "status": "UNCHANGED"}
    other = await decide(shop, buyer, given["externalId"], "BLOCKED")
    assert (other["status"], other["code"]) == ("REFUSED", "CONFLICT")
    (kept,) = await StandingChange.filter(account_id=account_id)
    assert (kept.level, kept.reason, kept.staff_id) == (Level.RESTRICTED, StandingReason.RULES, 1)
    (entry,) = await Activity.filter(verb="standing_changed", subject_id=account_id)
    assert (entry.actor_kind, entry.actor_id, entry.details) == ("staff", 1, {"level": "RESTRICTED", "reason": "RULES"})
    (letter,) = await letters(buyer.email)
    assert letter["template"] == "standing_changed" and letter["values"]["level"] == "RESTRICTED"
    assert (letter["values"]["text"], letter["values"]["until_at"][:10]) == ("You have sent spam.", until[:10])


async def test_what_is_lifted_is_told_and_good_news_only_once(shop: Shop) -> None:
    buyer = await shop.buyer()
    await decide(shop, buyer, f"a-{buyer.external_id}", "WARNED")
    assert (await decide(shop, buyer, f"b-{buyer.external_id}", "GOOD"))["status"] == "CREATED"
    assert (await standing_of(buyer))["level"] == "GOOD"
    await decide(shop, buyer, f"c-{buyer.external_id}", "GOOD", text="Sorry.")
    assert [letter["values"]["level"] for letter in await letters(buyer.email)] == ["WARNED", "GOOD"]
    assert [change.level for change in await StandingChange.filter(account_id=await account_of(buyer)).order_by("id")] == ["WARNED", "GOOD", "GOOD"]


async def test_two_decisions_in_one_call_count_in_their_order(shop: Shop) -> None:
    buyer = await shop.buyer()
    row = {"accountExternalId": buyer.external_id, "level": "BLOCKED", "reason": "RULES", "text": "x"}
    lifted = {"externalId": f"2-{buyer.external_id}", "accountExternalId": buyer.external_id, "level": "GOOD"}
    results = await shop.put("setStandings", [{"externalId": f"1-{buyer.external_id}", **row}, lifted])
    assert [result["status"] for result in results] == ["CREATED", "CREATED"]
    assert (await standing_of(buyer))["level"] == "GOOD"
    assert [letter["values"]["level"] for letter in await letters(buyer.email)] == ["BLOCKED", "GOOD"]


async def test_a_row_that_decides_nothing_is_refused_and_holds_up_no_other(shop: Shop) -> None:
    buyer, now = await shop.buyer(), await shop.now()
    good = {"accountExternalId": buyer.external_id, "level": "WARNED", "reason": "RULES", "text": "Careful."}
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"reason": None}, "BAD_USER_INPUT"),
        ({"text": None}, "BAD_USER_INPUT"),
        ({"text": " \n"}, "BAD_USER_INPUT"),
        ({"text": "x" * 2001}, "BAD_USER_INPUT"),
        ({"text": "Card 4111 1111 1111 1111"}, "CARD_DATA_REJECTED"),
        ({"level": "CLOSED"}, "BAD_USER_INPUT"),
        ({"level": "GOOD"}, "BAD_USER_INPUT"),
        ({"until": now.isoformat()}, "BAD_USER_INPUT"),
        ({"accountExternalId": "nobody"}, "UNKNOWN_REFERENCE"),
        ({"accountExternalId": None}, "BAD_USER_INPUT"),
        ({"accountId": buyer.id}, "BAD_USER_INPUT"),
        ({"accountExternalId": None, "accountId": "QWNjb3VudDo5OTk5OTk="}, "UNKNOWN_REFERENCE"),
        ({"accountExternalId": None, "accountId": "nonsense"}, "UNKNOWN_REFERENCE"),
    ]
    rows = [{"externalId": f"w{n}-{buyer.external_id}", **good, **given} for n, (given, _) in enumerate(wrong)]
    results = await shop.put("setStandings", [*rows, {"externalId": f"ok-{buyer.external_id}", **good}])
    assert [(result["status"], result["code"]) for result in results] == [("REFUSED", code) for _, code in wrong] + [("CREATED", None)]
    assert await StandingChange.filter(account_id=await account_of(buyer)).count() == 1


async def test_a_buyer_whom_the_platform_does_not_know_is_named_by_id(shop: Shop) -> None:
    buyer = await shop.buyer()
    assert (await decide(shop, buyer, f"i-{buyer.external_id}", accountExternalId=None, accountId=buyer.id))["status"] == "CREATED"
    assert (await standing_of(buyer))["level"] == "BLOCKED"


async def test_deciding_needs_the_scope(shop: Shop) -> None:
    buyer = await shop.buyer()
    query = "mutation($input: SetStandingsInput!) { setStandings(input: $input) { results { status } } }"
    row = {"externalId": "x", "accountExternalId": buyer.external_id, "level": "BLOCKED", "reason": "RULES", "text": "x"}
    assert await (await shop.staff_with("accounts")).codes(query, input={"rows": [row]}) == ["FORBIDDEN"]
    for client in (buyer, shop.nobody):
        assert await client.codes(query, input={"rows": [row]}) == ["UNAUTHENTICATED"]
    assert (await standing_of(buyer))["level"] == "GOOD"


async def test_a_blocked_buyer_is_refused_each_change_with_the_reason_and_nothing_is_written(shop: Shop) -> None:
    buyer, _, tried = await with_everything(shop)
    until = (await shop.now() + timedelta(days=5)).isoformat()
    await decide(shop, buyer, f"b-{buyer.external_id}", until=until)
    assert tried.keys() == {name for name, deed in DEEDS.items() if Level.BLOCKED not in MAY[deed]}
    before = [await Favorite.all().values(), await Message.all().count(), await Activity.filter(actor_kind="buyer").count()]
    for name, call in tried.items():
        refused = (await buyer.data(f"mutation {{ {call} {REFUSED} }}"))[name]
        assert refused["code"] == "ACCOUNT_BLOCKED", (name, refused)
        assert refused["message"] == "The account is blocked."
        told = refused["standing"]
        assert (told["level"], told["reason"], told["text"], told["until"][:19]) == ("BLOCKED", "RULES", "You have sent spam.", until[:19])
    assert before == [await Favorite.all().values(), await Message.all().count(), await Activity.filter(actor_kind="buyer").count()]


async def test_both_ways_of_execution_refuse_alike(shop: Shop) -> None:
    buyer, _, tried = await with_everything(shop)
    await decide(shop, buyer, f"b-{buyer.external_id}")
    engine = shop.service.engine
    for call in tried.values():
        answers = []
        for breadth_first in (True, False):
            object.__setattr__(engine, "settings", shop.service.settings.model_copy(update={"breadth_first": breadth_first}))
            counted = engine.counts.copy()
            answers.append((await buyer.post(f"mutation {{ {call} {REFUSED} }}")).content)
            assert set(engine.counts - counted) == {"planned" if breadth_first else "stock"}
        assert answers[0] == answers[1] and b"ACCOUNT_BLOCKED" in answers[0]
    object.__setattr__(engine, "settings", shop.service.settings)


async def test_actions_say_the_same_before(shop: Shop) -> None:
    buyer, order, _ = await with_everything(shop)
    await decide(shop, buyer, f"b-{buyer.external_id}")
    actions = (await buyer.data(ACTIONS, id=order))["order"]["actions"]
    assert [(one["allowed"], one["code"]) for one in actions] == [(False, "ACCOUNT_BLOCKED")] * 3
    methods = (await buyer.data("{ me { signInMethods { methods { actions { allowed code } } } } }"))["me"]["signInMethods"]["methods"]
    assert all(method["actions"] == [{"allowed": False, "code": "ACCOUNT_BLOCKED"}] for method in methods)
    await decide(shop, buyer, f"r-{buyer.external_id}", "RESTRICTED")
    assert all(one["allowed"] for one in (await buyer.data(ACTIONS, id=order))["order"]["actions"])


async def test_the_restricted_and_the_warned_may_do_all_that_there_is(shop: Shop) -> None:
    for level in ("WARNED", "RESTRICTED"):
        buyer, order, tried = await with_everything(shop)
        await decide(shop, buyer, f"{level}-{buyer.external_id}", level)
        order_of_calls = ["setWatch", "sendMessage", "requestProtectionExtension", "removeFavorite", "addFavorite", "removeFavoriteOf", "unlinkSignInMethod"]
        for name in order_of_calls:
            assert "code" not in (await buyer.data(f"mutation {{ {tried[name]} {REFUSED} }}"))[name], name
        assert (await buyer.data(ASK, id=order, days=2))["requestProtectionExtension"]["code"] == "ALREADY_ASKED"
        assert (await buyer.data(CONFIRM, id=order))["confirmReceipt"]["__typename"] == "ReceiptConfirmed"


async def test_the_blocked_sign_in_read_change_their_password_and_sign_out(shop: Shop) -> None:
    buyer, order, _ = await with_everything(shop)
    await decide(shop, buyer, f"b-{buyer.external_id}")
    email = buyer.email
    again = await shop.sign_in({"email": email, "password": "correct horse battery", "externalId": buyer.external_id})
    found = await again.data("query($id: ID!) { me { id standing { level } sessions { id } } order(id: $id) { conversation { id } } }", id=order)
    assert (found["me"]["standing"]["level"], len(found["me"]["sessions"])) == ("BLOCKED", 2)
    read = await again.data("mutation($id: ID!) { markRead(conversationId: $id) { __typename } }", id=found["order"]["conversation"]["id"])
    assert read["markRead"]["__typename"] == "ConversationRead"
    query = 'mutation { reauthenticate(input: {password: "correct horse battery"}) { __typename } signOutElsewhere { ... on SignedOutElsewhere { sessions } } }'
    assert await again.data(query) == {"reauthenticate": {"__typename": "Reauthenticated"}, "signOutElsewhere": {"sessions": 1}}
    change = 'mutation { changePassword(input: {current: "correct horse battery", new: "another horse 7 battery", newAgain: "another horse 7 battery"}) { ... on PasswordChanged { newToken } } }'
    again.token = (await again.data(change))["changePassword"]["newToken"]
    assert (await again.data("mutation { signOut { __typename } }"))["signOut"]["__typename"] == "SignedOut"


async def test_a_blocked_buyer_links_no_number_and_no_provider(shop: Shop) -> None:
    buyer = await shop.buyer()
    await decide(shop, buyer, f"b-{buyer.external_id}")
    query = f'mutation {{ requestPhoneCode(input: {{phone: "+79161234500", purpose: LINK}}) {REFUSED} }}'
    refused = (await buyer.data(query))["requestPhoneCode"]
    assert (refused["__typename"], refused["code"], refused["standing"]["level"]) == ("Unavailable", "ACCOUNT_BLOCKED", "BLOCKED")
    assert await OutboxMessage.filter(kind="sms").count() == 0


async def test_a_code_that_was_asked_for_before_links_nothing_after(shop: Shop) -> None:
    buyer, phone = await shop.buyer(), "+79161234501"
    challenge, code = await sent(shop, phone, "LINK", buyer)
    await decide(shop, buyer, f"b-{buyer.external_id}")
    assert (await verify(shop, challenge, code, by=buyer))["code"] == "ACCOUNT_BLOCKED"
    assert await Identity.filter(subject=phone).count() == 0
    await decide(shop, buyer, f"g-{buyer.external_id}", "GOOD")
    assert (await verify(shop, challenge, code, by=buyer))["__typename"] == "PhoneLinked"


async def test_a_standing_ends_by_itself(shop: Shop) -> None:
    buyer, _, tried = await with_everything(shop)
    await decide(shop, buyer, f"b-{buyer.external_id}", until=(await shop.now() + timedelta(hours=1)).isoformat())
    query = f"mutation {{ {tried['setWatch']} {REFUSED} }}"
    assert (await buyer.data(query))["setWatch"]["code"] == "ACCOUNT_BLOCKED"
    await shop.advance(hours=1)
    assert (await buyer.data(query))["setWatch"]["__typename"] == "WatchSet"
    assert (await standing_of(buyer))["level"] == "GOOD"


async def test_two_decisions_at_once_are_both_kept_and_one_of_them_counts(shop: Shop) -> None:
    buyer = await shop.buyer()
    levels = ["WARNED", "RESTRICTED", "BLOCKED"]
    answers = await asyncio.gather(*(decide(shop, buyer, f"{level}-{buyer.external_id}", level) for level in levels))
    assert [answer["status"] for answer in answers] == ["CREATED"] * 3
    changes = await StandingChange.filter(account_id=await account_of(buyer)).order_by("-id")
    assert {change.level.value for change in changes} == set(levels)
    assert (await standing_of(buyer))["level"] == changes[0].level


async def test_the_same_decision_twice_at_once_is_one(shop: Shop) -> None:
    buyer = await shop.buyer()
    answers = await asyncio.gather(*(decide(shop, buyer, f"same-{buyer.external_id}") for _ in range(6)))
    assert sorted(answer["status"] for answer in answers) == ["CREATED", *["UNCHANGED"] * 5]
    assert await StandingChange.filter(account_id=await account_of(buyer)).count() == 1


async def test_an_operator_bans_by_what_they_know_and_signs_out_everywhere(shop: Shop) -> None:
    buyer = await shop.buyer()
    account_id, email = await account_of(buyer), buyer.email
    await ban(buyer.external_id, Decision(Level.BLOCKED, StandingReason.SECURITY, "Taken over."), timedelta(days=2))
    told = await standing_of(buyer)
    assert (told["level"], told["reason"], told["text"], told["until"] is not None) == ("BLOCKED", "SECURITY", "Taken over.", True)
    await ban(f" {email.upper()} ".strip(), Decision(Level.WARNED, StandingReason.RULES, "Careful."))
    assert (await standing_of(buyer))["level"] == "WARNED"
    assert await revoke_sessions(f"#{account_id}") == 1
    assert await buyer.codes("{ me { id } }") == ["UNAUTHENTICATED"]
    entries = await Activity.filter(subject_kind="account", subject_id=account_id, actor_kind="system").order_by("id")
    assert [entry.verb for entry in entries if entry.verb != "signed_in"] == ["standing_changed", "standing_changed", "sessions_revoked"]
    for name in ("nobody", "#0", "#99999999999999999999", "#x", "a@b.example", str(account_id)):
        with pytest.raises(NotFound):
            await revoke_sessions(name)
    with pytest.raises(BadUserInput):
        await ban(buyer.external_id, Decision(Level.BLOCKED, StandingReason.RULES, " "))


async def test_nobody_is_signed_in_to_a_closed_account(shop: Shop) -> None:
    buyer = await shop.buyer()
    await change("UPDATE account SET standing_level = 'CLOSED', standing_reason = NULL, standing_text = NULL WHERE id = $1", await account_of(buyer))
    assert await buyer.codes("{ me { id } }") == ["UNAUTHENTICATED"]
    assert (await decide(shop, buyer, f"x-{buyer.external_id}"))["code"] == "WRONG_STATE"
    with pytest.raises(Refusal):
        await ban(buyer.external_id, Decision(Level.BLOCKED, StandingReason.RULES, "x"))
    assert await StandingChange.filter(account_id=await account_of(buyer)).count() == 0


async def test_what_depends_on_the_account_is_read_by_one_statement_and_no_more(shop: Shop) -> None:
    buyer = await shop.buyer()
    await decide(shop, buyer, f"s-{buyer.external_id}", "WARNED")
    for query in ("{ me { id standing { level reason text since until } } }", 'mutation { markRead(conversationId: "x") { __typename } }'):
        async with statements() as seen:
            await buyer.data(query)
        assert len([text for text in seen if "domain_clock" not in text]) == 1, seen


async def test_rows_of_decisions_are_only_added(shop: Shop) -> None:
    buyer = await shop.buyer()
    await decide(shop, buyer, f"k-{buyer.external_id}")
    for sql in ("DELETE FROM standing_change", "UPDATE standing_change SET level = 'GOOD'", "UPDATE standing_change SET staff_id = NULL"):
        with pytest.raises(Exception, match="never"):
            await change(sql)
    assert (await StandingChange.get(account_id=await account_of(buyer))).level is Level.BLOCKED


CHANGES_OF_WAYS: dict[str, Callable[[Viewer], Awaitable[Any]]] = {
    "unlinkSignInMethod": lambda viewer: sign_in_methods.unlink_sign_in_method(viewer, policy_of(opened().settings), 0),
    "confirmEmailChange": lambda viewer: email_changes.confirm_email_change(viewer, "x"),
    "verifyPhoneCode": lambda viewer: phone_codes._link(viewer, Tried(0, "+79165550000", CodePurpose.LINK)),
    "addPasskey": lambda viewer: passkeys._add(viewer, policy_of(opened().settings), MadePasskey("x", "x", "x", 0, "", False), "x"),
    "link=1": lambda viewer: provider_sign_in._link(viewer, SimpleNamespace(kind=IdentityKind.VK), SimpleNamespace(subject="1")),  # type: ignore[arg-type]
    "deleteAccount": lambda viewer: leaving.delete_account(viewer),
}


@pytest.mark.parametrize("name", CHANGES_OF_WAYS)
async def test_a_block_that_comes_while_a_change_of_the_ways_in_runs_is_seen_by_it(shop: Shop, name: str) -> None:
    buyer = await shop.buyer()
    viewer = await viewer_of(Credentials(bearer=buyer.token), shop.service.settings, await shop.now())
    await decide(shop, buyer, f"{name}-{buyer.external_id}")
    viewer.require_may(Deed.CHANGE_WAYS_IN)  # as the request has seen it
    with pytest.raises(NotInStanding):
        await CHANGES_OF_WAYS[name](viewer)
    await change("UPDATE account SET standing_level = 'CLOSED', standing_reason = NULL, standing_text = NULL WHERE id = $1", viewer.account_id)
    with pytest.raises(Unauthenticated):
        await CHANGES_OF_WAYS[name](viewer)
