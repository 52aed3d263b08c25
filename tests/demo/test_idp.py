"""The demo's identity providers: as a command, beside the server, and in a browser."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from playwright.async_api import Page, async_playwright, expect

import run
from demo.idp import PEOPLE
from tests.providers import Idp
from tests.shop import Shop, free_port
from tests.wire.test_graphiql import FLAGS, lacking

ROOT = Path(__file__).parents[2]


def environment(port: int, **given: str) -> dict[str, str]:
    others = {name: value for name, value in os.environ.items() if not name.startswith("KABINET_")}
    return others | {"KABINET_MODE": "demo", "KABINET_DEMO_IDP_URL": f"http://127.0.0.1:{port}", **given}


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait(port: int, *, up: bool) -> None:
    until = time.monotonic() + 120
    while answers(port) is not up:
        assert time.monotonic() < until, "the identity providers did not start or did not end"
        time.sleep(0.05)


@pytest.mark.parametrize("stop", ["signal", "input"])
def test_the_command_serves_until_it_is_stopped(stop: str) -> None:
    port = free_port()
    command = [sys.executable, "server.py", "demo-idp", "--until-eof"]
    with subprocess.Popen(command, cwd=ROOT, env=environment(port), stdin=subprocess.PIPE) as process:
        wait(port, up=True)
        papers = httpx2.get(f"http://127.0.0.1:{port}/google/.well-known/openid-configuration", timeout=60).json()
        assert papers["issuer"] == f"http://127.0.0.1:{port}/google"
        assert process.stdin is not None
        process.stdin.close() if stop == "input" else process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_it_is_demo_modes_alone() -> None:
    command = [sys.executable, "server.py", "demo-idp"]
    refused = subprocess.run(command, cwd=ROOT, env=environment(1, KABINET_MODE="production"), capture_output=True, text=True)
    assert refused.returncode == 1 and "KABINET_MODE=demo" in refused.stderr


def test_an_address_that_is_taken_is_told_in_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "server.py", "demo-idp"]
        refused = subprocess.run(command, cwd=ROOT, env=environment(port), capture_output=True, text=True, timeout=180)
    assert refused.returncode == 1 and f"cannot be at http://127.0.0.1:{port} (" in refused.stderr and "KABINET_DEMO_IDP_URL" in refused.stderr


def test_started_beside_a_server_it_ends_with_it_however_that_ends() -> None:
    port = free_port()
    program = (
        "import os, sys, time, run\nfrom pathlib import Path\nrun.python = lambda: Path(sys.executable)\n"
        "run.start_identity_providers(dict(os.environ))\nrun.become(['-c', 'import time; time.sleep(600)'], dict(os.environ))"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=run.ROOT, env=environment(port)) as server:
        wait(port, up=True)
        server.kill()
    wait(port, up=False)


async def test_it_sends_nobody_but_to_the_demo(idp: Idp) -> None:
    asked = {"response_type": "code", "client_id": "kabinet-demo", "scope": "openid", "nonce": "n", "state": "s"}
    async with httpx2.AsyncClient(base_url=idp.url, timeout=60) as client:
        for redirect_uri in ("https://evil.example/auth/google/callback", "http://127.0.0.1/elsewhere", "http://127.0.0.1/auth/vk/callback"):
            answer = await client.get("/google/o/oauth2/v2/auth", params={**asked, "redirect_uri": redirect_uri})
            assert answer.status_code == 400 and "location" not in answer.headers


def test_everybody_has_another_number_at_every_provider() -> None:
    numbers = {person.number(provider) for person in PEOPLE for provider in ("google", "vk", "ok", "mailru")}
    assert len(numbers) == 4 * len(PEOPLE) and all(re.fullmatch(r"\d{9}", number) for number in numbers)


@pytest.fixture
async def screen() -> AsyncIterator[Page]:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        lacking("no Chromium")
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield await launched.new_page()
        await launched.close()


@pytest.mark.parametrize("provider", ["google", "vk"])
async def test_in_a_browser_a_buyer_goes_to_a_provider_and_comes_back_signed_in(provided: Shop, screen: Page, provider: str) -> None:
    back = f"{provided.url}/health/live"  # a page of the shop that is always there
    await screen.goto(f"{provided.url}/auth/{provider}/login?returnTo=/health/live")
    await expect(screen.get_by_role("heading")).to_contain_text("as the demo has it")
    await screen.get_by_role("button", name="Refuse").click()
    await screen.wait_for_url(f"{back}?error=SIGN_IN_DECLINED")
    await screen.goto(f"{provided.url}/auth/{provider}/login?returnTo=/health/live")
    await screen.get_by_role("button", name="Нина Лебедева").click()
    await screen.wait_for_url(back)
    cookies = {cookie["name"]: cookie for cookie in await screen.context.cookies()}
    assert {"sid", "did", "oauth"} <= cookies.keys()
    assert all(cookie["httpOnly"] and cookie["sameSite"] == "Lax" for cookie in cookies.values())
    asked = "fetch('/graphql', {method: 'POST', headers: {'content-type': 'application/json'}, body: '{\"query\": \"{ me { displayName } }\"}'}).then(answer => answer.json())"
    assert await screen.evaluate(asked) == {"data": {"me": {"displayName": "Нина Лебедева"}}}
    await screen.go_back(wait_until="commit")
    await screen.goto(f"{provided.url}/auth/{provider}/callback?state=x&code=y")
    await expect(screen.locator("body")).to_contain_text("OAUTH_STATE_INVALID")
