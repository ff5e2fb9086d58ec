r"""COPY and `\copy` in the shell: which streams, where rows go, how far it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mfdb.kernel.errors import SqlSyntax
from shell.copying import Copy, Progress, client_copy, copy_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.shell.conftest import Ran

    Command = Callable[..., Ran]

MAKE = "CREATE TABLE m (id INTEGER PRIMARY KEY, body TEXT)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("COPY m FROM STDIN", Copy(is_load=True, path=None)),
        ("copy m (a, b) from 'it''s.csv' (HEADER)", Copy(is_load=True, path="it's.csv")),
        ("COPY (SELECT a FROM m) TO STDOUT", Copy(is_load=False, path=None)),
        ("COPY m TO 'x.json'", Copy(is_load=False, path="x.json")),
        ("SELECT 1", None),
        ("COPY", None),
        ("COPY 'open", None),
    ],
)
def test_what_a_statement_copies(text: str, expected: Copy | None) -> None:
    assert copy_of(text) == expected


@pytest.mark.parametrize(
    ("argument", "statement", "path"),
    [
        ("m from a.csv", "COPY m from STDIN", "a.csv"),
        ("m (a, b) FROM 'a b.csv' (HEADER);", "COPY m (a, b) FROM STDIN (HEADER)", "a b.csv"),
        (
            "(select 1 from m) to out.json",
            "COPY (select 1 from m) to STDOUT (FORMAT json)",
            "out.json",
        ),
        (
            "m from /d/x.jsonl with (format jsonl)",
            "COPY m from STDIN with (format jsonl)",
            "/d/x.jsonl",
        ),
        ("m from stdin", "COPY m from STDIN", None),
        ("m to stdout (header)", "COPY m to STDOUT (header)", None),
    ],
)
def test_what_a_client_copy_means(argument: str, statement: str, path: str | None) -> None:
    found = client_copy(argument)
    assert (found.statement, found.path) == (statement, path)


@pytest.mark.parametrize("argument", ["m", "m from", "from x", "m into x.csv"])
def test_a_client_copy_of_another_form_is_refused(argument: str) -> None:
    with pytest.raises(SqlSyntax) as caught:
        client_copy(argument)
    assert "usage" in caught.value.hint


def test_how_far_it_is() -> None:
    progress = Progress(200)
    progress(3, 50)
    assert progress.fraction == 0.25
    unknown = Progress(None)
    unknown(3, 50)
    assert unknown.fraction is None


def test_rows_stand_in_the_script(command: Command) -> None:
    script = f"{MAKE};\nCOPY m FROM STDIN;\n1,a\n2,b\n\\.\nSELECT count(*) AS n FROM m;\n"
    ran = command("--format", "csv", stdin=script)
    assert (ran.code, ran.out, ran.err) == (0, "n\n2\n", "")


def test_rows_come_from_standard_input(command: Command) -> None:
    ran = command(
        "-c", MAKE, "-c", "COPY m FROM STDIN", "-c", "COPY m TO STDOUT", stdin="1,a\n2,b\n"
    )
    assert ran.code == 0
    assert ran.out == "CREATE 0\nCOPY 2\n1,a\n2,b\n"


def test_files_of_this_side(command: Command, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("1,a\n2,b\n")
    out = tmp_path / "out.csv"
    ran = command(
        "-c", MAKE, "-c", f"\\copy m from {tmp_path}/in.csv", "-c", f"\\copy m to '{out}'"
    )
    assert (ran.code, ran.out) == (0, "CREATE 0\nCOPY 2\nCOPY 2\n")
    assert out.read_text() == "1,a\n2,b\n"
    assert command("-c", "\\copy m from nowhere.csv").code == 1
    assert command("-c", "\\copy").code == 1


def test_import_makes_a_dataset_of_the_first_line(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("id,full name\n1,Ann\n2,Bob\n")
    ran = command("-q", "-c", f".import {path} people", "-c", "SELECT * FROM people")
    assert ran.code == 0
    assert 'CREATE TABLE people (id TEXT, "full name" TEXT)' in ran.connection.executed
    assert "Bob" in ran.out
    again = command("-c", "CREATE TABLE m (a TEXT, b TEXT)", "-c", f".import {path} m")
    assert again.connection.executed[-1].endswith("people.csv'")  # its names are not m's: rows


def test_results_of_copy_can_be_sent_elsewhere(command: Command, tmp_path: Path) -> None:
    out = tmp_path / "o"
    ran = command(
        "-c", f"{MAKE}; INSERT INTO m VALUES (1, 'a')", "-c", f"COPY m TO STDOUT \\g {out}"
    )
    assert ran.code == 0
    assert out.read_text() == "1,a\n"
