"""Golden scripts of definitions, over a whole embedded database; the form is that of test_sql.

`--update-golden` writes what the scripts print now. Each script has a database of its own, in which
SET route = relational is tried for every query as well: it must give the same rows.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import mfdb
from mfdb.sql.caret import explain_error
from mfdb.sql.parse import split

SCRIPTS = sorted((Path(__file__).parent / "definitions").glob("*.mfdb"))
_ADDRESS = re.compile(r"0x[0-9a-f]{40}")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_script(path: Path, request: pytest.FixtureRequest) -> None:
    blocks = path.read_text(encoding="utf-8").strip().split("\n\n")
    connection = mfdb.connect(":memory:", autocommit=True)
    try:
        told = [_play(block, connection) for block in blocks]
    finally:
        connection.close()
    if request.config.getoption("--update-golden"):
        path.write_text("\n\n".join(told) + "\n", encoding="utf-8")
        return
    assert told == blocks


def test_there_are_scripts() -> None:
    assert len(SCRIPTS) >= 2


def _play(block: str, connection: Any) -> str:
    written, _, _ = f"{block}\n".partition("\n---\n")
    written = written.rstrip("\n")
    if all(line.startswith("#") for line in written.splitlines()):
        return block
    printed: list[str] = []
    for piece in split(written):
        try:
            printed += _run(piece.text, connection)
        except mfdb.Error as error:
            printed += explain_error(piece.text, error).splitlines()
    lines = (_ADDRESS.sub("0xADDRESS", line.rstrip()) for line in printed)
    return "\n".join([written, "---", *lines])


def _run(text: str, connection: Any) -> list[str]:
    cursor = connection.execute(text)
    if cursor.description is None:
        return ["OK" if cursor.rowcount < 0 else f"OK {cursor.rowcount}"]
    rows = cursor.fetchall()
    if text.lstrip().upper().startswith("SELECT"):
        connection.execute("SET route = relational")
        other = connection.execute(text).fetchall()
        connection.execute("SET route = auto")
        assert sorted(map(repr, other)) == sorted(map(repr, rows)), text
    head = " | ".join(column[0] for column in cursor.description)
    return [head, *(" | ".join(map(_cell, row)) for row in rows), f"({len(rows)})"]


def _cell(value: object) -> str:
    return "NULL" if value is None else str(value)
