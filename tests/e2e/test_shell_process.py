"""The `mfdb` command as a process among processes: pipes that close, Ctrl-C, no terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
OVER_FAKE = [sys.executable, "-m", "tests.e2e.shell_over_fake"]
DEADLINE_S = 60
MANY = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) "
    "SELECT i FROM n"
)


def started(*argv: str, data: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*OVER_FAKE, "--data", str(data), *argv],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_reader_that_has_seen_enough_is_no_failure(tmp_path: Path) -> None:
    child = subprocess.Popen(
        f"{' '.join(OVER_FAKE)} --data {tmp_path} --format csv -c '{MANY}' | head -n 2",
        shell=True,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out, err = child.communicate(timeout=DEADLINE_S)
    assert out == "i\n1\n"
    assert err == ""


def test_ctrl_c_in_batch_mode_is_code_130(tmp_path: Path) -> None:
    with started("-c", "SELECT slow", data=tmp_path) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "[slow runs]\n"
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=DEADLINE_S)
        assert child.returncode == 130
        assert "Traceback" not in out + err


def test_ctrl_c_while_a_pipe_is_silent_is_code_130(tmp_path: Path) -> None:
    with started("--format", "csv", data=tmp_path) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write("SELECT 1 AS a;\n")
        child.stdin.flush()
        assert child.stdout.readline() == "a\n"  # answered while the pipe is still open
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=DEADLINE_S)
        assert child.returncode == 130
        assert "Traceback" not in err


def test_no_input_is_no_work(tmp_path: Path) -> None:
    with Path(os.devnull).open() as nothing:
        child = subprocess.run(
            [*OVER_FAKE, "--data", str(tmp_path)],
            cwd=ROOT,
            stdin=nothing,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
    assert (child.returncode, child.stdout, child.stderr) == (0, "", "")
