"""Apps for tests: buyers signed in by `transport: APP`, who keep their two tokens."""

from typing import Any

from auth.sessions import token_hash
from models.sessions import Session
from tests.shop import PASSWORD, Buyer, Client, Shop

SIGN_IN = """mutation($input: SignInInput!) { signIn(input: $input) { __typename ... on SignedIn { token }
  ... on SignedInApp { accessToken accessTokenExpiresAt refreshToken account { id displayName } } ... on Refusal { code field } } }"""
REFRESH = """mutation($token: String!) { refreshSession(input: { refreshToken: $token }) { __typename
  ... on SignedInApp { accessToken accessTokenExpiresAt refreshToken account { id } } ... on Refusal { code field message } } }"""
INVALID = {"__typename": "InvalidCredentials", "code": "INVALID_CREDENTIALS", "field": "refreshToken", "message": "This session has ended. Sign in again."}
ME = "{ me { id } }"


class App(Client):
    """An app that a buyer has signed in to."""

    def __init__(self, shop: Shop, buyer: Buyer, told: dict[str, Any]):
        super().__init__(shop.http, told["accessToken"])
        self.shop, self.buyer, self.refresh_token = shop, buyer, told["refreshToken"]

    async def refresh(self, token: str | None = None) -> dict[str, Any]:
        """What a refresh answers, which the app does not keep."""
        return (await self.shop.nobody.data(REFRESH, token=token or self.refresh_token))["refreshSession"]

    async def turn(self) -> str:
        """Refresh, and go on with the new pair; the refresh token before."""
        before, answer = self.refresh_token, await self.refresh()
        assert answer["__typename"] == "SignedInApp", answer
        self.token, self.refresh_token = answer["accessToken"], answer["refreshToken"]
        return before

    async def row(self) -> Session:
        return await Session.get(token_hash=token_hash(self.token or ""))


async def app_of(shop: Shop, buyer: Buyer | None = None, **given: Any) -> App:
    """A buyer's app, signed in; a new buyer's by default."""
    buyer = buyer or await shop.buyer()
    answer = await shop.nobody.data(SIGN_IN, input={"email": buyer.email, "password": PASSWORD, "transport": "APP", **given})
    return App(shop, buyer, answer["signIn"])
