"""Signing in and out, in the graph, and what every way of signing in answers."""

from typing import Annotated, Any

import strawberry

from models import sessions
from models.sessions import Stay
from resolvers import sign_in
from resolvers.entry import Entry
from schema.accounts import Account
from schema.bulk import given
from schema.context import Context
from schema.edges import mutation
from schema.errors import BadUserInput, CaptchaFailed, InvalidCredentials, RateLimited, SecondFactorRequired, answered
from schema.scalars import Instant

Transport = sessions.Transport
strawberry.enum(
    Transport,
    name="Transport",
    description="BROWSER: one token, in a cookie and for `Authorization: Bearer …`; APP: an access token of five minutes and a refresh "
    "token, for apps that can keep it safe, and no cookie.",
)
REMEMBER = "False: the session ends after 24 hours, and its cookie with the browser."


@strawberry.type(description="Signed in. The cookie is set as well.")
class SignedIn:
    token: str = strawberry.field(description="For `Authorization: Bearer …`; 14 days without use or 30 days at most. Told once.")
    account: Account = strawberry.field(description="Who is signed in now.")


@strawberry.type(description="Signed in by `transport: APP`: no cookie is set. Both tokens are told once, and kept by the app.")
class SignedInApp:
    access_token: str = strawberry.field(description="For `Authorization: Bearer …` and `connection_init`.")
    access_token_expires_at: Instant = strawberry.field(description="When it is refused: 5 minutes on. A socket that was opened with it goes on.")
    refresh_token: str = strawberry.field(description="For refreshSession, once; 14 days without use or 30 days at most.")
    account: Account = strawberry.field(description="Who is signed in now.")


@strawberry.type(description="The session has ended, its cookie is gone, and its sockets close.")
class SignedOut:
    at: Instant = strawberry.field(description="When it ended.")


SignInResult = Annotated[
    SignedIn | SignedInApp | SecondFactorRequired | InvalidCredentials | RateLimited | CaptchaFailed | BadUserInput,
    strawberry.union("SignInResult", description="What signIn answers; SignedInApp to `transport: APP` alone."),
]
SignOutResult = Annotated[SignedOut, strawberry.union("SignOutResult", description="What signOut answers.")]


@strawberry.input(description="An e-mail address or a phone number, with the account's password.")
class SignInInput:
    email: str = strawberry.field(description="In any case; empty when `phone` is given.")
    password: str = strawberry.field(description="As it is, 128 characters at most.")
    phone: str | None = strawberry.field(default=strawberry.UNSET, description="With + and the country code; instead of `email`.")
    captcha: str | None = strawberry.field(
        default=strawberry.UNSET, description="The solution of a captchaChallenge, used once; asked for by CAPTCHA_FAILED alone, while many sign-ins fail."
    )
    transport: Transport = strawberry.field(default=Transport.BROWSER, description="What is to carry the session.")
    remember: bool = strawberry.field(default=True, description=REMEMBER)


async def _sign_in(context: Context, input: SignInInput) -> Any:
    phone, captcha, stay = given(input.phone), given(input.captcha), Stay(input.transport, input.remember)
    return await sign_in.sign_in(context.viewer, context.settings, context.passwords, input.email, input.password, phone, captcha, stay)


def admitted(context: Context, entry: Entry) -> SignedIn | SignedInApp:
    """What a sign-in answers, with its cookies for a browser."""
    if entry.tokens is not None:
        return admitted_app(entry)
    context.new_session_token, context.new_session_is_remembered = entry.token, entry.remembered
    context.new_device_token = entry.device_token
    return SignedIn(token=entry.token, account=entry.account)  # type: ignore[arg-type]


def admitted_app(entry: Entry) -> SignedInApp:
    """What an app is told of its session's new pair."""
    assert entry.tokens is not None
    access, until, refresh = entry.tokens
    return SignedInApp(access_token=access, access_token_expires_at=Instant(until), refresh_token=refresh, account=entry.account)  # type: ignore[arg-type]


@strawberry.type
class SignInMutation:
    @mutation(description="Sign in with e-mail or phone and password. The answer is the same, and takes as long, whether or not the address is known.")
    async def sign_in(context: Context, input: SignInInput) -> SignInResult:
        return await answered(context, _sign_in(context, input), lambda entry: admitted(context, entry))

    @mutation(description="End the session that the request came with.")
    async def sign_out(context: Context) -> SignOutResult:
        ended_at = await sign_in.sign_out(context.viewer)
        context.session_ended = True
        return SignedOut(at=Instant(ended_at))
