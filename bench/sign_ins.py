"""What a flood of sign-ins does to everybody else: `python -m bench.sign_ins`.

A server process as in production. Another process asks `{ me { id } }` at a steady rate, alone and, in turns with that,
while a third offers 500 sign-ins a second from 500 addresses, each of an account of its own and with the right password. The
figure is the p99 of the query meanwhile as a ratio to its p99 alone just before, the median of the rounds. First step 3, goal 1.5. Every sign-in is
either hashed, at least 20 a second, or shed with OVERLOADED; any other answer ends the run.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import click
import httpx2

from auth.passwords import Passwords
from bench.lab.load import make_empty
from bench.offered import written
from bench.price_drops import ROOT, cpu_seconds, environment, ready
from bench.shop import database, fill_buyers, insert, settle, shop_settings
from models.database import open_database
from models.instants import utc_now
from models.migrate import migrate
from settings import Settings

BUYERS, READS, SIGN_INS = 500, 100, 500
PASSWORD = "plum-39-harbour"
QUERY = {"query": "{ me { id } }"}
SIGN_IN = "mutation($input: SignInInput!) { signIn(input: $input) { __typename ... on Refusal { code } } }"
FEWEST_HASHED = 20


@click.command()
@database
@click.option("--rounds", default=5, show_default=True, help="How often alone and meanwhile take turns.")
@click.option("--seconds", default=10, show_default=True, help="How long each lasts.")
@click.option("--port", default=8048, show_default=True)
def main(database: str | None, rounds: int, seconds: int, port: int) -> None:
    """Print sign-ins a second, and the p99 of a query meanwhile beside its p99 alone."""
    with tempfile.TemporaryDirectory(prefix="kabinet-bench-") as folder:
        settings = shop_settings(database, folder, worker=True, port=port, forwarded_allow_ips="127.0.0.1")
        asyncio.run(fill(settings))
        reads, sign_ins = Path(folder, "reads.json"), Path(folder, "sign_ins.json")
        reads.write_text(json.dumps([written(QUERY, port, authorization=f"Bearer bench-{n}") for n in range(1, BUYERS + 1)]))
        sign_ins.write_text(json.dumps([written(attempt(n), port, x_forwarded_for=f"10.0.{n // 250}.{n % 250 + 1}") for n in range(1, BUYERS + 1)]))
        server = subprocess.Popen([sys.executable, str(ROOT / "server.py"), "serve"], cwd=folder, env=environment(settings))
        try:
            asyncio.run(_ready(settings))
            measure(server.pid, port, reads, sign_ins, rounds, seconds)
        finally:
            server.terminate()
            server.wait(30)


def attempt(buyer: int) -> dict[str, object]:
    return {"query": SIGN_IN, "variables": {"input": {"email": f"buyer{buyer}@bench.example", "password": PASSWORD}}}


async def fill(settings: Settings) -> None:
    """Buyers who are signed in and can sign in once more."""
    await make_empty(settings)
    await migrate(settings)
    passwords = Passwords(settings)
    hashed = await passwords.hash(PASSWORD)
    passwords.close()
    async with open_database(settings):
        await fill_buyers(BUYERS)
        at, ids = utc_now(), range(1, BUYERS + 1)
        identities = [(n, "EMAIL", f"buyer{n}@bench.example", at) for n in ids]
        await insert("identity", "account_id, kind, subject, verified_at", "bigint text text timestamptz", identities)
        await insert("password", "account_id, hash, changed_at", "bigint text timestamptz", [(n, hashed, at) for n in ids])
    await settle(settings)


async def _ready(settings: Settings) -> None:
    async with httpx2.AsyncClient(base_url=settings.base_url) as client:
        await ready(client)


def measure(pid: int, port: int, reads: Path, sign_ins: Path, rounds: int, seconds: int) -> None:
    for requests, rate in ((reads, READS), (sign_ins, SIGN_INS)):
        finish(offer(requests, port, rate, 2))  # what is compiled, prepared and connected once is so
    ratios, answers = list[float](), Counter[str]()
    for _ in range(rounds):
        alone = p99(told(offer(reads, port, READS, seconds)))
        flood = offer(sign_ins, port, SIGN_INS, seconds + 2)
        time.sleep(1)
        cpu = cpu_seconds(pid)
        meanwhile = p99(told(offer(reads, port, READS, seconds)))
        cpu = cpu_seconds(pid) - cpu
        found = finish(flood)["answers"]
        answers.update(found)
        ratios.append(meanwhile / alone)
        print(f"p99 {alone:.2f} ms alone, {meanwhile:.2f} ms meanwhile, ratio {ratios[-1]:.2f}; the server took {cpu / seconds:.2f} cores; {found}")
    if answers.keys() - {"SignedIn", "OVERLOADED"}:
        raise click.ClickException(f"sign-ins were answered otherwise: {dict(answers)}")
    hashed = answers["SignedIn"] / (rounds * (seconds + 2))
    print(f"{hashed:.0f} sign-ins a second of {SIGN_INS} offered, {answers['OVERLOADED'] / sum(answers.values()):.0%} shed with OVERLOADED")
    print(f"{{ me {{ id }} }}: p99 meanwhile to p99 alone, the median of {rounds} rounds: {statistics.median(ratios):.2f}")
    if hashed < FEWEST_HASHED:
        raise click.ClickException(f"fewer than {FEWEST_HASHED} sign-ins a second")


def offer(requests: Path, port: int, rate: int, seconds: int) -> subprocess.Popen:
    command = [sys.executable, "-m", "bench.offered", str(requests), f"--port={port}", f"--rate={rate}", f"--seconds={seconds}"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)


def finish(offering: subprocess.Popen) -> dict[str, Any]:
    output = offering.communicate()[0]
    if offering.returncode:
        raise click.ClickException("the requests could not be offered")
    return json.loads(output)


def told(offering: subprocess.Popen) -> list[float]:
    """The times of queries, which all must have been answered."""
    found = finish(offering)
    if found["answers"].keys() != {"data"}:
        raise click.ClickException(f"queries were refused: {found['answers']}")
    return found["times"]


def p99(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.99)]


if __name__ == "__main__":
    main()
