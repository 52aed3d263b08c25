"""The command line, as an operator meets it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

from tests.shop import free_port

ROOT = Path(__file__).parent.parent


def server(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess:
    """Run a command of server.py on a database in `folder`."""
    env = {**os.environ, "KABINET_DATABASE_URL": f"sqlite:///{folder}/shop.db", **{f"KABINET_{k.upper()}": v for k, v in settings.items()}}
    return subprocess.run([sys.executable, "server.py", *arguments], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)


def test_the_commands_are_listed_and_a_wrong_setting_is_one_sentence(tmp_path: Path) -> None:
    told = server(tmp_path, "--help").stdout
    assert all(name in told for name in ("serve", "migrate", "demo", "schema", "token"))
    refused = server(tmp_path, "migrate", port="none")
    assert refused.returncode == 1
    assert refused.stderr.startswith("Error: KABINET_PORT: ") and "Traceback" not in refused.stderr


def test_migrating_twice_and_the_life_of_a_token(tmp_path: Path) -> None:
    assert "migrations applied" in server(tmp_path, "migrate").stdout
    assert server(tmp_path, "migrate").stdout == "nothing to do\n"
    token = server(tmp_path, "token", "create", "feeder", "--scope", "prices").stdout.strip()
    assert token.startswith("kst_") and len(token) == 47
    listed = server(tmp_path, "token", "list").stdout
    assert "feeder" in listed and "prices" in listed and "in force" in listed and token not in listed
    assert server(tmp_path, "token", "revoke", "1").returncode == 0
    assert "revoked" in server(tmp_path, "token", "list").stdout
    assert server(tmp_path, "token", "revoke", "1").returncode == 1
    assert server(tmp_path, "token", "create", "x", "--scope", "everything").returncode == 2


def test_the_demo_world_needs_demo_mode(tmp_path: Path) -> None:
    refused = server(tmp_path, "demo", mode="production")
    assert refused.returncode == 1 and "KABINET_MODE=demo" in refused.stderr


def test_the_demo_starts_answers_is_the_same_after_a_restart_and_stops_when_asked(tmp_path: Path) -> None:
    port = free_port()
    env = {
        **os.environ, "KABINET_MODE": "demo", "KABINET_PORT": str(port), "KABINET_DATABASE_URL": f"sqlite:///{tmp_path}/shop.db",
    }  # fmt: skip
    seen = []
    for _ in range(2):
        with subprocess.Popen([sys.executable, "server.py", "serve"], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) as process:
            try:
                wait_until_ready(f"http://127.0.0.1:{port}")
                query = '{ products(search: "lamp") { totalCount edges { node { title price { amount } } } } }'
                seen.append(httpx2.post(f"http://127.0.0.1:{port}/graphql", json={"query": query}).json())
            finally:
                process.send_signal(signal.SIGTERM)
                printed = process.communicate(timeout=30)[0]
            assert process.returncode == 0
            assert "anna@demo.example" in printed and "Bearer kst_" in printed
    assert seen[0] == seen[1]
    assert seen[0]["data"]["products"]["totalCount"] == 20


def wait_until_ready(url: str) -> None:
    for _ in range(300):
        try:
            if httpx2.get(f"{url}/health/ready").status_code == 200:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail("the server did not become ready")
