"""Passwords, in the graph: changing one, and setting a new one where it is forgotten."""

from typing import Annotated

import strawberry

from resolvers import passwords
from schema.context import NEW_TOKEN, Context
from schema.edges import mutation
from schema.errors import (
    BadUserInput,
    CaptchaFailed,
    CodeInvalid,
    InvalidCredentials,
    PasswordTooWeak,
    RateLimited,
    answered,
)


@strawberry.type(description="The password is changed, and all other sessions have ended. The buyer is told.")
class PasswordChanged:
    accepted: bool = strawberry.field(description="Always true.")
    new_token: str | None = strawberry.field(description=NEW_TOKEN)


@strawberry.type(description="If the address has an account, a mail with a link is on its way; else one that says so. The same either way.")
class PasswordResetRequested:
    accepted: bool = strawberry.field(description="Always true.")


@strawberry.type(description="The new password is set, and all sessions have ended: sign in with it.")
class PasswordReset:
    accepted: bool = strawberry.field(description="Always true.")


ChangePasswordResult = Annotated[
    PasswordChanged | InvalidCredentials | PasswordTooWeak | RateLimited | BadUserInput,
    strawberry.union("ChangePasswordResult", description="What changePassword answers."),
]
RequestPasswordResetResult = Annotated[
    PasswordResetRequested | CaptchaFailed | BadUserInput,
    strawberry.union("RequestPasswordResetResult", description="What requestPasswordReset answers."),
]
ResetPasswordResult = Annotated[
    PasswordReset | CodeInvalid | PasswordTooWeak | BadUserInput,
    strawberry.union("ResetPasswordResult", description="What resetPassword answers."),
]


@strawberry.input(description="The password as it is and as it shall be.")
class ChangePasswordInput:
    current: str = strawberry.field(description="The present one.")
    new: str = strawberry.field(description="At most 128 characters, taken as they are.")
    new_again: str = strawberry.field(description="The new one typed a second time.")


@strawberry.input(description="Whose password is forgotten.")
class RequestPasswordResetInput:
    email: str = strawberry.field(description="In any case.")
    captcha: str = strawberry.field(description="The solution of a captchaChallenge, used once.")


@strawberry.input(description="A new password by a mail's link.")
class ResetPasswordInput:
    token: str = strawberry.field(description="What stands in the link behind `token=`. Good for an hour, once.")
    password: str = strawberry.field(description="At most 128 characters, taken as they are.")
    password_again: str = strawberry.field(description="The same typed a second time.")


@strawberry.type
class PasswordsMutation:
    @mutation(description="Set another password. The present session goes on under a new token; all others end.")
    async def change_password(context: Context, input: ChangePasswordInput) -> ChangePasswordResult:
        work = passwords.change_password(context.viewer, context.settings, context.passwords, input.current, input.new, input.new_again)
        return await answered(context, work, lambda token: PasswordChanged(accepted=True, new_token=context.hand_out(token)))

    @mutation(description="Mail a link that sets a new password. The answer is the same, and takes as long, whether or not the address is known.")
    async def request_password_reset(context: Context, input: RequestPasswordResetInput) -> RequestPasswordResetResult:
        work = passwords.request_password_reset(context.viewer, context.settings, context.passwords, input.email, input.captcha)
        return await answered(context, work, lambda _: PasswordResetRequested(accepted=True))

    @mutation(description="Set a new password by a mail's link; all sessions end. A refused password leaves the link good.")
    async def reset_password(context: Context, input: ResetPasswordInput) -> ResetPasswordResult:
        work = passwords.reset_password(
            context.viewer, context.settings, context.passwords, input.token, input.password, input.password_again
        )
        return await answered(context, work, lambda _: PasswordReset(accepted=True))
