"""A disk that is full is an error with a hint, wherever results go."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FULL = Path("/dev/full")
pytestmark = pytest.mark.skipif(not FULL.exists(), reason="there is no device that is always full")


@pytest.mark.parametrize(
    "commands",
    [
        ["SELECT repeat('x', 100000)"],
        ["SELECT 1"],
        ["\\copy (SELECT generate_series(1, 9)) to '/dev/full'"],
        ["\\o /dev/full", "SELECT repeat('x', 100000)"],
    ],
)
def test_output_that_has_no_room_is_an_error(commands: list[str], tmp_path: Path) -> None:
    given = [part for text in commands for part in ("-c", text)]
    to_screen = len(commands) == 1 and commands[0].startswith("SELECT")
    with FULL.open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "shell", "--data", str(tmp_path / "db"), "-q", *given],
            stdout=full if to_screen else subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 1, done.stderr
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
