"""Accounts and signing in, in the graph."""

from typing import Annotated, Any

import strawberry

from models import accounts as rows
from models.refusals import NotFound
from resolvers import accounts, sign_in
from schema.bulk import BulkResult, bulk, given
from schema.context import Context
from schema.coupons import AccountCoupons
from schema.edges import attribute, identity, root
from schema.errors import BadUserInput, InvalidCredentials, RateLimited, answered
from schema.favorites import AccountFavorites
from schema.home import AccountHome
from schema.messages import AccountMessages
from schema.node import Node, reads_rows_of
from schema.orders import AccountOrders
from schema.scalars import Instant


async def _own(context: Context, account_id: int) -> Any:
    if context.viewer.require_buyer() != account_id:
        raise NotFound(field="id")
    return context.viewer.account


@strawberry.type(description="The buyer.")
@reads_rows_of(rows.Account, _own)
class Account(AccountCoupons, AccountFavorites, AccountHome, AccountMessages, AccountOrders, Node):
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


@strawberry.type(description="Signed in. The cookie is set as well.")
class SignedIn:
    token: str = strawberry.field(description="For `Authorization: Bearer …`; 14 days without use or 30 days at most. Told once.")
    account: Account = strawberry.field(description="Who is signed in now.")


@strawberry.type(description="The session has ended, its cookie is gone, and its sockets close.")
class SignedOut:
    at: Instant = strawberry.field(description="When it ended.")


SignInResult = Annotated[
    SignedIn | InvalidCredentials | RateLimited | BadUserInput, strawberry.union("SignInResult", description="What signIn answers.")
]
SignOutResult = Annotated[SignedOut, strawberry.union("SignOutResult", description="What signOut answers.")]


@strawberry.input(description="An e-mail address with its password.")
class SignInInput:
    email: str = strawberry.field(description="In any case.")
    password: str = strawberry.field(description="As it is, 128 characters at most.")


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
    entry = await sign_in.sign_in(context.viewer, context.settings, context.passwords, input.email, input.password)
    context.new_session_token, context.new_device_token = entry.token, entry.device_token
    return entry


@strawberry.type
class AccountsMutation:
    @strawberry.mutation(description="Sign in with e-mail and password. The answer is the same, and takes as long, whether or not the address is known.")
    async def sign_in(self, info: strawberry.Info, input: SignInInput) -> SignInResult:
        return await answered(info.context, _sign_in(info.context, input), lambda entry: SignedIn(token=entry.token, account=entry.account))

    @strawberry.mutation(description="End the session that the request came with.")
    async def sign_out(self, info: strawberry.Info) -> SignOutResult:
        ended_at = await sign_in.sign_out(info.context.viewer)
        info.context.session_ended = True
        return SignedOut(at=ended_at)

    @strawberry.mutation(description="Create or update buyers. Scope accounts.")
    async def put_accounts(self, info: strawberry.Info, input: PutAccountsInput) -> BulkResult:
        context: Context = info.context
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
        return await bulk(context, accounts.put_accounts(context.viewer, context.passwords, buyers, context.settings.is_demo))
