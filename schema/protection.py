"""Buyer protection in the graph."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any

import strawberry

from models import protection as rows
from resolvers import protection
from schema.bulk import BulkResult, bulk, given
from schema.context import Context
from schema.edges import attribute, edge, mutation, stream
from schema.errors import BadUserInput, NotFound, Unavailable, answered
from schema.node import own_id
from schema.scalars import Instant

if TYPE_CHECKING:
    from schema.orders import Order

ProtectionPhase = rows.ProtectionPhase
strawberry.enum(
    ProtectionPhase,
    name="ProtectionPhase",
    description="NOT_STARTED: not paid, or the payment is being reviewed; AWAITING_SHIPMENT: paid; IN_TRANSIT: shipped; "
    "INSPECTION: all of it delivered; AFTER_SALE: 15 days after the order was completed; ENDED: nothing reopens it.",
)
ExtensionState = rows.ExtensionState
strawberry.enum(
    ExtensionState,
    name="ExtensionState",
    description="ASKED: the seller has not answered; LAPSED: protection ended before anybody did.",
)


class ShownExtension:
    """An extension with its state at one moment."""

    __slots__ = ("at", "by", "days", "reason", "state")

    def __init__(self, row: Any, order: Any, now: Any):
        self.at, self.by, self.days, self.reason = row.at, row.by.value, row.days, row.reason
        self.state = rows.extension_state(row, order, now)


@strawberry.type(description="Days that were added to protection, or that the buyer asked for.")
class Extension:
    days: int = attribute("How many; where the seller grants another number than was asked for, that one.")
    by: str = attribute("Who began it: BUYER asked for it, SELLER and STAFF gave it unasked.")
    state: ExtensionState = attribute("What became of it.")
    at: Instant = attribute("When it was asked for, or given unasked.")
    reason: str | None = attribute("Why staff gave it; null for others.")


async def _extensions(found: list[Any], context: Context) -> list[Any]:
    known = await protection.extensions(found)
    return [
        [ShownExtension(row, shown.order, shown.server_time) for row in own] for shown, own in zip(found, known, strict=True)
    ]


@strawberry.type(description="How long the buyer is protected, as of serverTime. It never ticks: count down from endsAt less serverTime.")
class Protection:
    phase: ProtectionPhase = attribute("Where it stands.")
    starts_at: Instant | None = attribute(
        "When the phase began: paid, first shipped, delivered, completed; of ENDED, the end of the phase before. Null in NOT_STARTED."
    )
    ends_at: Instant | None = attribute(
        "The phase's deadline, exclusive: of AWAITING_SHIPMENT, until when it must be shipped. Null in NOT_STARTED and ENDED, and while frozen."
    )
    seconds_left: int | None = attribute("Whole seconds until endsAt, never negative; what is kept while frozen.")
    server_time: Instant = attribute("The instant that all of this is true for.")
    ending: bool = attribute("Whether under 72 hours are left in IN_TRANSIT or INSPECTION.")
    frozen: bool = attribute("Whether a dispute is open, and time stands still.")
    funds_release_at: Instant | None = attribute("When the seller gets, or got, the money; null until the order is completed.")
    extensions: list[Extension] = edge(_extensions, description="What was asked for and added, in the order of time.", size=5)


@strawberry.type(description="The seller has been asked for more time.")
class ProtectionExtensionRequested:
    order: Annotated["Order", strawberry.lazy("schema.orders")] = strawberry.field(description="With the open request.")


RequestProtectionExtensionResult = Annotated[
    ProtectionExtensionRequested | NotFound | BadUserInput | Unavailable,
    strawberry.union("RequestProtectionExtensionResult", description="What requestProtectionExtension answers."),
]


@strawberry.input(description="A wish for more time, of a shipped order.")
class RequestProtectionExtensionInput:
    order_id: strawberry.ID = strawberry.field(description="The order.")
    days: int = strawberry.field(description="1 to 60; 60 in all that are granted.")


@strawberry.input(description="What the seller or staff say to more time.")
class ExtensionAnswerRow:
    order_external_id: str = strawberry.field(description="The platform's id of the order.")
    granted: bool = strawberry.field(default=True, description="False declines the buyer's open request.")
    days: int | None = strawberry.field(
        default=strawberry.UNSET, description="As many as the buyer asked for when left out; needed where nobody has asked."
    )
    reason: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="Why staff give time of their own accord; without it the seller does. The same days and reason again are the same extension.",
    )


@strawberry.input(description="Up to 500 answers.")
class AnswerExtensionsInput:
    rows: list[ExtensionAnswerRow] = strawberry.field(
        description="Answer the buyer's open request where there is one, else extend unasked; results name the order."
    )


OrderId = Annotated[strawberry.ID, strawberry.argument(description="An order's id.")]


async def _request(context: Context, input: RequestProtectionExtensionInput) -> Any:
    order_id = own_id(context, input.order_id, "Order", "orderId")
    return await protection.request_extension(context.viewer, order_id, input.days)


@strawberry.type
class ProtectionMutation:
    @mutation(description="Ask the seller of a shipped order for more days of protection; one open request at a time.")
    async def request_protection_extension(
        context: Context, input: RequestProtectionExtensionInput
    ) -> RequestProtectionExtensionResult:
        return await answered(context, _request(context, input), lambda row: ProtectionExtensionRequested(order=row))

    @mutation(description="Grant or decline more time, or give it unasked. Scope orders.")
    async def answer_extensions(context: Context, input: AnswerExtensionsInput) -> BulkResult:
        answers = [
            protection.Answer(row.order_external_id, row.granted, given(row.days), given(row.reason)) for row in input.rows
        ]
        return await bulk(context, protection.answer_extensions(context.viewer, answers))


async def _follow(context: Context, order_id: OrderId) -> AsyncIterator[Any]:
    order = own_id(context, order_id, "Order", "orderId")
    async for shown in protection.follow_protection(context.viewer, context.bus, order, context.poll_seconds):
        yield shown


@strawberry.type
class ProtectionSubscription:
    protection_changed: Protection = stream(
        _follow,
        description="An order's protection: at once as it is, then at every change of phase, deadline or freeze, and 7 days, "
        "72 hours, 24 hours and 1 hour before the deadline.",
    )
