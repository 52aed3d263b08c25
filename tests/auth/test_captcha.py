"""Captchas: what counts as solved, and what does not."""

import base64
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from altcha import Challenge, Payload, create_challenge, solve_challenge

from auth.captcha import ALGORITHM, LASTS, PREFIX, captcha_challenge, check_captcha, spend_captcha
from auth.keys import key_for
from auth.passwords import Passwords
from models.instants import utc_now
from models.refusals import CaptchaFailed
from models.unit_of_work import Work, unit_of_work
from settings import Settings
from tests.databases import BOTH, migrated_database, settings_for


@pytest.fixture(params=BOTH)
async def settings(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Settings]:
    async with migrated_database(request.param, tmp_path) as database:
        yield database.settings


@pytest.fixture
def passwords() -> Passwords:
    return Passwords(settings_for("sqlite:///x.db"))


def payload(challenge: Challenge) -> dict:
    solution = solve_challenge(challenge)
    assert solution is not None
    return Payload(challenge, solution).to_dict()


def solvable(challenge: str) -> Challenge:
    return Challenge.from_dict(json.loads(challenge))


def sent(payload: object) -> str:
    return base64.b64encode(json.dumps(payload).encode()).decode()


@unit_of_work
async def spend(work: Work, solved) -> None:
    await spend_captcha(work, solved)


async def test_a_solution_counts_for_ten_minutes_and_is_spent_once(settings: Settings, passwords: Passwords) -> None:
    challenge = json.loads(await captcha_challenge(settings))
    assert set(challenge) == {"parameters", "signature"}
    assert challenge["parameters"]["algorithm"] == "PBKDF2/SHA-256"
    given = payload(Challenge.from_dict(challenge))
    solved = await check_captcha(settings, passwords, sent(given))
    assert utc_now() + LASTS - timedelta(seconds=30) < solved.ends_at <= utc_now() + LASTS
    await spend(solved)
    other = sent({**given, "solution": {**given["solution"], "time": 1}})
    with pytest.raises(CaptchaFailed):
        await spend(await check_captcha(settings, passwords, other))


async def test_what_is_no_solution_of_ours_fails(settings: Settings, passwords: Passwords) -> None:
    key = await key_for("captcha", settings)
    good = payload(Challenge.from_dict(json.loads(await captcha_challenge(settings))))
    old = payload(create_challenge(ALGORITHM, 1, key_prefix=PREFIX, expires_at=utc_now() - timedelta(seconds=1), hmac_secret=key))
    endless = payload(create_challenge(ALGORITHM, 1, key_prefix=PREFIX, hmac_secret=key))
    strange = payload(create_challenge(ALGORITHM, 1, key_prefix=PREFIX, expires_at=utc_now() + LASTS, hmac_secret=b"another"))
    unsigned = payload(create_challenge(ALGORITHM, 1, key_prefix=PREFIX, expires_at=utc_now() + LASTS))
    easier = {**good, "challenge": {**good["challenge"], "parameters": {**good["challenge"]["parameters"], "keyPrefix": ""}}}
    longer = {**good, "challenge": {**good["challenge"], "parameters": {**good["challenge"]["parameters"], "expiresAt": 4102444800}}}
    guessed = {**good, "solution": {"counter": good["solution"]["counter"] + 1, "derivedKey": good["solution"]["derivedKey"]}}
    shapes = [None, [], "x", 1, {}, {"challenge": [], "solution": {}}, {"challenge": {"parameters": []}, "solution": []}]
    texts = ["", "x", "\u00e9", "[" * 9000, base64.b64encode(b"[" * 7000).decode()]
    for text in [*map(sent, [old, endless, strange, unsigned, easier, longer, guessed, *shapes]), *texts]:
        with pytest.raises(CaptchaFailed):
            await check_captcha(settings, passwords, text)
    assert await check_captcha(settings, passwords, sent(good))


async def test_processes_without_a_secret_of_their_own_agree_on_one(settings: Settings) -> None:
    first = await key_for("captcha", settings)
    assert first == await key_for("captcha", settings) != await key_for("codes", settings)
    given = settings.model_copy(update={"secret_key": type(settings.secret_key)("k" * 32)})
    assert await key_for("captcha", given) not in (first, await key_for("codes", given))
