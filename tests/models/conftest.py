from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from models.database import Database
from tests.databases import BOTH, fresh_database

MACHINERY = ["models.clock", "models.activity", "models.events", "models.outbox", "models.timers", "tests.models.tables"]


@pytest.fixture(params=BOTH)
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """An open, empty database with the machinery's tables and a few for the tests."""
    async with fresh_database(request.param, tmp_path, MACHINERY) as opened:
        yield opened
