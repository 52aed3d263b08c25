"""By what names the service is called: a request by another one gets nothing, at whatever address."""

import re
from pathlib import Path

import pytest
from starlette.routing import Route

from server import application
from settings import read_settings
from tests.shop import Shop, open_shop
from wire.hosts import Hosts

BY_LINKS = {"/activate", "/reset-password", "/confirm-email", "/second-factor", "/export"}
IN_THE_DEMO = {"/", "/graphiql/assets/{name}", "/dev/mailbox", "/dev/mailbox.json", "/dev/mailbox.css", "/dev/mailbox/{number:int}"}
HEALTH = {"/health/live", "/health/ready"}
NOWHERE = "/nowhere"


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


def addresses(shop: Shop) -> dict[str, str]:
    """Every address that is answered, as it is routed and as it may be asked for, and some that are not."""
    paths = {route.path for route in application(shop.service, lifespan=False).routes if isinstance(route, Route)}
    filled = {path: re.sub(r"{\w+(:int)?}", lambda found: "1" if found[1] else "google", path) for path in paths}
    return filled | {path: path for path in (NOWHERE, "/activate/", "/health/live/")}


async def is_refused(shop: Shop, method: str, path: str, host: str) -> bool:
    """Whether the request is refused for its Host, and nothing of what is there is told."""
    answer = await shop.http.request(method, path, headers={"host": host, "accept": "application/json"})
    if answer.status_code != 400 or "location" in answer.headers or "set-cookie" in answer.headers:
        return False
    assert answer.headers["cache-control"] == "no-store" and answer.headers["x-content-type-options"] == "nosniff"
    return method == "HEAD" or answer.json()["errors"][0]["extensions"]["code"] == "BAD_REQUEST"


@pytest.mark.parametrize("settings, own", [
    ({"mode": "demo", "allowed_hosts": "127.0.0.1"}, BY_LINKS | IN_THE_DEMO),
    ({"mode": "development", "allowed_hosts": "127.0.0.1"}, BY_LINKS),
    ({"mode": "production", "google_client_id": "g", "google_client_secret": "s", "secret_key": "s" * 32}, BY_LINKS),
])  # fmt: skip
async def test_no_address_but_health_answers_a_request_by_another_name(tmp_path: Path, settings: dict, own: set[str]) -> None:
    async with open_shop("sqlite", tmp_path, **settings) as shop:
        asked = addresses(shop)
        assert own | HEALTH | {"/graphql", "/account/page.js", "/auth/{provider}/login", "/auth/{provider}/callback"} <= asked.keys()
        for method in ("GET", "HEAD", "POST"):
            answered = {route for route, path in asked.items() if not await is_refused(shop, method, path, "evil.example")}
            assert answered == HEALTH, method
        for route in own:
            assert (await shop.http.get(asked[route])).status_code != 400, route
        assert (await shop.http.get(NOWHERE)).status_code == 404


async def test_a_browser_is_told_so_on_a_page(tmp_path: Path) -> None:
    async with open_shop("sqlite", tmp_path, mode="production", public_url="https://shop.example") as shop:
        answer = await shop.http.get("/activate?token=secret", headers={"accept": "text/html", "accept-language": "ru"})
        assert answer.status_code == 400 and "BAD_REQUEST" in answer.text and '<html lang="ru">' in answer.text
        assert "secret" not in answer.text and "127.0.0.1" not in answer.text
        assert (await shop.http.get("/activate", headers={"host": "shop.example"})).status_code == 200
