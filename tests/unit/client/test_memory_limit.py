"""What a statement holds in memory is bounded, and it can be cancelled, on either route."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

import mfdb
from mfdb.kernel.errors import BatchFailed, InvalidDefinition, OutOfMemory, StatementCancelled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfdb.client.dbapi import Connection

LONG, ROWS = 198_000, 100
"""Rows of so many characters: more than the least limit lets a statement hold."""


@pytest.fixture(scope="module")
def opened() -> Iterator[Connection]:
    with mfdb.connect(":memory:", autocommit=True) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, n INTEGER)")
        connection.execute("CREATE INDEX ON t (n)")
        rows = [(n, f"{n:06}" * (LONG // 6), n % 7) for n in range(ROWS)]
        connection.cursor().executemany("INSERT INTO t VALUES (?, ?, ?)", rows)
        yield connection


@pytest.fixture
def little(opened: Connection) -> Iterator[Connection]:
    opened.execute("SET memory_limit = '16MB'")
    yield opened
    opened.rollback()
    for name in ("memory_limit", "route"):
        opened.execute(f"SET {name} = DEFAULT")


HELD = [
    ("row", "SELECT a || 'x' FROM t", ()),
    ("row", "SELECT id FROM t ORDER BY a || 'x'", ()),
    ("row", "SELECT count(DISTINCT a) FROM t", ()),
    ("row", "SELECT a FROM t WHERE n >= ? AND n < ?", (0, 7)),
    ("row", "SELECT id, a FROM t ORDER BY id", ()),
    ("relational", "SELECT a FROM t", ()),
]


@pytest.mark.parametrize(("route", "text", "given"), HELD)
def test_a_query_that_holds_too_much_fails_with_an_error_of_ours(
    little: Connection, route: str, text: str, given: tuple[object, ...]
) -> None:
    little.execute(f"SET route = {route}")
    for _ in range(2):  # the second time by the short way, where there is one
        with pytest.raises(OutOfMemory, match="more than 16MB") as caught:
            little.execute(text, given)
        assert "memory_limit" in str(caught.value.hint)
    assert little.execute("SELECT n FROM t WHERE id = 3").fetchall() == [(3,)]
    little.execute("SET memory_limit = '512MB'")
    assert little.execute(text, given).fetchall()


def test_what_need_not_be_held_is_not_counted(little: Connection) -> None:
    whole = little.execute("SELECT count(*), sum(length(a)) FROM t").fetchall()
    assert whole == [(ROWS, ROWS * LONG)]
    first = little.execute("SELECT id FROM t ORDER BY a || 'x' DESC LIMIT 3").fetchall()
    assert first == [(ROWS - 1,), (ROWS - 2,), (ROWS - 3,)]
    skipped = little.execute("SELECT id FROM t ORDER BY a DESC LIMIT 2 OFFSET 5").fetchall()
    assert skipped == [(ROWS - 6,), (ROWS - 7,)]
    cursor = little.cursor(stream=True)
    assert sum(1 for _ in cursor.execute("SELECT a FROM t")) == ROWS
    little.execute("BEGIN")
    little.execute("INSERT INTO t VALUES (-1, 'x', 1)")
    assert little.execute("SELECT id FROM t ORDER BY id LIMIT 2").fetchall() == [(-1,), (0,)]
    assert little.execute("SELECT id FROM t ORDER BY id DESC LIMIT 1").fetchall() == [(ROWS - 1,)]


def test_a_query_that_holds_too_much_fails_its_batch(little: Connection) -> None:
    text = "SELECT a FROM t WHERE id >= ? AND id < ?"
    assert len(little.execute(text, (0, 2)).fetchall()) == 2
    little.execute("BEGIN")
    with pytest.raises(OutOfMemory):
        little.execute(text, (0, ROWS))
    with pytest.raises(BatchFailed):
        little.execute("SELECT 1")


@pytest.mark.parametrize(
    ("route", "text"),
    [
        ("row", "SELECT count(*) FROM many WHERE lower(a) = upper(a)"),
        ("row", "SELECT a FROM many ORDER BY lower(a)"),
        ("row", "SELECT id, a FROM many WHERE id >= 0 AND id < 90000000"),
        ("relational", "SELECT a FROM many ORDER BY lower(a)"),
    ],
)
def test_both_routes_are_cancelled(opened: Connection, route: str, text: str) -> None:
    """The statement is begun again until it is cancelled: it may be done before somebody asks."""
    _fill(opened)
    opened.execute(f"SET route = {route}")
    stop = threading.Event()

    def cancel() -> None:
        while not stop.wait(0.001):
            opened.cancel()

    thread = threading.Thread(target=cancel)
    thread.start()
    try:
        with pytest.raises(StatementCancelled):
            _run_for_ever(opened, text)
    finally:
        stop.set()
        thread.join()
        opened.execute("SET route = DEFAULT")


def _run_for_ever(opened: Connection, text: str) -> None:
    while True:
        opened.execute(text)


def _fill(opened: Connection) -> None:
    if not opened.execute("SELECT 1 FROM mf.datasets WHERE name = 'many'").fetchall():
        opened.execute("CREATE TABLE many (id INTEGER PRIMARY KEY, a TEXT)")
        rows = [(n, f"some text {n}") for n in range(5_000)]
        opened.cursor().executemany("INSERT INTO many VALUES (?, ?)", rows)


@pytest.mark.parametrize("value", ["'12'", "'1MB'", "'many MB'", "512", "'-1MB'", "'999999999GB'"])
def test_a_limit_is_a_size(little: Connection, value: str) -> None:
    with pytest.raises(InvalidDefinition, match="memory_limit") as caught:
        little.execute(f"SET memory_limit = {value}")
    assert "'512MB'" in str(caught.value.hint)
    shown = {row[0]: row[1:] for row in little.execute("SHOW SETTINGS")}
    assert shown["memory_limit"] == ("16MB", "1GB")


def test_what_returning_gives_is_bounded(little: Connection) -> None:
    for text in ("UPDATE t SET n = n RETURNING a || 'x'", "DELETE FROM t RETURNING a || 'y'"):
        with pytest.raises(OutOfMemory, match="16MB"):
            little.execute(text)
    assert little.execute("SELECT count(*) FROM t").fetchone() == (ROWS,)
    assert len(little.execute("UPDATE t SET n = n RETURNING id").fetchall()) == ROWS
