import asyncio
from collections import namedtuple

import pytest

from models import readiness
from models.readiness import require_writable
from models.refusals import ErrorCode, Failure
from models.unit_of_work import Work, unit_of_work
from tests.databases import fresh_database
from tests.models.conftest import MACHINERY


async def test_a_database_that_takes_writes_is_ready(database):
    await require_writable()
    assert database.is_clean()


async def test_one_whose_write_lock_is_held_is_not(tmp_path):
    async with fresh_database("sqlite", tmp_path, MACHINERY):
        done, held = asyncio.Event(), asyncio.Event()

        @unit_of_work(seconds=60.0)
        async def hold(work: Work) -> None:
            held.set()
            await done.wait()

        holding = asyncio.create_task(hold())
        await held.wait()
        with pytest.raises(Failure) as failure:
            await require_writable()
        assert failure.value.code is ErrorCode.TIMEOUT
        done.set()
        await holding
        await require_writable()


async def test_a_disk_that_is_nearly_full_is_not_ready(tmp_path, monkeypatch):
    async with fresh_database("sqlite", tmp_path, MACHINERY):
        usage = namedtuple("usage", "total used free")(1, 1, 1024)
        monkeypatch.setattr(readiness.shutil, "disk_usage", lambda path: usage)
        with pytest.raises(Failure) as failure:
            await require_writable()
        assert failure.value.code is ErrorCode.STORAGE_UNAVAILABLE


async def test_a_read_only_postgres_is_not_ready(tmp_path):
    async with fresh_database("postgres", tmp_path, MACHINERY) as database:
        name = database.settings.database_url.rpartition("/")[2]
        await database.engine.execute_script(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        await database.engine.pool.expire_connections()
        with pytest.raises(Failure) as failure:
            await require_writable()
        assert failure.value.code is ErrorCode.STORAGE_UNAVAILABLE
