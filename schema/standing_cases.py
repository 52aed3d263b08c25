"""Cases in the graph: what signals propose, for staff."""

from typing import Annotated, Any

import strawberry

from models import standing_cases as rows
from resolvers import standing_cases
from resolvers.standing import Decision
from schema.appeals import StandingLevel, StandingReason
from schema.bulk import BulkResult, bulk, given
from schema.context import Context
from schema.edges import attribute, derived, mutation, owner_external_id, owner_id, root
from schema.paging import After, Before, Connection, First, Last, window
from schema.scalars import Instant, global_id, row_id

CaseSignal = rows.Signal
strawberry.enum(
    CaseSignal,
    name="CaseSignal",
    description="DISPUTES: more than half of at least 5 orders of 180 days were disputed; SHARED_PHONE: accounts with one verified number "
    "have used coupons of the same offers.",
)
CaseState = rows.CaseState
strawberry.enum(CaseState, name="CaseState", description="DECIDED: the account's standing was set; DISMISSED: nothing was.")


@strawberry.type(description="Something that was counted.")
class CaseFact:
    name: str = attribute("What.")
    value: int = attribute("How many.")


class Counted:
    """A fact as the graph shows it."""

    __slots__ = ("name", "value")

    def __init__(self, name: str, value: int):
        self.name, self.value = name, value


FACTS: dict[rows.Signal, tuple[tuple[str, ...], str]] = {
    rows.Signal.DISPUTES: (("orders", "disputed"), "Order"),
    rows.Signal.SHARED_PHONE: (("accounts",), "Account"),
}
"""What each signal counts, and of what type its evidence is."""


def _facts(row: Any, context: Context) -> list[Counted]:
    return [Counted(name, row.facts[name]) for name in FACTS[row.signal][0]]


def _evidence(row: Any, context: Context) -> list[str]:
    return [global_id(FACTS[row.signal][1], number) for number in row.facts["evidence"]]


@strawberry.type(description="A proposal to look at an account. Nothing happens to it by itself.")
class StandingCase:
    id: strawberry.ID = derived(lambda row, context: global_id("StandingCase", row.id), description="Opaque; good for decideCases.")
    signal: CaseSignal = attribute("What gave rise to it.")
    state: CaseState = attribute("Whether staff have made something of it.")
    opened_at: Instant = attribute("When it was proposed.")
    closed_at: Instant | None = attribute("When it was decided or dismissed; null until then.")
    facts: list[CaseFact] = derived(_facts, description="DISPUTES: orders, disputed; SHARED_PHONE: accounts, the others.", size=2)
    evidence: list[strawberry.ID] = derived(_evidence, description="DISPUTES: the orders that were disputed; SHARED_PHONE: the other accounts.", size=5)
    account_id: strawberry.ID = owner_id(description="Whom it is about.")
    account_external_id: str | None = owner_external_id(description="The platform's id of whom it is about; null where the platform has none.")


States = Annotated[
    list[CaseState] | None, strawberry.argument(description="Only cases in one of these states; all when left out, none for an empty list.")
]


async def _cases(context: Context, states: States = None, first: First = None, after: After = None, last: Last = None, before: Before = None) -> Any:  # fmt: skip
    return await standing_cases.standing_cases(context.viewer, states, window(first, after, last, before))


@strawberry.type
class StandingCasesQuery:
    standing_cases: Connection[StandingCase] | None = root(_cases, description="What signals propose, the newest first. Scope standing.", personal=True)


@strawberry.input(description="What is made of a case.")
class CaseRow:
    case_id: strawberry.ID = strawberry.field(description="Known by this; results name it as their externalId.")
    level: StandingLevel | None = strawberry.field(default=strawberry.UNSET, description="What the account's standing is to be; left out: the case is dismissed.")
    reason: StandingReason | None = strawberry.field(default=strawberry.UNSET, description="As in setStandings.")
    text: str | None = strawberry.field(default=strawberry.UNSET, description="As in setStandings.")
    until: Instant | None = strawberry.field(default=strawberry.UNSET, description="As in setStandings.")


@strawberry.input(description="Up to 500 cases.")
class DecideCasesInput:
    rows: list[CaseRow] = strawberry.field(description="Known by the case.")


def _decision(row: CaseRow) -> Decision | None:
    level = given(row.level)
    return None if level is None else Decision(level, given(row.reason), given(row.text), given(row.until))


@strawberry.type
class StandingCasesMutation:
    @mutation(description="Dismiss cases, or set the standing of their accounts. Scope standing.")
    async def decide_cases(context: Context, input: DecideCasesInput) -> BulkResult:
        outcomes = [
            standing_cases.GivenOutcome(str(row.case_id), row_id(row.case_id, "StandingCase"), _decision(row)) for row in input.rows
        ]
        return await bulk(context, standing_cases.decide_cases(context.viewer, outcomes))
