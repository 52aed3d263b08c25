"""The count over the shop's year, on small years written out by hand."""

from datetime import UTC, datetime

import pytest

from bench import retail_count
from bench.retail_count import Alert, Point

HEAD = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"


@pytest.fixture
def year_of(tmp_path):
    def count(*lines: str) -> retail_count.Year:
        path = tmp_path / "year.csv"
        path.write_text("\r\n".join((HEAD, *lines, "")), encoding="utf-8")
        return retail_count.count(retail_count.read(str(path)))

    return count


def day(number: int, hour: int = 0) -> datetime:
    return datetime(2011, 1, number, hour, tzinfo=UTC)


def test_the_worked_case_of_the_rules_holds():
    retail_count.self_test()


def test_a_drop_24_hours_to_the_second_after_the_last_alert_can_arm_and_fire_at_once():
    points = [Point(day(1), 1000), Point(day(2), 900), Point(day(3), 800)]
    assert retail_count.any_drop(points, day(1)) == [Alert(day(2), 1000, 900), Alert(day(3), 900, 800)]


def test_a_drop_of_less_than_a_percent_does_not_arm():
    points = [Point(day(1), 1000), Point(day(2), 900), Point(day(4), 892)]
    assert retail_count.any_drop(points, day(1)) == [Alert(day(2), 1000, 900)]


def test_points_before_the_favourite_count_as_the_point_before_and_alert_nobody():
    points = [Point(day(1), 1000), Point(day(2), 900), Point(day(3), 800)]
    assert retail_count.any_drop(points, day(3)) == [Alert(day(3), 900, 800)]


def test_the_first_point_of_a_product_alerts_nobody():
    assert retail_count.any_drop([Point(day(2), 100)], day(1)) == []


def test_a_second_price_in_one_minute_is_refused_and_the_first_stands(year_of):
    year = year_of(
        "1,22804,CANDLE,1,2011-01-31 09:09:00,2.95,17850,United Kingdom",
        "2,22804,CANDLE,1,2011-01-31 09:09:00,3.29,17850,United Kingdom",
        "3,22804,CANDLE,1,2011-02-01 09:09:00,3.29,17850,United Kingdom",
    )
    assert [point.pence for point in year.points["22804"]] == [295, 329]
    assert year.refused == {retail_count.TWO_PRICES: 1}
    assert len(year.orders) == 3


def test_a_line_without_a_customer_is_no_order_and_still_a_price(year_of):
    year = year_of(
        "1,22804,CANDLE,1,2011-01-30 09:00:00,2.95,17850,United Kingdom",
        "2,22804,CANDLE,1,2011-01-31 09:00:00,1.95,,United Kingdom",
    )
    assert retail_count.totals(year) == {
        "buyers": 1, "products": 1, "favorites": 1, "pricePoints": 2,
        "orders": 1, "cancelledOrders": 0, "orderItems": 1, "alerts": 1,
    }  # fmt: skip
    assert year.refused == {retail_count.NO_CUSTOMER: 1}


def test_each_refused_line_is_counted_under_every_reason_that_holds(year_of):
    year = year_of(
        "1,POST,POSTAGE,1,2011-01-30 09:00:00,18.00,12583,France",
        "1,PADS,PADS,1,2011-01-30 09:00:00,0.001,12583,France",
        "2,22804,,-5,2011-01-31 09:00:00,0,,United Kingdom",
        "3,22804,CANDLE,1,2011-02-01 09:00:00,2.95,12363,Unspecified",
    )
    assert year.refused == {
        retail_count.NO_PRODUCT: 2,
        retail_count.THREE_DECIMALS: 1,
        retail_count.NO_CUSTOMER: 1,
        retail_count.ZERO_PRICE: 1,
        retail_count.WRONG_SIGN: 1,
        retail_count.NO_COUNTRY: 1,
    }
    assert year.orders == {}
    assert year.regions == {"12583": "FR"}


def test_a_cancellation_is_an_order_of_its_own_and_no_favourite(year_of):
    year = year_of("C1,85123a,HEART,-2,2011-01-30 09:00:00,2.95,17850,EIRE")
    (order,) = year.orders.values()
    assert order.cancelled
    assert order.items == [("85123A", 2, 295)]
    assert year.favorites == []


def test_favourites_are_the_first_three_products_from_midnight_of_the_first_order(year_of):
    year = year_of(
        "1,10001,A,1,2011-01-30 09:00:00,1.00,17850,United Kingdom",
        "1,10001,A,2,2011-01-30 09:00:00,1.00,17850,United Kingdom",
        "2,10002,B,1,2011-02-01 09:00:00,1.00,17850,United Kingdom",
        "3,10003,C,1,2011-02-02 09:00:00,1.00,17850,United Kingdom",
        "4,10004,D,1,2011-02-03 09:00:00,1.00,17850,United Kingdom",
    )
    assert [(f.product, f.added_at) for f in year.favorites] == [
        ("10001", day(30)), ("10002", day(30)), ("10003", day(30)),
    ]  # fmt: skip
