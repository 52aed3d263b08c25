"""Appeals in the graph: a buyer's, and those that staff look at."""

from typing import Annotated, Any

import strawberry

from models import accounts as account_rows
from models import appeals as rows
from models import standing as standing_rows
from resolvers import appeals
from schema.bulk import BulkResult, bulk, given
from schema.context import Context
from schema.edges import attribute, edge, identity, looked_up, mutation, owner_external_id, owner_id, root, to_one
from schema.errors import BadUserInput, Unavailable, answered
from schema.node import Node, reads_rows_of
from schema.paging import After, Before, Connection, First, Last, window
from schema.scalars import Instant, row_id

AppealState = rows.AppealState
strawberry.enum(
    AppealState,
    name="AppealState",
    description="OPEN: nobody has looked at it yet; NEEDS_INFO: staff have asked the buyer for more; GRANTED: the account is in good standing again.",
)
AppealAuthor = rows.AppealAuthor
strawberry.enum(AppealAuthor, name="AppealAuthor", description="Who speaks in an appeal.")
StandingLevel = account_rows.Level
strawberry.enum(
    StandingLevel,
    name="StandingLevel",
    description="WARNED: everything is open; RESTRICTED: nothing new, all about existing orders is open; BLOCKED: reading, signing in and "
    "out, passwords and appeals; CLOSED: the account was erased.",
)
StandingReason = account_rows.StandingReason
strawberry.enum(StandingReason, name="StandingReason", description="Why an account is not in good standing; the text says more.")


@strawberry.type(description="Something that was said in an appeal.")
class AppealMessage:
    author: AppealAuthor = attribute("Which side.")
    text: str = attribute("As it was written.")
    at: Instant = attribute("When.")


@strawberry.type(description="What was decided about an account's standing.")
class StandingDecision:
    level: StandingLevel = attribute("What the standing was to be.")
    reason: StandingReason | None = attribute("Why; null for GOOD.")
    text: str | None = attribute("What the buyer was told; null when nothing.")
    at: Instant = attribute("When it was decided.")
    until: Instant | None = attribute("When it ends by itself; null: it does not.")


_messages = looked_up(appeals.messages_of, many=True)


async def _appeal(context: Context, appeal_id: int) -> Any:
    return await appeals.own_appeal(context.viewer, appeal_id)


@strawberry.type(description="A buyer's word against what was decided about their account.")
@reads_rows_of(rows.Appeal, _appeal)
class Appeal(Node):
    id: strawberry.ID = identity("Appeal")
    state: AppealState = attribute("Where it stands.")
    opened_at: Instant = attribute("When it was made.")
    decided_at: Instant | None = attribute("When it was granted or rejected; null until then.")
    against: StandingDecision | None = to_one(standing_rows.StandingChange, key="change_id", description="What it is against.")
    messages: list[AppealMessage] = edge(_messages, description="What was said, the first first. Support has no threads of its own yet.", size=5)
    account_id: strawberry.ID = owner_id(description="Whose it is.")
    account_external_id: str | None = owner_external_id(description="The platform's id of whose it is; null where the platform has none.")


States = Annotated[
    list[AppealState] | None, strawberry.argument(description="Only appeals in one of these states; all when left out, none for an empty list.")
]


async def _appeals(context: Context, states: States = None, first: First = None, after: After = None, last: Last = None, before: Before = None) -> Any:  # fmt: skip
    return await appeals.appeals(context.viewer, states, window(first, after, last, before))


@strawberry.type
class AppealsQuery:
    appeals: Connection[Appeal] | None = root(_appeals, description="Buyers' appeals, the newest first. Scope standing.", personal=True)


@strawberry.type(description="The appeal is made, and waits for staff.")
class AppealOpened:
    appeal: Appeal = strawberry.field(description="With what was said.")


@strawberry.type(description="Staff have what they asked for, and look at the appeal again.")
class AppealAnswered:
    appeal: Appeal = strawberry.field(description="With the answer.")


AppealResult = Annotated[AppealOpened | BadUserInput | Unavailable, strawberry.union("AppealResult", description="What appeal answers.")]
AnswerAppealResult = Annotated[
    AppealAnswered | BadUserInput | Unavailable, strawberry.union("AnswerAppealResult", description="What answerAppeal answers.")
]


@strawberry.input(description="Why the buyer does not agree.")
class AppealInput:
    text: str = strawberry.field(description="At most 2,000 characters; never a card number.")


@strawberry.input(description="What staff have asked for.")
class AnswerAppealInput:
    text: str = strawberry.field(description="At most 2,000 characters; never a card number.")


@strawberry.input(description="Where an appeal is taken.")
class AppealRow:
    appeal_id: strawberry.ID = strawberry.field(description="Known by this; results name it as their externalId.")
    state: AppealState = strawberry.field(
        description="From OPEN to IN_REVIEW; from IN_REVIEW to NEEDS_INFO, GRANTED or REJECTED; from NEEDS_INFO to GRANTED or REJECTED."
    )
    text: str | None = strawberry.field(default=strawberry.UNSET, description="For the buyer; needed for NEEDS_INFO and REJECTED.")


@strawberry.input(description="Up to 500 appeals.")
class DecideAppealsInput:
    rows: list[AppealRow] = strawberry.field(description="Known by the appeal.")


@strawberry.type
class AppealsMutation:
    @mutation(
        description="Appeal against the account's standing: once at a time, and 30 days after the one before. "
        "Not decided by whoever decided about the account."
    )
    async def appeal(context: Context, input: AppealInput) -> AppealResult:
        return await answered(context, appeals.appeal(context.viewer, input.text), lambda row: AppealOpened(appeal=row))

    @mutation(description="Answer what staff have asked in an appeal (NEEDS_INFO).")
    async def answer_appeal(context: Context, input: AnswerAppealInput) -> AnswerAppealResult:
        return await answered(context, appeals.answer_appeal(context.viewer, input.text), lambda row: AppealAnswered(appeal=row))

    @mutation(description="Look at appeals, ask their buyers for more, grant or reject them. Scope standing.")
    async def decide_appeals(context: Context, input: DecideAppealsInput) -> BulkResult:
        verdicts = [
            appeals.GivenVerdict(str(row.appeal_id), row_id(row.appeal_id, "Appeal"), row.state, given(row.text)) for row in input.rows
        ]
        return await bulk(context, appeals.decide_appeals(context.viewer, verdicts))
