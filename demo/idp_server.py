"""Authlib's authorization server on Starlette, with the demo's people; all in memory. What it issues is used once."""

import secrets
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from authlib.oauth2.rfc6749 import AuthorizationServer, ClientMixin, OAuth2Request
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oidc.core import UserInfo
from authlib.oidc.core.grants import OpenIDCode
from joserfc.jwk import RSAKey
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from auth.providers.configured import DEMO_CLIENT, DEMO_SECRET

CODE_SECONDS = 300


@dataclass(frozen=True)
class Person:
    """Somebody with an account at every provider."""

    key: str
    name: str
    email: str | None
    email_verified: bool = True
    phone: str | None = None
    hosted_domain: str | None = None

    def number(self, provider: str) -> str:
        """The subject at a provider: the same at every start, another one at every provider."""
        return str(100_000_000 + int.from_bytes(f"{provider}:{self.key}".encode()) % 899_999_993)


PEOPLE = (
    Person("anna", "Анна Смирнова", "anna@demo.example", phone="79160000001"),
    Person("grigory", "Григорий Котов", "grigory.demo@gmail.com"),
    Person("ulyana", "Ульяна Белова", "ulyana@example.org", email_verified=False),
    Person("ivan", "Ivan Novak", "ivan@company.example", hosted_domain="company.example"),
    Person("nina", "Нина Лебедева", None),
)


@dataclass
class Code:
    """An authorization code; once used it is gone."""

    person: Person
    redirect_uri: str
    scope: str
    nonce: str | None
    code_challenge: str | None
    code_challenge_method: str | None
    device_id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    at: float = field(default_factory=time.time)

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str | None:
        return self.nonce

    def get_auth_time(self) -> int:
        return int(self.at)

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None


class Client(ClientMixin):
    """Kabinet, as a provider knows it; it comes back to this machine or to where the demo is reached."""

    def __init__(self, provider: str, auth_method: str, hosts: set[str]):
        self.provider, self.auth_method, self.hosts = provider, auth_method, hosts

    def get_client_id(self) -> str:
        return DEMO_CLIENT

    def get_default_redirect_uri(self) -> None:
        return None

    def get_allowed_scope(self, scope: str | None) -> str:
        return scope or ""

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        parts = urlsplit(redirect_uri)
        return parts.hostname in self.hosts and parts.path == f"/auth/{self.provider}/callback"

    def check_client_secret(self, client_secret: str) -> bool:
        return secrets.compare_digest(client_secret, DEMO_SECRET)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == self.auth_method

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


class Asked(OAuth2Request):
    """A request as Authlib reads it; the scheme is given as https, for Authlib refuses any other."""

    def __init__(self, request: Request, form: dict[str, str], query: dict[str, str]):
        headers = {name.title(): value for name, value in request.headers.items()}
        super().__init__(request.method, str(request.url.replace(scheme="https")), headers=headers)
        self._query, self._fields = query, form
        self.payload = BasicOAuth2Payload({**query, **form})

    @property
    def args(self) -> dict[str, str]:
        return self._query

    @property
    def form(self) -> dict[str, str]:
        return self._fields


class CodeGrant(AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post", "none"]

    def save_authorization_code(self, code: str, request: Any) -> None:
        data = request.payload.data
        self.server.codes[code] = Code(
            request.user,
            request.payload.redirect_uri,
            request.scope or "",
            data.get("nonce"),
            data.get("code_challenge"),
            data.get("code_challenge_method"),
        )

    def query_authorization_code(self, code: str, client: Client) -> Code | None:
        found = self.server.codes.pop(code, None)
        return found if found and time.time() < found.at + CODE_SECONDS else None

    def delete_authorization_code(self, authorization_code: Code) -> None:
        """It went when it was looked up."""

    def authenticate_user(self, authorization_code: Code) -> Person:
        return authorization_code.person


class IdToken(OpenIDCode):
    """Google's id token, signed with a key of this start."""

    def __init__(self, issuer: str, key: RSAKey):
        super().__init__(require_nonce=True)
        self.issuer, self.key = issuer, key

    def exists_nonce(self, nonce: str, request: Any) -> bool:
        return False

    def resolve_client_private_key(self, client: Client) -> RSAKey:
        return self.key

    def get_client_algorithm(self, client: Client) -> str:
        return "RS256"

    def get_encode_header(self, client: Client) -> dict[str, str]:
        return {"alg": "RS256", "kid": self.key.kid or ""}

    def get_client_claims(self, client: Client) -> dict[str, str]:
        return {"iss": self.issuer, "aud": client.get_client_id(), "azp": client.get_client_id()}

    def generate_user_info(self, user: Person, scope: str) -> UserInfo:
        found = UserInfo(sub=user.number("google"), name=user.name)
        if user.email:
            found |= {"email": user.email, "email_verified": user.email_verified}
        if user.hosted_domain:
            found["hd"] = user.hosted_domain
        return found


class Server(AuthorizationServer):
    """One provider: its codes and tokens, and the four steps between Starlette and Authlib."""

    def __init__(self, provider: str, auth_method: str, hosts: set[str], extensions: list[Any]):
        super().__init__()
        self.codes: dict[str, Code] = {}
        self.tokens: dict[str, Person] = {}
        self.client = Client(provider, auth_method, hosts)
        self.register_token_generator("default", BearerTokenGenerator(new_token, expires_generator=1800))
        self.register_grant(CodeGrant, extensions)

    def query_client(self, client_id: str) -> Client | None:
        return self.client if client_id == DEMO_CLIENT else None

    def save_token(self, token: dict[str, Any], request: Any) -> None:
        self.tokens[token["access_token"]] = request.user

    def create_oauth2_request(self, request: Any) -> Any:
        return request

    def handle_response(self, status: int, body: Any, headers: Any) -> Response:
        if isinstance(body, dict):
            return JSONResponse(body, status, dict(headers))
        return Response(body, status, dict(headers))

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Nobody listens."""


def new_token(**_: Any) -> str:
    return secrets.token_urlsafe(32)
