"""A process that dies in the middle: what it acknowledged is there, and nothing is there by half."""

import asyncio
import random
import sys
from pathlib import Path

import pytest

from models.database import fetch, open_database
from models.events import EVENT_TABLE
from tests.databases import BOTH, fresh_url, settings_for
from tests.models.conftest import MACHINERY
from tests.models.test_cancellation import require_gapless, require_whole

KILLS = 4
WRITER = """
import asyncio, sys
from models.database import open_database
from tests.databases import settings_for
from tests.models.conftest import MACHINERY
from tests.models.test_cancellation import send_pair

async def write(turn, hand):
    for n in range(100_000):
        label = await send_pair(f"{turn} {hand} {n}")
        sys.stdout.write(label + "\\n")
        sys.stdout.flush()

async def main():
    async with open_database(settings_for(sys.argv[1]), MACHINERY):
        await asyncio.gather(*(write(sys.argv[2], hand) for hand in range(3)))

asyncio.run(main())
"""


@pytest.mark.parametrize("dialect", BOTH)
async def test_a_killed_process_loses_nothing_it_acknowledged(dialect, tmp_path):
    root = Path(__file__).parents[2]
    acknowledged: list[str] = []
    async with fresh_url(dialect, tmp_path) as url:
        async with open_database(settings_for(url), MACHINERY) as database:
            await database.context.generate_schemas()
            await database.engine.execute_script(EVENT_TABLE[database.dialect])
        for turn in range(KILLS):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", WRITER, url, str(turn), cwd=root, stdout=asyncio.subprocess.PIPE
            )
            acknowledged.append((await asyncio.wait_for(process.stdout.readline(), 120)).decode().strip())
            await asyncio.sleep(random.uniform(0, 0.4))
            process.kill()
            acknowledged += (await process.stdout.read()).decode().splitlines()[:-1]
            await process.wait()
        async with open_database(settings_for(url), MACHINERY) as database:
            await require_whole(database, acknowledged)
            await require_gapless(database)
            if dialect == "sqlite":
                assert (await fetch("PRAGMA integrity_check"))[0][0] == "ok"
    assert len(acknowledged) > KILLS
