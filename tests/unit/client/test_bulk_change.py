"""Changes in bulk, of one row or many: as if each had gone the general way by itself."""

from __future__ import annotations

from contextlib import closing, nullcontext
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

import mfdb
from mfdb.client.bulk import BulkInsert
from mfdb.client.bulk_change import BulkChange
from mfdb.client.changes import Changes
from mfdb.kernel.errors import MfdbError

if TYPE_CHECKING:
    from collections.abc import Sequence

CREATE = (
    "CREATE DATASET t (a INTEGER, b TEXT, n BIGINT NOT NULL, s DOUBLE PRECISION, u TEXT UNIQUE, "
    "PRIMARY KEY (a, b))"
)
UPDATE = "UPDATE t SET n = ?, s = ? WHERE b = ? AND a = ?"
DELETE = "DELETE FROM t WHERE a = ? AND b = ?"
_KEYS = some.tuples(some.integers(0, 6), some.sampled_from(["x", "y", "\x00"]))
_ROWS = [(a, b, a, None, f"{a}{b}") for a in range(5) for b in ("x", "\x00")]


def opened() -> mfdb.Connection:
    connection = mfdb.connect(":memory:")
    connection.execute(CREATE)
    connection.execute("CREATE INDEX t_s ON t (s)")
    connection.cursor().executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?)", _ROWS)
    connection.commit()
    return connection


def rows(connection: mfdb.Connection) -> list[Any]:
    return connection.execute("SELECT * FROM t ORDER BY a, b").fetchall()


def general_way() -> Any:
    """A context in which no statement is ready for bulk."""
    return patch.object(Changes, "_learn_bulk", lambda *_: None)


def one_by_one(statement: str, many: Sequence[Any]) -> tuple[list[Any], int]:
    with general_way(), closing(opened()) as connection:
        cursor, count = connection.cursor(), 0
        for params in many:
            count += cursor.execute(statement, params).rowcount
        connection.commit()
        return rows(connection), count


def at_once(statement: str, many: Sequence[Any]) -> tuple[list[Any], int]:
    with closing(opened()) as connection:
        cursor = connection.cursor()
        cursor.executemany(statement, many)
        count = cursor.rowcount
        in_batch = rows(connection)
        connection.commit()
        assert rows(connection) == in_batch
        replica = connection._session.state.replica
        assert replica.check().problems == []
        (bulk,) = (one for one in connection._session._local.changes._bulks.values())
        assert isinstance(bulk, BulkChange)
        return in_batch, count


@settings(max_examples=8, deadline=None)
@given(some.lists(some.tuples(some.integers(-9, 9), _KEYS), min_size=1, max_size=20))
def test_updates_at_once_are_updates_one_by_one(drawn: Any) -> None:
    many = [(n, n / 2, b, a) for n, (a, b) in drawn]
    assert at_once(UPDATE, many) == one_by_one(UPDATE, many)


@settings(max_examples=8, deadline=None)
@given(some.lists(_KEYS, min_size=1, max_size=20))
def test_deletes_at_once_are_deletes_one_by_one(keys: Any) -> None:
    assert at_once(DELETE, keys) == one_by_one(DELETE, keys)


@pytest.mark.parametrize(
    "bad",
    [
        (None, 1.0, "x", 1),
        (2**63, 1.0, "x", 1),
        (1, "no number", "x", 1),
        (1, 1.0, "x"),
        (1.5, 1.0, "x", 1),
    ],
)
def test_a_bad_set_fails_all_with_the_general_error(bad: Any) -> None:
    many = [(n, n / 2, "x", n) for n in range(8)] + [bad]
    with closing(opened()) as connection:
        before = rows(connection)
        connection.commit()
        with general_way(), pytest.raises(MfdbError) as general:
            connection.execute(UPDATE, bad)
        connection.rollback()
        with pytest.raises(MfdbError) as single:
            connection.execute(UPDATE, bad)
        assert str(single.value) == str(general.value)
        connection.rollback()
        with pytest.raises(MfdbError) as bulk:
            connection.cursor().executemany(UPDATE, many)
        connection.rollback()
        assert str(bulk.value) == str(general.value)
        assert rows(connection) == before


def test_keys_that_are_null_or_of_another_kind_find_nothing_or_go_the_general_way() -> None:
    many = [(n, None, "x" if n else None, n) for n in range(8)]
    assert at_once(UPDATE, many) == one_by_one(UPDATE, many)
    assert at_once(DELETE, [(None, "x")] * 8)[1] == 0
    with closing(opened()) as connection:
        cursor = connection.cursor()
        cursor.executemany(
            "DELETE FROM t WHERE a = ? AND b = ? AND n > 2", [(a, "x") for a in range(9)]
        )
        assert cursor.rowcount == 2
        cursor.executemany("UPDATE t SET u = ? WHERE a = ? AND b = ?", [("u", 1, "x")] * 8)
        with pytest.raises(MfdbError):
            cursor.executemany(
                "UPDATE t SET u = ? WHERE a = ? AND b = ?", [("u", a, "x") for a in range(9)]
            )


def test_a_batch_changes_what_it_inserted_itself() -> None:
    with closing(opened()) as connection:
        cursor = connection.cursor()
        cursor.executemany(
            "INSERT INTO t VALUES (?, ?, ?, ?, ?)", [(a, "new", a, None, None) for a in range(9)]
        )
        cursor.executemany(UPDATE, [(7, 1.5, "new", a) for a in range(9)])
        assert cursor.rowcount == 9
        cursor.executemany(DELETE, [(a, "new") for a in range(8)])
        assert cursor.rowcount == 8
        connection.commit()
        found = connection.execute("SELECT a, n, s FROM t WHERE b = 'new'").fetchall()
        assert found == [(8, 7, 1.5)]
        assert connection._session.state.replica.check().problems == []


@pytest.mark.parametrize(
    "given_",
    [
        (1, "a", 2, 0.5),
        (1, "a", 2, 1),
        (1, "a", "3", None),
        (True, "a", 2, None),
        (1, "a", None, None),
        (None, "a", 1, None),
        (2**63, "a", 1, None),
        (1, 5, 1, None),
        (1, "a", 1),
        (1, "\ud800", 1, None),
        (0, "x", 1, None),
    ],
)
def test_a_single_insert_in_bulk_is_one_that_goes_the_general_way(given_: Any) -> None:
    def tried(context: Any, kind: type | None) -> Any:
        with context, closing(mfdb.connect(":memory:")) as connection:
            connection.execute(
                "CREATE DATASET t (a INTEGER, b TEXT, n BIGINT NOT NULL, s DOUBLE PRECISION, "
                "PRIMARY KEY (a, b))"
            )
            cursor, insert = connection.cursor(), "INSERT INTO t VALUES (?, ?, ?, ?)"
            cursor.execute(insert, (0, "x", 0, None))
            ready = connection._session._local.changes._bulks.get(insert)
            assert isinstance(ready, BulkInsert) is (kind is BulkInsert)
            try:
                cursor.execute(insert, given_)
            except MfdbError as error:
                connection.rollback()
                return type(error), str(error)
            return cursor.rowcount, [(r, *map(type, r)) for r in rows(connection)]

    assert tried(nullcontext(), BulkInsert) == tried(general_way(), None)


def test_texts_that_come_again_are_read_once_and_alike() -> None:
    insert = "INSERT INTO t VALUES (?, ?)"
    days = ["2026-11-28 00:00:00", "2026-11-29"]
    many = [(at, days[at % 2]) for at in range(9)]

    def tried(rows: Sequence[Any]) -> Any:
        with closing(mfdb.connect(":memory:")) as connection:
            connection.execute("CREATE DATASET t (a INTEGER, b TIMESTAMP, PRIMARY KEY (a))")
            cursor = connection.cursor()
            cursor.execute(insert, (100, days[0]))
            try:
                cursor.executemany(insert, rows)
            except MfdbError as error:
                return type(error), str(error)
            return connection.execute("SELECT * FROM t ORDER BY a").fetchall()

    for rows in (many, [*many, (9, "never"), (10, "never"), (11, "no day")]):
        with general_way():
            expected = tried(rows)
        assert tried(rows) == expected
