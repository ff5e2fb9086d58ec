"""PREPARE, EXECUTE and DEALLOCATE."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import mfdb
from mfdb.kernel.errors import (
    DuplicateRow,
    DuplicateStatement,
    InvalidText,
    MfdbError,
    SqlSyntax,
    UnknownColumn,
    UnknownStatement,
    WrongParameters,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfdb.client.dbapi import Connection


@pytest.fixture
def database() -> Iterator[Connection]:
    with mfdb.connect(":memory:", autocommit=True) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)")
        connection.execute("INSERT INTO t VALUES (1, 'one'), (2, 'two')")
        yield connection


def test_a_prepared_query_runs_with_values(database: Connection) -> None:
    database.execute("PREPARE p AS SELECT id, a || $2 FROM t WHERE id >= $1 ORDER BY id;")
    assert database.execute("EXECUTE p (1 + 1, upper('x'))").fetchall() == [(2, "twoX")]
    assert database.execute("EXECUTE p (?, ?)", [1, "!"]).fetchall() == [
        (1, "one!"),
        (2, "two!"),
    ]
    database.execute("SET route = relational")
    assert database.execute("EXECUTE p (2, '')").fetchall() == [(2, "two")]


def test_types_are_those_that_prepare_gives(database: Connection) -> None:
    database.execute("PREPARE p (INTEGER, DECIMAL(4,1)) AS SELECT $1, $2 FROM t WHERE id = $1")
    ((one, other),) = database.execute("EXECUTE p ('2', 3.14)").fetchall()
    assert (one, str(other)) == (2, "3.1")
    with pytest.raises(MfdbError):
        database.execute("EXECUTE p ('x', 1)")


def test_a_prepared_change_is_a_change_like_any_other(database: Connection) -> None:
    database.execute("PREPARE ins AS INSERT INTO t VALUES ($1, $2) RETURNING id")
    assert database.execute("EXECUTE ins (3, 'three')").fetchall() == [(3,)]
    with pytest.raises(DuplicateRow):
        database.execute("EXECUTE ins (3, 'again')")
    database.execute(
        "PREPARE del AS WITH w AS (SELECT $1::INTEGER AS i) DELETE FROM t USING w WHERE id = i"
    )
    assert database.execute("EXECUTE del (3)").rowcount == 1
    database.execute("BEGIN")
    database.execute("EXECUTE ins (4, 'four')")
    database.execute("ROLLBACK")
    assert database.execute("SELECT count(*) FROM t").fetchone() == (2,)
    plan = [row[0] for row in database.execute("EXPLAIN EXECUTE ins (1, '')")]
    assert plan[:2] == ["route: row", "insert into t: 1 row"]


def test_without_autocommit_a_prepared_change_waits_for_commit() -> None:
    with mfdb.connect(":memory:") as database:
        database.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        database.execute("PREPARE p AS INSERT INTO t VALUES ($1)")
        database.execute("EXECUTE p (1)")
        database.rollback()
        assert database.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_names_are_taken_and_given_back(database: Connection) -> None:
    database.execute("PREPARE one AS SELECT 1")
    with pytest.raises(DuplicateStatement) as caught:
        database.execute("PREPARE one AS SELECT 2")
    assert (caught.value.sqlstate, caught.value.position) == ("42P05", len("PREPARE "))
    with pytest.raises(UnknownStatement) as missing:
        database.execute("EXECUTE onr")
    assert (missing.value.sqlstate, missing.value.hint) == ("26000", "did you mean one?")
    database.execute("DEALLOCATE PREPARE one")
    database.execute("PREPARE one AS SELECT 2")
    assert database.execute("EXECUTE one").fetchone() == (2,)
    database.execute("DEALLOCATE ALL")
    for text in ("EXECUTE one", "DEALLOCATE one"):
        with pytest.raises(UnknownStatement):
            database.execute(text)


def test_a_definition_does_not_leave_a_stale_plan(database: Connection) -> None:
    database.execute("PREPARE p AS SELECT * FROM t WHERE id = $1")
    assert database.execute("EXECUTE p (1)").fetchall() == [(1, "one")]
    database.execute("DROP TABLE t")
    database.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, b INTEGER, c INTEGER)")
    database.execute("INSERT INTO t VALUES (1, 2, 3)")
    assert database.execute("EXECUTE p (1)").fetchall() == [(1, 2, 3)]


@pytest.mark.parametrize(
    ("text", "kind", "position"),
    [
        ("PREPARE p AS SELECT nix FROM t", UnknownColumn, 20),
        ("PREPARE p AS SHOW DATASETS", SqlSyntax, 13),
        ("PREPARE p AS SELECT :a", WrongParameters, 13),
        ("PREPARE p AS EXECUTE q", SqlSyntax, 13),
        ("PREPARE p (KLINGON) AS SELECT $1", MfdbError, 11),
        ("EXECUTE known (1)", WrongParameters, 8),
        ("EXECUTE known (id, 2)", UnknownColumn, 15),
        ("EXECUTE known (1, (SELECT 1))", MfdbError, 18),
    ],
)
def test_errors_point_at_the_word(
    database: Connection, text: str, kind: type[MfdbError], position: int
) -> None:
    database.execute("PREPARE known AS SELECT $1::INTEGER, $2::TEXT")
    with pytest.raises(kind) as caught:
        database.execute(text)
    assert caught.value.position == position


def test_an_error_of_the_statement_points_nowhere_in_execute(database: Connection) -> None:
    database.execute("PREPARE p AS SELECT 1 / $1::INTEGER")
    with pytest.raises(MfdbError) as caught:
        database.execute("EXECUTE p (0)")
    assert (caught.value.sqlstate, caught.value.position) == ("22012", None)
    with pytest.raises(InvalidText) as other:
        database.execute("EXECUTE p (?)", ["x"])
    assert other.value.position is None
