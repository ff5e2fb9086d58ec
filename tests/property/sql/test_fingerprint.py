"""Lifting literals changes nothing but time: rows, errors and their places are the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as hy

import mfdb
from mfdb.kernel.errors import MfdbError
from mfdb.sql.fingerprint import Lifter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfdb.client.dbapi import Connection

SCHEMA = (
    "CREATE TABLE t (k INTEGER PRIMARY KEY, s SMALLINT, a TEXT DEFAULT 'd', v VARCHAR(3), "
    "d DATE, w TIMESTAMP, n DECIMAL(6,2), f DOUBLE PRECISION, o BOOLEAN)"
)
_NUMBER = hy.sampled_from(
    ["0", "1", "7", "-1", "2147483647", "2147483648", "-2147483648", "9223372036854775807",
     "9223372036854775808", "1.5", "-0.125", "1e3", "99999", "007", ".5", "1.", "12345.678"]
)  # fmt: skip
_TEXT = hy.sampled_from(
    ["''", "'x'", "'it''s'", "'1'", "'-7'", "'99999'", "'long text'", "'2020-02-29'",
     "'2021-02-29'",
     "'2020-01-01 12:30:00'", "'1.5'", "'t'", "'a -- b /* ? $1 :x'", "E", "NULL", "TRUE", "X'00'"]
)  # fmt: skip
_LITERAL = hy.one_of(_NUMBER, _TEXT)
_COLUMN = hy.sampled_from(["k", "s", "a", "v", "d", "w", "n", "f", "o", '"k"'])
_SIGN = hy.sampled_from(["=", "<", ">=", "<>"])
_TEST = hy.one_of(
    hy.builds("{} {} {}".format, _COLUMN, _SIGN, _LITERAL),
    hy.builds("{} {} {}".format, _LITERAL, _SIGN, _COLUMN),
    hy.builds("{} BETWEEN {} AND {}".format, _COLUMN, _LITERAL, _LITERAL),
    hy.builds("{} IN ({}, {})".format, _COLUMN, _LITERAL, _LITERAL),
    hy.builds("a LIKE {}".format, _LITERAL),
    hy.builds("{} + {} > {}".format, _COLUMN, _NUMBER, _NUMBER),
)
_WHERE = hy.one_of(
    _TEST,
    hy.builds("{} AND NOT {}".format, _TEST, _TEST),
    hy.builds("({} OR {})".format, _TEST, _TEST),
)
_STATEMENT = hy.one_of(
    hy.builds(
        "INSERT INTO t (k, {}, {}) VALUES ({}, {}, {}) RETURNING *".format,
        _COLUMN, _COLUMN, _LITERAL, _LITERAL, _LITERAL,
    ),
    hy.builds("INSERT INTO t VALUES ({}, {}, {})".format, _LITERAL, _LITERAL, _LITERAL),
    hy.builds("UPDATE t SET {} = {} WHERE {} RETURNING *".format, _COLUMN, _LITERAL, _WHERE),
    hy.builds("DELETE FROM t WHERE {}".format, _WHERE),
    hy.builds("SELECT *, {} FROM t WHERE {} ORDER BY {} LIMIT {}".format,
              _LITERAL, _WHERE, hy.sampled_from(["k", "1", "2", "11"]), hy.sampled_from("0129")),
    hy.builds("SELECT count(*) FROM t WHERE {}".format, _WHERE),
)  # fmt: skip


def told(connection: Connection, text: str) -> Any:
    try:
        cursor = connection.execute(text)
        rows = cursor.fetchall() if cursor.description else []
    except MfdbError as error:
        return type(error), error.message, error.position, error.hint
    return cursor.rowcount, repr(rows)


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Connection, Connection]]:
    with (
        mfdb.connect(":memory:", autocommit=True) as lifting,
        mfdb.connect(":memory:", autocommit=True) as plain,
    ):
        plain._session._is_embedded = False  # takes every statement as it stands
        for connection in (lifting, plain):
            connection.execute(SCHEMA)
            connection.execute("CREATE INDEX ON t (s)")
        yield lifting, plain


@settings(max_examples=300, deadline=None)
@given(statements=hy.lists(_STATEMENT, min_size=1, max_size=4))
def test_lifted_statements_do_what_they_say(
    pair: tuple[Connection, Connection], statements: list[str]
) -> None:
    lifting, plain = pair
    for text in statements:
        assert told(lifting, text) == told(plain, text), text
    everything = "SELECT * FROM t ORDER BY k"
    assert told(lifting, everything) == told(plain, everything)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SELECT * FROM t WHERE k = 1", "SELECT * FROM t WHERE k = 2"),
        ("SELECT * FROM t WHERE a = 'x'", "SELECT * FROM t WHERE a = 'it''s'"),
        ("INSERT INTO t VALUES (1, 2, 'x')", "INSERT INTO t VALUES (7, 8, '')"),
        ("UPDATE t SET a = 'x' WHERE k = 1", "UPDATE t SET a = 'y' WHERE k = 22"),
        ("DELETE FROM t WHERE n BETWEEN 1.5 AND 2.0", "DELETE FROM t WHERE n BETWEEN 0.5 AND 9.25"),
    ],
)
def test_values_are_lifted(one: str, other: str) -> None:
    lifter = Lifter()
    first, second = lifter.lift(one), lifter.lift(other)
    assert first is not None
    assert second is not None
    assert first.key == second.key
    assert first.statement is second.statement
    assert first.values != second.values


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SELECT k FROM t WHERE k = 1 LIMIT 1", "SELECT k FROM t WHERE k = 1 LIMIT 2"),
        ("SELECT k, s FROM t WHERE k = 1 ORDER BY 1", "SELECT k, s FROM t WHERE k = 1 ORDER BY 2"),
        ("SELECT k::VARCHAR(1) FROM t WHERE k = 1", "SELECT k::VARCHAR(2) FROM t WHERE k = 1"),
        (
            "SELECT k FROM t WHERE s IN (1, 2) AND s = 1",
            "SELECT k FROM t WHERE s IN (1, 3) AND s = 1",
        ),
        ("SELECT k FROM t WHERE k = 1", "SELECT k FROM t WHERE k = 3000000000"),
        ("SELECT k FROM t WHERE k = 1", "SELECT k FROM t WHERE k = '1'"),
        ('SELECT k FROM t AS "a" WHERE k = 1', 'SELECT k FROM t AS "b" WHERE k = 1'),
    ],
)
def test_what_is_not_a_value_keeps_statements_apart(one: str, other: str) -> None:
    lifter = Lifter()
    first, second = lifter.lift(one), lifter.lift(other)
    assert first is not None
    assert second is not None
    assert first.key != second.key


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM t",
        "SELECT * FROM t LIMIT 1",
        "SELECT * FROM t WHERE k = ?",
        "SELECT * FROM t WHERE k = $1 AND s = 2",
        "SELECT * FROM t WHERE k = :x AND s = 2",
        "SELECT * FROM t WHERE k = 1 -- it's",
        "SELECT * FROM t WHERE k = 1 /* '2' */",
        "COPY t TO 'x' (DELIMITER ';')",
        "SET route = 'row'",
        "CREATE TABLE u (v VARCHAR(3) DEFAULT 'x')",
        "WITH w AS (SELECT 1 AS a) SELECT a FROM w WHERE a = 1",
    ],
)
def test_what_is_not_lifted(text: str) -> None:
    assert Lifter().lift(text) is None


def test_shapes_are_bounded_and_a_definition_is_noticed() -> None:
    lifter = Lifter()
    for number in range(1_200):
        lifter.lift(f"SELECT a{number} FROM t WHERE k = 1")
        lifter.lift(f"SELECT k FROM t WHERE k = 1 LIMIT {number}")
    assert len(lifter._shapes) <= 512
    assert all(len(templates) <= 8 for templates in lifter._shapes.values())
    with mfdb.connect(":memory:", autocommit=True) as database:
        for kind, value in (("INTEGER", 7), ("TEXT", "7"), ("BOOLEAN", True)):
            database.execute(f"CREATE TABLE u (k INTEGER PRIMARY KEY, a {kind})")
            for number in range(3):
                literal = "'t'" if kind == "BOOLEAN" else "'7'"
                database.execute(f"INSERT INTO u VALUES ({number}, {literal})")
            assert database.execute("SELECT a FROM u WHERE k = 2").fetchall() == [(value,)]
            database.execute("DROP TABLE u")


def test_a_template_that_fails_fails_the_batch() -> None:
    with mfdb.connect(":memory:", autocommit=True) as database:
        database.execute("CREATE TABLE u (k INTEGER PRIMARY KEY)")
        database.execute("INSERT INTO u VALUES (1)")
        database.execute("BEGIN")
        database.execute("INSERT INTO u VALUES (2)")
        assert told(database, "INSERT INTO u VALUES (1)")[0].__name__ == "DuplicateRow"
        assert told(database, "SELECT k FROM u WHERE k = 1")[0].__name__ == "BatchFailed"
        database.execute("ROLLBACK")
        assert told(database, "SELECT k FROM u WHERE k >= 0")[0] == 1
