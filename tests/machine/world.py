"""A running shop that a test without a loop of its own drives step by step, and stops and starts again."""

import asyncio
import itertools
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import orjson
from argon2 import PasswordHasher

from auth.passwords import Passwords
from models.database import fetch
from models.instants import utc_now
from models.unit_of_work import Work, unit_of_work
from tests.databases import migrated_url
from tests.passkey_device import Authenticator
from tests.providers import Browser, Idp, open_idp
from tests.resolvers.sign_ups import solved
from tests.rows import change
from tests.shop import Client, Shop, open_shop
from tests.traffic import forget_traffic

T = TypeVar("T")

FORGOTTEN = (
    "outbox", "guess", "phone_code", "provider_sign_in", "sign_up", "password_reset", "email_change", "known_device", "recovery_code",
    "second_factor_challenge", "second_factor", "refresh_token", "session", "passkey_challenge", "passkey", "identity",
)  # fmt: skip
ANSWERS = {"activate", "already_registered", "no_account", "reset_password", "confirm_email", "email_taken", "phone_code"}
_numbers = itertools.count(1)


class World:
    """The shop, its providers, and what came by mail and SMS. Every call comes from a network of its own."""

    def __init__(self, dialect: str, folder: Path):
        self.dialect, self.folder = dialect, folder
        self.loop = asyncio.new_event_loop()
        self.lasting = AsyncExitStack()
        self.shop: Shop
        self.idp: Idp
        self.device: Authenticator

    def run(self, step: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(step)

    def open(self) -> None:
        self.url = self.run(self.lasting.enter_async_context(migrated_url(self.dialect, self.folder)))
        self.idp = self.run(self.lasting.enter_async_context(open_idp()))
        self._start()

    def close(self) -> None:
        self._stop()
        self.run(self.lasting.aclose())
        self.loop.close()

    def restart(self) -> None:
        """Stop the service and start it again on what is stored."""
        self._stop()
        self._start()
        self.device.origin = self._page()

    def begin_anew(self) -> None:
        """Nobody is known by any identity, and no letter is on its way."""
        self.run(_forget())
        self.device = Authenticator(self._page())

    def pass_hours(self) -> None:
        """As far as counters of tries and proofs of who somebody is know."""
        self.run(change("DELETE FROM guess"))
        self.run(change("UPDATE session SET proved_at = $1", utc_now() - timedelta(hours=1)))

    def forget_codes(self) -> None:
        """As if no authenticator's code had been used lately."""
        self.run(change("UPDATE second_factor SET last_step = 0"))

    def forget_lost_answers(self) -> None:
        """As if every app had its tokens for so long that it must have got them."""
        self.run(change("UPDATE refresh_token SET turned_at = $1", utc_now() - timedelta(hours=1)))

    def name(self) -> str:
        """One that nothing has."""
        return f"machine-{next(_numbers)}"

    def ask(self, operation: str, by: str | None = None, **variables: Any) -> Any:
        """What the operation's only field answers."""
        return self.run(self._ask(operation, by, variables))

    def ask_as_staff(self, operation: str, **variables: Any) -> Any:
        """The same, by a token that has made none of the decisions before."""
        return self.run(self._ask_as_staff(operation, variables))

    async def _ask_as_staff(self, operation: str, variables: dict[str, Any]) -> Any:
        return await self._ask(operation, (await self.shop.staff_with("standing")).token, variables)

    async def _ask(self, operation: str, by: str | None, variables: dict[str, Any]) -> Any:
        if operation.startswith("mutation"):
            await _forget_counters()
        answer = (await Client(self.shop.http, by).post(operation, self._elsewhere(), **variables)).json()
        self.shop.http.cookies.clear()
        assert not answer.get("errors") or answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED", answer
        return None if answer["data"] is None else next(iter(answer["data"].values()))

    def captcha(self) -> str:
        return self.run(solved(self.shop))

    def last(self, kind: str, to: str) -> dict[str, Any]:
        """The last letter of this kind to an address or a number that answers somebody, notices left out."""
        return self.run(_last(kind, to))

    def through(self, provider: str, person: str, token: str | None = None) -> tuple[str, str | None]:
        """Go to a provider and come back, signed in by `token` where it is to be added: where to, and with which session."""
        return self.run(self._through(provider, person, token))

    async def _through(self, provider: str, person: str, token: str | None) -> tuple[str, str | None]:
        await _forget_counters()
        browser, headers = Browser(self.shop), {"x_forwarded_for": self._elsewhere()["x-forwarded-for"], "sec_fetch_site": "same-origin"}
        async with browser.http:
            if token is not None:
                browser.bring(token)
            answer = await browser.get(f"/auth/{provider}/login?returnTo=/back{'&link=1' if token else ''}", **headers)
            assert answer.status_code == 303, answer.text
            if answer.headers["location"].startswith("/"):
                return answer.headers["location"], None
            answer = await browser.get(await browser.choose(answer.headers["location"], person), **headers)
            assert answer.status_code == 303, answer.text
            cookies = [cookie.partition(";")[0] for cookie in answer.headers.get_list("set-cookie")]
            return answer.headers["location"], next((cookie[4:] for cookie in cookies if cookie.startswith("sid=")), None)

    def _elsewhere(self) -> dict[str, str]:
        number = next(_numbers)
        return {"x-forwarded-for": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"}

    def _page(self) -> str:
        """Where the service's pages are: the only ones that a device trusts."""
        return f"http://localhost:{self.shop.service.settings.port}"

    def _start(self) -> None:
        self.stopping, started = asyncio.Event(), asyncio.Event()
        self.service = self.loop.create_task(self._serve(started))
        self.run(_first(started.wait(), self.service))

    def _stop(self) -> None:
        self.stopping.set()
        self.run(self.service)

    async def _serve(self, started: asyncio.Event) -> None:
        given = {"demo_idp_url": self.idp.url, "forwarded_allow_ips": "127.0.0.1"}
        async with open_shop(self.dialect, self.folder, self.url, **given) as self.shop:
            hash_cheaply(self.shop.service.passwords)
            started.set()
            await self.stopping.wait()


def hash_cheaply(passwords: Passwords) -> None:
    """What a hash costs is tried elsewhere, and would be most of what the machine does."""
    passwords._hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    passwords._nobody = passwords._hasher.hash("nobody's password")


async def _first(awaited: Coroutine[Any, Any, Any], task: asyncio.Task[None]) -> None:
    """Until `awaited` is done; an error of the task is raised instead of waited for."""
    waiting = asyncio.ensure_future(awaited)
    await asyncio.wait({waiting, task}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()


async def _forget_counters() -> None:
    """Nobody has asked for anything lately."""
    forget_traffic()
    await change("DELETE FROM guess")


@unit_of_work
async def _forget(work: Work) -> None:
    for table in FORGOTTEN:
        await work.execute(f"DELETE FROM {table}")
    await work.execute("UPDATE account SET email = NULL, phone = NULL")


async def _last(kind: str, to: str) -> dict[str, Any]:
    rows = await fetch("SELECT payload FROM outbox WHERE kind = $1 ORDER BY id DESC", kind)
    found = [row[0] if isinstance(row[0], dict) else orjson.loads(row[0]) for row in rows]
    return next(letter for letter in found if letter["to"] == to and letter["template"] in ANSWERS)
