"""The short ways give what the general ways give: reads by one index, many rows by one INSERT."""

from __future__ import annotations

import datetime
import math
import random
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

import mfdb
from mfdb.kernel.errors import MfdbError

if TYPE_CHECKING:
    from collections.abc import Iterator

WORDS = ("", "a", "ab", "b", "ü", "z" * 300, "z" * 299 + "y", None)
PARAMETERS: tuple[Any, ...] = (
    0, 7, -1, 2**31, 2**70, 1.5, math.nan, math.inf, "a", "b", "z" * 300, None, True, b"a",
)  # fmt: skip
RANGES = ("{0} = ?", "{0} > ?", "{0} <= ?", "? < {0}", "{0} >= ? AND {0} < ?")


@pytest.fixture
def connection() -> Iterator[mfdb.Connection]:
    made = mfdb.connect(":memory:")
    made.execute("CREATE DATASET t (id INTEGER PRIMARY KEY, score DOUBLE PRECISION, word TEXT)")
    chance = random.Random(3)
    scores = (0.0, 1.5, -2.25, math.nan, math.inf, None)
    rows = [(n, chance.choice(scores), chance.choice(WORDS)) for n in range(40)]
    made.cursor().executemany("INSERT INTO t VALUES (?, ?, ?)", rows)
    made.commit()
    state = made._session.state
    (known,) = made._session.datasets()
    for column, down in (("score", False), ("word", True)):
        state.replica.create_index(known.manifest.dataset, f"by_{column}", [(column, down)])
    yield made
    made.close()


def answer(connection: mfdb.Connection, text: str, params: tuple[Any, ...]) -> object:
    try:
        return sorted(connection.execute(text, params).fetchall(), key=repr)
    except MfdbError as error:
        return type(error)


@pytest.mark.parametrize("column", ["id", "score", "word"])
@pytest.mark.parametrize("condition", RANGES)
def test_one_index_answers_as_every_row_does(
    connection: mfdb.Connection, column: str, condition: str
) -> None:
    where = condition.format(column)
    short = f"SELECT id, word FROM t WHERE {where}"
    general = f"SELECT id, word FROM t WHERE ({where}) OR 1 = 0"
    count = where.count("?")
    chosen: list[tuple[Any, ...]] = [(one,) for one in PARAMETERS]
    if count == 2:
        chosen = [(low, high) for low in PARAMETERS for high in PARAMETERS]
    answer(connection, short, chosen[0])
    assert short in connection._session._local.queries._shortcuts, "the short way is what is tested"
    for params in chosen:
        due = answer(connection, general, params)
        assert str(answer(connection, short, params)) == str(due), params


def test_an_open_batch_and_a_new_definition_are_seen(connection: mfdb.Connection) -> None:
    query = "SELECT word FROM t WHERE id = ?"
    connection.execute("UPDATE t SET word = 'before' WHERE id = 3")
    connection.commit()
    assert connection.execute(query, (3,)).fetchone() == ("before",)
    connection.execute("UPDATE t SET word = 'inside' WHERE id = 3")
    assert connection.execute(query, (3,)).fetchone() == ("inside",)
    connection.rollback()
    assert connection.execute(query, (3,)).fetchone() == ("before",)
    connection.execute("DROP DATASET t")
    with pytest.raises(MfdbError):
        connection.execute(query, (3,))
    connection.execute("CREATE DATASET t (id INTEGER PRIMARY KEY, word TEXT)")
    assert connection.execute(query, (3,)).fetchone() is None


GOOD = [(n, 0.5, f"word {n}") for n in range(100, 120)]


@pytest.mark.parametrize(
    "bad",
    [
        (100, 0.5, "twice"),
        (3, 0.5, "there already"),
        (None, 0.5, "no key"),
        (2**31, 0.5, "too large"),
        ("x", 0.5, "no number"),
        (1_000, "no number", "x"),
        (1_000, 0.5, "\ud800"),
        (1_000, 0.5, 7),
        (1_000, 0.5),
    ],
)
def test_many_rows_are_refused_for_what_one_is_refused(
    connection: mfdb.Connection, bad: tuple[Any, ...]
) -> None:
    insert = "INSERT INTO t VALUES (?, ?, ?)"
    for row in GOOD:
        connection.execute(insert, row)
    with pytest.raises(MfdbError) as alone:
        connection.execute(insert, bad)
    connection.rollback()
    with pytest.raises(MfdbError) as among:
        connection.cursor().executemany(insert, [*GOOD, bad])
    connection.rollback()
    assert (type(among.value), among.value.message) == (type(alone.value), alone.value.message)
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (40,)


def test_many_rows_are_converted_as_one_is(connection: mfdb.Connection) -> None:
    connection.execute(
        "CREATE DATASET u (id BIGINT PRIMARY KEY, d DATE, n DECIMAL(6, 2), b BOOLEAN)"
    )
    insert = "INSERT INTO u (id, n, d, b) VALUES (?, ?, ?, ?)"
    day = datetime.date(2026, 1, 2)
    rows = [(n, Decimal(f"{n}.5"), day, None if n % 2 else True) for n in range(20)]
    connection.cursor().executemany(insert, rows[:10])
    for row in rows[10:]:
        connection.execute(insert, row)
    connection.commit()
    found = connection.execute("SELECT d, n, b FROM u ORDER BY id").fetchall()
    assert len({row[0] for row in found}) == 1
    assert [str(row[1]) for row in found] == [f"{n}.50" for n in range(20)]
    assert [row[2] for row in found] == [row[3] for row in rows]
