"""Sockets and event streams of sessions whose tokens change: turned ones change nothing, replaced ones have to be brought anew."""

import asyncio
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest

from models.instants import utc_now
from tests.resolvers.apps import INVALID, ME, App, app_of
from tests.resolvers.test_favorites import ADD
from tests.resolvers.test_passwords import CHANGE, OTHER, changed
from tests.resolvers.test_sessions import ELSEWHERE
from tests.rows import change
from tests.shop import PASSWORD, Buyer, Shop
from tests.wire.test_clients import CLIENTS, Run
from tests.wire.test_live import DROPS, as_buyer, port_of
from tests.wire.test_websocket import Raw, client
from wire import sockets


@pytest.fixture(autouse=True)
async def forgotten(shop: Shop) -> None:
    await change("DELETE FROM guess")


def as_app(app: App) -> dict[str, Any]:
    return {"payload": {"authorization": f"Bearer {app.token}"}}


async def answers(raw: Raw, app: App, id: str) -> bool:
    await raw.subscribe(ME, id=id)
    said = await raw.hear()
    await raw.hear()  # complete
    return said["payload"] == {"data": {"me": {"id": app.buyer.id}}}


async def test_a_socket_outlives_its_access_token_and_the_turns(shop: Shop) -> None:
    app = await app_of(shop)
    async with client(port_of(shop), **as_app(app)) as raw:
        assert await answers(raw, app, "1")
        await change("UPDATE session SET access_until = $1 WHERE id = $2", utc_now(), (await app.row()).id)
        assert await app.codes(ME) == ["UNAUTHENTICATED"]
        assert await answers(raw, app, "2")
        old = app.token
        await app.turn()
        assert await answers(raw, app, "3")
        async with client(port_of(shop), begun=False) as late:
            await late.say({"type": "connection_init", "payload": {"authorization": f"Bearer {old}"}})
            assert await late.closed() == 4401


async def test_a_refresh_token_opens_no_socket(shop: Shop) -> None:
    app = await app_of(shop)
    async with client(port_of(shop), begun=False) as raw:
        await raw.say({"type": "connection_init", "payload": {"authorization": f"Bearer {app.refresh_token}"}})
        assert await raw.closed() == 4401


async def test_a_token_used_again_closes_the_sockets_and_streams_of_its_session_alone(shop: Shop) -> None:
    app = await app_of(shop)
    other = await app_of(shop, app.buyer)
    reused = await app.turn()
    await app.turn()
    headers = {"accept": "text/event-stream", "authorization": f"Bearer {app.token}"}
    async with client(port_of(shop), **as_app(app)) as raw, client(port_of(shop), **as_app(other)) as kept:
        await raw.subscribe(DROPS)
        await raw.settled()
        async with shop.http.stream("POST", "/graphql", json={"query": "subscription { priceDrops { cursor } }"}, headers=headers) as stream:
            lines = stream.aiter_lines()
            assert await anext(lines) == ":"
            assert await app.refresh(reused) == INVALID
            async with asyncio.timeout(30):
                assert await raw.closed() == 4401
                body = "\n".join([line async for line in lines])
            assert '"UNAUTHENTICATED"' in body
        assert await answers(kept, other, "1")


async def test_a_session_that_reaches_its_end_closes_its_sockets(shop: Shop) -> None:
    app = await app_of(shop)
    await change("UPDATE session SET ends_at = $1 WHERE id = $2", utc_now() + timedelta(seconds=3), (await app.row()).id)
    async with client(port_of(shop), **as_app(app)) as raw, client(port_of(shop), **as_buyer(app.buyer)) as kept:
        assert await raw.closed() == 4401
        assert await answers(kept, app, "1")


async def test_a_session_ended_elsewhere_closes_the_apps_sockets(shop: Shop) -> None:
    app = await app_of(shop)
    async with client(port_of(shop), **as_app(app)) as raw:
        assert await app.buyer.data(ELSEWHERE) == {"signOutElsewhere": {"sessions": 1}}
        assert await raw.closed() == 4401


async def test_a_new_password_has_the_sessions_own_sockets_come_back_and_ends_the_others(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "RENEWAL_SECONDS", 3.0)
    app = await app_of(shop)
    buyer, old = app.buyer, app.buyer.token
    async with client(port_of(shop), **as_buyer(buyer)) as raw, client(port_of(shop), **as_app(app)) as other:
        assert (await changed(buyer, PASSWORD, OTHER))["__typename"] == "PasswordChanged"
        assert await other.closed() == 4401
        assert await answers(raw, app, "1")
        async with client(port_of(shop), **as_buyer(buyer)) as renewed:
            assert await raw.closed() == 1012
            assert await answers(renewed, app, "1")
    async with client(port_of(shop), begun=False) as late:
        await late.say({"type": "connection_init", "payload": {"authorization": f"Bearer {old}"}})
        assert await late.closed() == 4401


async def test_a_new_password_set_with_the_cookie_ends_its_streams_without_complete(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "RENEWAL_SECONDS", 0.3)
    buyer = await shop.buyer()
    browser = {"cookie": f"sid={buyer.token}", "x-requested-with": "test"}
    ask = {"json": {"query": "subscription { priceDrops { cursor } }"}}
    async with shop.http.stream("POST", "/graphql", headers={"accept": "text/event-stream", **browser}, **ask) as stream:
        lines = stream.aiter_lines()
        assert await anext(lines) == ":"
        new = {"current": PASSWORD, "new": OTHER, "newAgain": OTHER}
        answer = await shop.nobody.post(CHANGE, browser, input=new)
        shop.http.cookies.clear()
        assert answer.json()["data"]["changePassword"] == {"__typename": "PasswordChanged", "accepted": True, "newToken": None}
        async with asyncio.timeout(5):
            assert [line async for line in lines if line] == []
    renewed = {**browser, "cookie": answer.headers["set-cookie"].partition(";")[0]}
    async with shop.http.stream("POST", "/graphql", headers={"accept": "text/event-stream", **renewed}, **ask) as stream:
        lines = stream.aiter_lines()
        assert await anext(lines) == ":"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_said(lines), 0.5)


async def _said(lines: AsyncIterator[str]) -> str:
    while not (line := await anext(lines)).strip(":"):
        pass
    return line


async def test_a_new_password_has_an_app_come_back_with_the_tokens_that_it_turns_the_new_one_into(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "RENEWAL_SECONDS", 1.0)
    app = await app_of(shop)
    await app.turn()
    async with client(port_of(shop), **as_app(app)) as raw:
        await app.turn()
        assert await answers(raw, app, "1")
        answer = (await app.data(CHANGE, input={"current": PASSWORD, "new": OTHER, "newAgain": OTHER}))["changePassword"]
        app.refresh_token = answer["newToken"]
        await app.turn()
        async with client(port_of(shop), **as_app(app)) as renewed:
            assert await raw.closed() == 1012
            await app.turn()
            shop.service.bus.publish(f"session:{(await app.row()).id}")  # a turn tells nobody; whatever else may have it looked at
            await asyncio.sleep(1.5)
            assert await answers(renewed, app, "1")


@pytest.mark.usefixtures("clients")
async def test_graphql_ws_follows_price_drops_through_a_new_password_and_whoever_stole_the_token_does_not(shop: Shop) -> None:
    buyer = await shop.buyer()
    stolen = as_buyer(buyer)
    products = [await shop.product("50.00") for _ in range(3)]
    for product in products:
        await buyer.data(ADD, product=product.id)
    followed = await follow_ws(shop, buyer)
    await followed.until(lambda line: "acknowledged" in line)
    async with client(port_of(shop), **stolen) as thief:
        await thief.subscribe(DROPS)
        await thief.settled()
        await changed(buyer, PASSWORD, OTHER)
        changed_at = time.monotonic()
        followed.process.stdin.write(f"{buyer.token}\n".encode())
        await shop.set_price(products[0], "40.00")
        assert await thief.closed(20) == 1012
        assert time.monotonic() - changed_at < sockets.LOOK_SECONDS  # some five seconds, where no machine is busy
    await followed.until(lambda line: line == {"closed": 1012, "reason": "sign in with the new token"})
    await shop.set_price(products[1], "40.00")
    await followed.until(lambda _: [*followed.kinds()].count("acknowledged") == 2)
    await shop.set_price(products[2], "40.00")
    await followed.until(lambda _: [*followed.kinds()].count("cursor") == 3)
    followed.process.stdin.close()
    await followed.end()
    listed = await buyer.data("{ me { priceDrops { edges { cursor } } } }")
    cursors = [edge["cursor"] for edge in reversed(listed["me"]["priceDrops"]["edges"])]
    assert [line["cursor"] for line in followed.said if "cursor" in line] == cursors
    async with client(port_of(shop), begun=False) as back:
        await back.say({"type": "connection_init", **stolen})
        assert await back.closed() == 4401


class Followed(Run):
    def kinds(self) -> Iterator[str]:
        return (next(iter(line)) for line in self.said)


async def follow_ws(shop: Shop, buyer: Buyer) -> Followed:
    url = f"ws://127.0.0.1:{port_of(shop)}/graphql"
    return Followed(
        await asyncio.create_subprocess_exec("node", "follow_ws.mjs", url, buyer.token or "", cwd=CLIENTS, stdin=PIPE, stdout=PIPE)
    )
