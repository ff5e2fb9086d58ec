"""The command line itself: version, help, defaults, colour, pager."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from shell.__main__ import main
from shell.arguments import PROGRAMS, parse
from shell.pager import page, pager_command
from shell.settings import Format, wants_colour

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = ("web3", "numpy", "prompt_toolkit", "pygments", "lark", "nacl", "cryptography", "asyncio")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("mfdb ")


def test_help_names_every_program(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    assert all(f"    {name}" in shown for name in PROGRAMS)
    assert "130 Ctrl-C" in shown


@pytest.mark.parametrize(
    "argv", [["--nonsense"], ["--format", "yaml"], ["identity"], ["box", "SELECT 1"]]
)
def test_a_wrong_command_line_is_code_two(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(argv)
    assert left.value.code == 2


def test_a_word_that_is_no_program_is_a_database(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["-X", "frobnicate"]) == 2
    assert "a new directory: ./frobnicate" in capsys.readouterr().err
    assert main(["-X", "demmo"]) == 2
    assert "did you mean demo?" in capsys.readouterr().err
    (tmp_path / "a.sql").touch()
    assert main(["-X", "a.sql"]) == 2
    assert "-f a.sql" in capsys.readouterr().err
    assert main(["-X", "-c", "CREATE TABLE a (x INTEGER)", "./box"]) == 0
    assert main(["-X", "-t", "box", "-c", "SELECT count(*) FROM a"]) == 0
    assert capsys.readouterr().out.split()[-1] == "0"
    assert parse(["--format=csv", "-1", "box", "-c", "SELECT 1"]).dsn == "box"
    assert parse(["-c", "demo"]).dsn is None


def test_help_and_version_import_nothing_heavy() -> None:
    program = (
        "import sys; from shell.__main__ import main; main(['--version'])\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_global_options_stand_before_and_after_the_program(tmp_path: Path) -> None:
    for argv in (
        ["--data", str(tmp_path), "--json", "identity", "list"],
        ["identity", "--data", str(tmp_path), "list", "--json"],
        ["identity", "list", "--data", str(tmp_path), "--json"],
    ):
        args = parse(argv)
        assert (args.data, args.json, args.action) == (tmp_path, True, "list")
    assert parse(["identity", "list"]).json is False


def test_statement_options() -> None:
    args = parse(["-c", "SELECT 1", "-c", "SELECT 2", "--format", "box", "--keep-going"])
    assert [work.text for work in args.work] == ["SELECT 1", "SELECT 2"]
    assert args.format is Format.BOX
    assert args.keep_going


def test_colour_only_on_terminals_that_want_it() -> None:
    assert wants_colour({"TERM": "xterm"}, terminal=True)
    assert wants_colour({}, terminal=False, wish="always")
    assert not wants_colour({"TERM": "xterm"}, terminal=True, wish="never")
    assert not wants_colour({"TERM": "xterm"}, terminal=False)
    assert not wants_colour({"TERM": "xterm", "NO_COLOR": "1"}, terminal=True)
    assert not wants_colour({"TERM": "dumb"}, terminal=True)


def test_short_results_go_straight_to_the_screen() -> None:
    written: list[str] = []
    page(["a\n", "b\n"], height=3, command=["false"], write=written.append)
    assert "".join(written) == "a\nb\n"


def test_long_results_go_to_the_pager(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    written: list[str] = []
    command = [
        sys.executable,
        "-c",
        f"import sys; open({str(seen)!r}, 'w').write(sys.stdin.read())",
    ]
    page([f"{n}\n" for n in range(99)], height=10, command=command, write=written.append)
    assert seen.read_text() == "".join(f"{n}\n" for n in range(99))
    assert written == []


def test_leaving_the_pager_early_is_no_failure() -> None:
    page(("x" * 1000 + "\n" for _ in range(5000)), height=10, command=["true"], write=pytest.fail)


@pytest.mark.parametrize("command", [[], ["/no/such/pager"]])
def test_without_a_pager_everything_is_written(command: list[str]) -> None:
    written: list[str] = []
    page([f"{n}\n" for n in range(99)], height=10, command=command, write=written.append)
    assert "".join(written) == "".join(f"{n}\n" for n in range(99))


def test_the_pager_is_a_command_with_options() -> None:
    assert pager_command("less -SRXF") == ["less", "-SRXF"]
    assert pager_command("more 'a b'") == ["more", "a b"]
    assert pager_command("") == []
    assert pager_command("an 'open quote") == []


def test_an_error_of_a_program_is_reported_with_its_hint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data", str(tmp_path), "identity", "show", "nobody"]) == 1
    assert "HINT: mfdb identity list" in capsys.readouterr().err
