"""Fixtures that every folder of tests may use."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.databases import BOTH
from tests.shop import Shop, open_shop


@pytest_asyncio.fixture(params=BOTH, scope="module", loop_scope="session")
async def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    """A running shop on both databases, one for the tests of a file: give each test buyers and products of its own."""
    async with open_shop(request.param, tmp_path_factory.mktemp("shop")) as opened:
        yield opened
