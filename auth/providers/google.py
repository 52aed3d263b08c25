"""Google: OpenID Connect, from the document at the pinned issuer."""

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from auth.providers.outbound import Rejected
from auth.providers.provider import Flow, Profile, Provider, required, said, said_email, said_name
from models.accounts import IdentityKind

ALGORITHMS = ["RS256"]
KEPT_SECONDS = 3600
LEEWAY_SECONDS = 30


class Google(Provider):
    kind = IdentityKind.GOOGLE
    title = "Google"
    scope = "openid email profile"
    _kept: tuple[float, dict[str, Any]] = (0.0, {})
    _keys: tuple[float, KeySet | None] = (0.0, None)

    async def _authorization_endpoint(self, client: AsyncOAuth2Client) -> str:
        return (await self._metadata(client))["authorization_endpoint"]

    def _authorization_url(self, client: AsyncOAuth2Client, endpoint: str, flow: Flow) -> str:
        return client.create_authorization_url(
            endpoint, state=flow.state, code_verifier=flow.verifier, nonce=flow.nonce, prompt="select_account"
        )[0]

    async def _profile(self, client: AsyncOAuth2Client, flow: Flow, answer: Mapping[str, str]) -> Profile:
        metadata = await self._metadata(client)
        if metadata.get("authorization_response_iss_parameter_supported") is True and "iss" not in answer:
            raise Rejected
        token = await self._token(client, metadata["token_endpoint"], flow, answer)
        claims = await self._claims(client, flow, token)
        return Profile(
            required(claims, "sub"),
            said_email(claims),
            claims.get("email_verified") is True,
            None,
            said_name(claims, "name"),
            said(claims, "hd"),
        )

    async def _claims(self, client: AsyncOAuth2Client, flow: Flow, token: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the id token says, after its signature and everything that binds it to this sign-in.

        Raises:
            Rejected: something of it does not fit.
        """
        id_token = required(token, "id_token", 100_000)
        try:
            try:
                decoded = jwt.decode(id_token, await self._key_set(client), algorithms=ALGORITHMS)
            except InvalidKeyIdError:  # Google has new keys
                decoded = jwt.decode(id_token, await self._key_set(client, anew=True), algorithms=ALGORITHMS)
            options: Any = {
                "iss": {"essential": True, "values": [self.issuer, urlsplit(self.issuer).netloc]},  # Google writes both
                "aud": {"essential": True, "value": self.client_id},
                "exp": {"essential": True},
            }
            bound = {"nonce": flow.nonce, "client_id": self.client_id, "access_token": token["access_token"]}
            claims = CodeIDToken(decoded.claims, decoded.header, options, bound)
            claims.validate(leeway=LEEWAY_SECONDS)
        except JoseError:
            raise Rejected from None
        return claims

    async def _metadata(self, client: AsyncOAuth2Client) -> dict[str, Any]:
        """The issuer's own document, read anew every hour."""
        at, metadata = self._kept
        if metadata and time.monotonic() < at + KEPT_SECONDS:
            return metadata
        metadata = await self._read(client, "GET", f"{self.issuer}/.well-known/openid-configuration")
        if metadata.get("issuer") != self.issuer:
            raise ValueError("another issuer")
        scheme = urlsplit(self.issuer).scheme
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            if urlsplit(required(metadata, name, 1000)).scheme != scheme:
                raise ValueError(f"{name} is not {scheme}")
        self._kept = time.monotonic(), metadata
        return metadata

    async def _key_set(self, client: AsyncOAuth2Client, *, anew: bool = False) -> KeySet:
        at, keys = self._keys
        if keys is not None and not anew and time.monotonic() < at + KEPT_SECONDS:
            return keys
        found = await self._read(client, "GET", (await self._metadata(client))["jwks_uri"])
        try:
            keys = KeySet.import_key_set(found)  # type: ignore[arg-type]
        except (JoseError, KeyError, AttributeError) as error:
            raise ValueError("no keys") from error
        self._keys = time.monotonic(), keys
        return keys
