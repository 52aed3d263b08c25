"""What the tests of the wire need besides Python."""

import os
import shutil
from pathlib import Path

import pytest

CLIENTS = Path(__file__).parent / "clients"


@pytest.fixture
def clients() -> None:
    """The npm clients; `python3 run.py test` installs them."""
    if shutil.which("node") is None or not (CLIENTS / "node_modules").is_dir():
        line = "npm ci has not been run in tests/wire/clients, or there is no Node"
        if os.environ.get("KABINET_TEST_SERVICES") == "required":
            pytest.fail(line)
        pytest.skip(line)
