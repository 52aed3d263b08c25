"""Serves the lab's rows in production settings: `python -m bench.lab.serve LAB.DB`, settings from the environment.

It is `server.py serve` but for two things. It loads the rows first, while it holds the port, so that the lab waits. And
it writes requests as a client does where the lab cannot: its load generator sends no header with a space in it, so the
token comes without «Bearer», and it knows a product by its bare number, where a client has the id from an answer.
"""

import asyncio
import re
import socket
import sys
from pathlib import Path

from starlette.types import ASGIApp, Message, Receive, Scope, Send

import server
from bench.lab.load import load
from schema.scalars import global_id
from settings import Settings, read_settings

BARE = re.compile(rb'"productId": ?"(\d+)"')


class LabClient:
    """The application, for requests that say `authorization: lab-7` and `"productId": "17"`."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = scope["headers"]
        for at, (name, value) in enumerate(headers):
            if name == b"authorization" and b" " not in value:
                headers[at] = (name, b"Bearer " + value)

        async def known() -> Message:
            message = await receive()
            if b"productId" in message.get("body", b""):
                message["body"] = BARE.sub(_known, message["body"])
            return message

        await self.app(scope, known, send)


def _known(found: re.Match[bytes]) -> bytes:
    return b'"productId":"%s"' % global_id("Product", int(found[1])).encode()


def hold_port_and_load(settings: Settings, path: Path) -> None:
    """Load the rows; who asks meanwhile waits for an answer instead of finding nobody."""
    with socket.create_server((settings.host, settings.port)):
        asyncio.run(load(settings, path))


if __name__ == "__main__":
    hold_port_and_load(read_settings(), Path(sys.argv[1]))
    plain = server.application
    server.application = lambda *given: LabClient(plain(*given))  # type: ignore
    server.cli(["serve"])
