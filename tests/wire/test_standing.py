"""Standing as live sockets meet it."""

import pytest
from websockets.exceptions import ConnectionClosed

from models import clock
from models.accounts import Level
from models.unit_of_work import Work, unit_of_work
from resolvers.standing import Change, Decision, change_standings, locked
from tests.resolvers.orders import put_order
from tests.resolvers.standings import decide
from tests.rows import account_of
from tests.shop import Shop
from tests.wire.test_live import DROPS, as_buyer, port_of
from tests.wire.test_websocket import client

RECEIVED = "subscription { messageReceived { message { text } conversation { order { actions { name code } } } } }"


@unit_of_work
async def close(work: Work, account_id: int) -> None:
    """What an erasure does to a standing."""
    account = await locked(work, account_id)
    await change_standings(work, None, await clock.now(), [Change(account, Decision(Level.CLOSED))])


async def test_a_blocked_buyers_socket_stays_and_tells_at_once_what_is_forbidden(shop: Shop) -> None:
    buyer = await shop.buyer()
    row, _ = await put_order(shop, buyer)
    async with client(port_of(shop), **as_buyer(buyer)) as raw:
        await raw.subscribe(RECEIVED)
        await shop.followed(f"account:{await account_of(buyer)}")
        await decide(shop, buyer, f"live-{buyer.external_id}")
        message = {"externalId": f"m-{buyer.external_id}", "accountExternalId": buyer.external_id, "text": "Hello", "orderExternalId": row["externalId"]}
        await shop.put("sendSellerMessages", [{**message, "storeExternalId": row["storeExternalId"]}])
        heard = (await raw.hear())["payload"]["data"]["messageReceived"]
        assert heard["message"] == {"text": "Hello"}
        assert {action["code"] for action in heard["conversation"]["order"]["actions"]} == {"ACCOUNT_BLOCKED"}
        await raw.subscribe("{ me { standing { level } } }", id="2")
        assert (await raw.hear())["payload"] == {"data": {"me": {"standing": {"level": "BLOCKED"}}}}


async def test_a_closed_accounts_sockets_close_at_once(shop: Shop) -> None:
    buyer = await shop.buyer()
    async with client(port_of(shop), **as_buyer(buyer)) as raw:
        await raw.subscribe(DROPS)
        await raw.settled()
        await close(await account_of(buyer))
        with pytest.raises(ConnectionClosed) as end:
            await raw.hear(8)  # before the ten seconds after which every session is looked at
        assert end.value.rcvd.code == 4401
    assert await buyer.codes("{ me { id } }") == ["UNAUTHENTICATED"]
