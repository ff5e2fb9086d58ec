"""The shell in a pseudo-terminal: what a person sees and what the process returns."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pexpect
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    Shell = pexpect.spawn[str]

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
PROMPT = "alice@mf>"
"""Without its space, which the terminal is told to skip, not to write."""
DEADLINE_S = 30


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """The shell over the fake, whose changes and delays the test decides."""
    yield from _spawned(tmp_path, "tests.e2e.shell_over_fake")


@pytest.fixture
def mfdb(tmp_path: Path) -> Iterator[Shell]:
    """The shell as it is."""
    yield from _spawned(tmp_path, "shell")


def _spawned(tmp_path: Path, module: str) -> Iterator[Shell]:
    environ = {**os.environ, "TERM": "xterm", "NO_COLOR": "1", "PAGER": ""}
    environ["PROMPT_TOOLKIT_NO_CPR"] = "1"  # pexpect does not answer cursor position requests
    child = pexpect.spawn(
        sys.executable,
        ["-m", module, "--data", str(tmp_path / "data")],
        cwd=str(ROOT),
        env=environ,
        encoding="utf-8",
        timeout=DEADLINE_S,
        dimensions=(30, 100),
    )
    try:
        child.expect_exact("@mf>")
        yield child
    finally:
        child.close(force=True)


def code_of(child: Shell) -> int | None:
    child.expect(pexpect.EOF)
    child.close()
    status: int | None = child.exitstatus
    return status


def test_a_statement_over_two_lines(shell: Shell) -> None:
    shell.send("SELECT 6 * 7\r")
    shell.expect_exact("->")
    shell.send("AS answer;\r")
    shell.expect(r"answer\s+-+\s+42\s+\(1 row\)")
    shell.expect_exact(PROMPT)
    shell.sendeof()
    assert code_of(shell) == 0


def test_a_change_is_printed_above_a_half_typed_statement(shell: Shell) -> None:
    shell.send("SUBSCRIBE TO inbox;\r")
    shell.expect_exact("SUBSCRIBE\r\n")
    shell.expect_exact(PROMPT)
    shell.send("SELECT 'half ")
    shell.expect_exact("half")
    assert shell.pid is not None
    os.kill(shell.pid, signal.SIGUSR1)
    shell.expect_exact('+ alice {"body": "you have mail"}')
    shell.expect_exact(PROMPT)
    shell.send("typed' AS text;\r")
    shell.expect(r"half typed\s+\(1 row\)")
    shell.expect_exact(PROMPT)
    shell.sendeof()
    assert code_of(shell) == 0


def test_ctrl_c_cancels_a_statement_and_the_shell_lives(shell: Shell) -> None:
    shell.send("SELECT slow;\r")
    shell.expect_exact("[slow runs]")
    shell.sendintr()
    shell.expect_exact("Cancelled")
    shell.expect_exact(PROMPT)
    shell.send("SELECT 'alive' AS state;\r")
    shell.expect(r"alive\s+\(1 row\)")
    shell.expect_exact(PROMPT)
    shell.send("quit\r")
    assert code_of(shell) == 0


def test_an_error_shows_the_place(shell: Shell) -> None:
    shell.send("SELECT 1 FRM x y;\r")
    shell.expect(r"ERROR 42601")
    shell.expect(r"LINE 1: SELECT 1 FRM x y\s+\^")
    shell.expect_exact(PROMPT)
    shell.send("\\q\r")
    assert code_of(shell) == 0


def test_a_subscription_beside_the_prompt(mfdb: Shell) -> None:
    mfdb.send("CREATE DATASET notes (id INTEGER PRIMARY KEY, body TEXT);\r")
    mfdb.expect_exact("CREATE DATASET\r\n")
    mfdb.expect_exact("@mf>")
    mfdb.send("SUBSCRIBE TO notes;\r")
    mfdb.expect_exact("SUBSCRIBE\r\n")
    mfdb.expect_exact("@mf>")
    mfdb.send("INSERT INTO notes VALUES (1, 'hello');\r")
    mfdb.expect_exact('+ me {"id": 1, "body": "hello"}')
    mfdb.send("UNSUBSCRIBE ALL;\r")
    mfdb.expect_exact("UNSUBSCRIBE 1\r\n")
    mfdb.send("LISTEN news;\r")
    mfdb.expect_exact("LISTEN\r\n")
    mfdb.send("NOTIFY news, 'from here';\r")
    mfdb.expect_exact("NOTIFY news: from here")
    mfdb.send("USE '0x1111111111111111111111111111111111111111';\r")
    mfdb.expect_exact("@mf/0x11111111>")
    mfdb.send("USE DEFAULT;\r")
    mfdb.expect_exact("@mf>")
    mfdb.send("BEGIN;\r")
    mfdb.expect_exact("@mf*>")
    mfdb.send("ROLLBACK;\r")
    mfdb.expect_exact("@mf>")
    mfdb.send("SELECT bdy FROM notes;\r")
    mfdb.expect(r"ERROR 42703.*\^")
    mfdb.expect_exact("@mf>")
    mfdb.send("quit\r")
    assert code_of(mfdb) == 0
