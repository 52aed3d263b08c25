"""Finding an account by the number of an order, in the graph."""

from typing import Annotated

import strawberry

from resolvers import find_account
from schema.context import Context
from schema.edges import mutation
from schema.errors import BadUserInput, CaptchaFailed, answered


@strawberry.type(description="If the number is of an order here, its buyer is told by mail or text message how they sign in. The same whether or not it is.")
class AccountSearchAccepted:
    accepted: bool = strawberry.field(description="Always true.")


FindAccountResult = Annotated[
    AccountSearchAccepted | CaptchaFailed | BadUserInput, strawberry.union("FindAccountResult", description="What findAccount answers.")
]


@strawberry.input(description="What somebody knows who does not find their account.")
class FindAccountInput:
    number: str = strawberry.field(description="An order's number or a parcel's tracking number, in any case; 120 characters at most.")
    captcha: str = strawberry.field(description="The solution of a captchaChallenge, used once.")


@strawberry.type
class FindAccountMutation:
    @mutation(
        description="Have the buyer of an order told how they sign in, at the contacts on file. "
        "The answer is the same, and takes as long, whether or not the number is known."
    )
    async def find_account(context: Context, input: FindAccountInput) -> FindAccountResult:
        work = find_account.find_account(context.viewer, context.settings, context.passwords, input.number, input.captcha)
        return await answered(context, work, lambda _: AccountSearchAccepted(accepted=True))
