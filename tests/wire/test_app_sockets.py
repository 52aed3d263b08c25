"""Sockets and event streams of sessions whose tokens change: they live as long as the session does, and no longer."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from models.instants import utc_now
from tests.resolvers.apps import INVALID, ME, App, app_of
from tests.resolvers.test_passwords import OTHER, changed
from tests.resolvers.test_sessions import ELSEWHERE
from tests.rows import change
from tests.shop import PASSWORD, Shop
from tests.wire.test_live import DROPS, as_buyer, port_of
from tests.wire.test_websocket import Raw, client


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


async def test_a_new_password_leaves_the_sockets_of_the_session_that_goes_on(shop: Shop) -> None:
    app = await app_of(shop)
    buyer = app.buyer
    async with client(port_of(shop), **as_buyer(buyer)) as raw, client(port_of(shop), **as_app(app)) as other:
        assert (await changed(buyer, PASSWORD, OTHER))["__typename"] == "PasswordChanged"
        assert await other.closed() == 4401
        assert await answers(raw, app, "1")
        assert await answers(raw, app, "2")
