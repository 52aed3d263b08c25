"""The second factor in the graph: the code that a sign-in waits for."""

from typing import Annotated, Any

import strawberry

from models.sessions import Stay
from resolvers import second_factor
from schema.context import Context
from schema.edges import mutation
from schema.errors import CodeAttemptsExceeded, CodeInvalid, RateLimited, answered
from schema.sign_in import REMEMBER, SignedIn, SignedInApp, Transport, admitted

AnswerSecondFactorResult = Annotated[
    SignedIn | SignedInApp | CodeInvalid | CodeAttemptsExceeded | RateLimited,
    strawberry.union("AnswerSecondFactorResult", description="What answerSecondFactor answers."),
]


@strawberry.input(description="The second proof of a sign-in.")
class AnswerSecondFactorInput:
    challenge_id: str = strawberry.field(description="Of SecondFactorRequired.")
    code: str = strawberry.field(description="The authenticator's six digits, or a recovery code in any spelling, which is used up.")
    transport: Transport = strawberry.field(default=Transport.BROWSER, description="What is to carry the session.")
    remember: bool = strawberry.field(default=True, description=REMEMBER)


async def _answer(context: Context, input: AnswerSecondFactorInput) -> Any:
    stay = Stay(input.transport, input.remember)
    return await second_factor.answer_second_factor(context.viewer, context.settings, input.challenge_id, input.code, stay)


@strawberry.type
class SecondFactorMutation:
    @mutation(description="Sign in by the code that SecondFactorRequired asked for. A code counts once, and for its own 30 seconds and those before and behind.")
    async def answer_second_factor(context: Context, input: AnswerSecondFactorInput) -> AnswerSecondFactorResult:
        return await answered(context, _answer(context, input), lambda entry: admitted(context, entry))
