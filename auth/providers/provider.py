"""What a provider is: where it sends a buyer, and the profile that it gives for what comes back."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import httpx2
from authlib.integrations.httpx_client import AsyncOAuth2Client

from auth.providers.outbound import CONNECT_SECONDS, TOTAL_SECONDS, Exchange, Outbound, Rejected
from models.accounts import IdentityKind

_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]+")
_PHONE = re.compile(r"\+[1-9]\d{6,14}")
LONGEST_NAME = 200


class Profile(NamedTuple):
    """Who a provider says somebody is. `subject` alone is sure; `hosted_domain` is the company whose mail it is."""

    subject: str
    email: str | None
    email_verified: bool
    phone: str | None
    name: str
    hosted_domain: str | None = None


class Flow(NamedTuple):
    """The secrets of one sign-in at a provider, and where it comes back to."""

    state: str
    verifier: str
    nonce: str
    redirect_uri: str


class Provider:
    """One provider as this service is known to it; its subclasses know its addresses and the shape of its answers."""

    kind: ClassVar[IdentityKind]
    title: ClassVar[str]
    scope: ClassVar[str]
    client_auth: ClassVar[str] = "client_secret_basic"
    takes_pkce: ClassVar[bool] = True

    def __init__(self, outbound: Outbound, base_url: str, client_id: str, client_secret: str = "", **own: str):
        self.outbound = outbound
        self.issuer = base_url.rstrip("/")
        self.client_id, self.client_secret, self.own = client_id, client_secret, own

    async def authorization_url(self, flow: Flow) -> str:
        """Where to send the buyer.

        Raises:
            Failure: see `Outbound.exchange`.
        """
        async with self.outbound.exchange(self.title) as exchange, self._client(flow, exchange) as client:
            return self._authorization_url(client, await self._authorization_endpoint(client), flow)

    async def profile(self, flow: Flow, answer: Mapping[str, str]) -> Profile:
        """Whose sign-in it was; `answer` is what the browser brought back.

        Raises:
            Rejected, Failure: see `Outbound.exchange`.
        """
        if not answer.get("code"):
            raise Rejected
        async with self.outbound.exchange(self.title) as exchange, self._client(flow, exchange) as client:
            return await self._profile(client, flow, answer)

    def require_issuer(self, answer: Mapping[str, str]) -> None:
        """Refuse an answer that names another issuer than this provider.

        Raises:
            Rejected: it does; a buyer has been sent back from elsewhere.
        """
        if answer.get("iss", self.issuer) != self.issuer:
            raise Rejected

    async def _authorization_endpoint(self, client: AsyncOAuth2Client) -> str:
        """Where this provider asks the buyer."""
        raise NotImplementedError

    async def _profile(self, client: AsyncOAuth2Client, flow: Flow, answer: Mapping[str, str]) -> Profile:
        """How this provider tells whose sign-in it was."""
        raise NotImplementedError

    def _authorization_url(self, client: AsyncOAuth2Client, endpoint: str, flow: Flow) -> str:
        """That of OAuth 2; some providers want more in it."""
        return client.create_authorization_url(endpoint, state=flow.state, code_verifier=flow.verifier)[0]

    def _client(self, flow: Flow, exchange: Exchange) -> AsyncOAuth2Client:
        return AsyncOAuth2Client(
            self.client_id,
            self.client_secret or None,
            token_endpoint_auth_method=self.client_auth,
            scope=self.scope,
            redirect_uri=flow.redirect_uri,
            code_challenge_method="S256" if self.takes_pkce else None,
            transport=exchange,
            timeout=httpx2.Timeout(TOTAL_SECONDS, connect=CONNECT_SECONDS),
            follow_redirects=False,
            trust_env=False,
        )

    async def _token(
        self, client: AsyncOAuth2Client, url: str, flow: Flow, answer: Mapping[str, str], body: str = "", **more: str
    ) -> Mapping[str, Any]:
        """What the code is worth: an access token, and what came with it."""
        verifier = {"code_verifier": flow.verifier} if self.takes_pkce else {}
        token = await client.fetch_token(
            url, grant_type="authorization_code", code=answer["code"], body=body, **verifier, **more
        )
        required(token, "access_token", 10_000)
        return token

    async def _read(self, client: AsyncOAuth2Client, method: str, url: str, **request: Any) -> dict[str, Any]:
        """The JSON object that stands at `url`.

        Raises:
            ValueError: there is none.
        """
        response = await client.request(method, url, withhold_token=True, **request)
        if response.status_code != 200:
            raise ValueError(f"HTTP {response.status_code}")
        found = response.json()
        if not isinstance(found, dict):
            raise ValueError("no JSON object")
        return found


def said(answer: Mapping[str, Any], name: str, most: int = 254) -> str | None:
    """The text or whole number under `name`; None where there is none that could be kept."""
    value = answer.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = str(value).strip()
    return text if text and text.isprintable() and len(text) <= most else None


def required(answer: Mapping[str, Any], name: str, most: int = 254) -> str:
    """Raises:
    ValueError: there is no usable text under `name`.
    """
    value = said(answer, name, most)
    if value is None:
        raise ValueError(f"no {name}")
    return value


def said_email(answer: Mapping[str, Any]) -> str | None:
    """The e-mail address, where there is one that is written as one."""
    email = said(answer, "email")
    return email if email and _EMAIL.fullmatch(email) else None


def said_phone(answer: Mapping[str, Any], name: str) -> str | None:
    """The number under `name` in E.164; providers leave the plus out."""
    phone = f"+{(said(answer, name) or '').removeprefix('+')}"
    return phone if _PHONE.fullmatch(phone) else None


def said_name(answer: Mapping[str, Any], *names: str) -> str:
    """The words under `names`, as far as they can be shown; empty where there are none."""
    given = " ".join(value for name in names if isinstance(value := answer.get(name), str))
    return " ".join("".join(c for c in given if c.isprintable()).split())[:LONGEST_NAME]
