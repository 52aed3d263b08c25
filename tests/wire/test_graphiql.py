"""GraphiQL's page and files, and in a real Chromium: nothing from elsewhere, a buyer's dashboard, a price drop that arrives."""

import asyncio
import json
import os
import re
import shutil
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pyotp
import pytest
from playwright.async_api import Browser, Locator, Page, WebSocket, async_playwright, expect
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from models.instants import utc_now
from tests.authenticators import begin, confirm
from tests.shop import Client, free_port
from tests.wire.small_service import served, small_service
from wire import graphiql

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]  # fmt: skip
ROOT = Path(graphiql.__file__).parents[1]
START_SECONDS = 180  # making a demo world takes some ten, on a machine that does nothing else
expect.set_options(timeout=60_000)


@asynccontextmanager
async def graphiql_alone(static: Path, mode: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a server that has nothing but the page at /graphql and its files."""
    async with small_service(mode=mode) as service:
        files = Starlette(routes=graphiql.routes(service, static))

        async def front(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["path"] == "/graphql":
                await graphiql.page(service, scope, receive, send, static)
            else:
                await files(scope, receive, send)

        async with served(front) as port, httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            yield client


def build(folder: Path) -> Path:
    """What a build leaves behind, as small as can be."""
    (folder / "assets").mkdir()
    (folder / "assets" / "main-1a2b.js").write_text("let built")
    (folder / "assets" / "main-3c4d.css").write_text("a {}")
    (folder / "assets" / "secret.pem").write_text("secret")
    entry = {"file": "assets/main-1a2b.js", "css": ["assets/main-3c4d.css"]}
    (folder / "manifest.json").write_text(json.dumps({"src/main.jsx": entry}))
    return folder


async def test_the_page_names_its_hashed_files_and_allows_nothing_from_elsewhere(tmp_path: Path) -> None:
    async with graphiql_alone(build(tmp_path), "development") as client:
        answer = await client.get("/graphql")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self' data:; img-src 'self' data:; "
        "worker-src 'self' blob:; frame-ancestors 'none'"
    )
    assert answer.headers["cache-control"] == "no-store"
    assert re.findall(r'(?:src|href)="(/[^"]+)"', answer.text) == [
        "/graphiql/assets/main-3c4d.css",
        "/graphiql/assets/main-1a2b.js",
    ]
    assert '<script type="application/json" id="demo">null</script>' in answer.text


async def test_hashed_files_are_typed_and_never_asked_for_again(tmp_path: Path) -> None:
    async with graphiql_alone(build(tmp_path), "demo") as client:
        script = await client.get("/graphiql/assets/main-1a2b.js")
        style = await client.get("/graphiql/assets/main-3c4d.css")
    assert script.text == "let built"
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert style.headers["content-type"] == "text/css; charset=utf-8"
    for answer in (script, style):
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["secret.pem", "none.js", "..%2fmanifest.json", "%2e%2e/manifest.json", "../../graphiql.py", ""])
async def test_nothing_but_built_files_is_served(tmp_path: Path, path: str) -> None:
    async with graphiql_alone(build(tmp_path), "demo") as client:
        answer = await client.get(f"/graphiql/assets/{path}")
    assert answer.status_code == 404


async def test_without_a_build_the_page_says_what_is_missing(tmp_path: Path) -> None:
    async with graphiql_alone(tmp_path, "demo") as client:
        answer = await client.get("/graphql")
    assert answer.status_code == 200
    assert "GraphiQL is not built" in answer.text
    assert "python3 run.py" in answer.text
    assert "<script" not in answer.text


async def test_where_letters_lead_home_is_the_page(tmp_path: Path) -> None:
    async with graphiql_alone(build(tmp_path), "demo") as client:
        for query in ("", "?error=SIGN_IN_DECLINED"):
            answer = await client.get(f"/{query}")
            assert (answer.status_code, answer.headers["location"]) == (307, f"/graphql{query}")


async def test_in_production_there_are_no_files(tmp_path: Path) -> None:
    async with graphiql_alone(build(tmp_path), "production") as client:
        assert (await client.get("/")).status_code == 404
        assert (await client.get("/graphiql/assets/main-1a2b.js")).status_code == 404


def lacking(what: str) -> None:
    """Skip the test; fail it where everything has to be there."""
    if os.environ.get("KABINET_TEST_SERVICES") == "required":
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        lacking("no Chromium")
    if not (graphiql.STATIC / "manifest.json").exists():
        lacking("GraphiQL is not built: python3 run.py test builds it")
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=chromium, args=FLAGS, timeout=120_000)
        yield launched
        await launched.close()


@dataclass
class Kabinet:
    """The service as `python server.py serve` starts it in demo mode; `demo` is what its page is told."""

    url: str
    printed: str
    demo: dict[str, Any]
    providers: str


@pytest.fixture(scope="module")
async def kabinet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Kabinet]:
    folder, port = tmp_path_factory.mktemp("kabinet"), free_port()
    providers = f"http://127.0.0.1:{free_port()}"
    own = {"MODE": "demo", "PORT": str(port), "DATABASE_URL": f"sqlite:///{folder}/kabinet.db", "DEMO_IDP_URL": providers, "REQUEST_SECONDS": "60", "CAPTCHA_COST": "100"}
    others = {name: value for name, value in os.environ.items() if not name.startswith("KABINET_")}
    environment = others | {f"KABINET_{name}": value for name, value in own.items()}
    with (folder / "printed").open("w") as printed:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "server.py", "serve", cwd=ROOT, env=environment, stdout=printed
        )
    identity_providers = await asyncio.create_subprocess_exec(sys.executable, "server.py", "demo-idp", cwd=ROOT, env=environment)
    try:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            async with asyncio.timeout(START_SECONDS):
                page = await answered(client, process)
            (told,) = re.findall(r'<script type="application/json" id="demo">(.*?)</script>', page.text)
            yield Kabinet(f"http://127.0.0.1:{port}", (folder / "printed").read_text(), json.loads(told), providers)
    finally:
        for started in (process, identity_providers):
            with suppress(ProcessLookupError):
                started.terminate()
            await asyncio.wait_for(started.wait(), 60)


async def answered(client: httpx2.AsyncClient, process: asyncio.subprocess.Process) -> httpx2.Response:
    """The page, as soon as the service answers."""
    while True:
        assert process.returncode is None, "the service has ended"
        try:
            return await client.get("/graphql", headers={"accept": "text/html"})
        except httpx2.TransportError:
            await asyncio.sleep(0.1)


class Screen:
    """A page with GraphiQL in a browser profile of its own, and every address that it asked for."""

    def __init__(self, page: Page):
        self.page = page
        self.asked: list[str] = []
        self.troubles: list[str] = []
        self.subscribed = asyncio.Event()
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("websocket", self.watch)
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        page.on("console", lambda message: self.troubles.append(message.text) if message.type == "error" else None)

    def watch(self, socket: WebSocket) -> None:
        self.asked.append(socket.url)
        socket.on("framesent", lambda frame: self.subscribed.set() if '"subscribe"' in str(frame) else None)

    async def sign_in(self, email: str) -> None:
        await self.page.get_by_title(f"Sign in as {email}").click()
        await expect(self.page.get_by_role("status")).to_contain_text(email)

    async def choose(self, tab: str) -> None:
        await self.page.get_by_role("tab", name=tab, exact=True).click()
        await expect(self.page.locator(".graphiql-query-editor")).to_contain_text(f" {tab}")

    async def run(self) -> None:
        await self.page.get_by_role("button", name="Execute query").click()

    async def shows(self, *texts: str) -> None:
        """Wait until the answer on the screen has all of these."""
        for text in texts:
            await expect(self.page.locator(".graphiql-response")).to_contain_text(text)

    @property
    def refusal(self) -> Locator:
        """What the bar says of the last thing that did not work."""
        return self.page.get_by_role("banner").get_by_role("alert")


@pytest.fixture
async def screen(browser: Browser, kabinet: Kabinet) -> AsyncIterator[Screen]:
    async with open_screen(browser, kabinet) as opened:
        yield opened


@asynccontextmanager
async def open_screen(browser: Browser, kabinet: Kabinet) -> AsyncIterator[Screen]:
    """GraphiQL freshly loaded, nobody signed in."""
    context = await browser.new_context(viewport={"width": 1440, "height": 1400})
    context.set_default_timeout(60_000)
    screen = Screen(await context.new_page())
    await screen.page.goto(f"{kabinet.url}/graphql")
    await expect(screen.page.get_by_role("status")).to_have_text("Not signed in")
    await expect(screen.page.locator(".graphiql-query-editor")).to_contain_text("query Dashboard")
    yield screen
    await context.close()


async def test_the_start_prints_where_and_as_whom(kabinet: Kabinet) -> None:
    assert f"{kabinet.url}/graphql" in kabinet.printed
    assert [buyer["email"] for buyer in kabinet.demo["buyers"]] == [f"{name}@demo.example" for name in ("anna", "boris", "vera")]
    for buyer in kabinet.demo["buyers"]:
        assert buyer["email"] in kabinet.printed and buyer["password"] in kabinet.printed
    assert kabinet.demo["staffToken"] in kabinet.printed


async def test_a_buyer_reads_the_dashboard_and_no_other_host_is_asked(screen: Screen, kabinet: Kabinet) -> None:
    await screen.sign_in("anna@demo.example")
    anna = kabinet.demo["buyers"][0]["displayName"]
    async with screen.page.expect_response(f"{kabinet.url}/graphql") as answered:
        await screen.run()
    answer = await (await answered.value).json()
    assert "errors" not in answer
    assert answer["data"]["me"]["displayName"] == anna
    await screen.shows(anna, "orderCounts")
    assert {urlsplit(url).netloc for url in screen.asked if not url.startswith(("data:", "blob:"))} == {urlsplit(kabinet.url).netloc}
    assert screen.troubles == []


@pytest.mark.parametrize("tab", ["Orders", "Favorites"])
async def test_the_other_examples_run_as_they_are(screen: Screen, tab: str) -> None:
    await screen.sign_in("anna@demo.example")
    await screen.choose(tab)
    async with screen.page.expect_response(lambda response: response.url.endswith("/graphql")) as answered:
        await screen.run()
    answer = await (await answered.value).json()
    assert "errors" not in answer
    assert answer["data"]["me"][tab.lower()]["totalCount"] > 0


async def test_switching_buyers_changes_who_asks_and_signing_out_leaves_nobody(screen: Screen) -> None:
    for email in ("anna@demo.example", "vera@demo.example"):
        await screen.sign_in(email)
        pressed = screen.page.locator("[aria-pressed=true]")
        assert await pressed.get_attribute("title") == f"Sign in as {email}"
    await screen.page.get_by_role("button", name="Sign out").click()
    await expect(screen.page.get_by_role("status")).to_have_text("Not signed in")
    await screen.run()
    await screen.shows('"me": null')


async def test_a_price_that_staff_lower_in_one_window_drops_in_the_buyers_other(
    screen: Screen, browser: Browser, kabinet: Kabinet
) -> None:
    await screen.sign_in("anna@demo.example")
    await screen.choose("PriceDrops")
    await screen.run()
    await asyncio.wait_for(screen.subscribed.wait(), 60)
    async with open_screen(browser, kabinet) as staff:
        await staff.choose("ChangeAPrice")
        await staff.run()
        await staff.shows("demo-product-10", "CREATED", '"code": null')
    await screen.shows("priceDrops", "№ 10", "1 679,99", "990,00")


async def open_ways(screen: Screen, country: str) -> Locator:
    """The panel of all ways of signing in, for this country."""
    await screen.page.get_by_role("button", name="Sign in …").click()
    panel = screen.page.get_by_role("region", name="Ways of signing in")
    await panel.get_by_label("Country").select_option(country)
    return panel


async def fill_sign_up(panel: Locator, email: str) -> Locator:
    form = panel.get_by_role("form", name="Sign up by e-mail")
    await form.get_by_label("E-mail").fill(email)
    await form.get_by_label("Name").fill("Nora Newcomer")
    await form.get_by_label("Password").fill("plum-39-harbour")
    await form.get_by_label("Once more").fill("plum-39-harbour")
    await form.get_by_role("checkbox").check()
    return form


async def runs_as(screen: Screen) -> str:
    """Whose data a query in the editor gets."""
    await expect(screen.page.locator(".graphiql-query-editor")).to_contain_text("query Dashboard")
    async with screen.page.expect_response(lambda response: "query Dashboard" in (response.request.post_data or "")) as answered:
        await screen.run()
    answer = await (await answered.value).json()
    return answer["data"]["me"]["displayName"]


async def test_a_newcomer_signs_up_follows_the_mails_link_and_is_back_signed_in(screen: Screen, kabinet: Kabinet) -> None:
    page = screen.page
    form = await fill_sign_up(await open_ways(screen, "CZ"), "nora@new.example")
    await form.get_by_role("button", name="Sign up").click()
    await form.get_by_role("link", name="Open the mailbox").click()
    await page.get_by_role("link", name=f"{kabinet.url}/activate").click()
    await page.get_by_role("button", name="Activate and sign in").click()
    await page.get_by_role("link", name="Continue").click()
    await page.wait_for_url(f"{kabinet.url}/graphql")
    await expect(page.get_by_role("status")).to_have_text("Signed in as Nora Newcomer (nora@new.example)")
    assert await runs_as(screen) == "Nora Newcomer"
    assert {urlsplit(url).netloc for url in screen.asked if not url.startswith(("data:", "blob:"))} == {urlsplit(kabinet.url).netloc}
    assert screen.troubles == []


async def test_what_the_panel_would_send_opens_as_a_document_that_runs(screen: Screen) -> None:
    form = await fill_sign_up(await open_ways(screen, "CZ"), "written@new.example")
    await form.get_by_role("button", name="As a document").click()
    await expect(screen.page.get_by_role("tab", name="SignUp")).to_have_attribute("aria-selected", "true")
    await screen.run()
    await screen.shows("SignUpAccepted")
    await screen.choose("SignInMethods")
    await screen.run()
    await screen.shows('"me": null', '"kind": "GOOGLE"')
    assert screen.troubles == []


async def test_the_panel_draws_what_the_policy_opens_and_says_what_is_refused(screen: Screen) -> None:
    panel = await open_ways(screen, "RU")
    await expect(panel).to_contain_text("Nobody signs up by e-mail in this country.")
    await expect(panel.get_by_role("navigation").get_by_role("link")).to_have_text(["VK ID", "Odnoklassniki", "Mail.ru", "Google"])
    form = panel.get_by_role("form", name="By password")
    await form.get_by_label("E-mail or phone").fill("anna@demo.example")
    await form.get_by_label("Password").fill("wrong")
    await form.get_by_role("button", name="Sign in").click()
    await expect(screen.refusal).to_be_visible()
    await form.get_by_label("Password").fill("demo-Kabinet-2026")
    await form.get_by_role("button", name="Sign in").click()
    await expect(screen.page.get_by_role("status")).to_contain_text("anna@demo.example")
    await expect(screen.refusal).to_have_count(0)


async def test_an_account_with_a_second_factor_is_asked_for_its_code(screen: Screen, kabinet: Kabinet) -> None:
    boris = kabinet.demo["buyers"][1]
    authenticator = await protected(kabinet, boris)
    form = screen.page.get_by_role("form", name="Second factor")
    await expect(form).to_have_count(0)
    await screen.page.get_by_title(f"Sign in as {boris['email']}").click()
    await form.get_by_label("Code").fill("no code")
    await form.get_by_role("button", name="Answer").click()
    await expect(screen.refusal).to_contain_text("code")
    await form.get_by_label("Code").fill(authenticator.at(utc_now() + timedelta(seconds=30)))
    await form.get_by_role("button", name="Answer").click()
    await expect(screen.page.get_by_role("status")).to_contain_text(boris["email"])
    await expect(form).to_have_count(0)
    assert await runs_as(screen) == boris["displayName"]


async def protected(kabinet: Kabinet, buyer: dict[str, str]) -> pyotp.TOTP:
    """Give a demo buyer a second factor; its authenticator."""
    sign_in = "mutation($input: SignInInput!) { signIn(input: $input) { ... on SignedIn { token } } }"
    async with httpx2.AsyncClient(base_url=kabinet.url, timeout=60) as http:
        nobody = Client(http)
        token = (await nobody.data(sign_in, input={"email": buyer["email"], "password": buyer["password"]}))["signIn"]["token"]
        http.cookies.clear()
        authenticator = pyotp.TOTP((await begin(Client(http, token)))["secret"])
        await confirm(Client(http, token), authenticator.now())
    return authenticator


async def test_a_code_from_the_mailbox_makes_an_account_of_a_number(screen: Screen, kabinet: Kabinet) -> None:
    panel = await open_ways(screen, "RU")
    await panel.get_by_label("Phone", exact=True).fill("+7 916 555-00-77")
    await panel.get_by_role("button", name="Send a code").click()
    code = await code_sent_to(kabinet, "+79165550077")
    form = panel.get_by_role("form", name="By phone: +7 916 555-00-77")
    await form.get_by_label("Code").fill("000000" if code != "000000" else "111111")
    await form.get_by_label("Name").fill("Пётр")
    await form.get_by_role("button", name="Sign in or up").click()
    await expect(screen.refusal).to_be_visible()
    await form.get_by_label("Code").fill(code)
    await form.get_by_role("button", name="Sign in or up").click()
    await expect(screen.page.get_by_role("status")).to_have_text("Signed in as Пётр (+79165550077)")
    assert await runs_as(screen) == "Пётр"


async def code_sent_to(kabinet: Kabinet, number: str) -> str:
    """The six digits, as soon as the outbox's worker has brought them."""
    async with httpx2.AsyncClient(base_url=kabinet.url, timeout=60) as client:
        until = time.monotonic() + 60
        while not (letters := (await client.get("/dev/mailbox.json", params={"to": number})).json()):
            assert time.monotonic() < until, "no code came"
            await asyncio.sleep(0.1)
    return re.findall(r"\b\d{6}\b", letters[0]["text"])[0]


async def test_a_provider_sends_the_buyer_back_signed_in_or_says_why_not(screen: Screen, kabinet: Kabinet) -> None:
    page = screen.page
    for person, said in (("Refuse", None), ("Нина Лебедева", "Signed in as Нина Лебедева")):
        await (await open_ways(screen, "RU")).get_by_role("link", name="VK ID").click()
        await page.wait_for_url(f"{kabinet.providers}/**")
        await page.get_by_role("button", name=person).click()
        await page.wait_for_url(f"{kabinet.url}/graphql*")
        if said is None:
            await expect(screen.refusal).to_contain_text("SIGN_IN_DECLINED")
            assert page.url == f"{kabinet.url}/graphql"
        else:
            await expect(page.get_by_role("status")).to_have_text(said)
    assert await runs_as(screen) == "Нина Лебедева"
