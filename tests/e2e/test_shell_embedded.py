"""`mfdb` on an embedded directory: the README's quick start, and what a second process finds."""

from __future__ import annotations

import json
import os
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
DEADLINE_S = 120


def mfdb(*argv: str, cwd: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("MFDB_")}
    environ["PYTHONPATH"] = str(ROOT)
    return subprocess.run(
        [sys.executable, "-m", "shell", *argv],
        cwd=cwd,
        env=environ,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def quick_start() -> list[tuple[list[str], str]]:
    """The commands of the README's embedded transcript, each with the output printed below it."""
    text = (ROOT / "README.md").read_text("utf-8").partition("## Quick start")[2]
    block = re.search(r"```\n(.*?)```", text, re.DOTALL)
    assert block is not None
    found: list[tuple[list[str], str]] = []
    for line in block.group(1).splitlines():
        if line.startswith("$ "):
            found.append((shlex.split(line[2:], comments=True)[1:], ""))
        else:
            argv, output = found.pop()
            found.append((argv, output + line + "\n"))
    return found


def test_the_quick_start_of_the_readme(tmp_path: Path) -> None:
    transcript = quick_start()
    assert len(transcript) == 4
    for argv, expected in transcript[:-1]:  # the last one opens the prompt
        done = mfdb(*argv, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        if expected:
            assert done.stdout == expected
    assert {argv[0] for argv, _ in transcript} == {"--data", "./box"}
    last = mfdb(*transcript[-1][0], cwd=tmp_path, stdin="SELECT count(*) AS n FROM notes;\n")
    assert " n\n---\n 1\n" in last.stdout


def test_first_use_makes_an_open_identity_and_says_so_once(tmp_path: Path) -> None:
    first = mfdb("--data", "box", "-c", "SELECT 1 AS a", cwd=tmp_path)
    second = mfdb("--data", "box", "-c", "SELECT 1 AS a", cwd=tmp_path)
    assert (first.returncode, second.returncode) == (0, 0)
    assert "mfdb identity protect" in first.stderr
    assert second.stderr == ""
    listed = mfdb("--data", "box", "identity", "list", "--json", cwd=tmp_path)
    (entry,) = json.loads(listed.stdout)
    assert entry["protected"] is False
    for path in (tmp_path / "box").rglob("*.identity"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_rows_outlive_the_process_and_failures_have_codes(tmp_path: Path) -> None:
    script = "CREATE DATASET t (id INTEGER PRIMARY KEY);\nINSERT INTO t VALUES (1);\n"
    assert mfdb("--data", "box", cwd=tmp_path, stdin=script).returncode == 0
    again = mfdb("--data", "box", "--json", "-c", "INSERT INTO t VALUES (1)", cwd=tmp_path)
    assert again.returncode == 1
    assert json.loads(again.stderr.splitlines()[-1])["error"]["sqlstate"] == "23505"
    stopped = mfdb("--data", "box", cwd=tmp_path, stdin="SELEC;\nSELECT 1;\n")
    assert (stopped.returncode, stopped.stdout) == (3, "")
    rows = mfdb("--data", "box", "--format", "jsonl", "-c", "SELECT id FROM t", cwd=tmp_path)
    assert rows.stdout == '{"id": 1}\n'


def test_a_network_file_that_is_not_there_is_code_two(tmp_path: Path) -> None:
    done = mfdb("--data", "box", "--network", "nowhere.json", "-c", "SELECT 1", cwd=tmp_path)
    assert done.returncode == 2
    assert "ERROR" in done.stderr
    assert "Traceback" not in done.stderr
