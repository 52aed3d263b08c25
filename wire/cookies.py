"""The session cookie as it is set and taken away."""

from models.provider_sign_in import LASTS
from models.sign_up import ACTIVATION_LASTS
from settings import Settings
from wire.handshake import browser_cookie_name, cookie_name, device_cookie_name, oauth_cookie_name

_DAY = 24 * 60 * 60


def session_cookie(token: str, settings: Settings, remember: bool = True) -> bytes:
    """Keeps `token` in the browser, out of reach of scripts, for as long as a session can last, or until it is closed."""
    return _cookie(token, settings.session_days * _DAY if remember else None, settings)


def no_cookie(settings: Settings) -> bytes:
    """Takes the session cookie away."""
    return _cookie("", 0, settings)


def device_cookie(token: str, settings: Settings) -> bytes:
    """Lets the browser be known at its next sign-in, for a year."""
    return _cookie(token, 365 * _DAY, settings, device_cookie_name(settings))


def browser_cookie(token: str, settings: Settings) -> bytes:
    """Lets the browser that has signed up be known when it follows the mail's link."""
    return _cookie(token, int(ACTIVATION_LASTS.total_seconds()), settings, browser_cookie_name(settings))


def oauth_cookie(browser: str, settings: Settings) -> bytes:
    """Binds sign-ins at providers to the browser that began them."""
    return _cookie(browser, int(LASTS.total_seconds()), settings, oauth_cookie_name(settings))


def _cookie(value: str, seconds: int | None, settings: Settings, name: str | None = None) -> bytes:
    name = name or cookie_name(settings)
    secure = "Secure; " if name.startswith("__Host-") else ""
    lasts = "" if seconds is None else f"; Max-Age={seconds}"
    return f"{name}={value}; Path=/; {secure}HttpOnly; SameSite=Lax{lasts}".encode()
