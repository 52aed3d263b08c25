"""The released audits of GraphQL over HTTP (graphql-http 1.23.1), unmodified: `audit/` holds their lock."""

import asyncio
import json
import os
import shutil
from pathlib import Path

import pytest

import run

FOLDER = Path(__file__).parent / "audit"
AUDITS = 61


async def failed_audits(url: str) -> dict[str, str]:
    """The audits of the server at `url` that did not end well, with the reason; skips the test where Node is missing."""
    await install()
    results = json.loads(await output("node", "audit.mjs", f"{url}/graphql"))
    assert len(results) == AUDITS
    return {result["id"]: f"{result['name']}: {result['reason']}" for result in results if result["status"] != "ok"}


async def install() -> None:
    """Install from the lock what does not stand, or stands from an older one."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        line = "the audits need Node and npm"
        if os.environ.get("KABINET_TEST_SERVICES") == "required":
            pytest.fail(line)
        pytest.skip(line)
    lock, installed = FOLDER / "package-lock.json", FOLDER / "node_modules" / ".package-lock.json"
    if run.read(FOLDER / "node_modules" / "installed-from") == run.fingerprint([lock, FOLDER / "package.json"]):
        return  # by `python3 run.py test`; two processes of the tests that install at once get into each other's way
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        await output("npm", "ci", "--no-audit", "--no-fund", "--loglevel=error")
        installed.touch()


async def output(*command: str) -> bytes:
    async with asyncio.timeout(300):
        process = await asyncio.create_subprocess_exec(*command, cwd=FOLDER, stdout=asyncio.subprocess.PIPE)
        said, _ = await process.communicate()
    assert process.returncode == 0
    return said
