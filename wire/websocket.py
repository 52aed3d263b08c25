"""Sockets: who may open one. What is said over it is in `wire/conversation.py`."""

from typing import TYPE_CHECKING

from starlette.routing import BaseRoute, WebSocketRoute
from starlette.types import Receive, Scope, Send

from wire.conversation import PROTOCOL, Conversation
from wire.handshake import credentials_of, header, origin_fits
from wire.hosts import Hosts, Proxies
from wire.sockets import TooMany

if TYPE_CHECKING:
    from wire.process import Service


def routes(service: "Service") -> list[BaseRoute]:
    """The socket at /graphql."""
    return [WebSocketRoute("/graphql", SocketFront(service))]


class SocketFront:
    """The ASGI application behind the route."""

    def __init__(self, service: "Service") -> None:
        self.service = service
        self._hosts = Hosts(service.settings)
        self._proxies = Proxies(service.settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        credentials = credentials_of(scope, self.service.settings, self._proxies)
        host = (header(scope, b"host") or "").encode("latin-1")
        if not self._hosts.is_known(host) or not origin_fits(scope, credentials, self.service.settings):
            await send({"type": "websocket.close"})
            return
        if PROTOCOL not in scope["subprotocols"]:
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": 4406, "reason": "Subprotocol not acceptable"})
            return
        try:
            self.service.sockets.greet(credentials.address)
        except TooMany:
            await send({"type": "websocket.accept", "subprotocol": PROTOCOL})
            await send({"type": "websocket.close", "code": 4429, "reason": "Too many sockets from this address"})
            return
        await Conversation(self.service, credentials, scope, receive, send).live()
