"""Buyers with a second factor: pyotp is the authenticator."""

import asyncio
from datetime import timedelta
from typing import Any

import pyotp

from models.instants import utc_now
from tests.rows import account_of, change
from tests.shop import Client

BEGIN = """mutation { beginSecondFactor { __typename ... on SecondFactorBegun { secret uri expiresAt } ... on Refusal { code field message } } }"""
CONFIRM = """mutation($input: ConfirmSecondFactorInput!) { confirmSecondFactor(input: $input) { __typename
  ... on SecondFactorOn { recoveryCodes newToken } ... on Refusal { code field } ... on RateLimited { retryAfterSeconds } } }"""


class Authenticator:
    """An account's authenticator and its codes on paper."""

    def __init__(self, secret: str, account_id: int, recovery_codes: list[str]):
        self.totp, self.account_id, self.recovery_codes = pyotp.TOTP(secret), account_id, recovery_codes

    def at(self, steps: int) -> str:
        """The code of so many 30-second steps from now."""
        return self.totp.at(utc_now() + timedelta(seconds=30 * steps))

    async def code(self) -> str:
        """The present code, as if none had been used lately."""
        await change("UPDATE second_factor SET last_step = 0 WHERE account_id = $1", self.account_id)
        return self.at(0)

    def wrong(self) -> str:
        """A code of none of the steps that could count."""
        near = {self.at(steps) for steps in range(-3, 4)}
        return next(code for code in map("{:06}".format, range(10)) if code not in near)


async def begin(buyer: Client) -> dict[str, Any]:
    return (await buyer.data(BEGIN))["beginSecondFactor"]


async def confirm(buyer: Client, code: str) -> dict[str, Any]:
    """What confirmSecondFactor answers, but for the session's new token, by which the buyer goes on."""
    answer = (await buyer.data(CONFIRM, input={"code": code}))["confirmSecondFactor"]
    buyer.token = answer.pop("newToken", buyer.token)
    return answer


async def turn_on(buyer: Client) -> Authenticator:
    """Give the buyer a second factor, as an app does."""
    secret = (await begin(buyer))["secret"]
    answer = await confirm(buyer, pyotp.TOTP(secret).now())
    assert answer["__typename"] == "SecondFactorOn", answer
    return Authenticator(secret, await account_of(buyer), answer["recoveryCodes"])


async def within_a_step(seconds: int = 5) -> None:
    """Wait for the next 30-second step where the present one ends so soon that what a test tells apart would change meanwhile."""
    left = 30 - utc_now().timestamp() % 30
    if left < seconds:
        await asyncio.sleep(left + 0.01)
