"""docs/shell.md: every transcript is typed into a session and answers as printed."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
from typing import TYPE_CHECKING, NamedTuple

from mfdb.node.system import SystemClock
from shell.batch import run_entry
from shell.database import open_database
from shell.prompt.names import who_is
from shell.prompt.toolbar import State, prompt_text
from shell.script import entries_of
from shell.session import Session, Surroundings
from shell.settings import Display, Expanded, Target
from tests.fixtures.e2e_command import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

PAPER = ROOT / "docs" / "shell.md"
_BLOCK = re.compile(r"^```mfdb\n(.*?)^```", re.MULTILINE | re.DOTALL)
_PROMPT = re.compile(r"^(me@mf[*!]?> )(.*)$")
NARROW = 80
"""The tutorial is read on a screen of so many columns."""


class Step(NamedTuple):
    """A line that is typed, at which prompt, and what is printed below it."""

    prompt: str
    typed: str
    printed: str


def steps() -> list[Step]:
    found: list[Step] = []
    for block in _BLOCK.findall(PAPER.read_text("utf-8")):
        for line in block.splitlines(keepends=True):
            prompt = _PROMPT.match(line.rstrip("\n"))
            if prompt:
                found.append(Step(prompt[1], prompt[2], ""))
            else:
                last = found.pop()
                found.append(last._replace(printed=last.printed + line))
    return found


class Typist:
    """A session whose output, results and errors, is gathered in one place."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def prompt(self) -> str:
        state = State(who=self.session.who, directory="box", batch=self.session.batch_state)
        return "".join(part[1] for part in prompt_text("%i@mf%b> ", state))

    async def type(self, text: str) -> str:
        told = io.StringIO()
        with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
            for entry in entries_of(text):
                await run_entry(self.session, entry)
        return told.getvalue()


async def typed(data: Path) -> list[tuple[Step, str, str]]:
    """Return each step with the prompt it met and what it was answered."""
    target = Target(data=data)
    connection = await open_database(target, str)
    connection.notices.clear()
    session = Session(
        connection,
        Display(expanded=Expanded.AUTO),
        clock=SystemClock(),
        around=Surroundings(target=target),
    )
    session.screen_columns = lambda: NARROW
    session.who = await who_is(session)
    typist = Typist(session)
    told = [(step, typist.prompt(), await typist.type(step.typed)) for step in steps()]
    await session.close()
    return told


def test_the_tutorial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    told = asyncio.run(typed(tmp_path / "box"))
    outside = capfd.readouterr().out  # what commands of the system wrote
    assert len(told) > 20
    for step, prompt, answer in told:
        assert prompt == step.prompt, step.typed
        if step.typed.startswith("\\!"):
            size = len(step.printed)
            seen, outside = outside[:size], outside[size:]
        else:
            seen = answer
        if step.printed.endswith("...\n"):  # the paper leaves the rest out
            assert seen.startswith(step.printed.removesuffix("...\n")), step.typed
        else:
            assert seen == step.printed, step.typed
