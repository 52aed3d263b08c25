"""Codes by SMS in the graph: asking for one, and what it opens."""

from typing import Annotated, Any

import strawberry

from auth.phone_codes import RESEND_AFTER
from models import phone_codes as rows
from models.sessions import Stay
from resolvers import phone_codes
from resolvers.entry import Entry, Linked
from schema.accounts import Account
from schema.bulk import given
from schema.context import NEW_TOKEN, Context
from schema.edges import mutation
from schema.errors import (
    BadUserInput,
    CaptchaFailed,
    CodeAttemptsExceeded,
    CodeInvalid,
    IdentityTaken,
    NotFound,
    RateLimited,
    ReauthRequired,
    SecondFactorRequired,
    SignUpClosed,
    Unavailable,
    answered,
)
from schema.sign_in import REMEMBER, SignedIn, SignedInApp, Transport, admitted

CodePurpose = rows.CodePurpose
strawberry.enum(
    CodePurpose,
    name="CodePurpose",
    description="SIGN_UP: for an account, a new one unless the number has one; SIGN_IN: for the one that the number has; "
    "LINK: to make the number one's own, in place of the one before.",
)


@strawberry.type(description="A code is on its way, whether or not anybody has the number here.")
class PhoneCodeRequested:
    challenge_id: str = strawberry.field(description="For verifyPhoneCode, within 5 minutes. Told once; nobody else can use the code.")
    resend_after_seconds: int = strawberry.field(description="How long to wait before asking for another one.")


@strawberry.type(description="The number is the buyer's and signs in, in place of the one before.")
class PhoneLinked:
    account: Account = strawberry.field(description="With its new number.")
    new_token: str | None = strawberry.field(description=NEW_TOKEN)


RequestPhoneCodeResult = Annotated[
    PhoneCodeRequested | RateLimited | CaptchaFailed | BadUserInput | ReauthRequired | SignUpClosed | Unavailable,
    strawberry.union("RequestPhoneCodeResult", description="What requestPhoneCode answers."),
]
VerifyPhoneCodeResult = Annotated[
    SignedIn | SignedInApp | SecondFactorRequired | PhoneLinked | CodeInvalid | CodeAttemptsExceeded | BadUserInput | NotFound | SignUpClosed | ReauthRequired
    | IdentityTaken | Unavailable,
    strawberry.union("VerifyPhoneCodeResult", description="What verifyPhoneCode answers."),
]


@strawberry.input(description="Where a code is to go, and for what.")
class RequestPhoneCodeInput:
    phone: str = strawberry.field(description="With + and the country code, in any usual spelling.")
    purpose: CodePurpose = strawberry.field(description="What the code is to open.")
    captcha: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="The solution of a captchaChallenge, used up by the code that it gets; asked for by CAPTCHA_FAILED alone, while very many codes are sent.",
    )


@strawberry.input(description="A code as it came. The rest is for a new account, and looked at only where one is made.")
class VerifyPhoneCodeInput:
    challenge_id: str = strawberry.field(description="Of requestPhoneCode.")
    code: str = strawberry.field(description="Six digits; five tries.")
    display_name: str | None = strawberry.field(default=strawberry.UNSET, description="As the buyer wants to be called; at most 200 characters.")
    language: str | None = strawberry.field(default=strawberry.UNSET, description="ru or en; left out: the language of the request.")
    region: str | None = strawberry.field(default=strawberry.UNSET, description="ISO 3166 code, two letters.")
    currency: str | None = strawberry.field(default=strawberry.UNSET, description="ISO 4217 code.")
    transport: Transport = strawberry.field(default=Transport.BROWSER, description="What is to carry the session; nothing to LINK.")
    remember: bool = strawberry.field(default=True, description=REMEMBER)


async def _request(context: Context, input: RequestPhoneCodeInput) -> str:
    return await phone_codes.request_phone_code(
        context.viewer, context.settings, context.passwords, input.phone, input.purpose, given(input.captcha)
    )


async def _verify(context: Context, input: VerifyPhoneCodeInput) -> Any:
    newcomer = phone_codes.Newcomer(
        display_name=given(input.display_name) or "",
        language=given(input.language) or context.language,
        region=given(input.region) or "",
        currency=given(input.currency) or "",
    )
    return await phone_codes.verify_phone_code(
        context.viewer, context.settings, input.challenge_id, input.code, newcomer, Stay(input.transport, input.remember)
    )


def _verified(context: Context, found: Entry | Linked) -> SignedIn | SignedInApp | PhoneLinked:
    if isinstance(found, Entry):
        return admitted(context, found)
    return PhoneLinked(account=found.account, new_token=context.hand_out(found.token))  # type: ignore[arg-type]


@strawberry.type
class PhoneCodesMutation:
    @mutation(description="Send a code by SMS. The answer is the same, and takes as long, whether or not the number is known.")
    async def request_phone_code(context: Context, input: RequestPhoneCodeInput) -> RequestPhoneCodeResult:
        wait = int(RESEND_AFTER.total_seconds())
        return await answered(
            context, _request(context, input), lambda challenge: PhoneCodeRequested(challenge_id=challenge, resend_after_seconds=wait)
        )

    @mutation(description="Sign up, sign in or link by the code that came. A refusal other than CODE_INVALID of a used code leaves the code good for its other tries.")
    async def verify_phone_code(context: Context, input: VerifyPhoneCodeInput) -> VerifyPhoneCodeResult:
        return await answered(context, _verify(context, input), lambda found: _verified(context, found))
