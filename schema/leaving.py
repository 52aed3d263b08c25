"""Leaving, in the graph: a copy of all that is kept of the buyer, and the end of the account."""

import enum
from typing import Annotated, Any

import strawberry

from resolvers import exports, leaving
from schema.context import Context
from schema.edges import attribute, derived, edge, looked_up, mutation
from schema.errors import ReauthRequired, Unavailable, answered
from schema.scalars import Instant


@strawberry.enum(description="PREPARING: it is being made; READY: the link is on its way by letter; TAKEN: it was downloaded, and is gone here.")
class DataExportState(enum.Enum):
    PREPARING = "PREPARING"
    READY = "READY"
    TAKEN = "TAKEN"


def _state(row: Any, context: Context) -> DataExportState:
    if row.ready_at is None:
        return DataExportState.PREPARING
    return DataExportState.READY if row.taken_at is None else DataExportState.TAKEN


@strawberry.type(description="A copy of all that is kept of the buyer.")
class DataExport:
    state: DataExportState = derived(_state, description="How far it is.")
    requested_at: Instant = attribute("When it was asked for.")
    ready_at: Instant | None = attribute("When it was made; null until then.")
    expires_at: Instant | None = derived(lambda row, context: row.ends_at, description="Until when the link is good, exclusive; null until there is one.")


@strawberry.type(description="The account is going to be erased.")
class AccountDeletion:
    requested_at: Instant = attribute("When the buyer asked for it.")
    erase_at: Instant = attribute("When it is erased, unless keepAccount comes before. Later than told at first where money or a dispute stood in the way.")


_exports = looked_up(exports.latest_of)
_deletions = looked_up(leaving.deletions_of)


@strawberry.type
class AccountLeaving:
    data_export: DataExport | None = edge(_exports, description="The latest copy asked for; null when there is none, or its link is over.")
    deletion: AccountDeletion | None = edge(_deletions, description="When the account is erased; null unless its buyer leaves.")


@strawberry.type(description="The copy is being made. A letter brings the link to it, good for 24 hours, once.")
class DataExportRequested:
    data_export: DataExport = strawberry.field(description="How far it is.")


@strawberry.type(description="The account is going to be erased. All sessions have ended, the present one too; the buyer is told of it.")
class AccountDeletionRequested:
    erase_at: Instant = strawberry.field(description="When it is erased. Until then its buyer can sign in, and keep it.")


@strawberry.type(description="The account stays.")
class AccountKept:
    accepted: bool = strawberry.field(description="Always true, also when nobody wanted to leave.")


ExportMyDataResult = Annotated[
    DataExportRequested | Unavailable | ReauthRequired, strawberry.union("ExportMyDataResult", description="What exportMyData answers.")
]
DeleteAccountResult = Annotated[
    AccountDeletionRequested | Unavailable | ReauthRequired, strawberry.union("DeleteAccountResult", description="What deleteAccount answers.")
]
KeepAccountResult = Annotated[AccountKept, strawberry.union("KeepAccountResult", description="What keepAccount answers.")]


async def _delete(context: Context) -> Any:
    erase_at = await leaving.delete_account(context.viewer)
    context.session_ended = True
    return erase_at


@strawberry.type
class LeavingMutation:
    @mutation(
        description="Ask for a copy of all that is kept of the buyer, as JSON. One at a time (ALREADY_ASKED), three in 24 hours "
        "(LIMIT_REACHED). WRONG_STATE: there is no proved e-mail address or number that the link could go to."
    )
    async def export_my_data(context: Context) -> ExportMyDataResult:
        return await answered(context, exports.export_my_data(context.viewer), lambda row: DataExportRequested(data_export=row))

    @mutation(
        description="Have the account erased in seven days. Not while money is held (WRONG_STATE) or a dispute is open (DISPUTE_OPEN): "
        "`availableFrom` tells when as things stand. Again, it stays at the first date."
    )
    async def delete_account(context: Context) -> DeleteAccountResult:
        return await answered(context, _delete(context), lambda erase_at: AccountDeletionRequested(erase_at=Instant(erase_at)))

    @mutation(description="Take deleteAccount back.")
    async def keep_account(context: Context) -> KeepAccountResult:
        await leaving.keep_account(context.viewer)
        return AccountKept(accepted=True)
