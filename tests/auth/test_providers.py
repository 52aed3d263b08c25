"""What a provider answers, when it is not what it should be: forged tokens, broken and huge answers, silence."""

import asyncio
import gzip
import hashlib
import hmac
import json
import logging
import socket
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio
from authlib.deprecate import AuthlibDeprecationWarning, deprecate
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from auth.providers import outbound
from auth.providers.configured import DEMO_CLIENT
from delivery.logs import write_logs
from settings import WrongSetting, read_settings
from tests.delivery.test_bus import until
from tests.providers import Browser, Idp, code_of, counted, state_of
from tests.shop import Shop, open_shop

KEY, OTHER = (RSAKey.generate_key(2048, {"kid": kid}, auto_kid=False) for kid in ("mine", "other"))
ACCESS = "an-access-token"
TOKEN_OF = {"google": "/google/token", "vk": "/vk/oauth2/auth", "ok": "/ok/oauth/token.do", "mailru": "/mailru/token"}
PROFILE_OF = {"vk": "/vk/oauth2/user_info", "ok": "/ok/fb.do", "mailru": "/mailru/userinfo"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def provided(idp: Idp, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    """On SQLite alone: what is tried here does not come as far as a table."""
    async with open_shop("sqlite", tmp_path_factory.mktemp("shop"), demo_idp_url=idp.url) as opened:
        yield opened


async def come_back(browser: Browser, idp: Idp, provider: str) -> tuple[int, str | None]:
    """Sign in; the callback's status and code. Nobody is signed in unless it is 303."""
    faults, idp.faults = idp.faults, {}
    callback = await browser.choose(await browser.start(provider), "nina")
    idp.faults = faults
    before = await counted()
    answer = await browser.get(callback)
    if answer.status_code == 303:
        return 303, None
    assert not answer.headers.get_list("set-cookie")
    assert await counted() == before
    if answer.status_code == 503:
        assert answer.headers["retry-after"] == "30"
    return answer.status_code, code_of(answer)


# ---------------------------------------------------------------- id tokens


def encoded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")


def half_hash(text: str) -> str:
    return encoded(hashlib.sha256(text.encode()).digest()[:16])


def claims(idp: Idp, nonce: str) -> dict[str, Any]:
    at = int(time.time())
    return {
        "iss": f"{idp.url}/google", "aud": DEMO_CLIENT, "azp": DEMO_CLIENT, "sub": "1234567890", "name": "Ада", "nonce": nonce,
        "iat": at, "exp": at + 3600, "at_hash": half_hash(ACCESS), "email": "ada@gmail.com", "email_verified": True,
    }  # fmt: skip


def signed(said: dict[str, Any], key: Any = KEY, alg: str = "RS256") -> str:
    return jwt.encode({"alg": alg, "kid": "mine"}, said, key, algorithms=[alg])


def unsigned(said: dict[str, Any]) -> str:
    head, body = (encoded(json.dumps(part).encode()) for part in ({"alg": "none"}, said))
    return f"{head}.{body}."


def by_public_key(said: dict[str, Any]) -> str:
    """HS256 with what everybody knows as the secret."""
    head, body = (encoded(json.dumps(part).encode()) for part in ({"alg": "HS256", "kid": "mine"}, said))
    return f"{head}.{body}.{encoded(hmac.digest(KEY.as_pem(private=False), f'{head}.{body}'.encode(), 'sha256'))}"


def without(name: str) -> Callable[[dict[str, Any]], str]:
    return lambda said: signed({key: value for key, value in said.items() if key != name})


def with_(**other: Any) -> Callable[[dict[str, Any]], str]:
    return lambda said: signed(said | other)


FORGED: dict[str, Callable[[dict[str, Any]], str]] = {
    "another nonce": with_(nonce="x"),
    "no nonce": without("nonce"),
    "another issuer": with_(iss="https://evil.example"),
    "no issuer": without("iss"),
    "another audience": with_(aud="somebody-else"),
    "no audience": without("aud"),
    "an audience among others without azp": lambda said: without("azp")(said | {"aud": [DEMO_CLIENT, "somebody-else"]}),
    "another azp": with_(azp="somebody-else"),
    "expired": lambda said: signed(said | {"exp": int(time.time()) - 60}),
    "no end": without("exp"),
    "an end that is no number": with_(exp="tomorrow"),
    "not yet": lambda said: signed(said | {"nbf": int(time.time()) + 600}),
    "another access token's hash": with_(at_hash=half_hash("another")),
    "no signature": unsigned,
    "signed with the public key": by_public_key,
    "signed with another key": lambda said: signed(said, OTHER),
    "changed afterwards": lambda said: ".".join([signed(said).split(".")[0], signed(said | {"sub": "2"}).split(".")[1], signed(said).split(".")[2]]),
    "no token": lambda said: "nonsense",
}


async def with_id_token(browser: Browser, idp: Idp, make: Callable[[dict[str, Any]], str]) -> tuple[int, str | None]:
    """What comes of a sign-in for which Google gives the id token made of the right claims."""
    url = await browser.start("google")
    nonce = parse_qs(urlsplit(url).query)["nonce"][0]
    answer = {"access_token": ACCESS, "token_type": "Bearer", "expires_in": 3599, "id_token": make(claims(idp, nonce))}
    idp.answers(TOKEN_OF["google"], json.dumps(answer))
    before = await counted()
    back = await browser.get(f"/auth/google/callback?code=c&state={state_of(url)}&iss={idp.url}/google")
    if back.status_code != 303:
        assert not back.headers.get_list("set-cookie") and await counted() == before
    return back.status_code, None if back.status_code == 303 else code_of(back)


@pytest.mark.parametrize("forged", FORGED)
async def test_an_id_token_that_does_not_fit_signs_nobody_in(browser: Browser, idp: Idp, forged: str) -> None:
    idp.answers("/google/oauth2/v3/certs", json.dumps({"keys": [KEY.as_dict(private=False)]}))
    assert await with_id_token(browser, idp, FORGED[forged]) == (400, "OAUTH_STATE_INVALID")
    assert await with_id_token(browser, idp, signed) == (303, None)  # the same with the right one


@pytest.mark.parametrize(
    "right", [without("at_hash"), without("azp"), with_(aud=[DEMO_CLIENT]), lambda said: signed(said | {"exp": int(time.time()) - 5})],
    ids=["without at_hash", "without azp", "a list of one", "five seconds late"],
)  # fmt: skip
async def test_an_id_token_within_the_standard_does(browser: Browser, idp: Idp, right: Callable[[dict[str, Any]], str]) -> None:
    idp.answers("/google/oauth2/v3/certs", json.dumps({"keys": [KEY.as_dict(private=False)]}))
    assert await with_id_token(browser, idp, right) == (303, None)


async def test_new_keys_of_google_are_fetched_when_they_are_met(browser: Browser, idp: Idp) -> None:
    await browser.sign_in("google", "nina")  # the keys are known from now on
    idp.answers("/google/oauth2/v3/certs", json.dumps({"keys": [KEY.as_dict(private=False)]}))
    idp.asked.clear()
    assert await with_id_token(browser, idp, signed) == (303, None)
    assert await with_id_token(browser, idp, signed) == (303, None)
    assert idp.asked.count("/google/oauth2/v3/certs") == 1
    assert idp.asked.count("/google/.well-known/openid-configuration") == 0  # read an hour ago at most


# ---------------------------------------------------------------- answers

BROKEN: dict[str, tuple[bytes, int, dict[str, str]]] = {
    "empty": (b"", 200, {}),
    "html": (b"<html>evil</html>", 200, {"content_type": "text/html"}),
    "a list": (b"[]", 200, {}),
    "null": (b"null", 200, {}),
    "nothing in it": (b"{}", 200, {}),
    "cut off": (b'{"access_token": "a', 200, {}),
    "other types": (b'{"access_token": ["a"], "expires_in": {}, "user": 1, "uid": [], "id": {}}', 200, {}),
    "endless time": (b'{"access_token": "a", "expires_in": 1e999}', 200, {}),
    "not utf-8": (b'{"access_token": "\xff\xfe"}', 200, {}),
    "nested": (b"[" * 200_000, 200, {}),
    "huge": (b'{"a": "' + b"a" * outbound.LARGEST_ANSWER + b'"}', 200, {}),
    "compressed": (gzip.compress(b'{"a": "' + b"a" * 10_000_000 + b'"}'), 200, {"content_encoding": "gzip"}),
    "away": (b'{"error": "temporarily_unavailable"}', 503, {}),
    "its fault": (b"oops", 500, {}),
    "a redirect": (b"", 302, {"location": "http://127.0.0.1:1/evil"}),
    "a proxy's page": (b"<html>", 429, {"content_type": "text/html"}),
    "our fault": (b'{"error": "invalid_client", "error_description": "evil"}', 401, {}),
}


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("provider", TOKEN_OF)
async def test_a_broken_token_answer_is_503(browser: Browser, idp: Idp, provider: str, broken: str) -> None:
    body, status, headers = BROKEN[broken]
    idp.answers(TOKEN_OF[provider], body, status, **headers)
    assert await come_back(browser, idp, provider) == (503, "UPSTREAM_UNAVAILABLE")


@pytest.mark.parametrize("broken", [name for name in BROKEN if name != "endless time"])
@pytest.mark.parametrize("provider", PROFILE_OF)
async def test_a_broken_profile_is_503(browser: Browser, idp: Idp, provider: str, broken: str) -> None:
    body, status, headers = BROKEN[broken]
    idp.answers(PROFILE_OF[provider], body, status, **headers)
    assert await come_back(browser, idp, provider) == (503, "UPSTREAM_UNAVAILABLE")


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("path", ["/google/.well-known/openid-configuration", "/google/oauth2/v3/certs"])
async def test_broken_papers_of_google_are_503(browser: Browser, idp: Idp, path: str, broken: str) -> None:
    body, status, headers = BROKEN[broken]
    idp.answers(path, body, status, **headers)
    if path.endswith("certs"):
        assert await come_back(browser, idp, "google") == (503, "UPSTREAM_UNAVAILABLE")
    else:
        answer = await browser.get("/auth/google/login")
        assert answer.status_code == 503 and code_of(answer) == "UPSTREAM_UNAVAILABLE"


@pytest.mark.parametrize(
    "other", [{"issuer": "https://evil.example"}, {"token_endpoint": "file:///etc/passwd"}, {"jwks_uri": None}, {"authorization_endpoint": "javascript:1"}]
)
async def test_papers_of_another_issuer_are_not_believed(browser: Browser, idp: Idp, other: dict[str, Any]) -> None:
    papers = {
        "issuer": f"{idp.url}/google", "authorization_endpoint": f"{idp.url}/google/o/oauth2/v2/auth",
        "token_endpoint": f"{idp.url}/google/token", "jwks_uri": f"{idp.url}/google/oauth2/v3/certs",
    }  # fmt: skip
    idp.answers("/google/.well-known/openid-configuration", json.dumps(papers | other))
    assert (await browser.get("/auth/google/login")).status_code == 503
    idp.answers("/google/.well-known/openid-configuration", json.dumps(papers))
    assert (await browser.get("/auth/google/login")).status_code == 303


@pytest.mark.parametrize(
    ("provider", "path", "answer"),
    [
        ("vk", TOKEN_OF["vk"], {"access_token": "a", "user_id": 1, "state": "another"}),
        ("vk", PROFILE_OF["vk"], {"user": {"user_id": "1", "first_name": "Ева"}}),
        ("mailru", PROFILE_OF["mailru"], {"id": "1", "client_id": "another application", "name": "Ева"}),
        ("google", TOKEN_OF["google"], {"error": "invalid_grant", "error_description": "evil"}),
    ],
)
async def test_what_was_made_for_somebody_else_signs_nobody_in(browser: Browser, idp: Idp, provider: str, path: str, answer: dict) -> None:
    idp.answers(path, json.dumps(answer))
    assert await come_back(browser, idp, provider) == (400, "OAUTH_STATE_INVALID")


async def test_a_name_is_shown_without_what_cannot_be_shown(browser: Browser, idp: Idp) -> None:
    for name, shown in (("  Ада\u0000\n\u202e Лав\ud800лейс ", "Ада Лавлейс"), ("я" * 5000, "я" * 200), ("\u0000", "Odnoklassniki")):
        idp.answers(PROFILE_OF["ok"], json.dumps({"uid": f"7{len(shown)}", "name": name, "email": "no address"}))
        assert await come_back(browser, idp, "ok") == (303, None)
        assert (await browser.me() or {})["displayName"] == shown


# ---------------------------------------------------------------- silence


async def silence(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.sleep(60)


async def a_byte_now_and_then(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(600):
        await send({"type": "http.response.body", "body": b" ", "more_body": True})
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("slow", [silence, a_byte_now_and_then])
async def test_a_slow_provider_is_given_up_and_the_shop_goes_on(
    browser: Browser, idp: Idp, provided: Shop, slow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbound, "TOTAL_SECONDS", 1.0)
    idp.faults[TOKEN_OF["ok"]] = slow
    waiting = asyncio.create_task(come_back(browser, idp, "ok"))
    began = time.monotonic()
    while not waiting.done():
        await provided.nobody.data("{ serverTime }")
        await asyncio.sleep(0.05)
    assert await waiting == (503, "UPSTREAM_UNAVAILABLE")
    assert time.monotonic() - began < 9


async def test_everything_together_takes_ten_seconds_at_most(browser: Browser, idp: Idp, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two calls that are slow one after the other have no more time than one; tried with a tenth of it."""
    assert outbound.TOTAL_SECONDS == 10
    monkeypatch.setattr(outbound, "TOTAL_SECONDS", 1.0)

    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.7)
        await idp.app(scope, receive, send)

    idp.faults |= {TOKEN_OF["vk"]: late, PROFILE_OF["vk"]: late}
    assert await come_back(browser, idp, "vk") == (503, "UPSTREAM_UNAVAILABLE")
    assert PROFILE_OF["vk"] in idp.asked[-1:]


async def test_a_provider_that_is_not_there_is_503_at_once(browser: Browser, provided: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setattr(provided.service.providers["google"], "issuer", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        answer = await browser.get("/auth/google/login", accept="text/html", accept_language="ru")
    assert answer.status_code == 503 and answer.headers["retry-after"] == "30"
    assert "UPSTREAM_UNAVAILABLE" in answer.text and "Нужный сервис недоступен." in answer.text
    assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


async def test_more_than_fifty_waiting_for_providers_are_too_many(browser: Browser, idp: Idp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound, "MOST_AT_ONCE", 3)
    over = asyncio.Event()

    async def until_it_is_over(scope: Scope, receive: Receive, send: Send) -> None:
        await over.wait()
        await Response(status_code=500)(scope, receive, send)

    idp.faults["/google/.well-known/openid-configuration"] = until_it_is_over
    asking = [asyncio.create_task(browser.get("/auth/google/login")) for _ in range(5)]
    await until(lambda: sum(task.done() for task in asking) == 2)
    over.set()
    answers = await asyncio.gather(*asking)
    assert sorted(code_of(answer) for answer in answers) == ["OVERLOADED"] * 2 + ["UPSTREAM_UNAVAILABLE"] * 3


# ---------------------------------------------------------------- what is told of it


async def test_nothing_secret_of_a_sign_in_is_logged(browser: Browser, provided: Shop, capfd: pytest.CaptureFixture[str]) -> None:
    root, handlers, level = logging.getLogger(), logging.getLogger().handlers[:], logging.getLogger().level
    write_logs(readable=False)
    try:
        for provider in TOKEN_OF:
            callback = await browser.choose(await browser.start(provider), "nina")
            await browser.get(callback)
            await browser.get(callback)
            logged = capfd.readouterr().err
            assert "access_token" not in logged and "code" not in logged and state_of(callback) not in logged
        logging.getLogger("kabinet").info("control")
        assert "control" in capfd.readouterr().err
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def test_a_deprecated_call_of_authlib_fails_the_tests() -> None:
    with pytest.raises(AuthlibDeprecationWarning):
        deprecate("anything")


@pytest.mark.parametrize(
    "given",
    [
        {"google_client_id": "x"}, {"ok_client_id": "x", "ok_client_secret": "y"}, {"ok_client_id": "x", "ok_application_key": "y"},
        {"mailru_client_id": "x"}, {"mode": "production", "vk_client_id": "x", "vk_url": "http://id.vk.com"},
    ],
)  # fmt: skip
def test_half_a_provider_is_refused_at_the_start(given: dict[str, str]) -> None:
    with pytest.raises(WrongSetting, match=r"missing|https"):
        read_settings(**given)
