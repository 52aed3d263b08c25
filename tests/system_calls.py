"""What a process asks of the system when it writes, as strace sees it."""

import codecs
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

CALLS = "fdatasync,fsync,pwrite64,write,writev,sendto,sendmsg,ftruncate"
LINE = re.compile(r"^(\d+) +(\d+\.\d+) (.*)$")
WHOLE = re.compile(r'^(\w+)\(\d+<(.*?)>(.*)\) += (-?\d+).* <(\d+\.\d+)>$')
TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"')
RESUMED = re.compile(r"^<\.\.\. \w+ resumed>(.*)$")
UNFINISHED = " <unfinished ...>"


@dataclass(frozen=True)
class Call:
    """One that ended. `place` is the offset of a write to a file, or the length that a file was cut to."""

    name: str
    path: str
    data: bytes
    place: int
    result: int
    began: float
    ended: float

    @property
    def is_sync(self) -> bool:
        return self.name in ("fdatasync", "fsync") and self.result == 0

    @property
    def is_write(self) -> bool:
        return self.name in ("write", "writev", "sendto", "sendmsg")


def traced(output: Path, *options: str) -> list[str]:
    """The command that runs what follows it under strace."""
    require_strace()
    return ["strace", "-f", "--seccomp-bpf", "-qq", "-y", "-s", "70000", "-ttt", "-T", "-e", f"trace={CALLS}", "-o", str(output), *options]


def require_strace() -> None:
    """Skip where it is missing (fail where services are required), and where this machine lets nobody trace."""
    if shutil.which("strace") is None:
        line = "no strace on this machine"
        if os.environ.get("KABINET_TEST_SERVICES") == "required":
            pytest.fail(line)
        pytest.skip(line)
    if subprocess.run(["strace", "-f", "--seccomp-bpf", "-o", os.devnull, "true"], capture_output=True).returncode:
        pytest.skip("this machine does not let strace trace")


def calls(output: Path) -> list[Call]:
    """In the order in which they ended."""
    return list(_calls(output.read_text(encoding="ascii", errors="replace").splitlines()))


def _calls(lines: Sequence[str]) -> Iterator[Call]:
    begun: dict[str, tuple[float, str]] = {}
    for line in lines:
        found = LINE.match(line)
        if found is None:
            continue
        process, at, text = found[1], float(found[2]), found[3]
        if text.endswith(UNFINISHED):
            begun[process] = at, text.removesuffix(UNFINISHED)
            continue
        began = at
        if resumed := RESUMED.match(text):
            began, start = begun.pop(process)
            text = start + resumed[1]
        if whole := WHOLE.match(text):
            yield _call(whole, began)


def _call(whole: re.Match[str], began: float) -> Call:
    name, path, rest, result, took = whole.groups()
    data = b"".join(codecs.escape_decode(part.encode())[0] for part in TEXT.findall(rest))  # type: ignore[attr-defined]
    place = int(rest.rpartition(", ")[2]) if name in ("pwrite64", "ftruncate") else 0
    return Call(name, path, data, place, int(result), began, began + float(took))
