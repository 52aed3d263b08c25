import pytest

from settings import read_settings
from wire.hosts import Hosts


@pytest.mark.parametrize(
    "settings, known, unknown",
    [
        ({"mode": "production", "public_url": "https://shop.example"}, ["shop.example", "Shop.Example:443"], ["shop.example:80", "x"]),
        ({"mode": "production", "public_url": "http://[::1]:8000"}, ["[::1]:8000"], ["[::1]", "localhost:8000", "::1"]),
        ({"mode": "production", "port": 8123}, ["127.0.0.1:8123"], ["localhost:8123", "127.0.0.1"]),
        ({"mode": "production", "allowed_hosts": "a.example, b.example:81"}, ["a.example:9", "b.example:81"], ["b.example"]),
        ({"mode": "demo"}, ["anything", "127.0.0.1:1"], [""]),
        ({"mode": "demo", "allowed_hosts": "localhost"}, ["localhost:8000"], ["evil.example"]),
    ],
)
def test_hosts(settings: dict, known: list[str], unknown: list[str]):
    hosts = Hosts(read_settings(**settings))
    assert all(hosts.is_known(name.encode()) for name in known)
    assert not any(hosts.is_known(name.encode()) for name in unknown)
    assert not hosts.is_known(None)
