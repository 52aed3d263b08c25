"""Kabinet's server and its command line: `python server.py --help`."""

import asyncio
import gc
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
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
from demo import world
from demo.idp import identity_providers
from models.database import open_database
from models.migrate import migrate as run_migrations
from models.migrate import pending
from models.refusals import Failure
from models.unit_of_work import drain
from operators import ban, policy, remove_second_factor, revoke_sessions, token
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
    made = Application(routes=routes, middleware=[ours], lifespan=life if lifespan else None)
    made.router.redirect_slashes = False  # to an address of Starlette's making, which knows no proxy
    return made


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
        async with open_sockets(bus, service.tokens_of, service.settings) as sockets:
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


class Commands(click.Group):
    """What the database refuses is told in a sentence."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except Failure as failure:
            raise click.ClickException(f"KABINET_DATABASE_URL: {failure}: {failure.__cause__ or 'no more is known'}") from None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def cli(context: click.Context) -> None:
    """Kabinet: the buyer's side of a marketplace as one GraphQL endpoint. Settings come from KABINET_… variables."""
    write_logs(readable=sys.stderr.isatty())
    try:
        context.obj = read_settings()
        policy_of(context.obj)
    except WrongSetting as wrong:
        raise click.ClickException(str(wrong)) from None


for command in (token, ban, revoke_sessions, remove_second_factor, policy):
    cli.add_command(command)


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
    elif missing := asyncio.run(_missing(settings)):
        raise click.ClickException(f"the database lacks {', '.join(missing)}: `python server.py migrate` brings it up to date")
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


async def _missing(settings: Settings) -> list[str]:
    """The migrations that the database lacks."""
    async with open_database(settings):
        return await pending()


def _migrate(settings: Settings) -> list[str]:
    with tqdm(desc="migrating", unit=" migrations", leave=False, disable=None) as bar:
        return asyncio.run(run_migrations(settings, progress=lambda name: bar.update()))


async def _fill(settings: Settings) -> bool:
    async with open_database(settings):
        with tqdm(desc="filling the demo world", unit=" rows", leave=False, disable=None) as bar:
            return await world.fill_if_empty(settings, bar.update)


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
