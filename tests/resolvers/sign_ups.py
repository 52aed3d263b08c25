"""Signing up from outside: captchas solved, letters read from the outbox."""

import json
from typing import Any

from altcha import Challenge, Payload, solve_challenge

from tests.rows import letters
from tests.shop import Shop

GOOD = "violet ladder 88 quay"
SPELT_OTHERWISE = ("sh\xadop.example", "sh\u200bop.example", "\uff53hop.example", "shop\u3002example", "\u2488.example")
"""Domains that mail does not go to as they stand here, but to shop.example, or nowhere."""
SIGN_UP = """mutation($input: SignUpInput!) { signUp(input: $input) { __typename ... on SignUpAccepted { accepted }
  ... on Refusal { code field message } ... on PasswordTooWeak { reason } ... on SignUpClosed { openWays } } }"""
ACTIVATE = """mutation($token: String!, $proof: String, $password: String, $again: String) {
  activate(token: $token, proof: $proof, password: $password, passwordAgain: $again) { __typename ... on Activated { token account { id email displayName } }
  ... on Refusal { code field message } } }"""
BROWSER = {"cookie": "bid=the-browser-of-these-tests", "x-requested-with": "x"}


async def solved(shop: Shop) -> str:
    """The solution of a new captcha, as the widget gives it."""
    challenge = Challenge.from_dict(json.loads((await shop.nobody.data("{ captchaChallenge }"))["captchaChallenge"]))
    solution = solve_challenge(challenge)
    assert solution is not None
    return Payload(challenge, solution).to_base64()


async def typed(shop: Shop, email: str, **given: Any) -> dict[str, Any]:
    """What somebody types who signs up."""
    return {
        "email": email, "displayName": "Vera Lind", "password": GOOD, "passwordAgain": given.get("password", GOOD), "termsVersion": "2026-11",
        "language": "en", "region": "US", "currency": "USD", **given, "captcha": given.get("captcha") or await solved(shop),
    }  # fmt: skip


async def sign_up(shop: Shop, email: str, **given: Any) -> dict[str, Any]:
    answer = await shop.nobody.post(SIGN_UP, BROWSER, input=await typed(shop, email, **given))
    shop.http.cookies.clear()
    return answer.json()["data"]["signUp"]


async def activate(shop: Shop, token: str, **given: Any) -> dict[str, Any]:
    """Follow a link in the browser that signed up."""
    answer = await shop.nobody.post(ACTIVATE, BROWSER, token=token, **given)
    shop.http.cookies.clear()
    return answer.json()["data"]["activate"]


async def token_to(address: str) -> str:
    """The token of the link in the last letter to an address."""
    return (await letters(address))[-1]["values"]["link"].partition("?token=")[2]


async def activated(shop: Shop, email: str, **given: Any) -> dict[str, Any]:
    """A buyer who has signed up and followed the link."""
    assert await sign_up(shop, email, **given) == {"__typename": "SignUpAccepted", "accepted": True}
    answer = await activate(shop, await token_to(email))
    assert answer["__typename"] == "Activated"
    return answer
