r"""Meta commands through the registry, by both of their names."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from mfdb.kernel.errors import MfdbError, OperationalError, ProgrammingError, SqlSyntax
from shell.commands import every_command, find, run_command
from tests.unit.shell.fake_database import FakeConnection

if TYPE_CHECKING:
    from pathlib import Path

    from shell.session import Session


@pytest.fixture
def run(session: Session, capsys: pytest.CaptureFixture[str]) -> Runner:
    return Runner(session, capsys)


class Runner:
    def __init__(self, session: Session, capsys: pytest.CaptureFixture[str]) -> None:
        self.session = session
        self._capsys = capsys

    def __call__(self, *texts: str) -> str:
        async def work() -> None:
            for text in texts:
                if text.startswith(("\\", ".")):
                    await run_command(self.session, text)
                else:
                    await self.session.run(text)

        asyncio.run(work())
        return self._capsys.readouterr().out


def test_every_command_is_in_the_help(run: Runner) -> None:
    shown = run("\\?")
    for command in every_command():
        assert f"{command.name} {command.argument}".strip() in shown
        assert command.alias in shown
        assert command.meaning in shown


def test_both_names_find_the_same_command() -> None:
    for command in every_command():
        assert find(command.name)[0] is command
        if command.alias:
            assert find(command.alias)[0] is command
    assert find("quit;")[0].name == "\\q"


def test_an_unknown_command_names_its_neighbour() -> None:
    with pytest.raises(SqlSyntax, match=r"\\timeing") as caught:
        find("\\timeing")
    assert "\\timing" in caught.value.hint


def test_datasets_are_listed_and_described(run: Runner) -> None:
    shown = run("CREATE TABLE m (id INTEGER, body TEXT)", "\\dt", "\\d", "\\d m", ".schema m;")
    assert shown.count(" m    | table") == 2
    assert shown.count(" body   | TEXT") == 2


def test_expanded_and_format(run: Runner) -> None:
    assert "-[ row 1 ]" in run("\\x", "SELECT 1 AS a")
    assert " a\n---\n 1\n" in run(".expanded", "SELECT 1 AS a")
    assert run("\\format csv", "SELECT 1 AS a") == "Output format is csv.\na\n1\n"
    assert run("\\format") == "Output format is csv.\n"


def test_an_unknown_format_changes_nothing(run: Runner) -> None:
    with pytest.raises(ProgrammingError) as caught:
        run("\\format yaml")
    assert "markdown" in caught.value.hint
    assert run("\\format") == "Output format is table.\n"


def test_timing(run: Runner) -> None:
    assert "Time: " not in run("SELECT 1")
    shown = run("\\timing", "SELECT 1")
    assert "Timing is on.\n" in shown
    assert shown.splitlines()[-1].endswith(" ms")
    assert "Time: " not in run("\\format json", "SELECT 1")


def test_output_goes_to_a_file_and_back(run: Runner, tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    assert run(f"\\o {path}", "SELECT 1 AS a", "\\o", "SELECT 2 AS b").startswith(" b\n")
    assert path.read_text() == " a\n---\n 1\n(1 row)\n\n"


def test_a_file_that_cannot_be_written_leaves_the_screen(run: Runner, tmp_path: Path) -> None:
    with pytest.raises(OperationalError):
        run(f"\\o {tmp_path}")
    assert "1" in run("SELECT 1")


def test_a_script_is_read(run: Runner, tmp_path: Path) -> None:
    path = tmp_path / "s.sql"
    path.write_text("SELECT 41 + 1 AS answer;\nSELEC;\nSELECT 'not reached' AS x;")
    shown = run(f"\\i {path}")
    assert "42" in shown
    assert "not reached" not in shown


@pytest.mark.parametrize("text", ["\\i", "\\i /nowhere/at/all", "\\x maybe", "\\zzz"])
def test_what_cannot_be_run_is_an_error(run: Runner, text: str) -> None:
    with pytest.raises(MfdbError):
        run(text)


def test_identity_is_shown(run: Runner) -> None:
    assert run("\\identity") == "0x" + "ab" * 20 + "\n"


def test_held_notifications_are_shown_once(run: Runner) -> None:
    run.session.feed.pause()
    run.session.feed.offer("a change", 0.0)
    assert run("\\notifications") == "a change\n"
    assert run("\\notifications") == "No changes were held back.\n"


def test_leaving(run: Runner) -> None:
    run("\\q")
    assert run.session.leaving


def test_closing_closes_the_connection(session: Session) -> None:
    asyncio.run(session.close())
    assert isinstance(session.connection, FakeConnection)
    assert session.connection.closed
