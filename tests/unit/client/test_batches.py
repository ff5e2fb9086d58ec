"""Batches: savepoints, chains, what a failed statement does, and what reads inside one see."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as hy

import mfdb
from mfdb.kernel.errors import (
    BatchFailed,
    DuplicateRow,
    MfdbError,
    NoBatch,
    NotSupportedError,
    UnknownSavepoint,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfdb.client.dbapi import Connection


@pytest.fixture
def database() -> Iterator[Connection]:
    with mfdb.connect(":memory:", autocommit=True) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT UNIQUE)")
        connection.execute("CREATE TABLE free (a INTEGER)")
        connection.execute("INSERT INTO t VALUES (1, 'one'), (2, 'two')")
        yield connection


def ids(database: Connection) -> list[object]:
    return [row[0] for row in database.execute("SELECT id FROM t ORDER BY id")]


def run(database: Connection, *texts: str) -> None:
    for text in texts:
        database.execute(text)


def test_a_batch_goes_back_to_a_savepoint_and_on(database: Connection) -> None:
    run(database, "BEGIN", "INSERT INTO t VALUES (3, 'three')", "SAVEPOINT a")
    run(database, "INSERT INTO t VALUES (4, 'four')", "DELETE FROM t WHERE id = 1", "SAVEPOINT b")
    run(database, "UPDATE t SET a = 'zwei' WHERE id = 2", "INSERT INTO free VALUES (7)")
    assert ids(database) == [2, 3, 4]
    run(database, "ROLLBACK TO b")
    assert ids(database) == [2, 3, 4]
    assert database.execute("SELECT a FROM t WHERE id = 2").fetchall() == [("two",)]
    assert database.execute("SELECT count(*) FROM free").fetchall() == [(0,)]
    run(database, "ROLLBACK TO SAVEPOINT a", "INSERT INTO t VALUES (5, 'four')", "COMMIT")
    assert ids(database) == [1, 2, 3, 5]


def test_a_savepoint_stands_until_it_is_released(database: Connection) -> None:
    run(database, "BEGIN", "SAVEPOINT a", "SAVEPOINT b", "ROLLBACK TO a")
    with pytest.raises(UnknownSavepoint):
        run(database, "ROLLBACK TO b")
    run(database, "ROLLBACK TO a", "SAVEPOINT a", "INSERT INTO t VALUES (3, 'x')", "RELEASE a")
    assert ids(database) == [1, 2, 3]
    run(database, "ROLLBACK TO a")
    assert ids(database) == [1, 2]
    run(database, "RELEASE SAVEPOINT a")
    with pytest.raises(UnknownSavepoint) as caught:
        run(database, "RELEASE a")
    assert (caught.value.sqlstate, caught.value.position) == ("3B001", len("RELEASE "))
    run(database, "ROLLBACK")


def test_a_failed_statement_fails_the_batch_until_it_goes_back(database: Connection) -> None:
    run(database, "BEGIN", "INSERT INTO t VALUES (3, 'three')", "SAVEPOINT a")
    with pytest.raises(DuplicateRow):
        run(database, "INSERT INTO t VALUES (4, 'four'), (1, 'again')")
    for text in ("SELECT 1", "SAVEPOINT b", "RELEASE a", "INSERT INTO t VALUES (9, 'x')"):
        with pytest.raises(BatchFailed) as caught:
            run(database, text)
        assert caught.value.sqlstate == "25P02"
    run(database, "ROLLBACK TO a", "INSERT INTO t VALUES (4, 'four')", "COMMIT")
    assert ids(database) == [1, 2, 3, 4]


def test_the_commit_of_a_failed_batch_keeps_nothing(database: Connection) -> None:
    run(database, "BEGIN", "INSERT INTO t VALUES (3, 'three')")
    with pytest.raises(MfdbError):
        run(database, "INSERT INTO nobody VALUES (3)")
    session = database._session
    assert session.start("COMMIT").tag == "ROLLBACK"  # type: ignore[union-attr] # no network
    assert ids(database) == [1, 2]


def test_the_commit_and_the_rollback_may_open_the_next_batch(database: Connection) -> None:
    run(database, "BEGIN", "INSERT INTO t VALUES (3, 'three')", "COMMIT AND CHAIN")
    run(database, "INSERT INTO t VALUES (4, 'four')", "ROLLBACK AND CHAIN")
    assert ids(database) == [1, 2, 3]
    run(database, "INSERT INTO t VALUES (5, 'five')", "COMMIT AND NO CHAIN")
    for text in ("COMMIT AND CHAIN", "SAVEPOINT a", "ROLLBACK TO a", "RELEASE a"):
        with pytest.raises(NoBatch) as caught:
            run(database, text)
        assert caught.value.sqlstate == "25P01"
    assert ids(database) == [1, 2, 3, 5]


def test_definitions_are_no_part_of_a_batch(database: Connection) -> None:
    run(database, "BEGIN", "INSERT INTO t VALUES (3, 'three')")
    with pytest.raises(NotSupportedError) as caught:
        database._session.start("CREATE TABLE u (a INTEGER)")
    assert caught.value.hint == "COMMIT or ROLLBACK first"
    run(database, "ROLLBACK")


@pytest.mark.parametrize("route", ["row", "relational"])
def test_reads_inside_a_batch_see_its_changes_on_both_routes(
    database: Connection, route: str
) -> None:
    moved = "UPDATE free SET a = free.a + 10 FROM t WHERE t.id = free.a + 9"
    run(database, "INSERT INTO free VALUES (1), (2)", "BEGIN", "UPDATE t SET id = 10 WHERE id = 1")
    run(database, "DELETE FROM t WHERE id = 2", "INSERT INTO t VALUES (3, 'two')")
    run(database, moved, f"SET route = {route}")
    for ending in ("SHOW SETTINGS", "COMMIT"):
        run(database, ending)
        rows = database.execute("SELECT id, a FROM t ORDER BY id").fetchall()
        assert rows == [(3, "two"), (10, "one")]
        assert database.execute("SELECT a FROM free ORDER BY a").fetchall() == [(2,), (11,)]
        sums = database.execute("SELECT count(*), sum(id) FROM t WHERE a > 'p'").fetchall()
        assert sums == [(1, 3)]


_STEP = hy.one_of(
    hy.tuples(hy.just("upsert"), hy.integers(0, 4), hy.integers(0, 9)),
    hy.tuples(hy.just("delete"), hy.integers(0, 4), hy.just(0)),
    hy.tuples(hy.just("move"), hy.integers(0, 4), hy.integers(0, 4)),
    hy.tuples(hy.just("savepoint"), hy.integers(0, 2), hy.just(0)),
    hy.tuples(hy.just("back"), hy.integers(0, 2), hy.just(0)),
    hy.tuples(hy.just("release"), hy.integers(0, 2), hy.just(0)),
)


@settings(max_examples=40, deadline=None)
@given(hy.lists(_STEP, max_size=14), hy.sampled_from(["COMMIT", "ROLLBACK"]))
def test_savepoints_do_what_copies_of_a_dictionary_do(
    steps: list[tuple[str, int, int]], ending: str
) -> None:
    with mfdb.connect(":memory:", autocommit=True) as database:
        database.execute("CREATE TABLE m (k INTEGER PRIMARY KEY, v INTEGER)")
        database.execute("INSERT INTO m VALUES (0, 0), (1, 1)")
        database.execute("BEGIN")
        start = model = {0: 0, 1: 1}
        places: list[tuple[int, dict[int, int]]] = []
        for kind, one, other in steps:
            model = dict(model)
            found = [at for at, (name, _) in enumerate(places) if name == one]
            match kind:
                case "upsert":
                    database.execute("UPSERT INTO m VALUES (?, ?)", [one, other])
                    model[one] = other
                case "delete":
                    database.execute("DELETE FROM m WHERE k = ?", [one])
                    model.pop(one, None)
                case "move" if one in model and other not in model:
                    database.execute("UPDATE m SET k = ? WHERE k = ?", [other, one])
                    model[other] = model.pop(one)
                case "savepoint":
                    database.execute(f"SAVEPOINT s{one}")
                    places.append((one, model))
                case "back" if found:
                    database.execute(f"ROLLBACK TO s{one}")
                    model = places[found[-1]][1]
                    del places[found[-1] + 1 :]
                case "release" if found:
                    database.execute(f"RELEASE s{one}")
                    del places[found[-1] :]
            rows = database.execute("SELECT k, v FROM m ORDER BY k").fetchall()
            assert rows == sorted(model.items())
        database.execute(ending)
        rows = database.execute("SELECT k, v FROM m ORDER BY k").fetchall()
        assert rows == sorted((model if ending == "COMMIT" else start).items())
