"""Sessions in the graph: where a buyer is signed in, and ending that."""

from datetime import timedelta
from typing import Annotated, Any

import strawberry

from models import sessions as rows
from resolvers import sessions
from schema.bulk import given
from schema.context import Context
from schema.edges import attribute, derived, edge, identity, mutation
from schema.errors import BadUserInput, CodeInvalid, InvalidCredentials, NotFound, RateLimited, Unavailable, answered
from schema.node import Node, own_id, reads_rows_of
from schema.scalars import Instant


def _idle(context: Context) -> timedelta:
    return timedelta(days=context.settings.session_idle_days)


async def _session(context: Context, session_id: int) -> Any:
    return await sessions.session(context.viewer, session_id, _idle(context))


@strawberry.type(description="One place where the buyer is signed in.")
@reads_rows_of(rows.Session, _session)
class Session(Node):
    id: strawberry.ID = identity("Session")
    agent: str = attribute("The device, as its browser or app named itself at the sign-in (User-Agent); empty when it did not.")
    address: str = attribute("The network address that the sign-in came from. A city is not told: the service does not know it.")
    created_at: Instant = attribute("When it was signed in.")
    used_at: Instant = attribute("When it was last used, to five minutes.")
    ends_at: Instant = attribute("When it ends at the latest; 14 days without use end it before.")
    current: bool = derived(
        lambda row, context: row.id == context.viewer.session_id, description="Whether this request came with it.", personal=True
    )


async def _of_accounts(accounts: list[Any], context: Context) -> list[Any]:
    found = await sessions.by_accounts([account.id for account in accounts], _idle(context))
    return [found.get(account.id, []) for account in accounts]


@strawberry.type
class AccountSessions:
    sessions: list[Session] = edge(
        _of_accounts, description="Where the buyer is signed in, the session used last first; 50 at most.", size=5
    )


@strawberry.type(description="The session has ended, and its sockets close.")
class SessionRevoked:
    session_id: strawberry.ID = strawberry.field(description="The id it had.")


@strawberry.type(description="All other sessions have ended, and their sockets close.")
class SignedOutElsewhere:
    sessions: int = strawberry.field(description="How many have ended.")


@strawberry.type(description="It is the account's owner who asks.")
class Reauthenticated:
    until: Instant = strawberry.field(description="Until when what asks for a recent proof may be done.")


RevokeSessionResult = Annotated[SessionRevoked | NotFound, strawberry.union("RevokeSessionResult", description="What revokeSession answers.")]
SignOutElsewhereResult = Annotated[SignedOutElsewhere, strawberry.union("SignOutElsewhereResult", description="What signOutElsewhere answers.")]
ReauthenticateResult = Annotated[
    Reauthenticated | InvalidCredentials | CodeInvalid | RateLimited | BadUserInput | Unavailable,
    strawberry.union("ReauthenticateResult", description="What reauthenticate answers."),
]
SessionId = Annotated[strawberry.ID, strawberry.argument(description="A session's id.")]


@strawberry.input(description="The proof of who asks: one of the two.")
class ReauthenticateInput:
    password: str | None = strawberry.field(default=strawberry.UNSET, description="The account's, as it is; where it has no second factor.")
    code: str | None = strawberry.field(
        default=strawberry.UNSET, description="Of the authenticator, or a recovery code, where the account has a second factor."
    )


async def _revoke(context: Context, id: str) -> int:
    session_id = own_id(context, id, "Session")
    await sessions.revoke_session(context.viewer, session_id)
    context.session_ended = session_id == context.viewer.session_id
    return session_id


@strawberry.type
class SessionsMutation:
    @mutation(description="End one of the buyer's sessions. The present one too: that is signOut.")
    async def revoke_session(context: Context, id: SessionId) -> RevokeSessionResult:
        return await answered(context, _revoke(context, id), lambda _: SessionRevoked(session_id=strawberry.ID(id)))

    @mutation(description="End all of the buyer's sessions but the present one.")
    async def sign_out_elsewhere(context: Context) -> SignOutElsewhereResult:
        return SignedOutElsewhere(sessions=await sessions.sign_out_elsewhere(context.viewer))

    @mutation(
        description="Prove again who you are, for what answers REAUTH_REQUIRED; it counts for 15 minutes, as a sign-in does. "
        "Where the account has a second factor, `password` answers SECOND_FACTOR_REQUIRED: give `code`, or reauthenticateByPasskey. "
        "Who has neither a password nor a second factor signs in anew instead."
    )
    async def reauthenticate(context: Context, input: ReauthenticateInput) -> ReauthenticateResult:
        work = sessions.reauthenticate(context.viewer, context.settings, context.passwords, given(input.password), given(input.code))
        return await answered(context, work, lambda until: Reauthenticated(until=Instant(until)))
