"""Signing up by e-mail, in the graph."""

from typing import Annotated, Any

import strawberry

from resolvers import sign_up
from schema.accounts import Account
from schema.bulk import given as told
from schema.context import Context
from schema.edges import mutation, root
from schema.errors import (
    BadUserInput,
    CaptchaFailed,
    CodeInvalid,
    PasswordNeeded,
    PasswordTooWeak,
    SignUpClosed,
    answered,
)


async def _challenge(context: Context) -> str:
    return await sign_up.challenge(context.settings)


@strawberry.type
class SignUpQuery:
    captcha_challenge: str = root(
        _challenge,
        description="A task for a browser: JSON for the `challenge` of ALTCHA's widget, whose payload is sent along as `captcha`. "
        "Good for 10 minutes.",
        personal=True,
    )


@strawberry.type(description="A mail is on its way, with a link that activates the profile and signs in. The same whether or not the address is known.")
class SignUpAccepted:
    accepted: bool = strawberry.field(description="Always true.")
    proof: str = strawberry.field(description="For activate, where there is no cookie to show that the link is followed where it was asked for.")


@strawberry.type(description="The profile is active, and its owner is signed in. The cookie is set as well.")
class Activated:
    token: str = strawberry.field(description="For `Authorization: Bearer …`, as signIn gives it. Told once.")
    account: Account = strawberry.field(description="Who is signed in now.")


SignUpResult = Annotated[
    SignUpAccepted | SignUpClosed | CaptchaFailed | PasswordTooWeak | BadUserInput,
    strawberry.union("SignUpResult", description="What signUp answers."),
]
ActivateResult = Annotated[
    Activated | CodeInvalid | PasswordNeeded | PasswordTooWeak | BadUserInput,
    strawberry.union("ActivateResult", description="What activate answers."),
]


@strawberry.input(description="A future buyer.")
class SignUpInput:
    email: str = strawberry.field(description="Where the link goes; proved by following it.")
    display_name: str = strawberry.field(description="As the buyer wants to be called; at most 200 characters.")
    password: str = strawberry.field(description="At most 128 characters, taken as they are.")
    password_again: str = strawberry.field(description="The same typed a second time.")
    captcha: str = strawberry.field(description="The solution of a captchaChallenge, used once.")
    terms_version: str = strawberry.field(description="The version of the terms that the buyer has agreed to; kept with the time.")
    language: str = strawberry.field(description="ru or en.")
    region: str = strawberry.field(description="ISO 3166 code, two letters; in some one does not sign up by e-mail.")
    currency: str = strawberry.field(description="ISO 4217 code.")


Token = Annotated[str, strawberry.argument(description="What stands in the mail's link behind `token=`. Good for 24 hours, once.")]
Proof = Annotated[str | None, strawberry.argument(description="Of SignUpAccepted, from a program; a browser has the cookie.")]
Chosen = Annotated[
    str | None, strawberry.argument(description="Instead of the one typed at the sign-up; needed (PASSWORD_NEEDED) elsewhere than there.")
]
ChosenAgain = Annotated[str | None, strawberry.argument(description="The same typed a second time.")]


async def _sign_up(context: Context, given: sign_up.GivenSignUp) -> str:
    context.new_browser_token = proof = await sign_up.sign_up(context.viewer, context.settings, context.passwords, given)
    return proof


async def _activate(context: Context, token: str, proof: str | None, password: str | None, again: str | None) -> Any:
    entry = await sign_up.activate(context.viewer, context.settings, context.passwords, token, proof, password, again)
    context.new_session_token, context.new_device_token = entry.token, entry.device_token
    return entry


@strawberry.type
class SignUpMutation:
    @mutation(description="Sign up by e-mail. The answer is the same, and takes as long, whether or not the address is known; a mail tells.")
    async def sign_up(context: Context, input: SignUpInput) -> SignUpResult:
        given = sign_up.GivenSignUp(
            email=input.email,
            display_name=input.display_name,
            password=input.password,
            password_again=input.password_again,
            captcha=input.captcha,
            terms_version=input.terms_version,
            language=input.language,
            region=input.region,
            currency=input.currency,
        )
        return await answered(context, _sign_up(context, given), lambda proof: SignUpAccepted(accepted=True, proof=proof))

    @mutation(description="Make the account that a sign-up asked for, and sign in. The link stays good where a password is needed or refused.")
    async def activate(
        context: Context, token: Token, proof: Proof = None, password: Chosen = None, password_again: ChosenAgain = None
    ) -> ActivateResult:
        work = _activate(context, token, told(proof), told(password), told(password_again))
        return await answered(context, work, lambda entry: Activated(token=entry.token, account=entry.account))
