"""The machine on SQLite; in a file of its own, so that both run at once."""

from pathlib import Path

import pytest

from tests.machine.signing_in import SEQUENCES, run_through


@pytest.mark.parametrize("sequences", SEQUENCES)
def test_no_order_of_things_locks_a_buyer_out_or_lets_a_stranger_in(tmp_path: Path, sequences: int) -> None:
    run_through("sqlite", tmp_path, sequences)
