"""Where a buyer is signed in: the list, ending sessions, and proving again who one is."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from auth.sessions import token_hash
from auth.step_up import require_recent
from auth.viewer import Viewer
from models.instants import utc_now
from models.refusals import ReauthRequired, Unauthenticated
from models.sessions import Session
from tests.rows import change
from tests.shop import PASSWORD, Buyer, Shop
from tests.statements import statements
from tests.wire.test_live import as_buyer, port_of
from tests.wire.test_websocket import client

SESSIONS = "{ me { sessions { id agent address createdAt usedAt endsAt current } } }"
REVOKE = "mutation($id: ID!) { revokeSession(id: $id) { ... on SessionRevoked { sessionId } ... on Refusal { code field } } }"
ELSEWHERE = "mutation { signOutElsewhere { ... on SignedOutElsewhere { sessions } } }"
PROVE = """mutation($password: String!) { reauthenticate(input: { password: $password }) {
  ... on Reauthenticated { until } ... on Refusal { code field } ... on RateLimited { retryAfterSeconds } } }"""
ME = "{ me { id } }"


@pytest.fixture(autouse=True)
async def forgotten(shop: Shop) -> None:
    await change("DELETE FROM guess")


async def sessions_of(buyer: Buyer) -> list[dict[str, Any]]:
    return (await buyer.data(SESSIONS))["me"]["sessions"]


async def row_of(buyer: Buyer) -> Session:
    return await Session.get(token_hash=token_hash(buyer.token or ""))


async def test_the_list_tells_where_the_buyer_is_signed_in_and_which_session_asks(shop: Shop) -> None:
    first = await shop.buyer()
    second = await shop.again(first)
    seen = await sessions_of(second)
    own = await row_of(second)
    assert [session["current"] for session in seen] == [True, False]
    assert seen[0]["address"] == "127.0.0.1" and "httpx" in seen[0]["agent"]
    assert datetime.fromisoformat(seen[0]["createdAt"]) == own.created_at
    assert datetime.fromisoformat(seen[0]["endsAt"]) == own.ends_at
    assert [session["current"] for session in await sessions_of(first)] == [False, True]
    found = await second.data("query($id: ID!) { node(id: $id) { ... on Session { current } } }", id=seen[1]["id"])
    assert found == {"node": {"current": False}}


@pytest.mark.parametrize("column", ["used_at", "ends_at", "revoked_at"])
async def test_what_has_ended_is_not_listed(shop: Shop, column: str) -> None:
    buyer = await shop.buyer()
    other = await row_of(await shop.again(buyer))
    (id,) = [session["id"] for session in await sessions_of(buyer) if not session["current"]]
    await change(f"UPDATE session SET {column} = $1 WHERE id = $2", utc_now() - timedelta(days=14, seconds=1), other.id)
    assert [session["current"] for session in await sessions_of(buyer)] == [True]
    assert await buyer.data("query($id: ID!) { node(id: $id) { id } }", id=id) == {"node": None}


async def test_the_list_costs_the_same_at_any_length(shop: Shop) -> None:
    buyer = await shop.buyer()
    async with statements() as one:
        assert len(await sessions_of(buyer)) == 1
    for _ in range(4):
        await shop.again(buyer)
    async with statements() as five:
        assert len(await sessions_of(buyer)) == 5
    assert len(one) == len(five)


async def test_a_revoked_session_is_over_and_its_socket_closes(shop: Shop) -> None:
    buyer = await shop.buyer()
    other = await shop.again(buyer)
    (id,) = [session["id"] for session in await sessions_of(buyer) if not session["current"]]
    async with client(port_of(shop), **as_buyer(other)) as raw, client(port_of(shop), **as_buyer(buyer)) as kept:
        assert (await buyer.data(REVOKE, id=id))["revokeSession"] == {"sessionId": id}
        assert await raw.closed() == 4401
        await kept.subscribe(ME)
        assert (await kept.hear())["payload"] == {"data": {"me": {"id": buyer.id}}}
    assert await other.codes(ME) == ["UNAUTHENTICATED"]
    assert (await buyer.data(REVOKE, id=id))["revokeSession"] == {"code": "NOT_FOUND", "field": "id"}


async def test_revoking_the_present_session_signs_out(shop: Shop) -> None:
    buyer = await shop.buyer()
    (id,) = [session["id"] for session in await sessions_of(buyer)]
    answer = await buyer.post(REVOKE, id=id)
    assert answer.json()["data"]["revokeSession"] == {"sessionId": id}
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert await buyer.codes(ME) == ["UNAUTHENTICATED"]


async def test_a_stranger_ends_nobodys_session(shop: Shop) -> None:
    buyer, stranger = await shop.buyer(), await shop.buyer()
    (id,) = [session["id"] for session in await sessions_of(buyer)]
    for wrong in (id, buyer.id, "x", ""):
        assert (await stranger.data(REVOKE, id=wrong))["revokeSession"] == {"code": "NOT_FOUND", "field": "id"}
    assert await stranger.data("query($id: ID!) { node(id: $id) { id } }", id=id) == {"node": None}
    assert await shop.nobody.codes(REVOKE, id=id) == ["UNAUTHENTICATED"]
    assert (await buyer.data(ME))["me"] == {"id": buyer.id}


async def test_signing_out_elsewhere_leaves_the_present_session_and_strangers_alone(shop: Shop) -> None:
    buyer, stranger = await shop.buyer(), await shop.buyer()
    others = [await shop.again(buyer) for _ in range(2)]
    async with client(port_of(shop), **as_buyer(others[0])) as one, client(port_of(shop), **as_buyer(others[1])) as two:
        assert await buyer.data(ELSEWHERE) == {"signOutElsewhere": {"sessions": 2}}
        assert [await one.closed(), await two.closed()] == [4401, 4401]
    assert [await other.codes(ME) for other in others] == [["UNAUTHENTICATED"]] * 2
    assert (await buyer.data(ME))["me"] == {"id": buyer.id}
    assert (await stranger.data(ME))["me"] == {"id": stranger.id}
    assert await buyer.data(ELSEWHERE) == {"signOutElsewhere": {"sessions": 0}}
    assert await shop.nobody.codes(ELSEWHERE) == ["UNAUTHENTICATED"]


async def test_a_proof_counts_for_fifteen_minutes_and_a_password_renews_it(shop: Shop) -> None:
    buyer = await shop.buyer()
    own = await row_of(buyer)
    viewer = Viewer(now=utc_now(), account_id=own.account_id, session_id=own.id)
    await require_recent(viewer)
    await change("UPDATE session SET proved_at = $1 WHERE id = $2", utc_now() - timedelta(minutes=15, seconds=1), own.id)
    with pytest.raises(ReauthRequired):
        await require_recent(viewer)
    assert (await buyer.data(PROVE, password="wrong"))["reauthenticate"] == {"code": "INVALID_CREDENTIALS", "field": "password"}
    with pytest.raises(ReauthRequired):
        await require_recent(viewer)
    until = (await buyer.data(PROVE, password=PASSWORD))["reauthenticate"]["until"]
    assert timedelta(minutes=14) < datetime.fromisoformat(until) - utc_now() <= timedelta(minutes=15)
    await require_recent(viewer)
    with pytest.raises(Unauthenticated):
        await require_recent(Viewer(now=utc_now()))


async def test_proofs_are_counted_as_attempts_and_do_not_slow_the_door(shop: Shop) -> None:
    buyer = await shop.buyer()
    for _ in range(5):
        assert (await buyer.data(PROVE, password="wrong"))["reauthenticate"]["code"] == "INVALID_CREDENTIALS"
    waits = (await buyer.data(PROVE, password=PASSWORD))["reauthenticate"]
    assert waits["code"] == "RATE_LIMITED" and 1 <= waits["retryAfterSeconds"] <= 30
    assert (await shop.again(buyer)).id == buyer.id


async def test_a_proof_without_a_password_or_without_a_buyer_is_refused(shop: Shop) -> None:
    buyer = await shop.buyer()
    own = await row_of(buyer)
    await change("DELETE FROM password WHERE account_id = $1", own.account_id)
    assert (await buyer.data(PROVE, password=PASSWORD))["reauthenticate"]["code"] == "INVALID_CREDENTIALS"
    for wrong in ("", "x" * 129):
        assert (await buyer.data(PROVE, password=wrong))["reauthenticate"] == {"code": "BAD_USER_INPUT", "field": "password"}
    assert await shop.nobody.codes(PROVE, password=PASSWORD) == ["UNAUTHENTICATED"]


async def test_a_session_that_ends_while_a_request_is_on_its_way_proves_nothing(shop: Shop) -> None:
    session = await row_of(await shop.buyer())
    viewer = Viewer(now=utc_now(), account_id=session.account_id, session_id=session.id)
    await require_recent(viewer)
    await change("UPDATE session SET revoked_at = $1 WHERE id = $2", utc_now(), session.id)
    with pytest.raises(Unauthenticated):
        await require_recent(viewer)
