"""An INSERT of one row by the short way does, says and leaves what the general way does."""

from __future__ import annotations

import math
from contextlib import closing
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

import mfdb
from mfdb.client.quick_insert import QuickInsert
from mfdb.kernel.errors import BatchFailed, DuplicateRow, MfdbError, UnknownDataset, WrongParameters

if TYPE_CHECKING:
    from collections.abc import Iterator

CREATE = "CREATE DATASET t (id INTEGER PRIMARY KEY, n DOUBLE PRECISION, word TEXT NOT NULL)"
INSERT = "INSERT INTO t VALUES (?, ?, ?)"
Step = tuple[str, tuple[Any, ...]]

_KEYS = some.sampled_from([1, 2, 3, 4, True, None, 2**31, "5", 1.0])
_NUMBERS = some.sampled_from([0.5, -0.0, math.inf, 7, None, "x"])
_WORDS = some.sampled_from(["", "a", "\x00", "ü" * 300, None, b"a", "\ud800"])
_STEPS: some.SearchStrategy[Step] = some.one_of(
    some.tuples(_KEYS, _NUMBERS, _WORDS).map(lambda row: (INSERT, row)),
    some.integers(1, 9).map(lambda key: (INSERT, (key, 0.5, "good"))),
    some.integers(1, 4).map(lambda key: ("DELETE FROM t WHERE id = ?", (key,))),
    some.integers(1, 4).map(lambda key: ("UPDATE t SET word = 'new' WHERE id >= ?", (key,))),
    some.integers(1, 4).map(lambda key: ("SELECT * FROM t WHERE id = ?", (key,))),
    some.sampled_from([("commit", ()), ("rollback", ()), (INSERT, (1, 0.5)), (INSERT, ())]),
    some.sampled_from([("SAVEPOINT a", ()), ("ROLLBACK TO SAVEPOINT a", ()), ("COMMIT", ())]),
)


@pytest.fixture
def connection() -> Iterator[mfdb.Connection]:
    with closing(opened()) as made:
        yield made


def opened(**settings: Any) -> mfdb.Connection:
    made = mfdb.connect(":memory:", **settings)
    made.execute(CREATE)
    made.execute("CREATE INDEX t_n ON t (n)")
    made.execute(INSERT, (100, 1.5, "first"))
    made.commit()
    return made


def went_short(connection: mfdb.Connection, row: tuple[Any, ...] | list[Any]) -> bool:
    """Insert a row; return whether it went the short way."""
    found: list[bool] = []
    note = QuickInsert.note

    def spied(*arguments: Any) -> bool:
        found.append(note(*arguments))
        return found[-1]

    with patch.object(QuickInsert, "note", spied):
        assert connection.execute(INSERT, row).rowcount == 1
    return any(found)


def outcome(connection: mfdb.Connection, step: Step) -> object:
    text, params = step
    try:
        if text in ("commit", "rollback"):
            getattr(connection, text)()
            return text
        cursor = connection.execute(text, params)
        return cursor.rowcount, cursor.fetchall() if cursor.description else None
    except MfdbError as error:
        return type(error), error.message, error.position


class Ways:
    """The same dataset twice: one connection knows the short way, the other only the general."""

    def __init__(self) -> None:
        self.short, self.general = opened(), opened()
        local = self.general._session._local
        local.changes._learn_bulk = lambda *_: None  # type: ignore[method-assign]
        local.changes._bulks.clear()
        local._quick.clear()

    def told(self, connection: mfdb.Connection, steps: list[Step]) -> list[object]:
        connection.execute("DELETE FROM t WHERE id < 100")
        connection.commit()
        found = [outcome(connection, step) for step in steps]
        connection.rollback()
        found.append(connection.execute("SELECT * FROM t ORDER BY id").fetchall())
        found.append(connection.execute("SELECT id FROM t WHERE n = 0.5 ORDER BY id").fetchall())
        return found


@pytest.fixture(scope="module")
def ways() -> Iterator[Ways]:
    made = Ways()
    with closing(made.short), closing(made.general):
        yield made
        assert made.short._session.state.replica.check().problems == []


@settings(max_examples=40, deadline=None)
@given(steps=some.lists(_STEPS, max_size=12), autocommit=some.booleans())
def test_a_session_is_told_and_left_with_the_same(
    ways: Ways, steps: list[Step], *, autocommit: bool
) -> None:
    for connection in (ways.short, ways.general):
        connection.autocommit = autocommit
    assert str(ways.told(ways.short, steps)) == str(ways.told(ways.general, steps))


@pytest.mark.parametrize("autocommit", [False, True])
def test_rows_of_just_the_types_go_the_short_way(*, autocommit: bool) -> None:
    with closing(opened(autocommit=autocommit)) as connection:
        assert went_short(connection, (1, 0.5, "a"))
        assert went_short(connection, [2, 0.5, "a"])
        connection.commit()
        assert went_short(connection, (3, 0.5, "a"))
        assert went_short(connection, (4, None, "a")), "NULL is of every type"
        assert not went_short(connection, (5, 7, "a")), "an integer becomes a float"
        connection.rollback()
        count = 6 if autocommit else 3
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (count,)


def test_a_failed_batch_takes_no_more(connection: mfdb.Connection) -> None:
    assert went_short(connection, (1, 0.5, "a"))
    with pytest.raises(DuplicateRow):
        connection.execute(INSERT, (1, 0.5, "again"))
    with pytest.raises(BatchFailed):
        connection.execute(INSERT, (2, 0.5, "a"))
    with pytest.raises(BatchFailed):
        connection.commit()
    assert went_short(connection, (1, 0.5, "b"))
    connection.commit()
    assert connection.execute("SELECT word FROM t WHERE id = 1").fetchone() == ("b",)


def test_a_row_that_came_from_elsewhere_meanwhile_is_not_overwritten(
    connection: mfdb.Connection,
) -> None:
    with closing(connection.another()) as other:
        assert went_short(connection, (1, 0.5, "mine"))
        other.execute(INSERT, (1, 0.5, "theirs"))
        other.commit()
        with pytest.raises(DuplicateRow):
            connection.commit()
        connection.execute(INSERT, (2, 0.5, "mine"))
        other.execute(INSERT, (3, 0.5, "theirs"))
        other.commit()
        connection.commit()
        rows = connection.execute("SELECT id, word FROM t WHERE id < 9 ORDER BY id").fetchall()
    assert rows == [(1, "theirs"), (2, "mine"), (3, "theirs")]


def test_a_new_definition_is_heeded(connection: mfdb.Connection) -> None:
    assert went_short(connection, (1, 0.5, "a"))
    connection.execute("ALTER DATASET t ADD COLUMN more TEXT")
    connection.execute(INSERT, (2, 0.5, "a"))
    connection.commit()
    assert connection.execute("SELECT * FROM t WHERE id = 2").fetchone() == (2, 0.5, "a", None)
    connection.execute("ALTER DATASET t ADD CONSTRAINT short CHECK (word <> 'bad')")
    with pytest.raises(MfdbError, match="short"):
        connection.execute(INSERT, (3, 0.5, "bad"))
    connection.rollback()
    connection.execute("DROP DATASET t")
    with pytest.raises(UnknownDataset):
        connection.execute(INSERT, (4, 0.5, "a"))


@pytest.mark.parametrize("text", [INSERT, "SELECT ?"])
def test_a_value_that_is_no_list_of_values_is_told(connection: mfdb.Connection, text: str) -> None:
    loose: Any = 3
    with pytest.raises(WrongParameters, match="in a list or tuple, not as int"):
        connection.execute(text, loose)


def test_one_of_many_values_that_is_no_list_is_told(connection: mfdb.Connection) -> None:
    many: Any = [3]
    with pytest.raises(WrongParameters, match="in a list or tuple, not as int"):
        connection.cursor().executemany(INSERT, many)


def test_too_few_values_are_told(connection: mfdb.Connection) -> None:
    assert went_short(connection, (1, 0.5, "a"))
    with pytest.raises(WrongParameters):
        connection.execute(INSERT, (2, 0.5))


def test_rows_before_the_end_of_the_blocks_are_marked(connection: mfdb.Connection) -> None:
    rows = [(n, 0.5, "word") for n in range(1_000, 5_000, 2)]
    connection.cursor().executemany(INSERT, rows)
    connection.commit()
    replica = connection._session.state.replica
    (known,) = connection._session.datasets()
    assert replica.blocks.compact(known.manifest.dataset)
    connection.execute(INSERT, (999, 0.5, "late"))  # finds that blocks were made
    connection.commit()
    for key in (1_001, 9_001):
        assert went_short(connection, (key, 0.5, "late"))
        connection.commit()
    counted = "SELECT word, count(*) FROM t GROUP BY word ORDER BY word"
    assert connection.execute(counted).fetchall() == [("first", 1), ("late", 3), ("word", 2_000)]
    assert replica.check().problems == []


def test_no_value_for_a_whole_number_is_told_at_once(connection: mfdb.Connection) -> None:
    """A range is searched number by number for anything but a number."""
    connection.execute("CREATE TABLE numbers (id INTEGER PRIMARY KEY, n BIGINT)")
    for row in [(1, 1), (2, 2), (3, None)]:
        connection.execute("INSERT INTO numbers VALUES (?, ?)", row)
    found = connection.execute("SELECT n FROM numbers ORDER BY id").fetchall()
    assert found == [(1,), (2,), (None,)]
