"""A cut of the shop's year, fed through the staff half of a real server and compared with the count over it."""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bench import retail, retail_check, retail_rows

CUT = str(Path(__file__).with_name("year.csv"))  # see year.md
HEAD = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"


class Told(NamedTuple):
    """What two feedings of one database said, and where that database is."""

    first: retail.Fed
    again: retail.Fed
    database_url: str
    year: dict[str, Any]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    database_url = f"sqlite:///{tmp_path_factory.mktemp('retail')}/retail.db"
    lines = retail_rows.read(CUT)
    with retail.own_server(database_url) as (url, token):
        first = retail.feed(url, token, lines)
        again = retail.feed(url, token, lines)
        retail.wait_for_alerts(database_url)
    yield Told(first, again, database_url, retail_check.counted(CUT))


@pytest.fixture
def lines_of(tmp_path):
    def read(*lines: str) -> list[retail_rows.Line]:
        path = tmp_path / "year.csv"
        path.write_text("\n".join((HEAD, *lines, "")), encoding="utf-8")
        return retail_rows.read(str(path))

    return read


def test_the_database_holds_the_year_to_the_last_row_with_none_missing_and_none_twice(told: Told):
    compared = retail_check.differences(told.database_url, told.year)
    assert {name: (missing, beyond) for name, (_, missing, beyond) in compared.items()} == {
        name: (Counter(), Counter()) for name in retail_check.QUERIES
    }
    totals = told.year["totals"]
    counted = {name: total for name, (total, _, _) in compared.items() if name in totals}
    assert counted == {name: n for name, n in totals.items() if name != "cancelledOrders"}
    assert min(totals.values()) > 0


def test_the_server_refuses_what_the_count_does_and_nothing_else(told: Told):
    assert told.first.surprises == []
    assert told.first.refused_lines() == told.year["refused"]
    assert set(told.year["refused"]) == {
        retail_rows.NO_CUSTOMER, retail_rows.NO_COUNTRY, retail_rows.NO_PRODUCT, retail_rows.ZERO_PRICE,
        retail_rows.THREE_DECIMALS, retail_rows.WRONG_SIGN, retail_rows.TWO_PRICES,
    }  # fmt: skip


def test_the_same_year_once_more_changes_nothing(told: Told):
    refused = {call: statuses["REFUSED"] for call, statuses in told.first.statuses.items()}
    assert told.again.surprises == []
    assert {call: set(statuses) - {"REFUSED"} for call, statuses in told.again.statuses.items()} == {
        call: {"UNCHANGED"} for call in told.first.statuses
    }
    assert {call: statuses["REFUSED"] for call, statuses in told.again.statuses.items()} == refused


def test_the_comparison_finds_what_is_missing_and_what_is_there_twice(told: Told, tmp_path):
    spoilt = tmp_path / "spoilt.db"
    with closing(sqlite3.connect(told.database_url.removeprefix("sqlite:///"))) as whole, closing(sqlite3.connect(spoilt)) as copy:
        whole.backup(copy)
        copy.execute("DELETE FROM price_drop WHERE id = (SELECT min(id) FROM price_drop)")
        copy.execute(
            "INSERT INTO order_item (order_id, product_id, title, title_folded, quantity, price_minor, currency) "
            "SELECT order_id, product_id, title, title_folded, quantity, price_minor, currency FROM order_item LIMIT 1"
        )
        copy.commit()
    compared = retail_check.differences(f"sqlite:///{spoilt}", told.year)
    wrong = {name: (missing.total(), beyond.total()) for name, (_, missing, beyond) in compared.items() if missing or beyond}
    assert wrong == {"alerts": (1, 0), "orderItems": (0, 1)}
    assert not retail_check.report(compared, lambda text: None)


def test_no_call_has_more_than_500_rows_or_one_of_them_twice():
    lines = retail_rows.read(CUT)
    rows = [*retail_rows.shop_rows(lines), *retail_rows.year_rows(lines)]
    calls = list(retail_rows.calls(rows))
    assert Counter(id(row) for call in calls for row in call) == Counter(id(row) for row in rows)
    for call in calls:
        assert len({row.call for row in call}) == 1
        assert len(call) <= retail_rows.MOST_ROWS
        if call[0].call == "setPrices":
            assert len({(row.values["externalId"], row.values["at"]) for row in call}) == len(call)


def test_a_full_call_takes_along_what_else_has_gathered_with_prices_first():
    orders = [retail_rows.Row("putOrders", {"externalId": str(n)}, (n,)) for n in range(3)]
    prices = [retail_rows.Row("setPrices", {"externalId": str(n), "at": "now"}, (n,)) for n in range(501)]
    calls = list(retail_rows.calls([*orders, *prices]))
    assert [(call[0].call, len(call)) for call in calls] == [("setPrices", 500), ("putOrders", 3), ("setPrices", 1)]


def test_two_prices_of_one_minute_go_in_two_calls_so_that_the_second_contradicts_the_first(lines_of):
    lines = lines_of(
        "1,22804,CANDLE,1,2011-01-30 09:09:00,2.95,17850,United Kingdom",
        "2,22804,CANDLE,1,2011-01-31 09:09:00,3.95,17850,United Kingdom",
        "3,22804,CANDLE,1,2011-01-31 09:09:00,3.29,17850,United Kingdom",
    )
    prices = [call for call in retail_rows.calls(retail_rows.year_rows(lines)) if call[0].call == "setPrices"]
    assert [[(row.values["amount"], row.reasons) for row in call] for call in prices] == [
        [("3.95", frozenset())], [("3.29", frozenset({retail_rows.TWO_PRICES}))],
    ]  # fmt: skip


def test_a_spoilt_line_goes_in_a_row_of_its_own_and_leaves_the_order_standing(lines_of):
    lines = lines_of(
        "1,22804,CANDLE,2,2011-01-30 09:00:00,2.95,12583,France",
        "1,POST,POSTAGE,1,2011-01-30 09:00:00,18.00,12583,France",
    )
    whole, spoilt = (row for row in retail_rows.year_rows(lines) if row.call == "putOrders")
    at = "2011-01-30T09:00:00Z"
    assert whole == (
        "putOrders",
        {
            "externalId": "1", "accountExternalId": "12583", "storeExternalId": retail_rows.STORE, "currency": "GBP",
            "placedAt": at, "paidAt": at, "shippedAt": at, "deliveredAt": at, "completedAt": at,
            "items": [{"productExternalId": "22804", "title": "CANDLE", "quantity": 2, "amount": "2.95"}],
        },
        (1,),
        frozenset(),
    )  # fmt: skip
    assert (spoilt.values["externalId"], spoilt.lines, spoilt.reasons) == ("1/2", (2,), {retail_rows.NO_PRODUCT})


def test_a_cancellation_is_told_as_an_order_that_was_cancelled_at_once(lines_of):
    (row,) = retail_rows.year_rows(lines_of("C1,85123a,HEART,-2,2011-01-30 09:00:00,2.95,17850,EIRE"))
    assert row.values["cancelledAt"] == row.values["placedAt"] == "2011-01-30T09:00:00Z"
    assert "paidAt" not in row.values
    assert row.values["items"] == [{"productExternalId": "85123A", "title": "HEART", "quantity": 2, "amount": "2.95"}]


def test_what_is_no_country_is_sent_as_it_stands_and_a_later_country_counts(lines_of):
    lines = lines_of(
        "1,22804,CANDLE,1,2011-01-30 09:00:00,2.95,12363,Unspecified",
        "2,22804,CANDLE,1,2011-01-30 09:00:00,2.95,12364,Unspecified",
        "3,22804,CANDLE,1,2011-01-31 09:00:00,2.95,12364,EIRE",
    )
    buyers = {row.values["externalId"]: row for row in retail_rows.shop_rows(lines) if row.call == "putAccounts"}
    assert (buyers["12363"].values["region"], buyers["12363"].reasons) == ("Unspecified", {retail_rows.NO_COUNTRY})
    assert (buyers["12364"].values["region"], buyers["12364"].reasons) == ("IE", frozenset())
