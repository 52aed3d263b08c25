"""Feeds a shop's year through the staff half, as a platform's own team would: `python bench/retail.py --file PATH`.

Without --url it starts a server of its own in development mode, on a fresh SQLite file or on --database-url. With
--check it compares what the database then holds with `retail_count.py`, row by row. See docs/retail.md.
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import httpx2  # noqa: E402
from tqdm import tqdm  # noqa: E402

from bench import retail_check, retail_rows  # noqa: E402
from bench.retail_rows import Row  # noqa: E402

ATTEMPTS = 6
PASSING = ("OVERLOADED", "TIMEOUT", "STORAGE_UNAVAILABLE", "RATE_LIMITED")
FAN_OUT_SECONDS = 300
START_SECONDS = 60
CALL = "mutation($input: {input}!) {{ {call}(input: $input) {{ results {{ externalId status code message }} }} }}"


class Fed:
    """What came of the feeding: by call how many rows became what and how long it took, and the refusals."""

    def __init__(self) -> None:
        self.statuses: dict[str, Counter[str]] = {}
        self.seconds: dict[str, float] = {}
        self.refused: dict[str, set[int]] = {}
        self.answers: dict[str, Counter[str]] = {}
        self.surprises: list[str] = []

    def note(self, rows: list[Row], results: list[dict[str, Any]], seconds: float) -> None:
        """Keep what became of the rows of one call."""
        call = rows[0].call
        self.seconds[call] = self.seconds.get(call, 0.0) + seconds
        counts = self.statuses.setdefault(call, Counter())
        for row, result in zip(rows, results, strict=True):
            counts[result["status"]] += 1
            is_refused = result["status"] == "REFUSED"
            if is_refused != bool(row.reasons):
                self.surprises.append(f"{call} {row.values}: {result}")
            for reason in row.reasons if is_refused else ():
                self.refused.setdefault(reason, set()).update(row.lines)
                self.answers.setdefault(reason, Counter())[f"{call} {result['code']}"] += 1

    def refused_lines(self) -> dict[str, int]:
        """How many lines were refused, by reason; a line counts under each of its own."""
        return {reason: len(lines) for reason, lines in self.refused.items()}


def feed(url: str, token: str, lines: list[retail_rows.Line]) -> Fed:
    """Send the year; what came of it.

    Raises:
        RuntimeError: a call failed as a whole, and not in passing.
    """
    fed = Fed()
    rows = [*retail_rows.shop_rows(lines)]
    year = [*retail_rows.year_rows(lines)]
    headers = {"authorization": f"Bearer {token}"}
    with (
        httpx2.Client(base_url=url, headers=headers, timeout=60) as client,
        tqdm(total=len(rows) + len(year), unit=" rows", unit_scale=True, leave=False, disable=None) as bar,
    ):
        for part in (rows, year):
            for call in retail_rows.calls(part):
                bar.set_description(call[0].call, refresh=False)
                began = time.perf_counter()
                results = _put(client, call)
                fed.note(call, results, time.perf_counter() - began)
                bar.update(len(call))
    return fed


def _put(client: httpx2.Client, rows: list[Row]) -> list[dict[str, Any]]:
    """The results of one bulk call, sent again where it failed in passing: ids make that safe."""
    call = rows[0].call
    query = CALL.format(call=call, input=call[0].upper() + call[1:] + "Input")
    body = {"query": query, "variables": {"input": {"rows": [row.values for row in rows]}}}
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(2**attempt / 4)
        try:
            answer = client.post("/graphql", json=body).json()
        except httpx2.TransportError as error:
            wrong: object = error
            continue
        if "errors" not in answer:
            return answer["data"][call]["results"]
        wrong = answer["errors"]
        if answer["errors"][0]["extensions"]["code"] not in PASSING:
            break
    raise RuntimeError(f"{call} failed: {wrong}")


@contextmanager
def own_server(database_url: str) -> Iterator[tuple[str, str]]:
    """A server with its worker on this database, migrated; its address and a staff token."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {
        "KABINET_MODE": "development",
        "KABINET_HOST": "127.0.0.1",
        "KABINET_PORT": str(port),
        "KABINET_DATABASE_URL": database_url,
        "KABINET_PUBLIC_URL": "",
        "KABINET_WORKER": "true",
    }
    environment = {**os.environ, **settings}
    command = [sys.executable, str(ROOT / "server.py")]
    subprocess.run([*command, "migrate"], env=environment, check=True, stdout=subprocess.DEVNULL)
    made = subprocess.run([*command, "token", "create", "retail"], env=environment, check=True, capture_output=True, text=True)
    server = subprocess.Popen([*command, "serve"], env=environment)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_ready(url, server)
        yield url, made.stdout.split()[-1]
    finally:
        server.terminate()
        server.wait(60)


def _wait_until_ready(url: str, server: subprocess.Popen) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and server.poll() is None:
        try:
            if httpx2.get(f"{url}/health/ready").status_code == 200:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.1)
    raise RuntimeError("the server does not start")


def wait_for_alerts(database_url: str) -> float:
    """Wait until the worker is through with every price; how many seconds that took.

    Raises:
        TimeoutError: it is not after five minutes.
    """
    began = time.monotonic()
    while waiting := retail_check.waiting_price_points(database_url):
        if time.monotonic() - began > FAN_OUT_SECONDS:
            raise TimeoutError(f"{waiting} price points still wait for their fan-out")
        time.sleep(0.2)
    return time.monotonic() - began


def tell_fed(fed: Fed) -> None:
    print(f"{'rows':>9}  {'seconds':>7}  {'a second':>8}")
    for call, statuses in fed.statuses.items():
        total, seconds = statuses.total(), fed.seconds[call]
        became = ", ".join(f"{n:,} {status}" for status, n in statuses.most_common())
        print(f"{total:>9,}  {seconds:>7.1f}  {total / seconds:>8,.0f}  {call}: {became}")
    print("\nrefused, lines:")
    for reason, lines in sorted(fed.refused_lines().items(), key=lambda item: -item[1]):
        answers = ", ".join(f"{n:,} {answer}" for answer, n in fed.answers[reason].most_common())
        print(f"{lines:>9,}  {reason} (rows: {answers})")
    for surprise in fed.surprises[:20]:
        print(f"unexpected: {surprise}")


def check(fed: Fed, database_url: str, path: str) -> bool:
    """Compare with the count over the file, and say so; whether all agrees."""
    year = retail_check.counted(path)
    print("\ncompared with the count over the file, row by row:")
    same = retail_check.report(retail_check.differences(database_url, year), print)
    same_refusals = fed.refused_lines() == year["refused"]
    print(f"{sum(year['refused'].values()):>9,}  {'refusals':<17} {'agree' if same_refusals else 'differ: ' + str(year['refused'])}")
    return same and same_refusals


def arguments_of(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Feed a shop's year through the staff half.")
    parser.add_argument("--file", required=True, help="the sales of the year, as CSV")
    parser.add_argument("--url", help="a running server; without: one of its own, on a database without the demo world")
    parser.add_argument("--token", help="a staff token of that server")
    parser.add_argument("--database-url", help="sqlite:///… or postgres://…; default: a fresh SQLite file")
    parser.add_argument("--check", action="store_true", help="compare the database with the count over the file")
    found = parser.parse_args(given)
    if found.url and not found.token:
        parser.error("--url needs --token")
    if found.url and found.check and not found.database_url:
        parser.error("--check with --url needs --database-url")
    return found


def main(given: list[str]) -> int:
    arguments = arguments_of(given)
    lines = retail_rows.read(arguments.file)
    with tempfile.TemporaryDirectory(prefix="kabinet-retail-") as folder:
        database_url = arguments.database_url or ("" if arguments.url else f"sqlite:///{folder}/retail.db")
        server = nullcontext((arguments.url, arguments.token)) if arguments.url else own_server(database_url)
        with server as (url, token):
            began = time.perf_counter()
            fed = feed(url, token, lines)
            seconds = time.perf_counter() - began
            tell_fed(fed)
            print(f"\n{len(lines):,} lines in {seconds:.1f} s, {len(lines) / seconds:,.0f} a second")
            if database_url:
                print(f"all alerts {wait_for_alerts(database_url):.1f} s later")
        agrees = not arguments.check or check(fed, database_url, arguments.file)
    return 0 if agrees and not fed.surprises else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
