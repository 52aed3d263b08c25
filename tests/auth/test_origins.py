"""The origin rule: exact, and wider only where nobody's cookies are at stake."""

import pytest

from auth.origins import origin_allowed, origin_of
from settings import read_settings

PRODUCTION = read_settings(mode="production", public_url="https://shop.example", allowed_origins="https://app.example,http://app.example:81")
DEVELOPMENT = read_settings(mode="development", public_url="", port=8123)
DEMO = read_settings(mode="demo", port=8123)


@pytest.mark.parametrize("origin", ["https://shop.example", "https://app.example", "http://app.example:81"])
def test_production_knows_its_own_and_the_listed(origin):
    assert origin_allowed(origin, "shop.example", PRODUCTION)


@pytest.mark.parametrize(
    "origin",
    [None, "", "null", "http://shop.example", "https://shop.example:444", "https://shop.example.evil", "https://shop.example/", "https://evil-shop.example",
     "https://SHOP.example", "https://shop.example\n", "http://localhost:3000", "http://10.0.0.1", "https://app.example:81"],
)  # fmt: skip
def test_production_refuses_everything_else(origin):
    assert not origin_allowed(origin, "10.0.0.1", PRODUCTION)


def test_development_also_takes_the_page_of_the_host_that_was_asked():
    assert origin_allowed("http://127.0.0.1:8123", "", DEVELOPMENT)
    assert origin_allowed("https://dev.example:99", "dev.example:99", DEVELOPMENT)
    assert not origin_allowed("http://localhost:3000", "dev.example:99", DEVELOPMENT)
    assert not origin_allowed("http://", "", DEVELOPMENT)


@pytest.mark.parametrize("origin", ["http://localhost:3000", "https://127.0.0.1:1", "http://[::1]:5173", "http://localhost"])
def test_the_demo_takes_pages_of_this_machine(origin):
    assert origin_allowed(origin, "", DEMO)


@pytest.mark.parametrize("origin", ["http://localhost.evil:3000", "http://evil/localhost", "null", "http://127.0.0.1.evil", "file://localhost"])
def test_the_demo_refuses_what_only_looks_like_this_machine(origin):
    assert not origin_allowed(origin, "", DEMO)


def test_a_url_is_written_as_browsers_write_origins():
    assert origin_of("https://Shop.Example:443/graphql") == "https://shop.example"
    assert origin_of("http://[::1]:8000") == "http://[::1]:8000"
