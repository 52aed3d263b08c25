"""The e-mail address of an account, in the graph: adding one later, and changing it."""

from typing import TYPE_CHECKING, Annotated, Any

import strawberry

from resolvers import email_changes
from schema.context import NEW_TOKEN, Context
from schema.edges import attribute, edge, looked_up, mutation
from schema.errors import (
    BadUserInput,
    CodeInvalid,
    IdentityTaken,
    NotFound,
    RateLimited,
    ReauthRequired,
    SignUpClosed,
    Unavailable,
    answered,
)
from schema.scalars import Instant

if TYPE_CHECKING:
    from schema.accounts import Account


@strawberry.type(description="An e-mail address that waits for its owner to follow the mail's link.")
class PendingEmailChange:
    email: str = attribute("As the buyer typed it.")
    expires_at: Instant = attribute("Until when the link is good, exclusive.")


_of_accounts = looked_up(email_changes.by_accounts)


@strawberry.type
class AccountEmailChanges:
    pending_email_change: PendingEmailChange | None = edge(
        _of_accounts, description="The address asked for by requestEmailChange that is not in force yet; null when none is."
    )


@strawberry.type(description="A mail is on its way to the address, and one that tells of it to the present one. The same whether or not another account has it.")
class EmailChangeRequested:
    accepted: bool = strawberry.field(description="Always true.")
    resend_after_seconds: int = strawberry.field(description="How long to wait before asking again.")


@strawberry.type(description="The address is the buyer's, in place of the one before. Mails tell both.")
class EmailChanged:
    account: Annotated["Account", strawberry.lazy("schema.accounts")] = strawberry.field(description="With its new address.")
    new_token: str | None = strawberry.field(description=NEW_TOKEN)


@strawberry.type(description="The address stays as it is; the link is void.")
class EmailChangeCancelled:
    accepted: bool = strawberry.field(description="Always true.")


RequestEmailChangeResult = Annotated[
    EmailChangeRequested | RateLimited | BadUserInput | ReauthRequired | SignUpClosed,
    strawberry.union("RequestEmailChangeResult", description="What requestEmailChange answers."),
]
ConfirmEmailChangeResult = Annotated[
    EmailChanged | CodeInvalid | IdentityTaken | Unavailable, strawberry.union("ConfirmEmailChangeResult", description="What confirmEmailChange answers.")
]
CancelEmailChangeResult = Annotated[
    EmailChangeCancelled | NotFound, strawberry.union("CancelEmailChangeResult", description="What cancelEmailChange answers.")
]


@strawberry.input(description="Where the buyer's mail shall go.")
class RequestEmailChangeInput:
    email: str = strawberry.field(description="Proved by following the mail's link.")


@strawberry.input(description="A link's proof.")
class ConfirmEmailChangeInput:
    token: str = strawberry.field(description="What stands in the link behind `token=`. Good for an hour, once, for the account that asked.")


async def _confirm(context: Context, token: str) -> Any:
    return await email_changes.confirm_email_change(context.viewer, token)


@strawberry.type
class EmailChangesMutation:
    @mutation(
        description="Add an e-mail address to one's account, or change it: a link goes there. A new request replaces the one before. "
        "The answer is the same, and takes as long, whether or not another account has the address."
    )
    async def request_email_change(context: Context, input: RequestEmailChangeInput) -> RequestEmailChangeResult:
        work = email_changes.request_email_change(context.viewer, context.settings, input.email)
        wait = int(email_changes.RESEND_AFTER.total_seconds())
        return await answered(context, work, lambda _: EmailChangeRequested(accepted=True, resend_after_seconds=wait))

    @mutation(description="Make the address of a mail's link one's own; signed in to the account that asked for it.")
    async def confirm_email_change(context: Context, input: ConfirmEmailChangeInput) -> ConfirmEmailChangeResult:
        return await answered(context, _confirm(context, input.token), lambda found: EmailChanged(account=found.account, new_token=context.hand_out(found.token)))

    @mutation(description="Take the request back that `me.pendingEmailChange` shows.")
    async def cancel_email_change(context: Context) -> CancelEmailChangeResult:
        work = email_changes.cancel_email_change(context.viewer)
        return await answered(context, work, lambda _: EmailChangeCancelled(accepted=True))
