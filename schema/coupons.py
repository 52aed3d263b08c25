"""Coupons in the graph."""

from typing import Annotated, Any

import strawberry

from models import catalog as catalog_rows
from models import coupons as rows
from models.catalog import title_in
from resolvers import coupon_offers, coupons
from schema.bulk import BulkResult, bulk, given
from schema.catalog import Store, TitleInput
from schema.context import Context
from schema.edges import attribute, derived, edge, identity, mutation, to_one
from schema.money import Money, of
from schema.node import Node, reads_rows_of
from schema.paging import After, Before, Connection, First, Last, window
from schema.scalars import Amount, Instant

CouponIssuer = rows.CouponIssuer
strawberry.enum(
    CouponIssuer,
    name="CouponIssuer",
    description="Who pays for it. PLATFORM: good in every store; STORE: good in its own; SPECIAL: given for an occasion.",
)
CouponState = rows.CouponState
strawberry.enum(
    CouponState,
    name="CouponState",
    description="SCHEDULED: not valid yet; ACTIVE: usable now; RESERVED: held by an unpaid order; USED: by a paid one; EXPIRED: ended unused; REVOKED: taken back by the platform.",
)


def _amount(column: str) -> Any:
    def shown(row: Any, context: Context) -> Any:
        return of(getattr(row, column), row.currency)

    return shown


async def _coupon(context: Context, coupon_id: int) -> Any:
    return await coupons.coupon(context.viewer, coupon_id)


@strawberry.type(description="One buyer's copy of an offer, worth what the offer was when it was issued. It stays readable for good.")
@reads_rows_of(rows.Coupon, _coupon)
class Coupon(Node):
    id: strawberry.ID = identity("Coupon")
    issuer: CouponIssuer = attribute("Who pays for it.")
    state: CouponState = derived(lambda row, context: rows.state_of(row, context.viewer.now), description="What it is now.")
    title: str = derived(
        lambda row, context: title_in(row.titles, context.language), description="In the viewer's language, else in English, else in any."
    )
    amount_off: Money | None = derived(_amount("amount_off_minor"), description="What it takes off; null where it takes off a percentage.")
    percent_off: int | None = attribute("The percentage that it takes off, 1 to 100; null where it takes off an amount.")
    maximum_off: Money | None = derived(_amount("maximum_off_minor"), description="The most that percentOff takes off; null where there is no cap.")
    minimum_spend: Money | None = derived(_amount("minimum_spend_minor"), description="What the goods must come to; null where anything will do.")
    starts_at: Instant = attribute("Since when it can be used.")
    ends_at: Instant = attribute("Until when it can be used, exclusive.")
    seconds_left: int | None = derived(
        lambda row, context: rows.seconds_left(row, context.viewer.now),
        description="Whole seconds until endsAt while it is ACTIVE; null in every other state.",
    )
    used_at: Instant | None = attribute("When the order that used it was paid; null unless it is USED.")
    revoked_at: Instant | None = attribute("When the platform took it back; null where it has not.")
    store: Store | None = to_one(catalog_rows.Store, key="store_id", description="The store it is good in; null where it is good in all.")


States = Annotated[
    list[CouponState] | None, strawberry.argument(description="Only coupons in one of these states; all when left out, none for an empty list.")
]


async def _of_accounts(accounts: list[Any], context: Context, states: States = None, first: First = None, after: After = None, last: Last = None, before: Before = None) -> list[Any]:  # fmt: skip
    page = window(first, after, last, before)
    return [await coupons.coupons(context.viewer, account.id, states, page) for account in accounts]


@strawberry.type
class AccountCoupons:
    coupons: Connection[Coupon] | None = edge(
        _of_accounts,
        description="Every coupon ever received: first what can be used, soonest-ending first; then the rest, latest-ending first. "
        "Pages behind a cursor keep the order and the states of the instant of the first page.",
    )


@strawberry.input(description="What coupons are issued from, as the platform knows it. Exactly one of amountOff and percentOff is given.")
class CouponOfferRow:
    external_id: str = strawberry.field(description="The platform's id of the offer.")
    issuer: CouponIssuer = strawberry.field(description="STORE needs a store, PLATFORM has none, SPECIAL may have one.")
    titles: list[TitleInput] = strawberry.field(description="One for each language, at least one.")
    store_external_id: str | None = strawberry.field(default=strawberry.UNSET, description="The store it is good in; all when left out.")
    currency: str | None = strawberry.field(default=strawberry.UNSET, description="ISO 4217, of every amount here; needed where there is one.")
    amount_off: Amount | None = strawberry.field(default=strawberry.UNSET, description="What it takes off, above zero.")
    percent_off: int | None = strawberry.field(default=strawberry.UNSET, description="The percentage that it takes off, 1 to 100.")
    maximum_off: Amount | None = strawberry.field(default=strawberry.UNSET, description="The most that percentOff takes off.")
    minimum_spend: Amount | None = strawberry.field(default=strawberry.UNSET, description="What the goods must come to.")
    withdrawn_at: Instant | None = strawberry.field(
        default=strawberry.UNSET, description="Since when no more coupons are issued from it, never in the future. Once said, it stays."
    )


@strawberry.input(description="Up to 500 offers.")
class PutCouponOffersInput:
    rows: list[CouponOfferRow] = strawberry.field(description="Created or changed by external id; coupons issued before keep what they are worth.")


@strawberry.input(description="One buyer's coupon as the platform knows it.")
class CouponRow:
    external_id: str = strawberry.field(description="The platform's id of the coupon.")
    account_external_id: str = strawberry.field(description="Whose it is, for good: another buyer is a CONFLICT.")
    offer_external_id: str = strawberry.field(description="What it is issued from, for good: another offer is a CONFLICT. Its value is that of the offer now.")
    starts_at: Instant = strawberry.field(description="Since when it can be used; later an earlier one is an update, a later one a CONFLICT.")
    ends_at: Instant = strawberry.field(description="Until when, exclusive; later a later one is an update, an earlier one a CONFLICT.")
    revoked_at: Instant | None = strawberry.field(
        default=strawberry.UNSET, description="When it was taken back, never in the future. Once said, it stays; a used coupon is not taken back."
    )


@strawberry.input(description="Up to 500 coupons.")
class IssueCouponsInput:
    rows: list[CouponRow] = strawberry.field(description="Issued by external id, or updated where they are there.")


def _given_offer(row: CouponOfferRow) -> coupon_offers.GivenOffer:
    return coupon_offers.GivenOffer(
        external_id=row.external_id,
        issuer=row.issuer,
        titles={entry.language: entry.text for entry in row.titles},
        store_external_id=given(row.store_external_id),
        currency=given(row.currency),
        amount_off=given(row.amount_off),
        percent_off=given(row.percent_off),
        maximum_off=given(row.maximum_off),
        minimum_spend=given(row.minimum_spend),
        withdrawn_at=given(row.withdrawn_at),
    )


@strawberry.type
class CouponsMutation:
    @mutation(description="Create or change what coupons are issued from. Scope coupons.")
    async def put_coupon_offers(context: Context, input: PutCouponOffersInput) -> BulkResult:
        offers = [_given_offer(row) for row in input.rows]
        return await bulk(context, coupon_offers.put_coupon_offers(context.viewer, offers))

    @mutation(description="Give buyers coupons of offers that are there, or revoke them. No operation deletes one. Scope coupons.")
    async def issue_coupons(context: Context, input: IssueCouponsInput) -> BulkResult:
        issued = [
            coupon_offers.GivenCoupon(
                row.external_id, row.account_external_id, row.offer_external_id, row.starts_at, row.ends_at, given(row.revoked_at)
            )
            for row in input.rows
        ]
        return await bulk(context, coupon_offers.issue_coupons(context.viewer, issued))
