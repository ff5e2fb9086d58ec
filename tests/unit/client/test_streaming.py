"""Rows that are computed as they are fetched, and statements that are cancelled."""

from __future__ import annotations

import threading
import tracemalloc
from typing import TYPE_CHECKING

import pytest

import mfdb
from mfdb.kernel.errors import StatementCancelled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROWS = 3_000


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("streaming")
    with mfdb.connect(directory) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", [(n, f"b{n}") for n in range(ROWS)])
    return directory


@pytest.fixture
def db(filled: Path) -> Iterator[mfdb.Connection]:
    connection = mfdb.connect(filled)
    yield connection
    connection.close()


def test_a_stream_gives_what_a_list_gives(db: mfdb.Connection) -> None:
    query = "SELECT id, body FROM t WHERE id % 3 = 0"
    cursor = db.cursor(stream=True)
    cursor.execute(query)
    assert cursor.rowcount == -1
    assert cursor.description is not None
    found = [cursor.fetchone()]
    while page := cursor.fetchmany(100):
        found += page
    assert found == db.execute(query).fetchall()
    assert cursor.fetchone() is None
    assert cursor.fetchall() == []


def test_a_stream_holds_few_rows(db: mfdb.Connection) -> None:
    def peak(*, stream: bool) -> int:
        cursor = db.cursor(stream=stream)
        tracemalloc.start()
        cursor.execute("SELECT body || '-' || body FROM t")
        count = sum(len(page) for page in iter(lambda: cursor.fetchmany(50), []))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert count == ROWS
        return most

    peak(stream=True)  # loads and compiles what both need
    assert peak(stream=True) < peak(stream=False) / 2


def test_a_stream_keeps_its_state_while_others_write(db: mfdb.Connection) -> None:
    cursor = db.cursor(stream=True, row_factory=mfdb.scalar_row).execute("SELECT id FROM t")
    first = cursor.fetchmany(10)
    db.execute("DELETE FROM t WHERE id >= 0")
    assert len(first) + len(cursor.fetchall()) == ROWS
    db.rollback()


def test_a_stream_sees_the_open_batch(db: mfdb.Connection) -> None:
    db.execute("INSERT INTO t VALUES (-1, 'new')")
    cursor = db.cursor(stream=True).execute("SELECT id FROM t ORDER BY id")
    assert cursor.fetchone() == (-1,)
    db.rollback()


def test_a_closed_stream_lets_go(db: mfdb.Connection) -> None:
    cursor = db.cursor(stream=True).execute("SELECT id FROM t")
    cursor.fetchone()
    cursor.execute("INSERT INTO t VALUES (-1, 'x')")
    assert cursor.rowcount == 1
    cursor.execute("SELECT id FROM t")
    cursor.close()
    with pytest.raises(mfdb.InterfaceError):
        cursor.fetchone()
    db.rollback()


def _cancelled(db: mfdb.Connection, query: str) -> BaseException | None:
    """Interrupt a statement again and again from another thread; return how it ended."""
    ended: list[BaseException | None] = []

    def run() -> None:
        try:
            db.execute(query).fetchall()
        except mfdb.Error as error:
            ended.append(error)
        else:
            ended.append(None)

    thread = threading.Thread(target=run)
    thread.start()
    while thread.is_alive():
        db.interrupt()
        thread.join(0.01)
    return ended[0]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT id FROM t WHERE body LIKE '%x%y%z%'",
        "SELECT count(*) FROM t a, t b, t c WHERE a.id * b.id + c.id < 0",
    ],
    ids=["row route", "relational route"],
)
def test_another_thread_cancels(db: mfdb.Connection, query: str) -> None:
    # A statement that ends before the interrupt comes is no failure, so a few may be needed.
    found = next((e for e in (_cancelled(db, query) for _ in range(200)) if e is not None), None)
    assert isinstance(found, StatementCancelled)
    assert found.sqlstate == "57014"
    assert db.execute("SELECT count(*) FROM t").fetchall() == [(ROWS,)]


def test_an_interrupt_between_statements_does_nothing(db: mfdb.Connection) -> None:
    db.interrupt()
    assert db.execute("SELECT count(*) FROM t").fetchall() == [(ROWS,)]


def test_a_time_limit_cancels(filled: Path) -> None:
    with mfdb.connect(filled, timeout_s=0.2) as db:
        with pytest.raises(StatementCancelled):
            db.execute("SELECT count(*) FROM t a, t b, t c WHERE a.id * b.id + c.id < 0")
        assert db.execute("SELECT 1").fetchall() == [(1,)]


def test_errors_carry_what_psycopg_shows(db: mfdb.Connection) -> None:
    with pytest.raises(mfdb.ProgrammingError) as caught:
        db.execute("SELECT nothing FROM t")
    diag = caught.value.diag
    assert (diag.severity, diag.sqlstate, diag.statement_position) == ("ERROR", "42703", "8")
    assert diag.message_primary == str(caught.value)
    assert caught.value.sqlstate == "42703"
