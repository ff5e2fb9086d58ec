"""Row factories: every form of a row, and what happens with names that do not fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

import mfdb

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Note:
    id: int
    body: str


@pytest.fixture
def db(tmp_path: Path) -> Iterator[mfdb.Connection]:
    with mfdb.connect(tmp_path) as connection:
        connection.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT)")
        connection.executemany("INSERT INTO notes VALUES (?, ?)", [(1, "one"), (2, "two")])
        yield connection


QUERY = "SELECT id, body FROM notes ORDER BY id"


def test_dict_rows(db: mfdb.Connection) -> None:
    cursor = db.cursor(row_factory=mfdb.dict_row)
    assert cursor.execute(QUERY).fetchone() == {"id": 1, "body": "one"}
    assert cursor.fetchall() == [{"id": 2, "body": "two"}]


def test_named_rows(db: mfdb.Connection) -> None:
    cursor = db.cursor(row_factory=mfdb.namedtuple_row)
    first = cursor.execute(QUERY).fetchone()
    assert (first.id, first.body) == (1, "one")
    odd = cursor.execute('SELECT 1, 2 AS "class", 3 AS "2nd", 4 AS a, 5 AS a').fetchone()
    assert odd._fields == ("column", "class_", "f2nd", "a", "_4")


def test_class_rows(db: mfdb.Connection) -> None:
    cursor = db.cursor(row_factory=mfdb.class_row(Note))
    assert list(cursor.execute(QUERY)) == [Note(1, "one"), Note(2, "two")]
    with pytest.raises(mfdb.InterfaceError, match="does not take the columns id, extra"):
        cursor.execute("SELECT id, 1 AS extra FROM notes").fetchone()


def test_scalar_rows(db: mfdb.Connection) -> None:
    cursor = db.cursor(row_factory=mfdb.scalar_row)
    assert cursor.execute(QUERY).fetchmany(5) == [1, 2]
    assert cursor.execute("SELECT count(*) FROM notes").fetchone() == 2


def test_a_connection_gives_its_factory_to_its_cursors(tmp_path: Path) -> None:
    with mfdb.connect(tmp_path / "other", row_factory=mfdb.dict_row) as db:
        assert db.execute("SELECT 1 AS a").fetchall() == [{"a": 1}]
        assert db.cursor(row_factory=mfdb.tuple_row).execute("SELECT 1 AS a").fetchall() == [(1,)]
        cursor = db.cursor()
        cursor.row_factory = mfdb.scalar_row
        assert cursor.execute("SELECT 7").fetchone() == 7


def test_what_gives_no_rows_needs_no_factory(db: mfdb.Connection) -> None:
    cursor = db.cursor(row_factory=mfdb.scalar_row)
    cursor.execute("UPDATE notes SET body = 'x'")
    assert cursor.rowcount == 2
    assert cursor.execute("DELETE FROM notes RETURNING id").fetchall() == [1, 2]
