"""JSON comes to Python as objects on every way out of the drivers, and stays text inside."""

from __future__ import annotations

import asyncio
import io
from decimal import Decimal
from functools import partial
from json import loads
from typing import TYPE_CHECKING, Any

import pytest

import mfdb
import mfdb.aio
from mfdb.client.rows import dict_row, scalar_row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfdb.client.dbapi import Connection

WRITTEN = '{"b":  [1, 2.5, null], "a": 123456789012345678901234567890}'
VALUE = {"b": [1, 2.5, None], "a": 123456789012345678901234567890}


@pytest.fixture
def database() -> Iterator[Connection]:
    with mfdb.connect(":memory:", autocommit=True) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, doc JSON, a TEXT)")
        connection.execute("INSERT INTO t VALUES (1, ?, 'x'), (2, NULL, ?)", (WRITTEN, WRITTEN))
        connection.execute("INSERT INTO t VALUES (3, ?, 'y'), (4, 'null', 'z')", ([1, {"k": "v"}],))
        yield connection


@pytest.mark.parametrize("route", ["row", "relational"])
def test_objects_are_parameters_of_casts(database: Connection, route: str) -> None:
    database.execute(f"SET route = {route}")
    given: list[Any] = [{"a": [1]}, [1, "x"], "[2]", 7, True, Decimal("1.50"), None]
    wanted = [{"a": [1]}, [1, "x"], [2], 7, True, 1.5, None]
    for text in ("SELECT CAST(? AS JSON)", "SELECT ?::JSON"):
        assert [database.execute(text, (one,)).fetchone()[0] for one in given] == wanted
    found = database.execute(
        "SELECT id FROM t WHERE ?::JSON @> doc ORDER BY id", ([1, {"k": "v"}, 2],)
    )
    assert found.fetchall() == [(3,)]


@pytest.mark.parametrize("route", ["row", "relational"])
def test_values_of_json_are_objects_and_texts_stay_texts(database: Connection, route: str) -> None:
    database.execute(f"SET route = {route}")
    found = [
        database.execute("SELECT doc, a FROM t WHERE id = ?", (1,)).fetchall() for _ in range(3)
    ]
    assert found == [[(VALUE, "x")]] * 3  # the last ones by the short way, on the row route
    assert database.execute("SELECT doc FROM t ORDER BY id").fetchall() == [
        (VALUE,), (None,), ([1, {"k": "v"}],), (None,)
    ]  # fmt: skip
    assert database.execute("SELECT doc -> 'b', doc ->> 'b' FROM t WHERE id = 1").fetchall() == [
        (VALUE["b"], "[1, 2.5, null]")
    ]
    assert database.execute("SELECT CAST(doc AS TEXT), a FROM t WHERE id = 1").fetchone() == (
        WRITTEN,
        "x",
    )


def test_every_way_out_gives_objects(database: Connection) -> None:
    text = "SELECT id, doc FROM t WHERE id IN (1, 3) ORDER BY id"
    assert list(database.execute(text)) == [(1, VALUE), (3, [1, {"k": "v"}])]
    assert database.cursor(row_factory=dict_row).execute(text).fetchone()["doc"] == VALUE
    assert next(iter(database.cursor(stream=True).execute(text))) == (1, VALUE)
    one = database.cursor(row_factory=scalar_row).execute("SELECT doc FROM t WHERE id = 1")
    assert one.fetchmany(5) == [VALUE]
    changed = database.execute("UPDATE t SET doc = doc || '{\"n\": 1}' WHERE id = 1 RETURNING doc")
    assert changed.fetchone() == ({**VALUE, "n": 1},)
    assert database.execute("SELECT json_agg(id) FROM t").fetchone() == ([1, 2, 3, 4],)


def test_arrow_and_files_have_the_text_as_it_was_written(database: Connection) -> None:
    table = database.execute("SELECT doc FROM t WHERE id = 1").to_arrow()
    assert table.column("doc").to_pylist() == [WRITTEN]
    written = io.StringIO()
    database.copy("COPY (SELECT doc FROM t WHERE id = 1) TO STDOUT (FORMAT jsonl)", written)
    assert written.getvalue() == f'{{"doc": {WRITTEN}}}\n'


def test_an_application_chooses_its_own_reader(database: Connection) -> None:
    database.json_loads = partial(loads, parse_float=Decimal)
    assert database.execute("SELECT doc -> 'b' FROM t WHERE id = 1").fetchone() == (
        [1, Decimal("2.5"), None],
    )
    other = database.another()
    assert other.execute("SELECT doc -> 'b' -> 1 FROM t WHERE id = 1").fetchone() == (
        Decimal("2.5"),
    )
    database.json_loads = None
    assert database.execute("SELECT doc FROM t WHERE id = 1").fetchone() == (WRITTEN,)
    other.close()


def test_asyncio_gives_objects_and_its_results_the_text() -> None:
    async def main() -> list[Any]:
        async with await mfdb.aio.connect(":memory:") as connection:
            await connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, doc JSON)")
            await connection.execute("INSERT INTO t VALUES (1, $1)", (WRITTEN,))
            text = "SELECT doc FROM t"
            found = [await connection.fetch(text), await connection.fetchrow(text)]
            found += [await connection.fetchval(text), [r async for r in connection.cursor(text)]]
            found += [(await connection.execute(text)).rows]
            async for change in connection.subscribe("SUBSCRIBE TO t"):
                assert change.new is not None
                return [*found, change.new["doc"]]
            return []

    assert asyncio.run(main()) == [
        [(VALUE,)], (VALUE,), VALUE, [(VALUE,)], [(WRITTEN,)], VALUE
    ]  # fmt: skip


@pytest.mark.parametrize("value", [float("nan"), [1, float("inf")], {"a": {"b": [-float("inf")]}}])
def test_numbers_that_json_has_not_are_refused(database: Connection, value: object) -> None:
    with pytest.raises(mfdb.DataError, match="finite"):
        database.execute("INSERT INTO t VALUES (9, ?, 'x')", (value,))
    database.execute("INSERT INTO t VALUES (9, ?, 'x')", ({"a": None, "b": [1e308]},))
    assert database.execute("SELECT doc FROM t WHERE id = 9").fetchone() == (
        {"a": None, "b": [1e308]},
    )
