"""Passkeys in a real Chromium: what docs/clients.md shows makes one on a virtual device and signs in by it."""

import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import CDPSession, Error, Page, async_playwright

from models.passkeys import Passkey
from tests.shop import PASSWORD, Shop, open_shop
from tests.wire.test_graphiql import lacking

CLIENTS = Path(__file__).parents[2] / "docs" / "clients.md"
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
DEVICE = {
    "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True, "isUserVerified": True,
    "automaticPresenceSimulation": True,
}  # fmt: skip
RUN = """async ([query, input]) => (await (await fetch("/graphql", { method: "POST", headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ query, variables: { input } }) })).json()).data"""


def shown(part: str) -> str:
    """One part of the example for front ends, as a function for the page."""
    (example,) = re.findall(r"### Passkeys\n.*?```js\n(.*?)```", CLIENTS.read_text(encoding="utf-8"), re.DOTALL)
    ask, adding, signing_in = re.split(r"^// (?:adding|signing in).*$", example, flags=re.MULTILINE)
    return f"async () => {{ {ask} { {'adding': adding, 'signing in': signing_in}[part] } }}"


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with open_shop("sqlite", tmp_path) as opened:
        yield opened


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        lacking("no Chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=FLAGS, timeout=120_000)
        page = await browser.new_page()
        page.set_default_timeout(60_000)
        yield page
        await browser.close()


async def run(page: Page, query: str, input: dict[str, Any] | None = None) -> dict[str, Any]:
    """An operation, asked by the page with its cookie."""
    return await page.evaluate(RUN, [query, input])


async def with_device(page: Page) -> tuple[CDPSession, dict[str, str]]:
    """A device in the browser: what tells it things, and its name."""
    devices = await page.context.new_cdp_session(page)
    await devices.send("WebAuthn.enable")
    return devices, await devices.send("WebAuthn.addVirtualAuthenticator", {"options": DEVICE})


async def test_the_example_adds_a_passkey_and_signs_in_by_it(shop: Shop, page: Page) -> None:
    buyer = await shop.buyer()
    devices, device = await with_device(page)
    await page.goto(f"http://localhost:{shop.service.settings.port}/activate")
    sign_in = "mutation($input: SignInInput!) { signIn(input: $input) { ... on SignedIn { account { id } } } }"
    email = buyer.email
    assert (await run(page, sign_in, {"email": email, "password": PASSWORD}))["signIn"]["account"]["id"] == buyer.id

    await page.evaluate(shown("adding"))
    (kept,) = (await devices.send("WebAuthn.getCredentials", device))["credentials"]
    passkey = await Passkey.get(name="My phone")
    assert (kept["rpId"], kept["isResidentCredential"]) == ("localhost", True)
    assert passkey.transports == "internal" and passkey.last_used_at is None
    with pytest.raises(Error, match="InvalidStateError"):  # the device knows that it has one
        await page.evaluate(shown("adding"))

    await run(page, "mutation { signOut { __typename } }")
    assert (await run(page, "{ me { id } }"))["me"] is None
    await page.evaluate(shown("signing in"))
    assert (await run(page, "{ me { id } }"))["me"] == {"id": buyer.id}
    assert (await Passkey.get(name="My phone")).last_used_at is not None

    await run(page, "mutation { signOut { __typename } }")
    await devices.send("WebAuthn.setUserVerified", {**device, "isUserVerified": False})
    with pytest.raises(Error, match="NotAllowedError"):  # whoever has only found the device
        await page.evaluate(shown("signing in"))
    assert (await run(page, "{ me { id } }"))["me"] is None


async def test_a_page_at_an_address_instead_of_a_name_has_no_passkeys(shop: Shop, page: Page) -> None:
    await with_device(page)
    await page.goto(f"{shop.url}/activate")
    with pytest.raises(Error, match="SecurityError"):
        await page.evaluate(shown("signing in"))
