"""What README and the mailbox example show on a network is what happens."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from shell.__main__ import main
from tests.fixtures.e2e_command import COMMAND_S, ROOT, User
from tests.fixtures.e2e_transcript import Reader, Step, blocks, steps

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fixtures.e2e_network import LiveNetwork

pytestmark = pytest.mark.e2e

EXAMPLE = ROOT / "examples" / "mailbox"
TRANSCRIPT = EXAMPLE / "transcript.mfdb"
LEFT_OUT = ("mfdb devnet down",)
"""The network is shared; what it does is tried in test_devnet."""


def reader(live: LiveNetwork, place: Path) -> Reader:
    environ = {"MFDB_DATA": str(live.directory.parent)}
    return Reader(place=place, environ=environ, names={"FILE": str(live.file)})


def follow(someone: Reader, step: Step, source: Path) -> None:
    """Do one step, and hold what it prints against what the paper shows."""
    if step.command in LEFT_OUT:
        return
    told = someone.type(step, source=source).rstrip().split("\n")
    if "identity new" in step.command:
        name = step.command.split()[-1]
        someone.names[name.upper()] = next(
            line.split()[1] for line in told if line.startswith("address")
        )
        words = next(line for line in told if line.startswith("seed words"))
        paper = someone.place / f"{name}.words"
        paper.write_text(words.removeprefix("seed words").strip() + "\n")
    if step.printed:
        # what two people do at once comes in either order
        assert sorted(line.rstrip() for line in told) == sorted(step.printed)


def test_the_quick_start_of_the_readme(live: LiveNetwork, tmp_path: Path) -> None:
    found = [block for block in blocks(ROOT / "README.md") if "mfdb --network" in block]
    assert found, "README shows how to use a network"
    someone = reader(live, tmp_path)
    for step in [step for block in found for step in steps(block)]:
        follow(someone, step, ROOT)
    programs = [block for block in blocks(ROOT / "README.md", "python") if "FILE" in block]
    assert programs
    for program in programs:
        assert first_line(program.replace("FILE", str(live.file)), tmp_path).startswith("insert {")


def first_line(program: str, place: Path) -> str:
    """Return what an endless Python program prints first."""
    with subprocess.Popen(
        [sys.executable, "-u", "-c", program],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        line = child.stdout.readline()
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=COMMAND_S)
        assert err.rstrip().endswith("KeyboardInterrupt"), err
    return line


def test_the_example_runs_as_its_readme_shows(live: LiveNetwork, tmp_path: Path) -> None:
    someone = reader(live, tmp_path)
    shown = [step for block in blocks(EXAMPLE / "README.md") for step in steps(block)]
    assert any("mailbox.py" in step.command for step in shown)
    for step in shown:
        follow(someone, step, EXAMPLE)


def test_the_example_is_well_under_a_hundred_lines() -> None:
    assert len((EXAMPLE / "mailbox.py").read_text("utf-8").splitlines()) < 80


def test_the_transcript(live: LiveNetwork, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    people = {name: live.newcomer(name, tmp_path) for name in ("bob", "alice")}
    written = TRANSCRIPT.read_text("utf-8").strip().split("\n\n")
    played = [play(block, people) for block in written]
    if request.config.getoption("--update-golden"):
        TRANSCRIPT.write_text("\n\n".join(played) + "\n", "utf-8")
        return
    assert played == written
    assert len(played) > 8


def play(block: str, people: dict[str, User]) -> str:
    """Return a block with what its statement prints now."""
    typed, parted, _ = f"{block}\n".partition("\n---\n")
    if not parted:
        return block
    who, statement = typed.split("\n", 1)
    user = people[who.removeprefix("# ")]
    for name, other in people.items():
        statement = statement.replace(name.upper(), other.address)
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        main(["--network", str(user.network), "--data", str(user.data), "-c", statement])
    printed = told.getvalue()
    for name, other in people.items():
        printed = printed.replace(other.address, name.upper())
    return "\n".join([typed, "---", *(line.rstrip() for line in printed.split("\n"))]).rstrip()
