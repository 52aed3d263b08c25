"""An account's standing in the graph: what its buyer is told, and what staff decide."""

from typing import Any

import strawberry

from models.appeals import require_answerable, require_appealable
from models.order_actions import action
from models.standing import standing_of
from resolvers import appeals, standing
from schema.appeals import Appeal, StandingLevel, StandingReason
from schema.bulk import BulkResult, bulk, given
from schema.context import Context
from schema.edges import attribute, derived, edge, looked_up, mutation
from schema.orders import Action, ShownAction
from schema.scalars import Instant, row_id

_appeals = looked_up(appeals.by_accounts, key="account_id")


async def _actions(found: list[Any], context: Context) -> list[Any]:
    known = await _appeals(found, context)
    accounts = await context.accounts([one.account_id for one in found])
    return [_asked(one, accounts[one.account_id], latest, context) for one, latest in zip(found, known, strict=True)]


def _asked(found: Any, account: Any, latest: Any | None, context: Context) -> list[ShownAction]:
    now = context.viewer.now
    both = [
        action("appeal", account, now, lambda: require_appealable(found, latest, now)),
        action("answerAppeal", account, now, lambda: require_answerable(latest)),
    ]
    return [ShownAction(one, context.language) for one in both]


@strawberry.type(description="How far an account is trusted. What it forbids is told by `actions` beforehand, and by the refusal of a mutation.")
class Standing:
    level: StandingLevel = attribute("GOOD unless staff have decided otherwise, and again once `until` has come.")
    reason: StandingReason | None = attribute("Why; null for GOOD.")
    text: str | None = attribute("The same in words, as staff wrote them; null for GOOD.")
    since: Instant | None = attribute("When it was decided; null for GOOD.")
    until: Instant | None = attribute("When it is GOOD again by itself; null: that is not known.")
    appeal: Appeal | None = edge(_appeals, description="The buyer's latest appeal; null where there is none.")
    actions: list[Action] = edge(_actions, description="Whether the buyer may appeal, and answer what staff have asked.", size=2)


@strawberry.type
class AccountStanding:
    standing: Standing = derived(lambda account, context: standing_of(account, context.viewer.now), description="How far the account is trusted.")


@strawberry.input(description="What is decided about an account's standing.")
class StandingRow:
    external_id: str = strawberry.field(description="The platform's id of the decision: each counts once.")
    account_external_id: str | None = strawberry.field(default=strawberry.UNSET, description="The platform's id of the buyer.")
    account_id: strawberry.ID | None = strawberry.field(default=strawberry.UNSET, description="The account's id here, for buyers that the platform does not know.")
    level: StandingLevel = strawberry.field(description="CLOSED cannot be set: that is an erasure.")
    reason: StandingReason | None = strawberry.field(default=strawberry.UNSET, description="Needed for all but GOOD, which has none.")
    text: str | None = strawberry.field(default=strawberry.UNSET, description="What the buyer is told, 2,000 characters at most; needed for all but GOOD.")
    until: Instant | None = strawberry.field(default=strawberry.UNSET, description="When it ends by itself; left out: it does not. GOOD has none.")


@strawberry.input(description="Up to 500 decisions.")
class SetStandingsInput:
    rows: list[StandingRow] = strawberry.field(description="Known by their own external id.")


def _given(row: StandingRow) -> standing.GivenStanding:
    account_id = given(row.account_id)
    return standing.GivenStanding(
        row.external_id,
        given(row.account_external_id),
        None if account_id is None else row_id(account_id, "Account"),
        standing.Decision(row.level, given(row.reason), given(row.text), given(row.until)),
    )


@strawberry.type
class StandingMutation:
    @mutation(description="Warn, restrict or block accounts, or restore their standing; the buyers are told by mail. Scope standing.")
    async def set_standings(context: Context, input: SetStandingsInput) -> BulkResult:
        return await bulk(context, standing.set_standings(context.viewer, [_given(row) for row in input.rows]))
