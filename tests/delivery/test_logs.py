"""Logs are JSON lines of known fields."""

import json
import subprocess
import sys

PROGRAM = """
import logging
from delivery.logs import write_logs
write_logs(readable=False)
log = logging.getLogger("kabinet.tests")
log.info("two\\nlines \\x1b[31m", extra={"request_id": "r1", "email": "canary@mail.example"})
try:
    raise ValueError("a bug")
except ValueError:
    log.exception("it failed")
"""


def test_a_line_is_one_json_object_with_known_fields_alone() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in lines] == ["two\nlines \x1b[31m", "it failed"]
    assert lines[0]["request_id"] == "r1" and lines[0]["level"] == "info" and lines[0]["logger"] == "kabinet.tests"
    assert "ValueError: a bug" in lines[1]["exception"]
    assert "canary" not in done.stderr and "\x1b" not in done.stderr
