"""Sessions of apps in the graph: turning a refresh token."""

from typing import Annotated

import strawberry

from resolvers import app_sessions
from schema.context import Context
from schema.edges import mutation
from schema.errors import InvalidCredentials, answered
from schema.sign_in import SignedInApp, admitted_app

RefreshSessionResult = Annotated[
    SignedInApp | InvalidCredentials, strawberry.union("RefreshSessionResult", description="What refreshSession answers.")
]


@strawberry.input(description="What turns into the next pair of tokens.")
class RefreshSessionInput:
    refresh_token: str = strawberry.field(description="The one told last.")


@strawberry.type
class AppSessionsMutation:
    @mutation(
        description="The next access and refresh token of an app's session; the pair before is dead then. The same token within ten seconds "
        "answers the same pair again, for an answer that was lost. Any other one that was used before ends the session, closes its "
        "sockets and is told to the buyer. One refusal for all: INVALID_CREDENTIALS."
    )
    async def refresh_session(context: Context, input: RefreshSessionInput) -> RefreshSessionResult:
        work = app_sessions.refresh_session(context.viewer, context.settings, input.refresh_token)
        return await answered(context, work, admitted_app)
