"""The rules of coupons, on values."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from models.coupons import (
    CouponIssuer,
    CouponState,
    comes_back,
    discount_minor,
    require_free,
    require_value,
    require_window,
    seconds_left,
    state_of,
)
from models.refusals import BadUserInput, ErrorCode, Refusal

NOW = datetime(2026, 5, 1, 3, 0, tzinfo=UTC)
DAY, TICK = timedelta(days=1), timedelta(microseconds=1)


@dataclass
class Given:
    """A coupon as its rules see it."""

    id: int = 1
    account_id: int = 1
    issuer: CouponIssuer = CouponIssuer.PLATFORM
    currency: str | None = "USD"
    amount_off_minor: int | None = None
    percent_off: int | None = None
    maximum_off_minor: int | None = None
    minimum_spend_minor: int | None = None
    starts_at: datetime = NOW - DAY
    ends_at: datetime = NOW + DAY
    revoked_at: datetime | None = None
    order_id: int | None = None
    reserved_at: datetime | None = None
    reserved_until: datetime | None = None
    used_at: datetime | None = None


def held(**given: object) -> Given:
    return Given(**{"order_id": 7, "reserved_at": NOW - DAY, "reserved_until": NOW + DAY, **given})  # type: ignore[arg-type]


def test_a_coupon_is_usable_from_its_first_instant_until_just_before_its_end():
    coupon = Given(starts_at=NOW, ends_at=NOW + DAY)
    assert state_of(coupon, NOW - TICK) is CouponState.SCHEDULED
    assert state_of(coupon, NOW) is CouponState.ACTIVE
    assert state_of(coupon, NOW + DAY - TICK) is CouponState.ACTIVE
    assert state_of(coupon, NOW + DAY) is CouponState.EXPIRED


def test_what_an_order_did_counts_before_a_revocation_and_that_before_time():
    assert state_of(held(used_at=NOW, revoked_at=NOW, ends_at=NOW), NOW) is CouponState.USED
    assert state_of(held(revoked_at=NOW, ends_at=NOW), NOW) is CouponState.RESERVED
    assert state_of(Given(revoked_at=NOW, ends_at=NOW), NOW) is CouponState.REVOKED
    assert state_of(Given(revoked_at=NOW, starts_at=NOW + DAY), NOW) is CouponState.REVOKED


def test_an_order_that_was_not_paid_in_time_holds_its_coupon_no_longer():
    coupon = held(reserved_until=NOW)
    assert state_of(coupon, NOW - TICK) is CouponState.RESERVED
    assert state_of(coupon, NOW) is CouponState.ACTIVE
    assert state_of(held(reserved_until=NOW, revoked_at=NOW), NOW) is CouponState.REVOKED


def test_seconds_are_left_while_it_is_active_and_fit_an_int():
    coupon = Given(ends_at=NOW + timedelta(seconds=90, milliseconds=900))
    assert seconds_left(coupon, NOW) == 90
    assert seconds_left(coupon, coupon.ends_at - TICK) == 0
    assert seconds_left(coupon, coupon.ends_at) is None
    assert seconds_left(Given(starts_at=NOW + TICK), NOW) is None
    assert seconds_left(held(), NOW) is None
    assert seconds_left(Given(ends_at=datetime(9998, 1, 1, tzinfo=UTC)), NOW) == 2**31 - 1


def test_a_used_coupon_comes_back_in_date_only_and_a_reserved_one_always():
    assert comes_back(held(used_at=NOW), NOW + DAY - TICK)
    assert not comes_back(held(used_at=NOW), NOW + DAY)
    assert comes_back(held(), NOW + 9 * DAY)


@pytest.mark.parametrize(
    ("coupon", "order_id"),
    [
        (Given(account_id=2), None),
        (held(), None),
        (held(), 8),
        (held(used_at=NOW - DAY), 8),
        (Given(revoked_at=NOW), None),
    ],
)
def test_an_order_cannot_have_what_is_anothers_or_revoked(coupon, order_id):
    with pytest.raises(Refusal) as refused:
        require_free(coupon, 1, order_id, NOW)
    assert refused.value.code is ErrorCode.CONFLICT


@pytest.mark.parametrize(
    ("coupon", "order_id"),
    [
        (Given(), None),
        (Given(ends_at=NOW - DAY, starts_at=NOW - 2 * DAY), 8),
        (Given(revoked_at=NOW + TICK), 8),
        (held(reserved_until=NOW), 8),
        (held(), 7),
        (held(used_at=NOW, revoked_at=NOW - DAY), 7),
    ],
)
def test_an_order_may_have_what_is_free_or_its_own(coupon, order_id):
    require_free(coupon, 1, order_id, NOW)


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({}, "amountOff"),
        ({"amount_off_minor": 1, "percent_off": 1}, "amountOff"),
        ({"amount_off_minor": 0}, "amountOff"),
        ({"percent_off": 0}, "percentOff"),
        ({"percent_off": 101}, "percentOff"),
        ({"amount_off_minor": 1, "maximum_off_minor": 1}, "maximumOff"),
        ({"percent_off": 1, "maximum_off_minor": 0}, "maximumOff"),
        ({"percent_off": 1, "minimum_spend_minor": 0}, "minimumSpend"),
    ],
)
def test_an_offer_is_worth_exactly_one_thing(value, field):
    with pytest.raises(BadUserInput) as refused:
        require_value(Given(**value))
    assert refused.value.field == field


def test_a_window_has_a_length():
    require_window(NOW, NOW + TICK)
    for ends_at in (NOW, NOW - TICK):
        with pytest.raises(BadUserInput):
            require_window(NOW, ends_at)


def test_each_layer_takes_from_what_the_ones_before_it_left():
    store = Given(id=3, issuer=CouponIssuer.STORE, amount_off_minor=1000)
    special = Given(id=2, issuer=CouponIssuer.SPECIAL, percent_off=10)
    platform = Given(id=1, percent_off=50, maximum_off_minor=2000)
    assert discount_minor([platform, special, store], 10_000, "USD") == 1000 + 900 + 2000
    assert discount_minor([platform], 3_333, "USD") == 1_666
    assert discount_minor([], 3_333, "USD") == 0


def test_minimum_spend_counts_what_earlier_layers_left_and_nothing_goes_below_zero():
    store = Given(id=1, issuer=CouponIssuer.STORE, amount_off_minor=1)
    platform = Given(id=2, amount_off_minor=500, minimum_spend_minor=1000)
    assert discount_minor([platform], 1000, "USD") == 500
    assert discount_minor([platform, store], 1000, "USD") == 1
    assert discount_minor([Given(amount_off_minor=5000)], 1000, "USD") == 1000
    assert discount_minor([Given(amount_off_minor=500)], 1000, "RUB") == 0
    assert discount_minor([Given(currency=None, percent_off=10)], 1000, "RUB") == 100
