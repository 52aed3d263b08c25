"""The head of a request to /graphql: read in one loop, and what it says about who asks, from which page, in which language."""

import functools

from delivery.texts import spoken
from models.refusals import ErrorCode
from wire.errors import RequestError

Head = dict[bytes, bytes]

_READ = frozenset(
    {
        b"accept",
        b"accept-language",
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"cookie",
        b"graphql-require-preflight",
        b"host",
        b"last-event-id",
        b"origin",
        b"sec-fetch-site",
        b"user-agent",
        b"x-forwarded-for",
        b"x-requested-with",
    }
)


def read_head(headers: list[tuple[bytes, bytes]]) -> tuple[Head, int]:
    """The headers that are read, several of a name joined as HTTP has it, and the size of all."""
    found: Head = {}
    size = 0
    for name, value in headers:
        size += len(name) + len(value)
        if name in _READ:
            if name in found:
                value = found[name] + (b"; " if name == b"cookie" else b", ") + value
            found[name] = value
    return found, size


@functools.lru_cache(512)
def language_of(accept_language: bytes | None) -> str | None:
    """The language of the buyer's browser, one of ours; None where it names none."""
    return spoken(accept_language.decode("latin-1")) if accept_language else None


def require_origin(head: Head, is_allowed: bool) -> None:
    """Refuse a page that is not among those that may call; without an Origin the browser's own word counts.

    Raises:
        RequestError: CSRF_REJECTED.
    """
    if b"origin" in head:
        if not is_allowed:
            raise RequestError(403, ErrorCode.CSRF_REJECTED)
    elif head.get(b"sec-fetch-site", b"none") not in (b"same-origin", b"none"):
        raise RequestError(403, ErrorCode.CSRF_REJECTED)


def bearer_of(head: Head) -> str | None:
    """The token of the Authorization header; one that cannot be a token is kept, so that it is refused."""
    given = head.get(b"authorization")
    if not given:
        return None
    scheme, _, token = given.decode("latin-1").partition(" ")
    return (token.strip() or None) if scheme.lower() == "bearer" else None


def may_bring_cookies(head: Head) -> bool:
    """Whether a POST with this head may come with a cookie.

    A browser too old for Sec-Fetch-Site sends a form's cookie along; a header of one's own it does not send.
    """
    return (
        b"origin" in head
        or b"sec-fetch-site" in head
        or bool(head.get(b"x-requested-with") or head.get(b"graphql-require-preflight"))
    )


def cookie_in(header: bytes | None, start: bytes) -> str | None:
    """The first cookie whose name and equals sign are `start`; None where there is none or it is empty."""
    if header is None or start not in header:
        return None
    for pair in header.split(b";"):
        pair = pair.strip(b" \t")
        if pair.startswith(start):
            return pair[len(start) :].decode("latin-1") or None
    return None
