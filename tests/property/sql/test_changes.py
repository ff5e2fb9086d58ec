"""Changes do what DuckDB's do where both mean the same, and what their other spellings do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hy

import mfdb
from mfdb.kernel.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfdb.client.dbapi import Connection

SCHEMA = (
    "CREATE TABLE m (k INTEGER PRIMARY KEY, v INTEGER, a VARCHAR)",
    "CREATE TABLE s (k INTEGER, w INTEGER, b VARCHAR)",
)
_KEYS = hy.integers(0, 5)
_VALUE = hy.one_of(hy.just("NULL"), hy.integers(-3, 9).map(str))
_WORD = hy.sampled_from(["'x'", "'y'", "''", "NULL"])
_ROW = hy.builds("({}, {}, {})".format, _KEYS, _VALUE, _WORD)
_ROWS = hy.lists(
    hy.tuples(_KEYS, _VALUE, _WORD), min_size=1, max_size=3, unique_by=lambda r: r[0]
).map(lambda rows: ", ".join("({}, {}, {})".format(*row) for row in rows))
_TEST = hy.sampled_from(
    [
        "m.v > 2",
        "m.v IS NULL",
        "m.a = 'x'",
        "m.k % 2 = 0",
        "NOT (m.v = 1 OR m.a = 'y')",
        "m.v <> m.k",
    ]
)
_EXPRESSION = hy.sampled_from(
    [
        "m.v + 1",
        "m.k * 2",
        "NULL",
        "7",
        "coalesce(m.v, 0) - 1",
        "CASE WHEN m.a = 'x' THEN 1 ELSE m.v END",
    ]
)
_STATEMENT = hy.one_of(
    hy.builds("INSERT INTO m VALUES {}".format, _ROWS),
    hy.builds("INSERT INTO m VALUES {} ON CONFLICT (k) DO NOTHING".format, _ROWS),
    hy.builds("INSERT INTO m VALUES {} ON CONFLICT DO NOTHING".format, _ROWS),
    hy.builds(
        "INSERT INTO m VALUES {} ON CONFLICT (k) DO UPDATE SET v = excluded.v, a = m.a".format,
        _ROWS,
    ),
    hy.builds(
        "INSERT INTO m VALUES {} ON CONFLICT (k) DO UPDATE SET v = excluded.v + 1 WHERE {}".format,
        _ROWS,
        _TEST,
    ),
    hy.builds("INSERT OR REPLACE INTO m VALUES {}".format, _ROWS),
    hy.builds("INSERT OR IGNORE INTO m VALUES {}".format, _ROWS),
    hy.builds("UPDATE m SET v = {} WHERE {}".format, _EXPRESSION, _TEST),
    hy.builds("UPDATE m SET v = s.w + {} FROM s WHERE s.k = m.k AND {}".format, _KEYS, _TEST),
    hy.builds("UPDATE m SET v = (SELECT max(s.w) FROM s WHERE s.k <= m.k) WHERE {}".format, _TEST),
    hy.builds("DELETE FROM m WHERE {}".format, _TEST),
    hy.builds("DELETE FROM m USING s WHERE s.k = m.k AND {}".format, _TEST),
    hy.builds("DELETE FROM m WHERE m.k IN (SELECT s.k FROM s) AND {}".format, _TEST),
    hy.just("INSERT INTO m SELECT s.k + 10, s.w, s.b FROM s ON CONFLICT (k) DO NOTHING"),
    hy.builds(
        "INSERT INTO s SELECT k, v, a FROM m WHERE {} AND k NOT IN (SELECT k FROM s)".format, _TEST
    ),
)


@pytest.fixture(scope="module")
def ours() -> Iterator[Connection]:
    with mfdb.connect(":memory:", autocommit=True) as connection:
        for text in SCHEMA:
            connection.execute(text)
        yield connection


def contents(database: Any) -> list[Any]:
    return [
        database.execute("SELECT * FROM m ORDER BY k").fetchall(),
        database.execute("SELECT * FROM s ORDER BY k, w, b").fetchall(),
    ]


@settings(max_examples=25, deadline=None)
@given(statements=hy.lists(_STATEMENT, min_size=1, max_size=5), rows=_ROWS)
def test_changes_are_those_of_duckdb(ours: Connection, statements: list[str], rows: str) -> None:
    theirs = duckdb.connect(":memory:")
    for text in SCHEMA:
        theirs.execute(text)
    for text in ("DELETE FROM m", "DELETE FROM s"):
        ours.execute(text)
    for text in (f"INSERT INTO s VALUES {rows}", *statements):
        try:
            theirs.execute(text)
            refused = False
        except duckdb.ConstraintException:
            refused = True
        try:
            ours.execute(text)
            assert not refused, text
        except IntegrityError:
            if not refused:
                raise
        assert contents(ours) == contents(theirs), text
    theirs.close()


@settings(max_examples=25, deadline=None)
@given(rows=_ROWS, test=_TEST, value=_EXPRESSION)
def test_a_change_is_the_same_in_every_spelling(
    ours: Connection, rows: str, test: str, value: str
) -> None:
    told = []
    for text in (
        f"UPDATE m SET v = {value} WHERE {test} RETURNING m.k, m.v",
        f"UPDATE m SET v = {value} FROM (VALUES (1)) AS one (n) WHERE {test} RETURNING m.k, m.v",
        f"UPDATE m SET (v) = (SELECT {value}) WHERE {test} RETURNING m.k, m.v",
        f"WITH w AS (SELECT m.k AS i FROM m WHERE {test}) UPDATE m SET v = {value} FROM w "
        "WHERE w.i = m.k RETURNING m.k, m.v",
    ):
        ours.execute("DELETE FROM m")
        ours.execute(f"INSERT INTO m VALUES {rows}")
        returned = sorted(ours.execute(text).fetchall(), key=repr)
        told.append((returned, ours.execute("SELECT * FROM m ORDER BY k").fetchall()))
    assert told[1:] == told[:-1]
