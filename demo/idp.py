"""Four identity providers of the demo, in one small server: Google's, VK ID's, Odnoklassniki's and Mail.ru's own shapes.

Authlib's server classes decide (demo/idp_server.py); here are a page on which one chooses who to be, and what each provider does
its own way. Nobody is asked for a password.
"""

import html
import json
import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from authlib.common.urls import add_params_to_uri
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc7636 import CodeChallenge
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from auth.providers.configured import DEMO_CLIENT, DEMO_KEY, DEMO_SECRET
from auth.providers.ok import signature
from demo.idp_server import CODE_SECONDS, PEOPLE, Asked, IdToken, Person, Server, new_token

HERE = {"127.0.0.1", "localhost", "::1"}

Reshape = Callable[[Request, dict[str, str], Server], dict[str, str]]


def authorize(server: Server, title: str, more: Reshape | None = None) -> Callable[[Request], Any]:
    """The page on which one chooses who to be; `more` is what the provider adds to what the browser takes back."""

    async def answer(request: Request) -> Response:
        query = dict(request.query_params)
        chosen = (await _form(request)).get("person") if request.method == "POST" else None
        asked = Asked(request, {}, query)
        person = next((person for person in PEOPLE if person.key == chosen), None)
        try:
            grant = server.get_consent_grant(asked, person)
        except OAuth2Error as error:
            return server.handle_error_response(asked, error)
        if request.method == "GET":
            return HTMLResponse(page(title))
        response = server.create_authorization_response(asked, grant_user=person, grant=grant)
        location = response.headers.get("location", "")
        answered = dict(parse_qsl(urlsplit(location).query))
        if more is not None and "code" in answered:
            response.headers["location"] = add_params_to_uri(location, list(more(request, answered, server).items()))
        return response

    return answer


def token(server: Server, more: Callable[[dict[str, str], dict[str, Any], Person], None] | None = None) -> Callable[[Request], Any]:
    """The token endpoint; `more` changes the answer to the provider's own shape."""

    async def answer(request: Request) -> Response:
        form = await _form(request)
        code = server.codes.get(form.get("code", ""))
        if code is not None and server.client.provider == "vk" and form.get("device_id") != code.device_id:
            return JSONResponse({"error": "invalid_request", "error_description": "device_id is not valid"}, 400)
        response = server.create_token_response(Asked(request, form, {}))
        if response.status_code != 200 or more is None or code is None:
            return response
        body = json.loads(response.body)
        more(form, body, code.person)
        return JSONResponse(body)

    return answer


async def _form(request: Request) -> dict[str, str]:
    return dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))


def page(title: str) -> str:
    """One button a person, and one to refuse."""
    buttons = "\n".join(
        f'<p><button name="person" value="{person.key}">{html.escape(person.name)}<br><small>{html.escape(_about(person))}</small></button></p>'
        for person in PEOPLE
    )
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title} (demo)</title>
<h1>{title}, as the demo has it</h1>
<p>This is not {title}. Choose who to be; no password is asked for.</p>
<form method="post">
{buttons}
<p><button name="person" value="">Refuse</button></p>
</form></html>
"""


def _about(person: Person) -> str:
    if person.email is None:
        return "no e-mail address"
    return person.email if person.email_verified else f"{person.email}, not verified"


def google(base: str, hosts: set[str]) -> list[Route]:
    issuer, key = f"{base}/google", RSAKey.generate_key(2048, {"kid": secrets.token_hex(8)}, auto_kid=False)
    server = Server("google", "client_secret_basic", hosts, [CodeChallenge(), IdToken(issuer, key)])

    async def discovery(request: Request) -> Response:
        return JSONResponse(
            {
                "issuer": issuer,
                "authorization_endpoint": f"{issuer}/o/oauth2/v2/auth",
                "token_endpoint": f"{issuer}/token",
                "jwks_uri": f"{issuer}/oauth2/v3/certs",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "code_challenge_methods_supported": ["plain", "S256"],
                "authorization_response_iss_parameter_supported": True,
            }
        )

    async def certs(request: Request) -> Response:
        return JSONResponse({"keys": [{**key.as_dict(private=False), "use": "sig", "alg": "RS256"}]})

    def named(request: Request, answered: dict[str, str], server: Server) -> dict[str, str]:
        return {"iss": issuer, "scope": "email profile openid"}

    return [
        Route("/google/.well-known/openid-configuration", discovery),
        Route("/google/oauth2/v3/certs", certs),
        Route("/google/o/oauth2/v2/auth", authorize(server, "Google", named), methods=["GET", "POST"]),
        Route("/google/token", token(server), methods=["POST"]),
    ]


def vk(base: str, hosts: set[str]) -> list[Route]:
    server = Server("vk", "none", hosts, [CodeChallenge()])

    def with_device(request: Request, answered: dict[str, str], server: Server) -> dict[str, str]:
        return {"device_id": server.codes[answered["code"]].device_id, "type": "code_v2", "expires_in": str(CODE_SECONDS)}

    def shaped(form: dict[str, str], body: dict[str, Any], person: Person) -> None:
        body |= {"user_id": int(person.number("vk")), "state": form.get("state", ""), "refresh_token": new_token()}

    async def user_info(request: Request) -> Response:
        form = await _form(request)
        person = server.tokens.get(form.get("access_token", ""))
        if person is None or form.get("client_id") != DEMO_CLIENT:
            return JSONResponse({"error": "invalid_token", "error_description": "access_token is not valid"})
        first, last = person.name.split(" ", 1)
        known = {"user_id": person.number("vk"), "first_name": first, "last_name": last, "verified": False, "sex": 0, "avatar": ""}
        return JSONResponse({"user": known | {"phone": person.phone or "", "email": person.email or ""}})

    return [
        Route("/vk/authorize", authorize(server, "VK ID", with_device), methods=["GET", "POST"]),
        Route("/vk/oauth2/auth", token(server, shaped), methods=["POST"]),
        Route("/vk/oauth2/user_info", user_info, methods=["POST"]),
    ]


def ok(base: str, hosts: set[str]) -> list[Route]:
    server = Server("ok", "client_secret_post", hosts, [])

    def shaped(form: dict[str, str], body: dict[str, Any], person: Person) -> None:
        body.pop("scope", None)
        body |= {"token_type": "session", "expires_in": "1800", "refresh_token": new_token()}

    async def api(request: Request) -> Response:
        asked = dict(request.query_params)
        access_token, sig = asked.pop("access_token", ""), asked.pop("sig", "")
        person = server.tokens.get(access_token)
        if person is None:
            return JSONResponse({"error_code": 103, "error_msg": "PARAM_SESSION_KEY : Invalid session key", "error_data": None})
        if asked.get("application_key") != DEMO_KEY or not secrets.compare_digest(sig, signature(asked, access_token, DEMO_SECRET)):
            return JSONResponse({"error_code": 104, "error_msg": "PARAM_SIGNATURE : Invalid signature", "error_data": None})
        email = {"email": person.email} if person.email else {}
        return JSONResponse({"uid": person.number("ok"), "name": person.name, **email})

    return [
        Route("/ok/oauth/authorize", authorize(server, "Odnoklassniki"), methods=["GET", "POST"]),
        Route("/ok/oauth/token.do", token(server, shaped), methods=["POST"]),
        Route("/ok/fb.do", api),
    ]


def mailru(base: str, hosts: set[str]) -> list[Route]:
    server = Server("mailru", "client_secret_basic", hosts, [CodeChallenge()])

    def shaped(form: dict[str, str], body: dict[str, Any], person: Person) -> None:
        del body["token_type"]
        body["refresh_token"] = new_token()

    async def userinfo(request: Request) -> Response:
        person = server.tokens.get(request.query_params.get("access_token", ""))
        if person is None:
            return JSONResponse({"error": "token not found", "error_code": 6, "error_description": "token not found"})
        first, last = person.name.split(" ", 1)
        known = {"id": person.number("mailru"), "client_id": DEMO_CLIENT, "name": person.name, "nickname": person.name}
        shown = {"first_name": first, "last_name": last, "gender": "", "locale": "ru_RU", "birthday": "", "image": ""}
        return JSONResponse({**known, **shown, "email": person.email or ""})

    return [
        Route("/mailru/login", authorize(server, "Mail.ru"), methods=["GET", "POST"]),
        Route("/mailru/token", token(server, shaped), methods=["POST"]),
        Route("/mailru/userinfo", userinfo),
    ]


def identity_providers(url: str, back_to: str) -> Starlette:
    """All four, reached at `url`; buyers are sent back to this machine or to the host of `back_to`."""
    hosts = HERE | {urlsplit(back_to).hostname or ""}
    base = url.rstrip("/")
    return Starlette(routes=[route for provider in (google, vk, ok, mailru) for route in provider(base, hosts)])
