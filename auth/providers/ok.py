"""Odnoklassniki: OAuth 2.0 with the secret in the form; calls of its API are signed."""

import hashlib
from collections.abc import Mapping

from authlib.integrations.httpx_client import AsyncOAuth2Client

from auth.providers.provider import Flow, Profile, Provider, required, said_email, said_name
from models.accounts import IdentityKind


class Ok(Provider):
    """`own` has `api_url`, where tokens and profiles are, and `application_key`, the application's public key."""

    kind = IdentityKind.OK
    title = "Odnoklassniki"
    scope = "VALUABLE_ACCESS;GET_EMAIL"
    client_auth = "client_secret_post"
    takes_pkce = False

    async def _authorization_endpoint(self, client: AsyncOAuth2Client) -> str:
        return f"{self.issuer}/oauth/authorize"

    async def _profile(self, client: AsyncOAuth2Client, flow: Flow, answer: Mapping[str, str]) -> Profile:
        api_url = self.own["api_url"].rstrip("/")
        token = await self._token(client, f"{api_url}/oauth/token.do", flow, answer)
        asked = {
            "application_key": self.own["application_key"],
            "fields": "UID,NAME,EMAIL",
            "format": "json",
            "method": "users.getCurrentUser",
        }
        asked["sig"] = signature(asked, token["access_token"], self.client_secret)
        user = await self._read(client, "GET", f"{api_url}/fb.do", params={**asked, "access_token": token["access_token"]})
        return Profile(required(user, "uid"), said_email(user), False, None, said_name(user, "name"))


def signature(asked: Mapping[str, str], access_token: str, secret: str) -> str:
    """What OK wants beside a call: MD5 over the sorted arguments and the MD5 of token and secret."""
    key = hashlib.md5(f"{access_token}{secret}".encode()).hexdigest()
    return hashlib.md5("".join(f"{name}={asked[name]}" for name in sorted(asked)).encode() + key.encode()).hexdigest()
