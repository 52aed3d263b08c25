"""The demo world's clock in the graph."""

from datetime import timedelta
from typing import Annotated

import strawberry

from resolvers import staff
from schema.context import Context
from schema.edges import mutation
from schema.errors import BadUserInput, answered
from schema.scalars import Instant


@strawberry.type(description="The clock shows a later instant, and everything due by then has happened.")
class ClockAdvanced:
    now: Instant = strawberry.field(description="What the domain's clock shows.")


AdvanceClockResult = Annotated[
    ClockAdvanced | BadUserInput, strawberry.union("AdvanceClockResult", description="What advanceClock answers.")
]
Days = Annotated[int | None, strawberry.argument(description="How many days forwards.")]
Hours = Annotated[int | None, strawberry.argument(description="How many hours besides; 400 days in all at most.")]


@strawberry.type
class ClockMutation:
    @mutation(description="Move the domain's clock forwards: orders, protection, coupons and prices follow; sessions do not. Demo mode alone; scope clock.")
    async def advance_clock(context: Context, days: Days = 0, hours: Hours = 0) -> AdvanceClockResult:
        step = timedelta(days=max(-1000, min(days or 0, 1000)), hours=max(-100000, min(hours or 0, 100000)))
        return await answered(context, staff.advance_clock(context.viewer, step), lambda at: ClockAdvanced(now=at))
