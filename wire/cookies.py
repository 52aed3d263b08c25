"""Cookies: what they are called, and how they are set and taken away."""

from models.provider_sign_in import LASTS
from models.sign_up import ACTIVATION_LASTS
from settings import Mode, Settings

_DAY = 24 * 60 * 60


def cookie_name(settings: Settings) -> str:
    """The session cookie's name. The plain one is for pages over HTTP, which a `__Host-` cookie does not reach."""
    plain = settings.is_demo or (settings.mode is Mode.DEVELOPMENT and settings.base_url.startswith("http:"))
    return "sid" if plain else "__Host-sid"


def device_cookie_name(settings: Settings) -> str:
    """The name of the cookie by which a browser is known that has signed in before."""
    return cookie_name(settings).replace("sid", "did")


def browser_cookie_name(settings: Settings) -> str:
    """The name of the cookie by which the browser is known that asked for what a mail's link finishes."""
    return cookie_name(settings).replace("sid", "bid")


def oauth_cookie_name(settings: Settings) -> str:
    """The name of the cookie that binds sign-ins at providers to the browser that began them."""
    return cookie_name(settings).replace("sid", "oauth")


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
