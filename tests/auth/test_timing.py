"""Who has an account shows in no answer and in no time: known and unknown are asked by turns, each from a network of its own (row 4)."""

import re
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from scipy.stats import mannwhitneyu

from auth.passwords import Passwords
from tests.auth.test_sign_in import SIGN_IN
from tests.databases import BOTH
from tests.resolvers.orders import order_row
from tests.resolvers.sign_ups import SIGN_UP, solved, typed
from tests.resolvers.test_find_account import FIND
from tests.resolvers.test_passwords import REQUEST
from tests.rows import change
from tests.shop import PASSWORD, Shop, open_shop

PAIRS, ALL_PAIRS, WARMING_UP = 20, 200, 3
RUNS, MOST_APART_MS, LEAST_P = 3, 5.0, 0.01
_networks, _subjects = count(1), count(1)


async def accounts(shop: Shop, numbers: range) -> list[str]:
    """The addresses of so many new accounts; each has the first one's password, so that one alone is hashed."""
    rows = [
        {"externalId": f"timed-{n}", "displayName": "Timed", "email": f"timed{n}@known.example", "language": "en", "region": "US", "currency": "USD"}
        for n in numbers
    ]
    assert all(result["status"] == "CREATED" for result in await shop.put("putAccounts", [rows[0] | {"password": PASSWORD}, *rows[1:]]))
    await change(
        "INSERT INTO password (account_id, hash, changed_at) SELECT a.id, p.hash, p.changed_at FROM password p JOIN account f ON f.id = p.account_id, account a "
        "WHERE f.external_id = $1 AND a.id > f.id AND a.external_id LIKE 'timed-%' ON CONFLICT DO NOTHING",
        rows[0]["externalId"],
    )
    return [row["email"] for row in rows]


async def nobodys(shop: Shop, numbers: range) -> list[str]:
    return [f"timed{n}@nobody.example" for n in numbers]


async def ordered(shop: Shop, numbers: range) -> list[str]:
    """The numbers of so many new orders."""
    buyer, product = await shop.buyer(), await shop.product()
    rows = [await order_row(shop, buyer, product, number=f"T{n}") for n in numbers]
    assert all(result["status"] == "CREATED" for result in await shop.put("putOrders", rows))
    return [row["number"] for row in rows]


async def never_given(shop: Shop, numbers: range) -> list[str]:
    return [f"U{n}" for n in numbers]


async def wrong_password(shop: Shop, email: str) -> dict[str, Any]:
    return {"email": email, "password": "wrong 71 porridge"}


async def forgotten(shop: Shop, email: str) -> dict[str, Any]:
    return {"email": email, "captcha": await solved(shop)}


async def of_an_order(shop: Shop, number: str) -> dict[str, Any]:
    return {"number": number, "captcha": await solved(shop)}


@dataclass(frozen=True)
class Asked:
    """An operation that anybody may call: its input for one of those that `known` or `unknown` make."""

    query: str
    given: Callable[[Shop, str], Awaitable[dict[str, Any]]]
    known: Callable[[Shop, range], Awaitable[list[str]]] = accounts
    unknown: Callable[[Shop, range], Awaitable[list[str]]] = nobodys


OPERATIONS = {
    "signIn": Asked(SIGN_IN, wrong_password),
    "signUp": Asked(SIGN_UP, typed),
    "requestPasswordReset": Asked(REQUEST, forgotten),
    "findAccount": Asked(FIND, of_an_order, ordered, never_given),
}


class Run(NamedTuple):
    """One run's medians in milliseconds, and how probable their times are when they are drawn alike."""

    known: float
    unknown: float
    p: float

    @property
    def tells(self) -> bool:
        return self.p < LEAST_P


async def ask(shop: Shop, asked: Asked, subject: str) -> tuple[float, str]:
    """The milliseconds that an answer takes, and its body but for the request's id."""
    variables, network = {"input": await asked.given(shop, subject)}, next(_networks)
    address = {"x-forwarded-for": f"10.{network >> 16}.{network >> 8 & 255}.{network & 255}"}
    began = time.perf_counter()
    answer = await shop.nobody.post(asked.query, headers=address, **variables)
    taken = (time.perf_counter() - began) * 1000
    assert answer.status_code == 200 and "RATE_LIMITED" not in answer.text, answer.text
    return taken, re.sub(r'"requestId":"[^"]*"', "", answer.text)


async def run(shop: Shop, asked: Asked, known: list[str], unknown: list[str]) -> Run:
    """Known and unknown by turns, and by turns first."""
    times: tuple[list[float], list[float]] = ([], [])
    bodies = set()
    for turn, pair in enumerate(zip(known, unknown, strict=True)):
        for which in (0, 1) if turn % 2 else (1, 0):
            taken, body = await ask(shop, asked, pair[which])
            times[which].append(taken)
            bodies.add(body)
    assert len(bodies) == 1, bodies
    medians = [statistics.median(series[WARMING_UP:]) for series in times]
    return Run(*medians, mannwhitneyu(times[0][WARMING_UP:], times[1][WARMING_UP:]).pvalue)


@pytest_asyncio.fixture(params=BOTH, scope="module", loop_scope="session")
async def behind_a_proxy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    given: dict[str, Any] = {"forwarded_allow_ips": ("127.0.0.1",), "captcha_after_failures": 10**6}
    async with open_shop(request.param, tmp_path_factory.mktemp("timed"), **given) as opened:
        yield opened


async def subjects(shop: Shop, name: str, pairs: int) -> tuple[list[str], list[str]]:
    """As many known and unknown, about whom nobody else asks."""
    known, unknown, begin = [], [], next(_subjects) * 1000
    for first in range(begin, begin + pairs + WARMING_UP, 100):
        numbers = range(first, min(first + 100, begin + pairs + WARMING_UP))
        known += await OPERATIONS[name].known(shop, numbers)
        unknown += await OPERATIONS[name].unknown(shop, numbers)
    return known, unknown


@pytest.mark.parametrize("name", OPERATIONS)
async def test_nobody_learns_from_the_time_of_an_answer_who_has_an_account(behind_a_proxy: Shop, name: str) -> None:
    """Short: no bound in milliseconds, which a loaded machine would break; a hash that is left out shows in each run."""
    known, unknown = await subjects(behind_a_proxy, name, PAIRS)
    runs: list[Run] = []
    while len(runs) < RUNS and (not runs or runs[-1].tells):
        runs.append(await run(behind_a_proxy, OPERATIONS[name], known, unknown))
    assert not runs[-1].tells, runs


@pytest.mark.long
@pytest.mark.parametrize("name", OPERATIONS)
async def test_nobody_learns_it_from_two_hundred_answers(behind_a_proxy: Shop, name: str) -> None:
    known, unknown = await subjects(behind_a_proxy, name, ALL_PAIRS)
    runs = [await run(behind_a_proxy, OPERATIONS[name], known, unknown) for _ in range(RUNS)]
    for one in runs:
        print(f"{name}: median {one.known:.2f} ms known, {one.unknown:.2f} ms unknown, p = {one.p:.3f}")
    assert not all(one.tells for one in runs)
    assert not all(abs(one.known - one.unknown) > MOST_APART_MS for one in runs)


async def test_the_measure_finds_a_hash_that_is_left_out(behind_a_proxy: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    passwords = behind_a_proxy.service.passwords

    async def hasty(stored: str | None, password: str) -> bool:
        return stored is not None and await Passwords.matches(passwords, stored, password)

    monkeypatch.setattr(passwords, "matches", hasty)
    asked = await subjects(behind_a_proxy, "signIn", PAIRS)
    runs = [await run(behind_a_proxy, OPERATIONS["signIn"], *asked)]
    while len(runs) < RUNS and not (runs[-1].tells and runs[-1].known > 2 * runs[-1].unknown):  # the machine was busy
        runs.append(await run(behind_a_proxy, OPERATIONS["signIn"], *asked))
    assert runs[-1].tells and runs[-1].known > 2 * runs[-1].unknown, runs
