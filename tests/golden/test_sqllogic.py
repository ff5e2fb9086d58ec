"""sqllogictest scripts of our own, run through the driver by the shared runner."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

RUNNER = Path(__file__).parents[3] / "shared" / "tools" / "sqllogic_run.py"
SCRIPTS = sorted((Path(__file__).parent / "sqllogic").glob("*.test"))


@pytest.mark.skipif(not RUNNER.exists(), reason="the sqllogictest runner is not beside the project")
@pytest.mark.parametrize("route", ["auto", "relational"])
def test_scripts(route: str) -> None:
    command = [sys.executable, str(RUNNER), "--driver", "mfdb", "--dsn", "{tmp}/db"]
    command += ["--engine", "postgresql", "--setup", f"SET route = {route}"]
    done = subprocess.run(
        [*command, *map(str, SCRIPTS)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "fail=0" in done.stdout


def test_there_are_scripts() -> None:
    assert len(SCRIPTS) >= 4
