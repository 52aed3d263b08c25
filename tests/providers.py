"""The demo's identity providers on a port of their own, with faults to order, and a browser that goes there and back."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from demo.idp import identity_providers
from models.accounts import Account, Identity
from models.sessions import KnownDevice, Session
from tests.rows import change
from tests.shop import Shop
from tests.wire.small_service import served

Fault = Callable[[Scope, Receive, Send], Any]


@dataclass
class Idp:
    """The running providers. `faults[path]` answers in the place of what is at the path."""

    url: str
    app: Any
    faults: dict[str, Fault] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.append(scope["path"])
        await self.faults.get(scope["path"], self.app)(scope, receive, send)

    def answers(self, path: str, body: bytes | str, status: int = 200, **headers: str) -> None:
        """From now on `path` answers so."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.faults[path] = Response(body, status, {"content-type": "application/json", **named})


@asynccontextmanager
async def open_idp() -> AsyncIterator[Idp]:
    idp = Idp("", None)
    async with served(idp) as port:
        idp.url = f"http://127.0.0.1:{port}"
        idp.app = identity_providers(idp.url, "")
        yield idp


class Browser:
    """Cookies of its own, and no redirect followed but by hand."""

    def __init__(self, shop: Shop):
        self.shop = shop
        self.http = httpx2.AsyncClient(base_url=shop.url, timeout=60)

    async def get(self, url: str, **headers: str) -> httpx2.Response:
        return await self.http.get(url, headers={name.replace("_", "-"): value for name, value in headers.items()})

    async def start(self, provider: str, path: str = "", **headers: str) -> str:
        """Begin a sign-in; the provider's address that the browser is sent to."""
        answer = await self.get(f"/auth/{provider}/login{path}", **headers)
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    async def choose(self, url: str, person: str) -> str:
        """Be this person at the provider; the address of the callback."""
        assert "Choose who to be" in (await self.http.get(url)).text
        answer = await self.http.post(url, data={"person": person})
        assert answer.status_code == 302, answer.text
        return answer.headers["location"]

    async def sign_in(self, provider: str, person: str, path: str = "", **headers: str) -> httpx2.Response:
        """All the way; what the callback answers."""
        return await self.get(await self.choose(await self.start(provider, path, **headers), person), **headers)

    def bring(self, session_token: str | None) -> None:
        """Have this session."""
        self.http.cookies.set("sid", session_token or "", domain="127.0.0.1")

    async def me(self) -> dict[str, Any] | None:
        query = "{ me { id displayName email region currency language } }"
        answer = await self.http.post("/graphql", json={"query": query}, headers={"x-requested-with": "x"})
        return answer.json()["data"]["me"]


async def forget_identities(shop: Shop) -> None:
    """Nobody is known by any identity, no sign-in is open, and what was read of the providers is forgotten."""
    await change("DELETE FROM identity")
    await change("DELETE FROM provider_sign_in")
    await change("DELETE FROM guess")
    shop.service.outbound.breakers.clear()
    google = shop.service.providers["google"]
    vars(google).pop("_kept", None)
    vars(google).pop("_keys", None)


async def counted() -> dict[str, int]:
    """How many rows there are of what a sign-in writes."""
    return {model.__name__: await model.all().count() for model in (Account, Identity, Session, KnownDevice)}


def code_of(answer: httpx2.Response) -> str:
    """The code of a refusal."""
    return answer.json()["errors"][0]["extensions"]["code"]


def state_of(url: str) -> str:
    return parse_qs(urlsplit(url).query)["state"][0]


@asynccontextmanager
async def browsing(shop: Shop) -> AsyncIterator[Browser]:
    browser = Browser(shop)
    async with browser.http:
        yield browser
