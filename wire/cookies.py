"""The session cookie as it is set and taken away."""

from settings import Settings
from wire.handshake import cookie_name, device_cookie_name

_DAY = 24 * 60 * 60


def session_cookie(token: str, settings: Settings) -> bytes:
    """Keeps `token` in the browser, out of reach of scripts, for as long as a session can last."""
    return _cookie(token, settings.session_days * _DAY, settings)


def no_cookie(settings: Settings) -> bytes:
    """Takes the session cookie away."""
    return _cookie("", 0, settings)


def device_cookie(token: str, settings: Settings) -> bytes:
    """Lets the browser be known at its next sign-in, for a year."""
    return _cookie(token, 365 * _DAY, settings, device_cookie_name(settings))


def _cookie(value: str, seconds: int, settings: Settings, name: str | None = None) -> bytes:
    name = name or cookie_name(settings)
    secure = "Secure; " if name.startswith("__Host-") else ""
    return f"{name}={value}; Path=/; {secure}HttpOnly; SameSite=Lax; Max-Age={seconds}".encode()
