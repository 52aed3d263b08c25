"""Accounts in the graph: the buyer who asks, and those that the platform sends."""

from typing import Any

import strawberry

from models import accounts as rows
from models.refusals import NotFound
from resolvers import accounts
from schema.authenticator import AccountSecondFactor
from schema.bulk import BulkResult, bulk, given
from schema.context import Context
from schema.coupons import AccountCoupons
from schema.edges import attribute, identity, mutation, root
from schema.email_changes import AccountEmailChanges
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


@strawberry.type
class AccountsMutation:
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
