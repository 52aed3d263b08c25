"""Which pages may call with a buyer's cookie: one rule for HTTP, event streams and sockets."""

import re
from urllib.parse import urlsplit

from settings import Mode, Settings

_LOOPBACK = re.compile(r"https?://(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?", re.ASCII)
_DEFAULT_PORTS = {"http": 80, "https": 443}


def origin_of(url: str) -> str:
    """`url` as a browser writes it in an Origin header: scheme and host in lower case, no default port, no path."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    port = "" if parts.port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def origin_allowed(origin: str | None, host: str, settings: Settings) -> bool:
    """Whether a page of `origin` may call the service; `host` is the request's Host header.

    None (no Origin header) and the literal `null` are never allowed: what a missing one means, the caller decides.
    """
    if not origin or origin == "null":
        return False
    if origin == origin_of(settings.base_url) or origin in settings.allowed_origins:
        return True
    if settings.mode is Mode.PRODUCTION:
        return False
    if host and origin in (f"http://{host}", f"https://{host}"):
        return True
    return settings.is_demo and _LOOPBACK.fullmatch(origin) is not None
