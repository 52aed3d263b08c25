"""Kabinet's server and its command line: `python server.py --help`."""

import asyncio
import gc
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import Receive, Scope, Send
from tqdm import tqdm

from auth.policy import policy_of
from auth.traffic import open_traffic
from delivery.bus import open_bus
from delivery.channels import open_channels
from delivery.logs import write_logs
from delivery.outbox import deliver_forever
from delivery.texts import text as said
from demo import world
from demo.idp import identity_providers
from models.accounts import Level, StandingReason
from models.database import open_database
from models.migrate import migrate as run_migrations
from models.refusals import Refusal
from models.sessions import SCOPES
from models.unit_of_work import drain
from resolvers import sign_in_methods, staff, standing
from resolvers.jobs import JOBS
from resolvers.worker import work
from schema.root import build_schema
from settings import Mode, Settings, WrongSetting, read_settings
from wire import account_pages, export_page, graphiql, health, http, mailbox, provider_sign_in, websocket
from wire.http_protocol import HttpProtocol
from wire.process import Service
from wire.refused import OurHosts
from wire.socket_protocol import SocketProtocol
from wire.sockets import open_sockets

T = TypeVar("T")


def application(service: Service, lifespan: bool = True) -> Starlette:
    """The ASGI application of one process; without `lifespan` whoever calls it keeps it `running`."""

    @asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        async with running(service):
            yield

    routes = [
        *http.routes(service),
        *websocket.routes(service),
        *graphiql.routes(service),
        *account_pages.routes(),
        *export_page.routes(),
        *mailbox.routes(service),
        *provider_sign_in.routes(service),
        *health.routes(service),
    ]
    ours = Middleware(OurHosts, settings=service.settings)
    return Application(routes=routes, middleware=[ours], lifespan=life if lifespan else None)


class Application(Starlette):
    """Starlette's, with a short way to the first route, which looks at the Host itself: middleware costs as much as a small answer's
    execution."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        first = self.routes[0]
        if scope["type"] == "http" and scope["path"] == first.path:  # type: ignore[attr-defined]
            await first.app(scope, receive, send)  # type: ignore[attr-defined]
        else:
            await super().__call__(scope, receive, send)


@asynccontextmanager
async def running(service: Service) -> AsyncIterator[None]:
    """Everything that the service needs while it answers: the database, the bus, the sockets' watch, the worker."""
    spare_the_collector()
    settings = service.settings
    async with open_bus(settings) as bus, open_traffic(settings), open_database(settings, publish=bus.publish):
        service.bus = bus
        async with open_sockets(bus, service.is_live) as sockets:
            service.sockets = sockets
            try:
                async with at_work(service):
                    yield
            finally:
                await drain(settings.drain_seconds)
                service.passwords.close()
                await service.outbound.close()


def spare_the_collector() -> None:
    """Let the garbage collector leave alone what start-up made, and look less often at thousands of open sockets."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@asynccontextmanager
async def at_work(service: Service) -> AsyncIterator[None]:
    """The worker's tasks run, where this process is a worker too. A kind of message that is slow to leave delays no other."""
    if not service.settings.worker:
        yield
        return
    async with open_channels(service.settings) as channels:
        tasks = [asyncio.create_task(work(JOBS, service.bus), name="worker")]
        for kind, channel in channels.items():
            tasks.append(asyncio.create_task(deliver_forever({kind: channel}, service.bus), name=f"outbox {kind}"))
        try:
            yield
        finally:
            await stop(tasks)


async def stop(tasks: list[asyncio.Task]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task


class Server(uvicorn.Server):
    """Uvicorn's, which says for a while that it is not ready before it closes anything; at a second signal it ends at once."""

    def __init__(self, config: uvicorn.Config, service: Service):
        super().__init__(config)
        self.service = service

    def handle_exit(self, sig: int, frame: Any) -> None:
        self.force_exit = self.service.draining
        self.service.draining = True
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self.be_left_alone()
        self.service.sockets.drain()
        await super().shutdown(sockets)

    async def be_left_alone(self) -> None:
        """Let balancers see that this process is not ready. Whoever asks is still answered, and told to come back elsewhere."""
        self.server_state.default_headers = [*self.server_state.default_headers, (b"connection", b"close")]
        until = time.monotonic() + self.service.settings.seconds_unready
        while time.monotonic() < until and not self.force_exit:  # noqa: ASYNC110 - set by a signal's handler
            await asyncio.sleep(0.1)


# ---------------------------------------------------------------- the command line


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def cli(context: click.Context) -> None:
    """Kabinet: the buyer's side of a marketplace as one GraphQL endpoint. Settings come from KABINET_… variables."""
    write_logs(readable=sys.stderr.isatty())
    try:
        context.obj = read_settings()
        policy_of(context.obj)
    except WrongSetting as wrong:
        raise click.ClickException(str(wrong)) from None


@cli.command()
@click.pass_obj
def serve(settings: Settings) -> None:
    """Answer requests; in demo mode migrate and fill the demo world first."""
    if settings.mode is Mode.PRODUCTION and not settings.secret_key.get_secret_value():
        raise click.ClickException("KABINET_SECRET_KEY: production needs a secret of at least 32 bytes")
    service = Service.put_together(settings)
    if settings.is_demo:
        _migrate(settings)
        asyncio.run(_fill(settings))
        service.demo = {"buyers": world.buyers(), "staffToken": world.STAFF_TOKEN}
        _say_hello(settings, list(service.providers))
    config = uvicorn.Config(
        application(service),
        host=settings.host,
        port=settings.port,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        http=HttpProtocol,
        ws=SocketProtocol,
        ws_max_size=settings.max_body_bytes,
        ws_per_message_deflate=False,
        ws_ping_interval=20.0,
        ws_ping_timeout=20.0,
        timeout_graceful_shutdown=int(settings.drain_seconds),
        backlog=2048,
    )
    for asked_to_stop in (signal.SIGTERM, signal.SIGINT):
        signal.signal(asked_to_stop, signal.SIG_IGN)  # uvicorn raises what it has handled again at the end: exit with 0
    Server(config, service).run()


@cli.command()
@click.pass_obj
def migrate(settings: Settings) -> None:
    """Bring the database up to date."""
    applied = _migrate(settings)
    click.echo(f"{len(applied)} migrations applied" if applied else "nothing to do")


@cli.command()
@click.pass_obj
def demo(settings: Settings) -> None:
    """Fill an empty database with the demo world; mode demo alone."""
    if not settings.is_demo:
        raise click.ClickException("the demo world needs KABINET_MODE=demo")
    _migrate(settings)
    filled = asyncio.run(_fill(settings))
    click.echo("the demo world is there" if filled else "the database is not empty; nothing was changed")


@cli.command("demo-idp")
@click.option("--until-eof", is_flag=True, help="End when the standard input does.")
@click.pass_obj
def demo_idp(settings: Settings, until_eof: bool) -> None:
    """Stand in for VK ID, Odnoklassniki, Mail.ru and Google beside the demo server; mode demo alone."""
    if not settings.is_demo or not settings.demo_idp_url:
        raise click.ClickException("the demo's identity providers need KABINET_MODE=demo and KABINET_DEMO_IDP_URL")
    place = urlsplit(settings.demo_idp_url)
    app = identity_providers(settings.demo_idp_url, settings.base_url)
    try:
        listening = socket.create_server((place.hostname or "127.0.0.1", place.port or 80))
    except OSError as error:
        sentence = f"the demo's identity providers cannot be at {settings.demo_idp_url} ({error.strerror}): set KABINET_DEMO_IDP_URL"
        raise click.ClickException(sentence) from None
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off"))
    if until_eof:
        threading.Thread(target=_end_with_input, args=[server], daemon=True).start()
    for asked_to_stop in (signal.SIGTERM, signal.SIGINT):
        signal.signal(asked_to_stop, signal.SIG_IGN)  # as in serve
    server.run([listening])


def _end_with_input(server: uvicorn.Server) -> None:
    while os.read(0, 4096):  # not sys.stdin, whose lock a thread that waits would keep when the process ends
        pass
    server.should_exit = True


@cli.command()
@click.option("--output", type=click.Path(dir_okay=False, writable=True), help="Write into this file instead.")
@click.pass_obj
def schema(settings: Settings, output: str | None) -> None:
    """Print the schema (SDL) of the mode in force."""
    text = build_schema(demo=settings.is_demo).as_str() + "\n"
    if output is None:
        click.echo(text, nl=False)
    else:
        Path(output).write_text(text, encoding="utf-8")


@cli.group()
def token() -> None:
    """Tokens of staff: services and operators that feed and run the shop."""


@token.command("create")
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(SCOPES), help="May be given several times; default: all but clock.")
@click.pass_obj
def create_token(settings: Settings, name: str, scopes: tuple[str, ...]) -> None:
    """Make a token called NAME. It is told once."""
    wanted = scopes or tuple(scope for scope in SCOPES if scope != "clock")
    click.echo(asyncio.run(_in_database(settings, staff.create_token, name, wanted)))


@token.command("list")
@click.pass_obj
def list_tokens(settings: Settings) -> None:
    """List the tokens, without themselves."""
    for row in asyncio.run(_in_database(settings, staff.tokens)):
        state = f"revoked {row['revoked_at']:%Y-%m-%d %H:%M}" if row["revoked_at"] else "in force"
        click.echo(f"{row['id']:>4}  {row['name']:<30}  {' '.join(row['scopes'])}  {state}")


@token.command("revoke")
@click.argument("token_id", type=int)
@click.pass_obj
def revoke_token(settings: Settings, token_id: int) -> None:
    """End the token with this number."""
    if not asyncio.run(_in_database(settings, staff.revoke_token, token_id)):
        raise click.ClickException("there is no such token in force")


@cli.command()
@click.argument("account")
@click.option("--reason", required=True, type=click.Choice([reason.value for reason in StandingReason]), help="Why, for programs and staff.")
@click.option("--text", required=True, help="Why, in words for the buyer.")
@click.option("--level", type=click.Choice(["WARNED", "RESTRICTED", "BLOCKED"]), default="BLOCKED", show_default=True)
@click.option("--days", type=click.IntRange(1, 3650), help="When it ends by itself; default: it does not.")
@click.pass_obj
def ban(settings: Settings, account: str, reason: str, text: str, level: str, days: int | None) -> None:
    """Block ACCOUNT: the platform's id, an e-mail address that signs in, or # and our number."""
    decision = standing.Decision(Level(level), StandingReason(reason), text)
    _told_to_servers(settings, standing.ban, account, decision, timedelta(days=days) if days else None)
    click.echo(f"{account} is {level.lower()}")


@cli.command("revoke-sessions")
@click.argument("account")
@click.pass_obj
def revoke_sessions(settings: Settings, account: str) -> None:
    """Sign ACCOUNT out everywhere: the platform's id, an e-mail address that signs in, or # and our number."""
    ended = _told_to_servers(settings, standing.revoke_sessions, account)
    click.echo(f"{ended} sessions of {account} have ended")


def _told_to_servers(settings: Settings, call: Callable[..., Awaitable[T]], *args: Any) -> T:
    """The result of an operator's call, of which servers hear at once where there is Redis, and else within 15 s."""

    async def run() -> T:
        async with open_bus(settings) as bus, open_database(settings, publish=bus.publish):
            return await call(*args)

    try:
        return asyncio.run(run())
    except Refusal as refusal:
        raise click.ClickException(said(refusal.text, "en", **refusal.values)) from None


@cli.group()
def policy() -> None:
    """The policy of signing in (KABINET_SIGN_IN_POLICY, KABINET_FOREIGN_SIGN_IN)."""


@policy.command("check")
@click.pass_obj
def check_policy(settings: Settings) -> None:
    """Say which buyers the policy in force opens no way in for, by external id or number; exit with 1 if there are any."""
    found = asyncio.run(_in_database(settings, _stranded, settings))
    for account in found:
        state = "locked out" if account.locked_out else "signs in as before, and is offered no other way"
        click.echo(f"{account.external_id or f'number {account.account_id}'}  {state}")
    click.echo(f"{len(found)} accounts without an open way in")
    if found:
        raise click.exceptions.Exit(1)


async def _stranded(settings: Settings) -> list[sign_in_methods.Stranded]:
    return [account async for account in sign_in_methods.stranded(policy_of(settings))]


def _migrate(settings: Settings) -> list[str]:
    with tqdm(desc="migrating", unit=" migrations", leave=False, disable=None) as bar:
        return asyncio.run(run_migrations(settings, progress=lambda name: bar.update()))


async def _fill(settings: Settings) -> bool:
    async with open_database(settings):
        with tqdm(desc="filling the demo world", unit=" rows", leave=False, disable=None) as bar:
            return await world.fill_if_empty(settings, bar.update)


async def _in_database(settings: Settings, call: Callable[..., Awaitable[T]], *args: Any) -> T:
    async with open_database(settings):
        return await call(*args)


def _say_hello(settings: Settings, providers: list[str]) -> None:
    click.echo(f"Kabinet    {settings.base_url}/graphql   (GraphiQL in a browser)")
    for buyer in world.buyers():
        click.echo(f"buyer      {buyer['email']}   password {buyer['password']}")
    for provider in providers:
        click.echo(f"{provider:<10} {settings.base_url}/auth/{provider}/login?returnTo=/graphql")
    click.echo(f"staff      Authorization: Bearer {world.STAFF_TOKEN}")
    if not (settings.smtp_host and settings.sms_url):
        click.echo(f"letters    {settings.base_url}/dev/mailbox")


if __name__ == "__main__":
    cli()
