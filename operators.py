"""What an operator does at a command line beside the running service: tokens of staff, a buyer's standing, the policy's check."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

import click

from auth.policy import policy_of
from delivery.bus import open_bus
from delivery.texts import text as said
from models.accounts import Level, StandingReason
from models.database import open_database
from models.refusals import Refusal
from models.sessions import SCOPES
from resolvers import authenticator, sign_in_methods, staff, standing
from settings import Settings

T = TypeVar("T")


@click.group()
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


@click.command()
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


@click.command("revoke-sessions")
@click.argument("account")
@click.pass_obj
def revoke_sessions(settings: Settings, account: str) -> None:
    """Sign ACCOUNT out everywhere: the platform's id, an e-mail address that signs in, or # and our number."""
    ended = _told_to_servers(settings, standing.revoke_sessions, account)
    click.echo(f"{ended} sessions of {account} have ended")


@click.command("remove-second-factor")
@click.argument("account")
@click.pass_obj
def remove_second_factor(settings: Settings, account: str) -> None:
    """Let ACCOUNT sign in without a code: its owner has lost the authenticator and the recovery codes, and has proved to
    you who they are. They are told, and signed out everywhere."""
    _told_to_servers(settings, authenticator.remove_lost, account)
    click.echo(f"{account} signs in without a code")


@click.group()
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


def _told_to_servers(settings: Settings, call: Callable[..., Awaitable[T]], *args: Any) -> T:
    """The result of an operator's call, of which servers hear at once where there is Redis, and else within 15 s."""

    async def run() -> T:
        async with open_bus(settings) as bus, open_database(settings, publish=bus.publish):
            return await call(*args)

    try:
        return asyncio.run(run())
    except Refusal as refusal:
        raise click.ClickException(said(refusal.text, "en", **refusal.values)) from None


async def _in_database(settings: Settings, call: Callable[..., Awaitable[T]], *args: Any) -> T:
    async with open_database(settings):
        return await call(*args)
