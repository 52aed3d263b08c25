"""Fixtures that every folder of tests may use."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.databases import BOTH
from tests.providers import Browser, Idp, browsing, forget_identities, open_idp
from tests.shop import Shop, open_shop
from tests.traffic import forget_traffic


@pytest.fixture(autouse=True, scope="session")
def patience() -> Iterator[None]:
    """A machine that runs tests is busy: what gives up under load has tests of its own.

    Hashing threads of a lower priority would wait for the other processes of the tests too, beyond every deadline of a request.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("auth.passwords.NICER", 0)
        patch.setattr("models.postgres_engine.ACQUIRE_SECONDS", 30.0)
        patch.setattr("models.postgres_engine.COMMIT_SECONDS", 60.0)
        yield


@pytest.fixture(autouse=True)
def quiet_network() -> None:
    """What a test asks for is held against no other test: all come from one address."""
    forget_traffic()


@pytest_asyncio.fixture(params=BOTH, scope="module", loop_scope="session")
async def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    """A running shop on both databases, one for the tests of a file: give each test buyers and products of its own."""
    async with open_shop(request.param, tmp_path_factory.mktemp("shop")) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def idp() -> AsyncIterator[Idp]:
    """The demo's identity providers, with faults to order."""
    async with open_idp() as opened:
        yield opened


@pytest_asyncio.fixture(params=BOTH, scope="module", loop_scope="session")
async def provided(request: pytest.FixtureRequest, idp: Idp, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    """A running shop on both databases whose providers are those of `idp`."""
    async with open_shop(request.param, tmp_path_factory.mktemp("shop"), demo_idp_url=idp.url) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def browser(provided: Shop, idp: Idp) -> AsyncIterator[Browser]:
    """A browser, nobody known to the shop, and providers that work."""
    idp.faults.clear()
    await forget_identities(provided)
    async with browsing(provided) as opened:
        yield opened
