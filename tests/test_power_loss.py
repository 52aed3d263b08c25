"""What was acknowledged outlives a loss of power: it is on the disk before the answer's first byte leaves.

No process can show that a disk tells the truth when it says «written». What is shown is that Kabinet asks, waits for the
answer, and needs nothing that it has not asked for: the calls of a real server are recorded, and a disk is played that
keeps what was synced and loses, tears or reorders everything else.
"""

import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import asyncpg  # type: ignore[import-untyped]
import httpx2
import pytest

from models.migrate import migrate
from schema.scalars import global_id
from tests.databases import settings_for
from tests.own_process import Node, fill, filled_url, running, token_of
from tests.shop import free_port
from tests.system_calls import Call, calls, traced

ADD = "mutation($of: ID!) { addFavorite(productId: $of) { __typename } }"
SECTOR = 512
SIZES = [pytest.param(20, 40, id="short"), pytest.param(200, 300, id="long", marks=pytest.mark.long)]


async def add_favorites(node: Node, count: int) -> None:
    """Products 1, 2, 3, … one after the other, each acknowledged."""
    async with httpx2.AsyncClient(base_url=node.address, headers={"authorization": f"Bearer {token_of(1)}"}, timeout=60) as http:
        for number in range(1, count + 1):
            answer = await http.post("/graphql", json={"query": ADD, "variables": {"of": global_id("Product", number)}})
            assert answer.json() == {"data": {"addFavorite": {"__typename": "FavoriteAdded"}}}, answer.text


def is_answer(call: Call) -> bool:
    """The first byte of an answer of /graphql: its head goes ahead of its body."""
    return call.is_write and call.data.startswith(b"HTTP/1.1 200") and b"content-security-policy" in call.data


def require_synced_before_each_answer(answers: Sequence[Call], syncs: Sequence[Call], count: int) -> None:
    assert len(answers) == count
    before = 0.0
    for number, answer in enumerate(answers, 1):
        assert any(before < sync.began and sync.ended < answer.began for sync in syncs), f"answer {number} left before its journal was synced"
        before = answer.began


@dataclass
class Disk:
    """The files of a directory as they are after a loss of power."""

    files: dict[str, bytes]
    waiting: dict[str, list[Call]] = field(default_factory=dict)  # written and not yet synced

    def take(self, call: Call) -> None:
        if call.is_sync and call.path in self.waiting:
            self.files[call.path] = applied(self.files.get(call.path, b""), self.waiting.pop(call.path))
        elif call.name in ("pwrite64", "ftruncate") and call.result >= 0 and not call.path.endswith("-shm"):
            self.waiting.setdefault(call.path, []).append(call)

    def after_power_loss(self, random: Random) -> dict[str, bytes]:
        """What is found afterwards: all that was synced, and of the rest some, in any order, also torn."""
        found = dict(self.files)
        for path, waiting in self.waiting.items():
            kept = random.sample(waiting, random.randint(0, len(waiting)))
            found[path] = applied(found.get(path, b""), [torn(call, random) for call in kept])
        return found


def applied(content: bytes, written: Sequence[Call]) -> bytes:
    image = bytearray(content)
    for call in written:
        if call.name == "ftruncate":
            del image[call.place :]
            image.extend(bytes(call.place - len(image)))
        else:
            image.extend(bytes(max(call.place - len(image), 0)))
            image[call.place : call.place + len(call.data)] = call.data
    return bytes(image)


def torn(call: Call, random: Random) -> Call:
    """Sometimes only the first sectors of a write."""
    if call.name != "pwrite64" or random.random() < 0.7:
        return call
    return Call(**{**vars(call), "data": call.data[: random.randrange(0, len(call.data) + 1, SECTOR)]})


def require_whole(folder: Path, found: dict[str, bytes], acknowledged: int) -> int:
    """Every acknowledged favourite is there, at most one more, each with its record; how many there are."""
    for left in folder.glob("*"):
        left.unlink()
    for path, content in found.items():
        (folder / Path(path).name).write_bytes(content)
    (name,) = (path for path in folder.glob("*.db"))
    with closing(sqlite3.connect(name)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        added = [number for (number,) in database.execute("SELECT product_id FROM favorite ORDER BY id")]
        recorded = database.execute("SELECT count(*) FROM activity WHERE verb = 'favorite_added'").fetchone()[0]
    assert added == list(range(1, len(added) + 1)) and recorded == len(added)
    assert acknowledged <= len(added) <= acknowledged + 1
    return len(added)


def content_of(url: str) -> tuple[str, bytes]:
    """The database's path, and all of it: nothing is in a journal."""
    path = Path(url.removeprefix("sqlite:///"))
    assert not Path(f"{path}-wal").exists()
    return str(path), path.read_bytes()


@pytest.mark.parametrize(("mutations", "cuts"), SIZES)
async def test_power_may_fail_at_any_moment(mutations: int, cuts: int, tmp_path: Path) -> None:
    seed = time.time_ns()
    random, lost = Random(seed), tmp_path / "lost"
    lost.mkdir()
    async with filled_url("sqlite", tmp_path, buyers=1, products=mutations) as url:
        path, template = content_of(url)
        node = Node(url, under=traced(tmp_path / "calls"), unready_seconds=0)
        async with running(node):
            await add_favorites(node, mutations)
            node.send(signal.SIGTERM)
            await node.ended()
    seen = calls(tmp_path / "calls")
    require_synced_before_each_answer(
        [call for call in seen if is_answer(call)], [call for call in seen if call.is_sync and call.path.endswith("-wal")], mutations
    )
    unfinished = cut_off(seen, Disk({path: template}), lost, cuts, random)
    print(f"\n{len(seen)} calls, {cuts} cuts, in {unfinished} of them a change was there that had not been acknowledged; seed {seed}")
    with pytest.raises((AssertionError, sqlite3.Error)):  # the disk that is played does lose what nobody had synced
        cut_off([call for call in seen if not call.is_sync], Disk({path: template}), lost, cuts, random)


def cut_off(seen: Sequence[Call], disk: Disk, folder: Path, cuts: int, random: Random) -> int:
    """Look at what so many cuts leave behind; in how many a change is there that was not yet acknowledged."""
    cut_at = set(random.sample(range(len(seen)), cuts))
    acknowledged = unfinished = 0
    for number, call in enumerate(seen):
        if number in cut_at:
            unfinished += require_whole(folder, disk.after_power_loss(random), acknowledged) > acknowledged
        disk.take(call)
        acknowledged += is_answer(call)
    require_whole(folder, disk.after_power_loss(random), acknowledged)
    return unfinished


def postgres_programs() -> Path:
    """The folder of Debian's newest."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        pytest.skip("no PostgreSQL programs in /usr/lib/postgresql")
    return found[-1].parent


def initialise(programs: Path, folder: str) -> None:
    owner = []
    if os.getuid() == 0:  # as whom PostgreSQL does not run
        shutil.chown(folder, "postgres")
        owner = ["runuser", "-u", "postgres", "--"]
    subprocess.run([*owner, programs / "initdb", "-D", f"{folder}/data", "-U", "postgres", "-A", "trust"], check=True, capture_output=True, cwd="/")


@asynccontextmanager
async def postgres_of_its_own(output: Path) -> AsyncIterator[str]:
    """A PostgreSQL under strace; its address."""
    programs, port = postgres_programs(), free_port()
    folder = tempfile.mkdtemp(prefix="kabinet_test_")
    try:
        initialise(programs, folder)
        settings = [f"port={port}", "listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=on"]
        command = [f"{programs}/postgres", "-D", f"{folder}/data", *(part for setting in settings for part in ("-c", setting))]
        under = traced(output, *(["-u", "postgres"] if os.getuid() == 0 else []))
        server = await asyncio.create_subprocess_exec(*under, *command, cwd="/", start_new_session=True, stderr=asyncio.subprocess.DEVNULL)
        try:
            await answers(port)
            yield f"postgres://postgres@127.0.0.1:{port}/postgres"
        finally:
            os.killpg(server.pid, signal.SIGQUIT)
            await asyncio.wait_for(server.wait(), 60)
    finally:
        shutil.rmtree(folder)


async def answers(port: int) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                await (await asyncpg.connect(f"postgres://postgres@127.0.0.1:{port}/postgres")).close()
                return
            except (OSError, asyncpg.PostgresError):
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("mutations", [pytest.param(20, id="short"), pytest.param(200, id="long", marks=pytest.mark.long)])
async def test_postgresql_has_synced_what_is_acknowledged(mutations: int, tmp_path: Path) -> None:
    async with postgres_of_its_own(tmp_path / "calls of postgres") as url:
        await migrate(settings_for(url))
        await fill(url, buyers=1, products=mutations)
        node = Node(url, under=traced(tmp_path / "calls"), unready_seconds=0)
        async with running(node):
            await add_favorites(node, mutations)
            node.send(signal.SIGTERM)
            await node.ended()
    require_synced_before_each_answer(
        [call for call in calls(tmp_path / "calls") if is_answer(call)],
        [call for call in calls(tmp_path / "calls of postgres") if call.is_sync and "/pg_wal/" in call.path],
        mutations,
    )
