"""The command line, as an operator meets it."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

from tests.shop import free_port, open_shop

ROOT = Path(__file__).parent.parent


def server(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess:
    """Run a command of server.py on a database in `folder`."""
    env = {**os.environ, "KABINET_DATABASE_URL": f"sqlite:///{folder}/shop.db", **{f"KABINET_{k.upper()}": v for k, v in settings.items()}}
    return subprocess.run([sys.executable, "server.py", *arguments], cwd=ROOT, env=env, capture_output=True, text=True, timeout=180)


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


async def test_a_check_names_whom_a_policy_leaves_without_a_way_in(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    server(tmp_path, "migrate")
    async with open_shop("sqlite", tmp_path, f"sqlite:///{path}") as shop:
        for name in ("mail", "google", "bare"):
            await shop.put("putAccounts", [{"externalId": name, "displayName": name, "email": f"{name}@x.example", "region": "RU", "currency": "RUB", "password": "long enough"}])
    with sqlite3.connect(path) as database:
        database.execute("UPDATE identity SET kind = 'GOOGLE', subject = 'g' WHERE subject = 'google@x.example'")
        database.execute("DELETE FROM password WHERE account_id = (SELECT id FROM account WHERE external_id = 'bare')")
    google = {"google_client_id": "g", "google_client_secret": "s"}
    fine = server(tmp_path, "policy", "check", **google)
    assert (fine.returncode, fine.stdout) == (0, "0 accounts without an open way in\n")
    denied = server(tmp_path, "policy", "check", foreign_sign_in="deny", **google)
    assert (denied.returncode, denied.stdout) == (1, "google  locked out\n1 accounts without an open way in\n")
    assert server(tmp_path, "policy", "check").stdout == denied.stdout, "nobody signs in by Google where it is not configured"
    (tmp_path / "own.toml").write_text('[regions."*"]\nsign_up = []\nsign_in = ["PHONE"]\nlink = []\n')
    closed = server(tmp_path, "policy", "check", sign_in_policy=str(tmp_path / "own.toml"), **google)
    assert closed.returncode == 1
    assert closed.stdout.splitlines()[0] == "mail  signs in as before, and is offered no other way"
    assert closed.stdout.splitlines()[-1] == "2 accounts without an open way in"


def test_an_operator_bans_and_signs_out(tmp_path: Path) -> None:
    server(tmp_path, "migrate")
    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.execute("INSERT INTO account (external_id, display_name, language, region, currency, created_at) VALUES ('b-1', 'B', 'en', 'US', 'USD', '2026-05-01 00:00:00+00:00')")
    banned = server(tmp_path, "ban", "b-1", "--reason", "PAYMENT_FRAUD", "--text", "Stolen cards.", "--days", "3")
    assert (banned.returncode, banned.stdout) == (0, "b-1 is blocked\n"), banned.stderr
    assert server(tmp_path, "revoke-sessions", "#1").stdout == "0 sessions of #1 have ended\n"
    assert "is off" in server(tmp_path, "remove-second-factor", "b-1").stderr
    refused = server(tmp_path, "ban", "nobody", "--reason", "RULES", "--text", "x")
    assert (refused.returncode, refused.stderr) == (1, "Error: There is no such object.\n")
    with sqlite3.connect(tmp_path / "shop.db") as database:
        level, text, until = database.execute("SELECT standing_level, standing_text, standing_until FROM account").fetchone()
        verbs = [verb for (verb,) in database.execute("SELECT verb FROM activity WHERE subject_kind = 'account' AND actor_kind = 'system' ORDER BY id")]
    assert (level, text, until is not None) == ("BLOCKED", "Stolen cards.", True)
    assert verbs == ["standing_changed", "sessions_revoked"]


def test_production_does_not_start_without_a_secret(tmp_path: Path) -> None:
    refused = server(tmp_path, "serve", mode="production")
    assert (refused.returncode, refused.stderr) == (1, "Error: KABINET_SECRET_KEY: production needs a secret of at least 32 bytes\n")
    assert "shorter than 32 bytes" in server(tmp_path, "serve", mode="production", secret_key="short").stderr


def test_a_database_that_is_not_up_to_date_is_not_served(tmp_path: Path) -> None:
    refused = server(tmp_path, "serve", mode="development")
    assert refused.returncode == 1
    assert refused.stderr.startswith("Error: the database lacks 0001_") and "server.py migrate" in refused.stderr


def test_a_database_that_cannot_be_opened_is_one_sentence(tmp_path: Path) -> None:
    refused = server(tmp_path / "nowhere", "migrate", mode="development")
    assert (refused.returncode, refused.stderr) == (1, "Error: KABINET_DATABASE_URL: STORAGE_UNAVAILABLE: unable to open database file\n")


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
                seen.append(httpx2.post(f"http://127.0.0.1:{port}/graphql", json={"query": query}, timeout=60).json())
            finally:
                process.send_signal(signal.SIGTERM)
                printed = process.communicate(timeout=60)[0]
            assert process.returncode == 0
            assert "anna@demo.example" in printed and "Bearer kst_" in printed
    assert seen[0] == seen[1]
    assert seen[0]["data"]["products"]["totalCount"] == 20


def wait_until_ready(url: str) -> None:
    until = time.monotonic() + 180  # it makes the demo world first
    while time.monotonic() < until:
        try:
            if httpx2.get(f"{url}/health/ready").status_code == 200:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail("the server did not become ready")
