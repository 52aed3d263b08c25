"""Kabinet's server and its command line: `python server.py --help`."""

import asyncio
import gc
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import click
import uvicorn
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send
from tqdm import tqdm

from delivery.bus import open_bus
from delivery.logs import write_logs
from delivery.outbox import deliver_forever, log_channel
from demo import world
from models.database import open_database
from models.migrate import migrate as run_migrations
from models.sessions import SCOPES
from models.unit_of_work import drain
from resolvers import staff
from resolvers.jobs import JOBS
from resolvers.worker import work
from schema.root import build_schema
from settings import Settings, WrongSetting, read_settings
from wire import graphiql, health, http, websocket
from wire.http_protocol import HttpProtocol
from wire.process import Service
from wire.socket_protocol import SocketProtocol
from wire.sockets import open_sockets

OUTBOX_KINDS = ("extension_unanswered",)

T = TypeVar("T")


def application(service: Service, lifespan: bool = True) -> Starlette:
    """The ASGI application of one process; without `lifespan` whoever calls it keeps it `running`."""

    @asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        async with running(service):
            yield

    routes = [*http.routes(service), *websocket.routes(service), *graphiql.routes(service), *health.routes(service)]
    return Application(routes=routes, lifespan=life if lifespan else None)


class Application(Starlette):
    """Starlette's, with a short way to the first route: its middleware costs as much as a small answer's execution."""

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
    async with open_bus(settings) as bus, open_database(settings, publish=bus.publish):
        service.bus = bus
        async with open_sockets(bus, service.is_live) as sockets:
            service.sockets = sockets
            tasks = background(service)
            try:
                yield
            finally:
                await stop(tasks)
                await drain(settings.drain_seconds)
                service.passwords.close()


def spare_the_collector() -> None:
    """Let the garbage collector leave alone what start-up made, and look less often at thousands of open sockets."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def background(service: Service) -> list[asyncio.Task]:
    """The worker's tasks, where this process is a worker too."""
    if not service.settings.worker:
        return []
    tasks = [asyncio.create_task(work(JOBS, service.bus), name="worker")]
    if service.settings.is_demo:
        channels = dict.fromkeys(OUTBOX_KINDS, log_channel)
        tasks.append(asyncio.create_task(deliver_forever(channels, service.bus), name="outbox"))
    return tasks


async def stop(tasks: list[asyncio.Task]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task


class Server(uvicorn.Server):
    """Uvicorn's, which is not ready any more as soon as it is asked to stop, and then ends its event streams."""

    def __init__(self, config: uvicorn.Config, service: Service):
        super().__init__(config)
        self.service = service

    def handle_exit(self, sig: int, frame: Any) -> None:
        self.service.draining = True
        self.service.sockets.drain()
        super().handle_exit(sig, frame)


# ---------------------------------------------------------------- the command line


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def cli(context: click.Context) -> None:
    """Kabinet: the buyer's side of a marketplace as one GraphQL endpoint. Settings come from KABINET_… variables."""
    write_logs(readable=sys.stderr.isatty())
    try:
        context.obj = read_settings()
    except WrongSetting as wrong:
        raise click.ClickException(str(wrong)) from None


@cli.command()
@click.pass_obj
def serve(settings: Settings) -> None:
    """Answer requests; in demo mode migrate and fill the demo world first."""
    service = Service.put_together(settings)
    if settings.is_demo:
        _migrate(settings)
        asyncio.run(_fill(settings))
        service.demo = {"buyers": world.buyers(), "staffToken": world.STAFF_TOKEN}
        _say_hello(settings)
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


def _say_hello(settings: Settings) -> None:
    click.echo(f"Kabinet    {settings.base_url}/graphql   (GraphiQL in a browser)")
    for buyer in world.buyers():
        click.echo(f"buyer      {buyer['email']}   password {buyer['password']}")
    click.echo(f"staff      Authorization: Bearer {world.STAFF_TOKEN}")


if __name__ == "__main__":
    cli()
