"""The bucket of cost: who asks for too much waits, others do not."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.shop import Shop, open_shop

PRODUCTS = "{ products(first: 100) { edges { node { id store { id } } } } }"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def bounded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    """A shop whose callers may ask for two large pages at once, and little more after that."""
    async with open_shop("sqlite", tmp_path_factory.mktemp("shop"), cost_bucket=True, cost_burst=800, cost_per_second=20) as shop:
        yield shop


async def test_who_asks_for_too_much_is_told_to_wait_and_others_are_not(bounded: Shop) -> None:
    greedy, modest = await bounded.buyer(), await bounded.buyer()
    answers = [await greedy.post(PRODUCTS) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].json()["errors"][0]["extensions"]["code"] == "RATE_LIMITED"
    assert 1 <= int(answers[2].headers["retry-after"]) <= 25
    assert (await modest.post(PRODUCTS)).status_code == 200
    assert (await bounded.nobody.post(PRODUCTS)).status_code == 200
    assert [(await bounded.staff.post(PRODUCTS)).status_code for _ in range(5)] == [200] * 5
