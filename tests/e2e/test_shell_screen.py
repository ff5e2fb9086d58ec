"""The shell in a pseudo-terminal, judged by what stands on the screen."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pexpect
import pytest

from tests.fixtures.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
DEADLINE_S = 60
ROWS, COLUMNS = 30, 90


class Terminal:
    """A program in a pseudo-terminal and the screen that it draws."""

    def __init__(self, module: str, data: Path, *argv: str, **environ: str) -> None:
        """Start it; the configuration of whoever runs the tests is left out."""
        self.screen = Screen(ROWS, COLUMNS)
        around = {name: value for name, value in os.environ.items() if not name.startswith("MFDB_")}
        around |= {"TERM": "xterm", "NO_COLOR": "1", "PAGER": "", **environ}
        around["XDG_CONFIG_HOME"] = str(data.parent / "config")
        self.child = pexpect.spawn(
            sys.executable,
            ["-m", module, "--data", str(data), *argv],
            cwd=str(ROOT),
            env=around,
            encoding="utf-8",
            dimensions=(ROWS, COLUMNS),
        )

    def type(self, text: str) -> None:
        self.child.send(text)

    def until(self, seen: Callable[[Screen], bool]) -> str:
        """Read until the screen shows something; return its text then."""
        deadline = time.monotonic() + DEADLINE_S
        while not (self.screen.is_drawn and seen(self.screen)):
            left = deadline - time.monotonic()
            try:
                self.screen.feed(self.child.read_nonblocking(65_536, timeout=max(left, 0)))
            except (pexpect.TIMEOUT, pexpect.EOF):
                pytest.fail(f"not seen:\n{self.screen.text()}")
            while self.screen.answers:
                self.child.send(self.screen.answers.pop(0))
        return self.screen.text()

    def shows(self, pattern: str) -> str:
        """Read until a pattern is on the screen."""
        return self.until(lambda screen: re.search(pattern, screen.text()) is not None)

    def prompts(self, prompt: str = "@mf> ") -> str:
        """Read until the cursor stands behind an empty prompt."""
        return self.until(lambda screen: screen.line.endswith(prompt.rstrip()))

    def run(self, text: str, prompt: str = "@mf> ") -> str:
        """Type a line and read until the next prompt."""
        self.type(text)
        self.until(lambda screen: screen.line.endswith(text[-20:]))
        self.type("\r")
        self.until(lambda screen: not screen.line.endswith(text[-20:]))
        return self.prompts(prompt)

    def leave(self) -> int | None:
        self.child.expect(pexpect.EOF, timeout=DEADLINE_S)
        self.child.close()
        status: int | None = self.child.exitstatus
        return status


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Terminal]:
    """The shell over the behaving fake; SIGUSR1 makes a change arrive."""
    terminal = Terminal("tests.e2e.shell_over_fake", tmp_path / "data")
    terminal.prompts()
    yield terminal
    terminal.child.close(force=True)


@pytest.fixture
def mfdb(tmp_path: Path) -> Iterator[Terminal]:
    """The shell as it is."""
    terminal = Terminal("shell", tmp_path / "data")
    terminal.prompts()
    yield terminal
    terminal.child.close(force=True)


def test_the_first_ten_minutes(mfdb: Terminal) -> None:
    assert "Three things to try" in mfdb.screen.text()
    mfdb.type("create table notes (id integer primary key, body text)\r")
    mfdb.shows(r"Enter runs a statement once it ends in ;")
    mfdb.type(";\r")
    mfdb.shows(r"CREATE DATASET")
    mfdb.prompts()
    mfdb.type("insert into no")
    mfdb.shows(r"\n\s+notes +dataset")  # offered below the line
    mfdb.type("\t values (1, 'hello');\r")
    mfdb.shows(r"INSERT 1\n")
    mfdb.prompts()
    assert " 1 | hello" in mfdb.run("select * from notes;")
    assert "notes | dataset | local | me" in mfdb.run(".tables")
    mfdb.run("begin;", "me@mf*> ")
    shown = mfdb.run("insert into notes values (1, 'dup');", "me@mf!> ")
    assert "23505" in shown
    mfdb.shows("ROLLBACK ends it")
    mfdb.run("rollback;")
    mfdb.type("delete from notes;\r")
    mfdb.shows(r"every row of notes\. Go on\? \[y/N\]")
    mfdb.type("\r")
    mfdb.shows(r"Not run\.")
    mfdb.prompts()
    mfdb.type("exit\r")
    assert mfdb.leave() == 0


def test_a_change_leaves_what_is_typed_alone(fake: Terminal) -> None:
    fake.run("SUBSCRIBE TO inbox;")
    fake.type("SELECT 'half ")
    fake.until(lambda screen: screen.line == "alice@mf> SELECT 'half")
    assert fake.child.pid is not None
    os.kill(fake.child.pid, signal.SIGUSR1)
    fake.shows(r"you have mail")
    fake.until(lambda screen: screen.line == "alice@mf> SELECT 'half")
    lines = fake.screen.lines()
    above = lines[lines.index("alice@mf> SELECT 'half") - 1]
    assert above == '+ alice {"body": "you have mail"}'
    fake.type("typed' AS text;\r")
    fake.shows(r"half typed\n")


def test_a_burst_of_changes_is_counted(tmp_path: Path) -> None:
    fake = Terminal("tests.e2e.shell_over_fake", tmp_path / "data", "-P", "notifications=0")
    fake.prompts()
    fake.run("SUBSCRIBE TO inbox;")
    assert fake.child.pid is not None
    os.kill(fake.child.pid, signal.SIGUSR1)
    fake.shows(r"… 1 more, \\notifications shows them")
    fake.shows(r"1 changes held")
    fake.prompts()
    assert '+ alice {"body": "you have mail"}' in fake.run("\\notifications")
    fake.child.close(force=True)


def test_ctrl_c_stops_what_this_machine_computes(mfdb: Terminal) -> None:
    mfdb.type(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000) "
        "SELECT count(*) FROM n;\r"
    )
    mfdb.shows(r"running \d+ s \(Ctrl-C cancels\)")
    mfdb.child.sendintr()
    mfdb.shows(r"57\d\d\d|Cancelled")
    mfdb.prompts()
    assert " 1\n" in mfdb.run("SELECT 1 AS alive;")


def test_watching_ends_with_ctrl_c(fake: Terminal) -> None:
    fake.type("SELECT 'again' AS w \\watch 0.05\r")
    fake.until(lambda screen: screen.text().count("again\n") > 2)
    fake.child.sendintr()
    fake.prompts("alice@mf> ")
    fake.type("\x04")
    assert fake.leave() == 0


def test_long_results_go_through_the_pager(tmp_path: Path) -> None:
    data = tmp_path / "data"
    fake = Terminal("tests.e2e.shell_over_fake", data, PAGER="sed s/^/paged:/")
    fake.prompts()
    fake.type(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 99) "
        "SELECT i FROM n;\r"
    )
    fake.shows(r"paged:\(99 rows\)")
    fake.prompts()
    assert "paged: 1" not in fake.run("SELECT 1 AS short;").rpartition("SELECT 1")[2]
    fake.child.close(force=True)


def test_vi_keys_are_said_and_work(fake: Terminal) -> None:
    fake.type("\x1bOS")  # F4
    fake.shows(r"vi insert")
    fake.type("SELECT 2;\x1b")
    fake.shows(r"vi navigation")
    fake.type("0fT")
    fake.type("A\r")
    fake.shows(r"\(1 row\)")
