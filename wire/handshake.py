"""What the head of a request says about who asks, and from which page."""

from starlette.types import Scope

from auth.credentials import LONGEST_AGENT, Credentials
from auth.origins import origin_allowed
from delivery.texts import spoken
from settings import Settings
from wire.cookies import cookie_name
from wire.hosts import Proxies


def header(scope: Scope, name: bytes) -> str | None:
    """The header `name` (lower case); several are joined as HTTP has it; None where there is none."""
    values = [value.decode("latin-1") for given, value in scope["headers"] if given == name]
    return ", ".join(values) if values else None


def cookie_of(scope: Scope, settings: Settings) -> str | None:
    """The session cookie's value; None where there is none."""
    return cookie_value(scope, cookie_name(settings))


def cookie_value(scope: Scope, wanted: str) -> str | None:
    """The value of the first cookie of this name; None where there is none or it is empty.

    Only spaces and tabs around a name are none of it: with what else Python strips, a cookie that is called `__Host-sid` here
    would not be for the browser, which then lets another host of the domain set it.
    """
    for given, value in scope["headers"]:
        if given == b"cookie":
            for pair in value.decode("latin-1").split(";"):
                name, _, content = pair.strip(" \t").partition("=")
                if name == wanted and content:
                    return content
    return None


def credentials_of(scope: Scope, settings: Settings, proxies: Proxies) -> Credentials:
    """The credentials that come with the request's head: the cookie, a bearer of the Authorization header, and whence it comes, by `proxies`."""
    scheme, _, token = (header(scope, b"authorization") or "").partition(" ")
    forwarded = header(scope, b"x-forwarded-for")
    return Credentials(
        cookie=cookie_of(scope, settings),
        bearer=token.strip() or None if scheme.lower() == "bearer" else None,
        address=proxies.address(scope, None if forwarded is None else forwarded.encode("latin-1")),
        agent=(header(scope, b"user-agent") or "")[:LONGEST_AGENT],
        language=spoken(header(scope, b"accept-language")),
    )


def origin_fits(scope: Scope, credentials: Credentials, settings: Settings) -> bool:
    """Whether a socket may be opened: from an allowed page, or by a program that brings no cookie."""
    origin = header(scope, b"origin")
    if origin is None:
        return credentials.cookie is None
    return origin_allowed(origin, header(scope, b"host") or "", settings)
