"""Accounts and signing in, in the graph."""

from typing import Annotated, Any

import strawberry

from models import accounts as rows
from models import sessions
from models.refusals import NotFound
from models.sessions import Stay
from resolvers import accounts, sign_in
from resolvers.entry import Entry
from schema.authenticator import AccountSecondFactor
from schema.bulk import BulkResult, bulk, given
from schema.context import Context
from schema.coupons import AccountCoupons
from schema.edges import attribute, identity, mutation, root
from schema.email_changes import AccountEmailChanges
from schema.errors import BadUserInput, CaptchaFailed, InvalidCredentials, RateLimited, SecondFactorRequired, answered
from schema.favorites import AccountFavorites
from schema.home import AccountHome
from schema.leaving import AccountLeaving
from schema.messages import AccountMessages
from schema.node import Node, reads_rows_of
from schema.orders import AccountOrders
from schema.scalars import Instant
from schema.sessions import AccountSessions
from schema.sign_in_methods import AccountSignInMethods
from schema.standing import AccountStanding


async def _own(context: Context, account_id: int) -> Any:
    if context.viewer.require_buyer() != account_id:
        raise NotFound(field="id")
    return context.viewer.account


@strawberry.type(description="The buyer.")
@reads_rows_of(rows.Account, _own)
class Account(
    AccountCoupons, AccountEmailChanges, AccountFavorites, AccountHome, AccountLeaving, AccountMessages, AccountOrders,
    AccountSecondFactor, AccountSessions, AccountSignInMethods, AccountStanding, Node,
):
    id: strawberry.ID = identity("Account")
    display_name: str = attribute("As the buyer wants to be called.")
    email: str | None = attribute("Where mail goes; null when there is none.")
    phone: str | None = attribute("E.164: +79161234567; null when there is none.")
    language: str = attribute("What the service speaks to the buyer in: ru or en.")
    region: str = attribute("ISO 3166 code of the country that goods are sent to.")
    currency: str = attribute("ISO 4217 code of the currency the buyer thinks in.")
    created_at: Instant = attribute("Since when the account exists.")


async def _me(context: Context) -> Any:
    return await accounts.me(context.viewer)


@strawberry.type
class AccountsQuery:
    me: Account | None = root(
        _me,
        description="The buyer who asks; null when nobody is signed in, with UNAUTHENTICATED when a credential came that is not valid.",
        personal=True,
    )


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


@strawberry.input(description="A buyer as the platform knows them.")
class AccountRow:
    external_id: str = strawberry.field(description="The platform's id of the buyer.")
    display_name: str = strawberry.field(description="At most 200 characters.")
    email: str | None = strawberry.field(default=strawberry.UNSET, description="One account's alone; the platform has verified it.")
    phone: str | None = strawberry.field(default=strawberry.UNSET, description="E.164; one account's alone.")
    language: str = strawberry.field(default="en", description="ru or en.")
    region: str = strawberry.field(description="ISO 3166 code, two letters.")
    currency: str = strawberry.field(description="ISO 4217 code.")
    password: str | None = strawberry.field(default=strawberry.UNSET, description="In demo mode alone.")


@strawberry.input(description="Up to 500 buyers.")
class PutAccountsInput:
    rows: list[AccountRow] = strawberry.field(description="Created or updated by external id.")


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
class AccountsMutation:
    @mutation(description="Sign in with e-mail or phone and password. The answer is the same, and takes as long, whether or not the address is known.")
    async def sign_in(context: Context, input: SignInInput) -> SignInResult:
        return await answered(context, _sign_in(context, input), lambda entry: admitted(context, entry))

    @mutation(description="End the session that the request came with.")
    async def sign_out(context: Context) -> SignOutResult:
        ended_at = await sign_in.sign_out(context.viewer)
        context.session_ended = True
        return SignedOut(at=Instant(ended_at))

    @mutation(description="Create or update buyers. Scope accounts.")
    async def put_accounts(context: Context, input: PutAccountsInput) -> BulkResult:
        buyers = [
            accounts.GivenAccount(
                external_id=row.external_id,
                display_name=row.display_name,
                email=given(row.email),
                phone=given(row.phone),
                language=row.language,
                region=row.region,
                currency=row.currency,
                password=given(row.password),
            )
            for row in input.rows
        ]
        return await bulk(context, accounts.put_accounts(context.viewer, context.settings, context.passwords, buyers))
