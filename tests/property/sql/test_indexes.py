"""Keys and indexes change how rows are found, never which rows, nor in what order they come."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

import mfdb

LONG = "l" * 300
TEXTS = ("", "a", "b", "ab", LONG, LONG + "a", LONG + "b", "z")
ROW = some.tuples(
    some.one_of(some.none(), some.integers(-3, 3)),
    some.one_of(some.none(), some.sampled_from(TEXTS)),
    some.one_of(some.none(), some.sampled_from((-1.5, -0.0, 0.0, 2.0, float("inf")))),
)
INDEXES = (
    "CREATE INDEX ON x (a, b DESC)",
    "CREATE INDEX ON x (b)",
    "CREATE INDEX ON x (c DESC, a)",
    "CREATE INDEX ON x (b DESC, c)",
)
SIGNS = ("=", "<", "<=", ">", ">=")
VALUES = {
    "a": some.integers(-4, 4),
    "b": some.sampled_from(TEXTS),
    "c": some.floats(-2, 2, width=16),
}


@some.composite
def conditions(draw: some.DrawFn) -> tuple[str, list[Any]]:
    parts: list[str] = []
    given: list[Any] = []
    for column in draw(some.lists(some.sampled_from(("a", "b", "c")), max_size=3)):
        kind = draw(some.sampled_from((*SIGNS, "IN")))
        if kind == "IN":
            parts.append(f"{column} IN (?, ?)")
            given += [draw(VALUES[column]), draw(VALUES[column])]
        else:
            parts.append(f"{column} {kind} ?")
            given.append(draw(VALUES[column]))
    return (" WHERE " + " AND ".join(parts) if parts else ""), given


@some.composite
def orders(draw: some.DrawFn) -> str:
    columns = draw(some.lists(some.sampled_from(("a", "b", "c", "id")), unique=True, max_size=3))
    keys = [f"{name}{draw(some.sampled_from(('', ' DESC', ' NULLS FIRST')))}" for name in columns]
    return " ORDER BY " + ", ".join([*keys, "id"]) if keys else " ORDER BY id DESC"


@pytest.fixture(scope="module")
def connection() -> Any:
    opened = mfdb.connect(":memory:", autocommit=True)
    columns = "(id INTEGER PRIMARY KEY, a INTEGER, b TEXT, c DOUBLE PRECISION)"
    for name in ("x", "y"):
        opened.execute(f"CREATE TABLE {name} {columns}")
    for index in INDEXES:
        opened.execute(index)
    yield opened
    opened.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    rows=some.lists(ROW, max_size=12),
    later=some.lists(ROW, max_size=4),
    where=conditions(),
    order=orders(),
    limit=some.sampled_from(("", " LIMIT 3")),
)
def test_the_same_rows_in_the_same_order(
    connection: Any,
    rows: list[Any],
    later: list[Any],
    where: tuple[str, list[Any]],
    order: str,
    limit: str,
) -> None:
    text, given_values = where
    for name in ("x", "y"):
        connection.execute(f"DELETE FROM {name}")
        numbered = [(place, *row) for place, row in enumerate(rows)]
        connection.cursor().executemany(f"INSERT INTO {name} VALUES (?, ?, ?, ?)", numbered)
    query = f"SELECT id, a, b, c FROM {{}}{text}{order}{limit}"
    _alike(connection, query, given_values)
    connection.execute("BEGIN")
    for name in ("x", "y"):
        connection.execute(f"DELETE FROM {name} WHERE id = 1")
        numbered = [(place + 100, *row) for place, row in enumerate(later)]
        connection.cursor().executemany(f"INSERT INTO {name} VALUES (?, ?, ?, ?)", numbered)
    _alike(connection, query, given_values)
    connection.execute("COMMIT")
    _alike(connection, query, given_values)


def _alike(connection: Any, query: str, given_values: list[Any]) -> None:
    indexed, plain = (
        connection.execute(query.format(name), given_values).fetchall() for name in ("x", "y")
    )
    assert indexed == plain
