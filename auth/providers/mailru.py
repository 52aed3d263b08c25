"""Mail.ru: OAuth 2.0 with basic authentication; the profile's address has the access token in it."""

from collections.abc import Mapping

from authlib.integrations.httpx_client import AsyncOAuth2Client

from auth.providers.outbound import Rejected
from auth.providers.provider import Flow, Profile, Provider, required, said, said_email, said_name
from models.accounts import IdentityKind


class MailRu(Provider):
    kind = IdentityKind.MAILRU
    title = "Mail.ru"
    scope = "userinfo"

    async def _authorization_endpoint(self, client: AsyncOAuth2Client) -> str:
        return f"{self.issuer}/login"

    async def _profile(self, client: AsyncOAuth2Client, flow: Flow, answer: Mapping[str, str]) -> Profile:
        token = await self._token(client, f"{self.issuer}/token", flow, answer)
        user = await self._read(client, "GET", f"{self.issuer}/userinfo", params={"access_token": token["access_token"]})
        if said(user, "client_id") not in (None, self.client_id):  # a token made for another application
            raise Rejected
        return Profile(required(user, "id"), said_email(user), False, None, said_name(user, "name"))
