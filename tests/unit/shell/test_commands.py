r"""Meta commands through the registry, by both of their names."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from mfdb.kernel.errors import MfdbError, OperationalError, ProgrammingError, SqlSyntax
from shell.batch import run_entry
from shell.commands import every_command, find, run_command
from shell.script import entries_of
from shell.settings import Expanded, Format
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
                for entry in entries_of(text):
                    if entry.text.startswith(("\\", ".")):
                        await run_command(self.session, entry.text, entry.query)
                    else:
                        await self.session.run(entry.text)

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
    assert shown.count(" body | TEXT") == 2


def test_a_description_names_constraints(run: Runner) -> None:
    shown = run(
        "CREATE TABLE a (id INTEGER PRIMARY KEY)",
        "CREATE TABLE b (id INTEGER, n DECIMAL(8,2), note TEXT,"
        " CONSTRAINT b_id_fkey FOREIGN KEY (id) REFERENCES a (id) ON DELETE CASCADE,"
        " CONSTRAINT b_note_check CHECK (note <> 'a, (b'))",
        "\\d b",
    )
    assert "  b_id_fkey FOREIGN KEY (id) REFERENCES a (id) ON DELETE CASCADE\n" in shown
    assert "  b_note_check CHECK (note <> 'a, (b')\n" in shown
    assert "Referenced by" not in shown
    shown = run("\\d a")
    assert "Constraints" not in shown
    assert "Referenced by:\n  b: b_id_fkey FOREIGN KEY (id) REFERENCES a (id) ON DELETE" in shown


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


def test_a_command_behind_a_statement_is_about_it(run: Runner, tmp_path: Path) -> None:
    assert "-[ row 1 ]" in run("SELECT 1 AS a \\gx")
    assert run.session.display.expanded is Expanded.OFF
    path = tmp_path / "out"
    assert run(f"SELECT 2 AS b \\g {path}") == ""
    assert path.read_text().startswith(" b\n")
    assert " b\n" in run("\\g")
    assert run("\\p") == "SELECT 2 AS b\n"
    assert run("SELECT 3 AS c; SELECT 4 AS d \\g", "\\p").endswith("SELECT 4 AS d\n")


def test_results_go_through_a_command(run: Runner, tmp_path: Path) -> None:
    path = tmp_path / "piped"
    run(f"SELECT 1 AS a \\g |tr a z > {path}")
    assert path.read_text().startswith(" z\n")
    run(f"\\o |cat > {path}", "SELECT 5 AS five", "\\o")
    assert "five" in path.read_text()


def test_a_command_that_needs_a_statement_says_so(run: Runner) -> None:
    for text in ("\\g", "\\watch", "\\gset"):
        with pytest.raises(ProgrammingError, match="no statement"):
            run(text)


def test_the_statement_is_kept_and_forgotten(run: Runner, tmp_path: Path) -> None:
    run("SELECT 1", f"\\w {tmp_path}/kept.sql")
    assert (tmp_path / "kept.sql").read_text() == "SELECT 1;\n"
    assert "forgotten" in run("\\r")
    assert run("\\p") == "There is no statement yet.\n"


def test_variables(run: Runner) -> None:
    run('\\set who "O\'Neil"', "\\set n 7")
    assert "O'Neil" in run("SELECT :'who' AS w")
    assert run("\\echo :n is :'n'") == "7 is '7'\n"
    assert "n = 7" in run("\\set")
    run("\\unset n", "SELECT 8 AS n, NULL AS gone \\gset p_")
    assert run.session.variables["p_n"] == "8"
    assert "p_gone" not in run.session.variables
    assert run.session.variables["ROW_COUNT"] == "1"
    with pytest.raises(ProgrammingError, match="2 rows"):
        run("SELECT 1 AS a UNION SELECT 2 \\gset")


def test_an_error_is_remembered(run: Runner, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("\\errverbose") == "There was no error.\n"

    async def fail() -> None:
        (entry,) = entries_of("SELEC 1")
        assert not await run_entry(run.session, entry)

    asyncio.run(fail())
    capsys.readouterr()
    shown = run("\\errverbose")
    assert "NAME: SqlSyntax" in shown
    assert "CAUSE: OperationalError" in shown
    assert "STATEMENT: SELEC 1" in shown
    assert run.session.variables["SQLSTATE"] == "42601"


def test_display_properties(run: Runner) -> None:
    run("\\pset null (none)", "\\pset format box", "\\x auto")
    display = run.session.display
    assert (display.null, display.format, display.expanded) == ("(none)", Format.BOX, Expanded.AUTO)
    assert "column_width" in run("\\pset")
    for text in ("\\pset nul x", "\\pset column_width x", "\\pset pager x"):
        with pytest.raises(ProgrammingError):
            run(text)
    assert run("\\t", "\\format table", "SELECT NULL AS a").endswith(" (none)\n")


def test_directories_and_other_commands(
    run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "inner.sql").write_text("SELECT 'inner' AS w;")
    (tmp_path / "sub" / "outer.sql").write_text("\\ir inner.sql\n")
    assert "inner" in run("\\i sub/outer.sql")
    assert str(tmp_path / "sub") in run("\\cd sub")
    run("\\! echo made > made")
    assert (tmp_path / "sub" / "made").read_text() == "made\n"
    with pytest.raises(OperationalError, match="ended with 3"):
        run("\\! exit 3")
    with pytest.raises(OperationalError, match="cannot go to"):
        run("\\cd nowhere")


def test_a_script_that_reads_itself_ends(run: Runner, tmp_path: Path) -> None:
    path = tmp_path / "self.sql"
    path.write_text(f"\\i {path}\n")
    run(f"\\i {path}")
    assert "does self.sql read itself?" in run.session.last_failure()


def test_views_are_listed_apart(run: Runner) -> None:
    run("CREATE TABLE letters (id INTEGER)", "CREATE VIEW seen AS SELECT id FROM letters")
    shown = run("\\dv")
    assert "seen" in shown
    assert "letters" not in shown
    assert "upper" in run("\\df up*")


def test_patterns_and_connection(run: Runner) -> None:
    run("CREATE TABLE letters (id INTEGER)", "CREATE TABLE other (id INTEGER)")
    shown = run("\\dt let*")
    assert "letters" in shown
    assert "other" not in shown
    assert "directory" in run("\\conninfo")
    assert "alice" in run("\\du")
    assert run("\\l").startswith("* ")


def test_watching_needs_a_time(run: Runner) -> None:
    with pytest.raises(SqlSyntax, match="seconds"):
        run("SELECT 1 \\watch never")


def test_an_editor_needs_a_terminal(run: Runner) -> None:
    with pytest.raises(ProgrammingError, match="terminal"):
        run("\\e")
