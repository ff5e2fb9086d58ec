"""Statements whose WITH changes rows: one snapshot, one batch, nothing of it if a part fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import mfdb
from mfdb.kernel.errors import (
    DuplicateRow,
    ForeignKeyViolation,
    NotSupportedError,
    ProgrammingError,
    WrongParameters,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(name="db", params=["auto", "relational"])
def _db(request: pytest.FixtureRequest) -> Iterator[Any]:
    connection = mfdb.connect(":memory:", autocommit=True)
    connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b INTEGER, c TEXT DEFAULT 'none')")
    connection.execute("CREATE TABLE u (a INTEGER, b INTEGER)")
    connection.execute("INSERT INTO t VALUES (1, 10, 'x'), (2, 10, 'y'), (3, 20, NULL)")
    connection.execute("INSERT INTO u VALUES (1, 10), (2, 20), (8, 10)")
    connection.execute(f"SET route = {request.param}")
    yield connection
    connection.close()


def rows(db: Any, text: str, params: Any = ()) -> list[tuple[object, ...]]:
    return sorted(db.execute(text, params).fetchall())


def test_rows_move_from_one_dataset_to_another(db: Any) -> None:
    moved = "WITH m AS (DELETE FROM u WHERE a > 2 RETURNING *) INSERT INTO t (a, b) SELECT * FROM m"
    assert db.execute(moved).rowcount == 1
    assert rows(db, "SELECT a FROM u") == [(1,), (2,)]
    assert rows(db, "SELECT * FROM t WHERE a > 3") == [(8, 10, "none")]


def test_a_row_leaves_and_comes_back_under_its_key(db: Any) -> None:
    db.execute(
        "WITH m AS (DELETE FROM t WHERE a = 1 RETURNING *) INSERT INTO t SELECT a, b + 1, c FROM m"
    )
    assert rows(db, "SELECT * FROM t WHERE a = 1") == [(1, 11, "x")]


def test_all_parts_see_what_was_there_before(db: Any) -> None:
    found = rows(
        db,
        "WITH m AS (UPDATE u SET b = b + 1 RETURNING *), n AS (INSERT INTO u VALUES (9, 9)) "
        "SELECT m.a, m.b, u.b, (SELECT count(*) FROM u) FROM m JOIN u ON u.a = m.a",
    )
    assert found == [(1, 11, 10, 3), (2, 21, 20, 3), (8, 11, 10, 3)]
    assert rows(db, "SELECT count(*) FROM u") == [(4,)]


def test_parts_follow_each_other_and_name_queries_before_them(db: Any) -> None:
    found = rows(
        db,
        "WITH q (x) AS (SELECT 2), "
        "m (p) AS (DELETE FROM t WHERE a = (SELECT x FROM q) RETURNING a), "
        "n AS (INSERT INTO u SELECT p, 0 FROM m RETURNING a) "
        "UPDATE t SET b = 0 WHERE a IN (SELECT a + 1 FROM n) RETURNING a, (SELECT x FROM q), c",
    )
    assert found == [(3, 2, None)]


def test_a_row_is_changed_by_the_first_part_only(db: Any) -> None:
    db.execute("WITH m AS (UPDATE t SET b = 1 WHERE a = 1) UPDATE t SET b = 2 WHERE a < 3")
    assert rows(db, "SELECT a, b FROM t") == [(1, 1), (2, 2), (3, 20)]
    db.execute("WITH m AS (DELETE FROM t WHERE a = 1) UPDATE t SET b = 3 WHERE a = 1")
    assert rows(db, "SELECT a FROM t") == [(2,), (3,)]


def test_it_merges_what_it_deleted(db: Any) -> None:
    merged = db.execute(
        "WITH m AS (DELETE FROM u WHERE a <> 2 RETURNING *) MERGE INTO t USING m ON m.a = t.a "
        "WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (a, b) VALUES (m.a, m.b)"
    )
    assert merged.rowcount == 2
    assert rows(db, "SELECT a FROM t") == [(2,), (3,), (8,)]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("WITH m AS (DELETE FROM u RETURNING a) INSERT INTO t (a) VALUES (1)", DuplicateRow),
        ("WITH m AS (INSERT INTO t (a) VALUES (7)) INSERT INTO t (a) VALUES (7)", DuplicateRow),
        ("WITH m AS (DELETE FROM u) SELECT * FROM m", NotSupportedError),
        (
            "SELECT * FROM (WITH m AS (DELETE FROM u RETURNING a) SELECT * FROM m) q",
            NotSupportedError,
        ),
        ("EXPLAIN WITH m AS (DELETE FROM u RETURNING a) SELECT * FROM m", NotSupportedError),
        ("WITH m AS (DELETE FROM u), m AS (DELETE FROM t) SELECT 1", ProgrammingError),
        ("WITH m (x, y) AS (DELETE FROM u RETURNING a) SELECT * FROM m", ProgrammingError),
        ("WITH m AS (DELETE FROM u RETURNING a) DELETE FROM m", ProgrammingError),
        (
            "CREATE VIEW v AS WITH m AS (DELETE FROM u RETURNING a) SELECT * FROM m",
            NotSupportedError,
        ),
    ],
)
def test_nothing_happens_where_a_part_fails(db: Any, text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        db.execute(text)
    assert rows(db, "SELECT count(*) FROM u") == [(3,)]
    assert rows(db, "SELECT count(*) FROM t") == [(3,)]


def test_keys_of_other_datasets_are_judged_at_the_end(db: Any) -> None:
    db.execute("CREATE TABLE k (a INTEGER REFERENCES t (a))")
    db.execute("INSERT INTO k VALUES (1)")
    with pytest.raises(ForeignKeyViolation):
        db.execute("WITH m AS (DELETE FROM t WHERE a = 1) SELECT 1")
    db.execute("WITH m AS (DELETE FROM k) DELETE FROM t WHERE a = 1")
    db.execute("WITH m AS (INSERT INTO t (a) VALUES (5) RETURNING a) INSERT INTO k SELECT a FROM m")
    assert rows(db, "SELECT a FROM k") == [(5,)]


def test_parameters_are_those_of_the_whole_statement(db: Any) -> None:
    text = "WITH m AS (DELETE FROM u WHERE a = ? RETURNING a) SELECT a + ? FROM m"
    assert rows(db, text, (8, 2)) == [(10,)]
    with pytest.raises(WrongParameters):
        db.execute(text, (8,))


def test_a_batch_takes_it_in_and_gives_it_up(db: Any) -> None:
    db.execute("BEGIN")
    db.execute("INSERT INTO u VALUES (30, 3)")
    moved = (
        "WITH m AS (DELETE FROM u WHERE a >= 8 RETURNING *) INSERT INTO t (a, b) SELECT * FROM m"
    )
    assert db.execute(moved).rowcount == 2
    assert rows(db, "SELECT a FROM t WHERE a > 3") == [(8,), (30,)]
    db.execute("ROLLBACK")
    assert rows(db, "SELECT a FROM u") == [(1,), (2,), (8,)]
    assert rows(db, "SELECT a FROM t") == [(1,), (2,), (3,)]
