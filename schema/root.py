"""The whole schema: every domain's part of Query, Mutation and Subscription, put together."""

from typing import Annotated, Any

import strawberry
from graphql import GraphQLSchema, get_named_type
from strawberry.schema.config import StrawberryConfig

from models.refusals import Refusal, Unauthenticated
from schema.accounts import AccountsMutation, AccountsQuery
from schema.app_sessions import AppSessionsMutation
from schema.appeals import AppealsMutation, AppealsQuery
from schema.authenticator import AuthenticatorMutation
from schema.catalog import CatalogMutation, CatalogQuery
from schema.clock import ClockMutation
from schema.context import Context
from schema.coupons import CouponsMutation
from schema.edges import root
from schema.email_changes import EmailChangesMutation
from schema.favorites import FavoritesMutation, FavoritesSubscription
from schema.find_account import FindAccountMutation
from schema.inputs import build_inputs_fast
from schema.leaving import LeavingMutation
from schema.messages import MessagesMutation, MessagesSubscription
from schema.node import FINDERS, Node
from schema.orders import OrdersMutation, OrdersQuery
from schema.passkeys import PasskeysMutation
from schema.passwords import PasswordsMutation
from schema.phone_codes import PhoneCodesMutation
from schema.protection import ProtectionMutation, ProtectionSubscription
from schema.scalars import SCALARS, Instant, split_id
from schema.second_factor import SecondFactorMutation
from schema.sessions import SessionsMutation
from schema.shipments import ShipmentsMutation
from schema.sign_in import SignInMutation
from schema.sign_in_methods import SignInMethodsMutation, SignInMethodsQuery
from schema.sign_up import SignUpMutation, SignUpQuery
from schema.standing import StandingMutation
from schema.standing_cases import StandingCasesMutation, StandingCasesQuery

Id = Annotated[strawberry.ID, strawberry.argument(description="Any object's id.")]


async def _node(context: Context, id: Id) -> Any:
    found = split_id(id)
    if found is None or found[0] not in FINDERS:
        return None
    try:
        return await FINDERS[found[0]](context, found[1])
    except (Refusal, Unauthenticated):
        return None


async def _server_time(context: Context) -> Any:
    return context.viewer.now


@strawberry.type(description="What can be read.")
class Query(AccountsQuery, AppealsQuery, CatalogQuery, OrdersQuery, SignInMethodsQuery, SignUpQuery, StandingCasesQuery):
    node: Node | None = root(
        _node, description="Any object that the viewer may see; null for what is missing, malformed or another buyer's.", personal=True
    )
    server_time: Instant = root(_server_time, description="The domain's clock: what countdowns are measured against.")


@strawberry.type(description="What can be changed. A buyer's mutation answers its success or a Refusal, and a refusal has changed nothing.")
class Mutation(
    SignInMutation, AccountsMutation, AppSessionsMutation, AppealsMutation, AuthenticatorMutation, CatalogMutation, CouponsMutation, EmailChangesMutation,
    FavoritesMutation, FindAccountMutation, LeavingMutation, MessagesMutation, OrdersMutation, PasskeysMutation, PasswordsMutation,
    PhoneCodesMutation, ProtectionMutation, SecondFactorMutation, SessionsMutation, ShipmentsMutation, SignInMethodsMutation,
    SignUpMutation, StandingCasesMutation, StandingMutation,
):
    pass


@strawberry.type(description="What can be listened to.")
class Subscription(FavoritesSubscription, MessagesSubscription, ProtectionSubscription):
    pass


@strawberry.type(name="Mutation", description=Mutation.__strawberry_definition__.description)  # type: ignore[attr-defined]
class DemoMutation(Mutation, ClockMutation):
    pass


def build_schema(*, demo: bool) -> strawberry.Schema:
    """The schema; with `demo`, that of demo mode, which can move its clock."""
    built = strawberry.Schema(
        query=Query,
        mutation=DemoMutation if demo else Mutation,
        subscription=Subscription,
        config=StrawberryConfig(scalar_map=SCALARS),
    )
    build_inputs_fast(built)
    for field in built._schema.mutation_type.fields.values():  # type: ignore[union-attr]
        for argument in field.args.values():
            argument.description = argument.description or get_named_type(argument.type).description
    return built


def graphql_schema(*, demo: bool) -> GraphQLSchema:
    """What graphql-core executes."""
    return build_schema(demo=demo)._schema
