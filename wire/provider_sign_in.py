"""GET /auth/{provider}/login and /auth/{provider}/callback: a browser's way to a provider and back.

What a buyer can run into stands as `?error=CODE` at the address that they return to; a callback that fits no sign-in is
400 OAUTH_STATE_INVALID, a provider that is away 503 UPSTREAM_UNAVAILABLE. Nothing that a provider writes is repeated. Where
the account has a second factor the browser goes to the page that asks for its code, not signed in.
"""

import dataclasses
import re
import secrets
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from auth.origins import origin_allowed, origin_of
from auth.provider_sign_in import close_flow, flow_of
from auth.providers.outbound import Rejected
from auth.providers.provider import Provider
from auth.sessions import new_token
from auth.viewer import Viewer
from models.refusals import ErrorCode, Failure, Refusal, SecondFactorRequired
from resolvers import provider_sign_in
from wire.account_pages import SECOND_FACTOR_PAGE
from wire.cookies import device_cookie, device_cookie_name, oauth_cookie, oauth_cookie_name, session_cookie
from wire.errors import RequestError, logged
from wire.exchange import ALWAYS
from wire.handshake import cookie_value, credentials_of, header
from wire.hosts import Proxies
from wire.http import MAX_QUERY_STRING
from wire.process import Service
from wire.refused import refusal

RETURN_TO = re.compile(r"/[^/\\\x00-\x20\x7f][^\x00-\x20\x7f]*")
LONGEST_RETURN = 500
BROWSER = re.compile(r"[A-Za-z0-9_-]{43}")

Answer = Callable[[Request], Awaitable[Response]]


def return_path(given: str | None) -> str:
    """Where a buyer goes in the end: a path of this service, never another host's. Browsers read tabs and backslashes
    as if they were not there, or slashes."""
    return given if given and len(given) <= LONGEST_RETURN and RETURN_TO.fullmatch(given) else "/"


def with_error(path: str, code: ErrorCode) -> str:
    """`path` with the code among its parameters."""
    parts = urlsplit(path)
    return urlunsplit(("", "", parts.path, f"{parts.query}&error={code.value}".lstrip("&"), parts.fragment))


def routes(service: Service) -> list[Route]:
    """Two addresses a provider; those of a provider that is not configured are 404."""
    ways = Ways(service)
    return [
        Route("/auth/{provider}/login", ways.guarded(ways.login)),
        Route("/auth/{provider}/callback", ways.guarded(ways.callback)),
    ]


class Ways:
    """The two ends of the way, for one service."""

    def __init__(self, service: Service):
        self.service, self.settings = service, service.settings
        self.proxies = Proxies(service.settings)

    def guarded(self, work: Answer) -> Answer:
        """`work`, with its refusals as answers of the wire and the headers of every answer."""

        async def answer(request: Request) -> Response:
            try:
                self._check(request)
                response = await work(request)
            except (RequestError, Failure) as refused:
                response = refusal(request, refused)
            except Rejected:
                response = refusal(request, RequestError(400, ErrorCode.OAUTH_STATE_INVALID))
            except Exception as bug:
                request_id = secrets.token_hex(8)
                logged(bug, request_id)
                response = refusal(request, Failure(ErrorCode.INTERNAL_SERVER_ERROR), request_id)
            kept = [pair for pair in ALWAYS if pair[0] != b"vary"]
            response.raw_headers.extend([*kept, (b"vary", b"Accept, Accept-Language, Cookie")])
            return response

        return answer

    def _check(self, request: Request) -> None:
        """Refuse what is not a browser's navigation to a provider that there is.

        Raises:
            RequestError
        """
        if request.path_params["provider"] not in self.service.providers:
            raise RequestError(404, ErrorCode.NOT_FOUND)
        if request.method != "GET":  # a HEAD, too, would use the state up
            raise RequestError(405, ErrorCode.METHOD_NOT_ALLOWED, headers={"Allow": "GET"})
        if len(request.scope["query_string"]) > MAX_QUERY_STRING:
            raise RequestError(414, ErrorCode.URI_TOO_LONG)

    async def login(self, request: Request) -> Response:
        """Send the browser to the provider."""
        _require_navigation(request)
        provider, viewer = self._provider(request), await self._viewer(request)
        return_to, is_link = return_path(request.query_params.get("returnTo")), request.query_params.get("link") == "1"
        browser = cookie_value(request.scope, oauth_cookie_name(self.settings)) or ""
        if not BROWSER.fullmatch(browser):  # kept where there is one: sign-ins in other tabs are bound to it
            browser = new_token()
        region = provider_sign_in.region_of(request.query_params.get("region"), header(request.scope, b"accept-language"))
        if is_link:
            self._require_own_page(request)
        try:
            state = await provider_sign_in.begin(viewer, provider, browser, return_to, region, link=is_link)
        except Refusal as refusal:
            return RedirectResponse(with_error(return_to, refusal.code), 303)
        except Failure as failure:
            if failure.code is not ErrorCode.UNAUTHENTICATED:
                raise
            return RedirectResponse(with_error(return_to, failure.code), 303)
        flow = flow_of(state, browser, self._redirect_uri(request))
        response = RedirectResponse(await provider.authorization_url(flow), 303)
        response.raw_headers.append((b"set-cookie", oauth_cookie(browser, self.settings)))
        return response

    async def callback(self, request: Request) -> Response:
        """Take the browser back from the provider."""
        given = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
        answer = dict(given)
        browser = cookie_value(request.scope, oauth_cookie_name(self.settings))
        if len(answer) != len(given) or not browser or not answer.get("state"):
            raise Rejected
        provider, viewer = self._provider(request), await self._viewer(request)
        begun = await close_flow(provider, browser, answer["state"])
        if begun is None or (begun.session_id is not None and begun.session_id != viewer.session_id):
            raise Rejected
        provider.require_issuer(answer)
        if "error" in answer:
            return RedirectResponse(with_error(begun.return_to, ErrorCode.SIGN_IN_DECLINED), 303)
        profile = await provider.profile(flow_of(answer["state"], browser, self._redirect_uri(request)), answer)
        response, remember = RedirectResponse(begun.return_to, 303), True
        try:
            if begun.session_id is not None:
                remember = viewer.remembered
                token = await provider_sign_in.link(viewer, self.settings, provider, profile)
            else:
                entry = await provider_sign_in.sign_in_by(viewer, self.settings, provider, profile, begun.region)
                token = entry.token
                if entry.device_token is not None:
                    response.raw_headers.append((b"set-cookie", device_cookie(entry.device_token, self.settings)))
        except SecondFactorRequired as waits:
            return RedirectResponse(f"{SECOND_FACTOR_PAGE}#{urlencode({'challenge': waits.challenge, 'returnTo': begun.return_to})}", 303)
        except Refusal as refusal:
            return RedirectResponse(with_error(begun.return_to, refusal.code), 303)
        response.raw_headers.append((b"set-cookie", session_cookie(token, self.settings, remember)))
        return response

    def _provider(self, request: Request) -> Provider:
        return self.service.providers[request.path_params["provider"]]

    def _redirect_uri(self, request: Request) -> str:
        return f"{self.settings.base_url}/auth/{request.path_params['provider']}/callback"

    def _require_own_page(self, request: Request) -> None:
        """Refuse to link from anywhere but a page of ours: a stranger may have had the browser signed in to the stranger's
        account at the provider, which would then open the buyer's.

        `none` is no page of ours: so comes what is typed, and what another app opens, such as a link in a mail.

        Raises:
            RequestError: CSRF_REJECTED.
        """
        if header(request.scope, b"sec-fetch-site") == "same-origin":
            return
        referer = header(request.scope, b"referer")
        if not referer or not origin_allowed(origin_of(referer), header(request.scope, b"host") or "", self.settings):
            raise RequestError(403, ErrorCode.CSRF_REJECTED)

    async def _viewer(self, request: Request) -> Viewer:
        """Who asks, by the cookie alone."""
        scope = request.scope
        credentials = dataclasses.replace(
            credentials_of(scope, self.settings, self.proxies),
            bearer=None,
            device=cookie_value(scope, device_cookie_name(self.settings)),
        )
        return await self.service.viewer(credentials)


def _require_navigation(request: Request) -> None:
    """Refuse what a page embeds: its pictures would begin as many sign-ins as the network of whoever looks at it may.

    Raises:
        RequestError: CSRF_REJECTED.
    """
    mode, goes_to = header(request.scope, b"sec-fetch-mode") or "navigate", header(request.scope, b"sec-fetch-dest") or "document"
    if (mode, goes_to) != ("navigate", "document"):
        raise RequestError(403, ErrorCode.CSRF_REJECTED)
