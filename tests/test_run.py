"""What `python3 run.py` stands on: locks that name everything and no host, and set-up that is done once."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import run

PINNED = re.compile(r"^([a-z0-9-]+)==\S+", re.MULTILINE)


def pins(lock: Path) -> dict[str, str]:
    """Name and version of everything in a lock file."""
    return dict(line.split("==") for line in (found[0] for found in PINNED.finditer(lock.read_text())))


def declared(requirement: str) -> str:
    return re.split(r"[\[=<>;\s]", requirement)[0].lower()


def test_the_locks_hold_everything_that_is_declared_and_the_smaller_lies_within_the_larger() -> None:
    project = tomllib.loads((run.ROOT / "pyproject.toml").read_text())
    runtime, development = pins(run.RUNTIME_LOCK), pins(run.DEVELOPMENT_LOCK)
    assert {declared(name) for name in project["project"]["dependencies"]} <= runtime.keys()
    assert {declared(name) for name in project["dependency-groups"]["dev"]} <= development.keys()
    assert runtime.items() <= development.items()


@pytest.mark.parametrize("lock", [run.RUNTIME_LOCK, run.DEVELOPMENT_LOCK])
def test_a_lock_has_hashes_for_everything_and_names_no_host(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    for package in re.split(r"\n(?=[a-z0-9])", text):
        assert "--hash=sha256:" in package, package.splitlines()[0]


@pytest.mark.parametrize("folder", [run.PAGE, *run.client_folders()], ids=lambda folder: folder.name)
def test_an_npm_lock_names_no_host_to_load_from(folder: Path) -> None:
    packages = json.loads((folder / "package-lock.json").read_text())["packages"]
    assert all("resolved" not in package for package in packages.values())
    assert all(package["integrity"].startswith("sha512-") for path, package in packages.items() if path)


@pytest.mark.parametrize(
    ("version", "enough"),
    [("v18.20.4", False), ("v20.18.9", False), ("v20.19.0", True), ("v21.7.3", False), ("v22.11.0", False), ("v22.12.0", True)],
)
def test_node_is_used_only_when_the_build_runs_on_it(tmp_path: Path, version: str, enough: bool) -> None:
    node = tmp_path / "node"
    node.write_text(f"#!/bin/sh\necho {version}\n")
    node.chmod(0o755)
    assert run.new_enough(str(node)) is enough


def test_an_older_python_is_refused_with_a_sentence() -> None:
    program = "import sys; sys.version_info = (3, 10, 13, 'final', 0); import run; run.main([])"
    refused = subprocess.run([sys.executable, "-c", program], cwd=run.ROOT, capture_output=True, text=True)
    assert refused.returncode == 1
    assert refused.stderr == "Kabinet needs Python 3.11 or newer; this is 3.10.\n"


def test_what_stands_is_not_installed_again_until_its_lock_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(run, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(run, "require", lambda command, sentence: commands.append(command))
    lock = tmp_path / "requirements.lock"
    lock.write_text("")
    run.python().parent.mkdir(parents=True)
    run.python().touch()
    run.make_environment(lock)
    assert [command[1:3] for command in commands] == [["-m", "venv"], ["-m", "pip"]]
    run.make_environment(lock)
    assert len(commands) == 2
    lock.write_text("more")
    run.make_environment(lock)
    assert len(commands) == 4
