"""PEP 249 over a real directory: transactions, cursors, types, threads, exclusive use."""

from __future__ import annotations

import datetime
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

import mfdb
from mfdb.kernel.errors import BatchFailed, StoreLocked, UnknownIdentity, WrongPassphrase

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path


@pytest.fixture
def db(tmp_path: Path) -> Iterator[mfdb.Connection]:
    with mfdb.connect(tmp_path / "data") as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)")
        yield connection


def count(db: mfdb.Connection) -> object:
    row = db.execute("SELECT count(*) FROM t").fetchone()
    assert row is not None
    return row[0]


def test_the_module_says_what_pep_249_asks() -> None:
    assert (mfdb.apilevel, mfdb.threadsafety, mfdb.paramstyle) == ("2.0", 2, "qmark")
    assert issubclass(mfdb.IntegrityError, mfdb.DatabaseError)
    assert issubclass(mfdb.InterfaceError, mfdb.Error)
    assert mfdb.Connection.Error is mfdb.Error
    assert mfdb.STRING == "VARCHAR(20)"
    assert mfdb.NUMBER != "TEXT"
    assert mfdb.DateFromTicks(0) == datetime.date(1970, 1, 1)
    with pytest.raises(AttributeError):
        mfdb.nothing  # noqa: B018 - the look-up itself is what is tested


def test_importing_mfdb_loads_nothing_heavy() -> None:
    heavy = ["lark", "lmdb", "nacl", "web3", "numpy", "mfdb.client", "asyncio"]
    code = f"import sys, mfdb; print([m for m in {heavy!r} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_changes_wait_for_commit_and_rollback_gives_them_up(db: mfdb.Connection) -> None:
    db.execute("INSERT INTO t VALUES (1, 'a')")
    assert count(db) == 1
    db.rollback()
    assert count(db) == 0
    db.execute("INSERT INTO t VALUES (1, 'a')")
    db.commit()
    db.rollback()
    assert count(db) == 1


def test_what_was_not_committed_is_gone_after_close(tmp_path: Path) -> None:
    db = mfdb.connect(tmp_path)
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)")
    db.execute("INSERT INTO t VALUES (1, 'a')")
    db.close()
    db.close()
    with pytest.raises(mfdb.InterfaceError):
        db.cursor()
    with mfdb.connect(tmp_path, autocommit=True) as again:
        assert count(again) == 0
        again.execute("INSERT INTO t VALUES (1, 'a')")
    with mfdb.connect(tmp_path) as again:
        assert count(again) == 1


def fail_inside(block: AbstractContextManager[mfdb.Connection]) -> None:
    with block as db:
        db.execute("INSERT INTO t VALUES (9, 'given up')")
        raise ZeroDivisionError


def test_with_commits_and_an_exception_rolls_back(tmp_path: Path) -> None:
    with mfdb.connect(tmp_path) as db:
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)")
        db.execute("INSERT INTO t VALUES (1, 'kept')")
    with pytest.raises(ZeroDivisionError):
        fail_inside(mfdb.connect(tmp_path))
    with mfdb.connect(tmp_path) as db:
        assert db.execute("SELECT body FROM t").fetchall() == [("kept",)]
        with db.transaction():
            db.execute("INSERT INTO t VALUES (3, 'kept')")
        with pytest.raises(ZeroDivisionError):
            fail_inside(db.transaction())
        assert count(db) == 2


def test_commit_after_an_error_says_that_nothing_was_kept(db: mfdb.Connection) -> None:
    db.execute("INSERT INTO t VALUES (1, 'a')")
    with pytest.raises(mfdb.IntegrityError):
        db.execute("INSERT INTO t VALUES (1, 'b')")
    with pytest.raises(BatchFailed):
        db.commit()
    assert count(db) == 0


def test_a_definition_commits_what_is_open(db: mfdb.Connection) -> None:
    db.execute("INSERT INTO t VALUES (1, 'a')")
    db.execute("CREATE TABLE u (a TEXT)")
    db.rollback()
    assert count(db) == 1


def test_cursors_give_rows_in_all_the_ways_of_pep_249(db: mfdb.Connection) -> None:
    cursor = db.cursor()
    assert cursor.description is None
    with pytest.raises(mfdb.Error):
        cursor.fetchone()
    cursor.executemany("INSERT INTO t VALUES (?, ?)", [(n, f"b{n}") for n in range(7)])
    assert cursor.rowcount == 7
    assert cursor.description is None
    assert cursor.lastrowid is None
    with pytest.raises(mfdb.Error):
        cursor.fetchall()
    cursor.execute("SELECT id, body FROM t ORDER BY id")
    described: list[Sequence[object]] = list(cursor.description or [])
    assert [(entry[0], len(entry)) for entry in described] == [("id", 7), ("body", 7)]
    assert described[0][1] == mfdb.NUMBER
    assert described[1][1] == mfdb.STRING
    assert cursor.fetchone() == (0, "b0")
    cursor.arraysize = 2
    assert [row[0] for row in cursor.fetchmany()] == [1, 2]
    assert [row[0] for row in cursor.fetchmany(1)] == [3]
    assert cursor.rownumber == 4
    assert [row[0] for row in cursor] == [4, 5, 6]
    assert cursor.fetchone() is None
    assert cursor.fetchall() == []
    cursor.setinputsizes([1])
    cursor.setoutputsize(1)
    with pytest.raises(mfdb.NotSupportedError):
        cursor.nextset()
    assert cursor.connection is db
    cursor.close()
    with pytest.raises(mfdb.Error):
        cursor.execute("SELECT 1")


def test_threads_may_share_a_connection(db: mfdb.Connection) -> None:
    db.autocommit = True
    errors: list[BaseException] = []

    def insert(first: int) -> None:
        try:
            for number in range(first, first + 25):
                db.execute("INSERT INTO t VALUES (?, 'x')", [number])
        except BaseException as error:  # shown by the assertion below
            errors.append(error)

    threads = [threading.Thread(target=insert, args=(at * 25,)) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert count(db) == 100


def test_subscribing_without_asyncio(db: mfdb.Connection) -> None:
    db.autocommit = True
    db.execute("INSERT INTO t VALUES (1, 'a')")
    changes = db.subscribe("SUBSCRIBE TO t")
    assert next(changes).new == {"id": 1, "body": "a"}
    db.execute("UPDATE t SET body = 'b'")
    change = next(changes)
    assert (change.op, change.old, change.new) == (
        "update",
        {"id": 1, "body": "a"},
        {"id": 1, "body": "b"},
    )
    changes.close()  # type: ignore[attr-defined] # a generator


def test_a_directory_is_for_one_process_at_a_time(tmp_path: Path) -> None:
    with mfdb.connect(tmp_path), pytest.raises(StoreLocked):
        mfdb.connect(tmp_path)
    mfdb.connect(tmp_path).close()


def test_identities_are_made_once_named_and_protected(tmp_path: Path) -> None:
    with mfdb.connect(tmp_path) as db:
        (notice,) = db.notices
        assert "not encrypted" in notice
        address = db.identity
        db.execute("CREATE IDENTITY other")
    with mfdb.connect(tmp_path) as db:
        assert db.notices == []
        assert db.identity == address
    with mfdb.connect(tmp_path, identity="other") as db:
        assert db.identity != address
        assert db.execute("SHOW DATASETS").fetchall() == []
    with pytest.raises(UnknownIdentity):
        mfdb.connect(tmp_path, identity="nobody")
    from mfdb.node.keystore import WEAKEST, Keystore
    from mfdb.node.system import SystemEntropy

    Keystore(tmp_path / "keystore", SystemEntropy(), strength=WEAKEST).protect("other", "secret")
    with pytest.raises(WrongPassphrase):
        mfdb.connect(tmp_path, identity="other", passphrase="wrong")
    with pytest.raises(WrongPassphrase):
        mfdb.connect(tmp_path, identity="other")
    with mfdb.connect(tmp_path, identity="other", passphrase=lambda: "secret") as db:
        assert db.identity != address


def test_memory_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with mfdb.connect(":memory:") as db:
        assert db.notices == []
        db.execute("CREATE TABLE t (a TEXT)")
        assert list(tmp_path.iterdir())
    assert list(tmp_path.iterdir()) == []


def test_the_directory_named_by_the_environment_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MFDB_DATA", str(tmp_path / "here"))
    with mfdb.connect() as db:
        db.execute("CREATE TABLE t (a TEXT)")
    assert (tmp_path / "here" / "identities").is_dir()


@pytest.mark.parametrize("settings", [{}, {"autocommit": True}])
def test_a_definition_commits_no_transaction_of_the_user_s(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    with mfdb.connect(tmp_path / "data", **settings) as db:
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        for definition in ("CREATE TABLE u (id INTEGER)", "CREATE VIEW v AS SELECT * FROM t"):
            db.execute("BEGIN")
            db.execute("INSERT INTO t VALUES (1)")
            with pytest.raises(mfdb.NotSupportedError, match="part of a batch"):
                db.execute(definition)
            db.rollback()
            assert count(db) == 0
            with pytest.raises(mfdb.NotSupportedError, match="part of a batch"):
                insert_and_define(db, definition)
            assert count(db) == 0


def insert_and_define(db: mfdb.Connection, definition: str) -> None:
    with db.transaction():
        db.execute("INSERT INTO t VALUES (1)")
        db.execute(definition)


def test_a_definition_commits_what_the_driver_began(db: mfdb.Connection) -> None:
    db.execute("INSERT INTO t VALUES (1, 'a')")
    with db.transaction():
        db.execute("INSERT INTO t VALUES (2, 'b')")
    db.execute("CREATE TABLE u (id INTEGER PRIMARY KEY)")
    db.rollback()
    assert count(db) == 2


def test_a_view_over_what_the_database_tells_is_answered_by_the_relational_route(
    db: mfdb.Connection,
) -> None:
    db.execute("CREATE VIEW names AS SELECT name FROM mf.datasets WHERE name = 't'")
    for route in ("auto", "relational"):
        db.execute(f"SET route = {route}")
        assert db.execute("SELECT * FROM names").fetchall() == [("t",)]
    db.execute("SET route = row")
    with pytest.raises(mfdb.NotSupportedError, match="one dataset"):
        db.execute("SELECT * FROM names")


def test_the_relational_route_goes_on_after_an_answer_that_was_too_large(
    db: mfdb.Connection,
) -> None:
    db.execute("INSERT INTO t SELECT g, repeat('x', 1000) FROM generate_series(1, 20000) AS g")
    db.commit()
    db.execute("SET memory_limit = '48MB'")
    for many in ("x.body || y.body || x.body", "initcap(x.body) || y.body || x.body"):
        with pytest.raises(mfdb.OperationalError, match="memory"):
            db.execute(f"SELECT {many} FROM t AS x JOIN t AS y USING (id)").fetchall()
        assert count(db) == 20_000
        joined = db.execute("SELECT count(*) FROM t AS x JOIN t AS y USING (id)").fetchall()
        assert joined == [(20_000,)]
