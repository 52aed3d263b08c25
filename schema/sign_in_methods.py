"""Ways of signing in, in the graph: which are open in a region, and which the buyer has."""

import enum
from typing import Annotated, Any

import strawberry

from auth.policy import policy_of
from models.accounts import IdentityKind
from models.order_actions import action
from models.sign_in_methods import Method, cannot_be_reached, is_at_risk, masked, require_unlinkable
from resolvers import second_factor, sign_in_methods
from resolvers.second_factor import InForce
from schema.context import Context
from schema.edges import attribute, derived, edge, listed, mutation, root
from schema.errors import NotFound, ReauthRequired, Unavailable, answered
from schema.node import own_id
from schema.orders import Action, ShownAction
from schema.scalars import Instant, global_id


@strawberry.type(description="One way of signing in, and what it is open for in the region.")
class SignInWay:
    kind: IdentityKind = attribute("Which.")
    sign_up: bool = attribute("Whether an account can begin with it.")
    sign_in: bool = attribute("Whether it is offered for signing in. What a buyer has already signs in wherever it exists, unless foreign providers are closed.")
    link: bool = attribute("Whether it can be added to an account.")


@strawberry.type(description="Which ways of signing in are open in a region.")
class SignInPolicy:
    region: str = attribute("ISO 3166 code.")
    ways: list[SignInWay] = listed("Every way there is.", size=7)


class ShownPolicy:
    """A region's policy as the graph shows it."""

    __slots__ = ("region", "ways")

    def __init__(self, region: str, ways: list[Any]):
        self.region, self.ways = region, ways


Region = Annotated[str, strawberry.argument(description="ISO 3166 code of the country, two capital letters.")]


async def _policy(context: Context, region: Region) -> Any:
    return ShownPolicy(region, sign_in_methods.sign_in_policy(policy_of(context.settings), region))


@strawberry.type
class SignInMethodsQuery:
    sign_in_policy: SignInPolicy | None = root(_policy, description="What a form of signing up or in may offer in a region.")


@strawberry.enum(description="What the buyer is asked to do so that the account is not lost.")
class SignInRecommendation(enum.Enum):
    ADD_PHONE_OR_EMAIL = strawberry.enum_value(
        "ADD_PHONE_OR_EMAIL", description="All ways are a provider's or a device's: without those nobody finds the account again."
    )


class ShownMethod:
    """A way of signing in, with what depends on the others of its account."""

    __slots__ = ("actions", "id", "kind", "masked", "passkey", "usable", "verified_at")

    def __init__(self, account: Any, method: Method, methods: list[Method], context: Context):
        self.id, self.kind, self.verified_at, self.usable = method.id, method.kind, method.verified_at, method.usable
        self.masked, self.passkey = masked(method.kind, method.subject), method.passkey
        unlinking = action("unlinkSignInMethod", account, context.viewer.now, lambda: require_unlinkable(method, methods))
        self.actions = [ShownAction(unlinking, context.language)]


@strawberry.type(description="A key on one of the buyer's devices.")
class Passkey:
    name: str = attribute("As the buyer calls it.")
    backed_up: bool = attribute("Whether the device's maker keeps copies on other devices of the buyer: then it is not lost with one.")
    last_used_at: Instant | None = attribute("When the buyer last signed in or proved by it who they are; null when never.")


@strawberry.type(description="One of the buyer's ways of signing in.")
class SignInMethod:
    id: strawberry.ID = derived(
        lambda method, context: global_id("SignInMethod", method.id), description="Opaque; good for unlinkSignInMethod and renamePasskey."
    )
    kind: IdentityKind = attribute("Which way.")
    masked: str | None = attribute("The address or number in part, such as i***@m***.ru or +7***1234; null where there is nothing to know again.")
    verified: bool = derived(lambda method, context: method.verified_at is not None, description="Whether it has been shown to be the buyer's.")
    since: Instant | None = derived(lambda method, context: method.verified_at, description="Since when it is verified; null when it is not.")
    usable: bool = attribute("Whether the buyer can sign in by it now: verified, for an e-mail address with a password, and not closed.")
    passkey: Passkey | None = attribute("What tells passkeys apart; null for all other ways.")
    actions: list[Action] = listed("What may be done with it. A mutation asks besides for a recent proof (REAUTH_REQUIRED).", size=1)


@strawberry.type(description="The buyer's ways of signing in.")
class SignInMethods:
    methods: list[SignInMethod] = listed("The oldest first.", size=5)
    lockout_risk: bool = attribute(
        "Whether losing one thing would lock the buyer out: fewer than two ways are usable, or a second factor is on without recovery codes."
    )
    recommendation: SignInRecommendation | None = attribute("What the buyer is asked to do; null when nothing.")


class ShownMethods:
    """The ways of one account as the graph shows them."""

    __slots__ = ("lockout_risk", "methods", "recommendation")

    def __init__(self, account: Any, methods: list[Method], factor: InForce | None, context: Context):
        self.methods = [ShownMethod(account, method, methods, context) for method in methods]
        self.lockout_risk = is_at_risk(methods) or (factor is not None and factor.recovery_codes_left == 0)
        self.recommendation = SignInRecommendation.ADD_PHONE_OR_EMAIL if cannot_be_reached(methods) else None


async def _of_accounts(accounts: list[Any], context: Context) -> list[Any]:
    ids = [account.id for account in accounts]
    found, factors = await sign_in_methods.by_accounts(ids, policy_of(context.settings)), await second_factor.by_accounts(ids)
    return [ShownMethods(account, found.get(account.id, []), factors.get(account.id), context) for account in accounts]


@strawberry.type
class AccountSignInMethods:
    sign_in_methods: SignInMethods = edge(_of_accounts, description="How the buyer can sign in.")


@strawberry.type(description="Nobody signs in by it any longer. Whoever is signed in stays so.")
class SignInMethodUnlinked:
    method_id: strawberry.ID = strawberry.field(description="The id it had.")


UnlinkSignInMethodResult = Annotated[
    SignInMethodUnlinked | NotFound | Unavailable | ReauthRequired,
    strawberry.union("UnlinkSignInMethodResult", description="What unlinkSignInMethod answers."),
]
MethodId = Annotated[strawberry.ID, strawberry.argument(description="The id of a way of signing in.")]


async def _unlink(context: Context, id: str) -> None:
    method_id = own_id(context, id, "SignInMethod")
    await sign_in_methods.unlink_sign_in_method(context.viewer, policy_of(context.settings), method_id)


@strawberry.type
class SignInMethodsMutation:
    @mutation(description="Take a way of signing in off the account; the last usable one stays (LAST_SIGN_IN_METHOD). The buyer is told.")
    async def unlink_sign_in_method(context: Context, id: MethodId) -> UnlinkSignInMethodResult:
        return await answered(context, _unlink(context, id), lambda _: SignInMethodUnlinked(method_id=strawberry.ID(id)))
