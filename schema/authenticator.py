"""The authenticator in the graph: setting up the second factor, its recovery codes, and taking it away."""

from typing import Annotated

import strawberry

from resolvers import authenticator, second_factor
from schema.context import NEW_TOKEN, Context
from schema.edges import attribute, edge, listed, looked_up, mutation
from schema.errors import CodeInvalid, RateLimited, ReauthRequired, Unavailable, answered
from schema.scalars import Instant


@strawberry.type(description="The account asks for a code after the first proof of every sign-in.")
class SecondFactor:
    enabled_at: Instant = attribute("Since when.")
    recovery_codes_left: int = attribute("How many of the ten recovery codes have not been used.")


_of_accounts = looked_up(second_factor.by_accounts)


@strawberry.type
class AccountSecondFactor:
    second_factor: SecondFactor | None = edge(_of_accounts, description="The second factor; null when it is off.")


@strawberry.type(description="An authenticator may be set up now; nothing is asked for until confirmSecondFactor.")
class SecondFactorBegun:
    secret: str = attribute("In base32, for whoever types it into an authenticator. Told once.")
    uri: str = attribute("otpauth://…, for a QR code. Holds the secret.")
    expires_at: Instant = attribute("Until when confirmSecondFactor can follow: 15 minutes on.")


@strawberry.type(description="The second factor is on, and all other sessions have ended. The buyer is told.")
class SecondFactorOn:
    recovery_codes: list[str] = listed("Ten codes that sign in once each when the authenticator is lost. Told once.", size=10)
    new_token: str | None = strawberry.field(description=NEW_TOKEN)


@strawberry.type(description="The recovery codes of before count no longer, and all other sessions have ended. A mail tells the buyer.")
class RecoveryCodesRenewed:
    recovery_codes: list[str] = listed("Ten new ones. Told once.", size=10)


@strawberry.type(description="The second factor is off, and all other sessions have ended. The buyer is told.")
class SecondFactorRemoved:
    at: Instant = attribute("When that was.")
    new_token: str | None = strawberry.field(description=NEW_TOKEN)


BeginSecondFactorResult = Annotated[
    SecondFactorBegun | ReauthRequired | Unavailable,
    strawberry.union("BeginSecondFactorResult", description="What beginSecondFactor answers."),
]
ConfirmSecondFactorResult = Annotated[
    SecondFactorOn | CodeInvalid | RateLimited,
    strawberry.union("ConfirmSecondFactorResult", description="What confirmSecondFactor answers."),
]
RenewRecoveryCodesResult = Annotated[
    RecoveryCodesRenewed | CodeInvalid | RateLimited | ReauthRequired | Unavailable,
    strawberry.union("RenewRecoveryCodesResult", description="What renewRecoveryCodes answers."),
]
RemoveSecondFactorResult = Annotated[
    SecondFactorRemoved | CodeInvalid | RateLimited | ReauthRequired | Unavailable,
    strawberry.union("RemoveSecondFactorResult", description="What removeSecondFactor answers."),
]


@strawberry.input(description="The first code of an authenticator.")
class ConfirmSecondFactorInput:
    code: str = strawberry.field(description="Its six digits.")


@strawberry.input(description="A proof that the second factor is at hand.")
class RenewRecoveryCodesInput:
    code: str = strawberry.field(description="The authenticator's six digits, or a recovery code.")


@strawberry.input(description="A proof that the second factor is at hand.")
class RemoveSecondFactorInput:
    code: str = strawberry.field(description="The authenticator's six digits, or a recovery code.")


@strawberry.type
class AuthenticatorMutation:
    @mutation(description="Set up an authenticator: a secret for it. One that was begun and not confirmed counts no longer. Not while one is on (WRONG_STATE).")
    async def begin_second_factor(context: Context) -> BeginSecondFactorResult:
        work = authenticator.begin_second_factor(context.viewer, context.settings)
        return await answered(context, work, lambda it: SecondFactorBegun(secret=it.secret, uri=it.uri, expires_at=Instant(it.expires_at)))

    @mutation(description="Turn the second factor on, by a code of the authenticator that was set up.")
    async def confirm_second_factor(context: Context, input: ConfirmSecondFactorInput) -> ConfirmSecondFactorResult:
        work = authenticator.confirm_second_factor(context.viewer, context.settings, input.code)
        return await answered(context, work, lambda it: SecondFactorOn(recovery_codes=it[0], new_token=context.hand_out(it[1])))

    @mutation(description="Ten new recovery codes in the place of those there are. Asks for a recent proof and for a code besides.")
    async def renew_recovery_codes(context: Context, input: RenewRecoveryCodesInput) -> RenewRecoveryCodesResult:
        work = authenticator.renew_recovery_codes(context.viewer, context.settings, input.code)
        return await answered(context, work, lambda codes: RecoveryCodesRenewed(recovery_codes=codes))

    @mutation(description="Turn the second factor off. Asks for a recent proof and for a code besides.")
    async def remove_second_factor(context: Context, input: RemoveSecondFactorInput) -> RemoveSecondFactorResult:
        work = authenticator.remove_second_factor(context.viewer, context.settings, input.code)
        return await answered(context, work, lambda it: SecondFactorRemoved(at=Instant(it[0]), new_token=context.hand_out(it[1])))
