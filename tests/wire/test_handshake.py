"""What the head of a request says, on values."""

import pytest

from wire.handshake import cookie_value


def sent(*cookies: bytes) -> dict:
    return {"headers": [(b"host", b"shop.example"), *((b"cookie", cookie) for cookie in cookies)]}


@pytest.mark.parametrize(
    ("cookies", "value"),
    [
        ([b"a=b; __Host-sid=own"], "own"),
        ([b"a=b;\t__Host-sid=own \t"], "own"),
        ([b"a=b", b"__Host-sid=own"], "own"),
        ([b"__Host-sid=; __Host-sid=own"], "own"),
        ([b"__host-sid=tossed; sid=tossed; x__Host-sid=tossed"], None),
        *(([space + b"__Host-sid=tossed; __Host-sid=own"], "own") for space in (b"\x85", b"\xa0", b"\x1c", b"\x1f", b"\x0b", b"\x0c")),
        *(([b"__Host-sid" + space + b"=tossed"], None) for space in (b" ", b"\x85", b"\xa0")),
    ],
)
def test_a_cookie_is_read_under_the_name_that_it_has_for_the_browser(cookies: list[bytes], value: str | None) -> None:
    assert cookie_value(sent(*cookies), "__Host-sid") == value
