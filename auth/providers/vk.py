"""VK ID: OAuth 2.1 without a secret; the callback brings a device id, and the profile is asked for by POST."""

from collections.abc import Mapping
from urllib.parse import urlencode

from authlib.integrations.httpx_client import AsyncOAuth2Client

from auth.providers.outbound import Rejected
from auth.providers.provider import Flow, Profile, Provider, required, said, said_email, said_name, said_phone
from models.accounts import IdentityKind


class Vk(Provider):
    kind = IdentityKind.VK
    title = "VK ID"
    scope = "email phone"
    client_auth = "none"

    async def _authorization_endpoint(self, client: AsyncOAuth2Client) -> str:
        return f"{self.issuer}/authorize"

    async def _profile(self, client: AsyncOAuth2Client, flow: Flow, answer: Mapping[str, str]) -> Profile:
        device_id = answer.get("device_id")
        if not device_id:
            raise Rejected
        # Authlib keeps an argument `state` to itself, and VK wants it at the token endpoint too.
        body = urlencode({"state": flow.state})
        token = await self._token(client, f"{self.issuer}/oauth2/auth", flow, answer, body, device_id=device_id)
        if token.get("state", flow.state) != flow.state:
            raise Rejected
        known_by = {"client_id": self.client_id, "access_token": token["access_token"]}
        found = await self._read(client, "POST", f"{self.issuer}/oauth2/user_info", data=known_by)
        user = found.get("user")
        if not isinstance(user, dict):
            raise ValueError("no user")
        subject = required(user, "user_id")
        if said(token, "user_id") != subject:
            raise Rejected
        return Profile(subject, said_email(user), False, said_phone(user, "phone"), said_name(user, "first_name", "last_name"))
