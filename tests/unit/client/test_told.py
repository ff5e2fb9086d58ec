"""Relations of schema `mf` and of `information_schema`, and EXPLAIN ANALYZE."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import mfdb
from mfdb.kernel.errors import (
    DuplicateRow,
    MfdbError,
    NetworkError,
    ProgrammingError,
    UnknownColumn,
    UnknownDataset,
    WrongObject,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfdb.client.dbapi import Connection


@pytest.fixture
def database() -> Iterator[Connection]:
    with mfdb.connect(":memory:", autocommit=True) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT UNIQUE DEFAULT 'x')")
        connection.execute("CREATE INDEX ON t (a DESC)")
        connection.execute("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')")
        yield connection


def rows(database: Connection, text: str) -> list[tuple[object, ...]]:
    return database.execute(text).fetchall()


@pytest.mark.parametrize("route", ["auto", "relational"])
def test_what_show_tells_can_be_queried_and_joined(database: Connection, route: str) -> None:
    database.execute(f"SET route = {route}")
    joined = (
        "SELECT d.name, c.name, c.type, c.nullable, c.default_value FROM mf.datasets AS d "
        "JOIN mf.columns AS c ON c.dataset = d.name AND c.owner = d.owner ORDER BY c.name"
    )
    assert rows(database, joined) == [
        ("t", "a", "TEXT", True, "'x'"),
        ("t", "id", "INTEGER", False, None),
    ]
    assert rows(database, "SELECT \"index\", columns FROM mf.indexes WHERE kind = 'index'") == [
        ("t_a_idx", "a DESC")
    ]
    assert rows(database, "SELECT value FROM mf.settings WHERE setting = 'route'") == [(route,)]
    mixed = "SELECT t.a FROM t JOIN mf.datasets AS d ON d.name = 't' WHERE t.id = 2"
    assert rows(database, mixed) == [("b",)]
    assert rows(database, "SELECT count(*) FROM mf.conflicts") == [(0,)]


@pytest.mark.parametrize("word", ["datasets", "grants", "identities", "settings", "conflicts"])
def test_a_relation_tells_what_show_tells(database: Connection, word: str) -> None:
    of = " FROM t" if word == "grants" else ""
    shown = rows(database, f"SHOW {word}{of}")
    told = rows(database, f"SELECT * FROM mf.{word}")
    assert [row[-len(shown[0]) :] if shown else () for row in told] == [tuple(row) for row in shown]


def test_relations_have_their_columns_without_any_dataset() -> None:
    with mfdb.connect(":memory:") as database:
        for name in ("datasets", "columns", "grants", "definitions", "indexes", "conflicts"):
            cursor = database.execute(f"SELECT * FROM mf.{name}")
            assert cursor.fetchall() == []
            assert len(cursor.description or ()) >= 3


def test_tools_find_tables_and_columns(database: Connection) -> None:
    assert rows(
        database,
        "SELECT table_name, table_type FROM information_schema.tables "
        "WHERE table_type = 'BASE TABLE'",
    ) == [("t", "BASE TABLE")]
    assert rows(
        database,
        "SELECT column_name, ordinal_position, is_nullable, data_type "
        "FROM information_schema.columns WHERE table_name = 't' ORDER BY ordinal_position",
    ) == [("id", 1, "NO", "INTEGER"), ("a", 2, "YES", "TEXT")]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("SELECT * FROM mf.nothing", UnknownDataset),
        ("SELECT nix FROM mf.datasets", UnknownColumn),
        ("SELECT * FROM mf.peers", NetworkError),
        ("INSERT INTO mf.settings VALUES ('a', 'b', 'c')", ProgrammingError),
        ("UPDATE mf.settings SET value = 'row'", ProgrammingError),
        ("DELETE FROM mf.datasets", ProgrammingError),
        ("DROP TABLE mf.datasets", MfdbError),
    ],
)
def test_what_is_told_cannot_be_changed(
    database: Connection, text: str, kind: type[MfdbError]
) -> None:
    with pytest.raises(kind):
        database.execute(text)


def test_rows_that_are_told_can_be_inserted_elsewhere(database: Connection) -> None:
    database.execute("INSERT INTO t SELECT 9, name FROM mf.datasets")
    database.execute("DELETE FROM t USING mf.datasets AS d WHERE t.a = d.name")
    assert rows(database, "SELECT count(*) FROM t") == [(3,)]


def plan(database: Connection, text: str) -> dict[str, str]:
    ((shown,),) = database.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {text}").fetchall()
    return {step["step"]: step["detail"] for step in shown["plan"]}


def test_explain_analyze_says_what_a_query_took(database: Connection) -> None:
    found = plan(database, "SELECT * FROM t WHERE id >= 2")
    assert found["route"] == "row"
    assert found["looked at"] == "2 rows"
    assert found["rows"] == "2"
    assert found["answer"] == "8 bytes"
    assert found["time"].endswith(" ms")
    found = plan(database, "SELECT count(*) FROM t AS x JOIN t AS y ON x.id <= y.id")
    assert (found["route"], found["rows"]) == ("relational", "1")


def test_explain_analyze_carries_changes_out(database: Connection) -> None:
    found = plan(database, "UPDATE t SET a = a || '!' WHERE id < 3")
    assert found["rows"] == "2"
    assert int(found["written"].split()[0]) > 0
    assert rows(database, "SELECT a FROM t WHERE id = 1") == [("a!",)]
    database.execute("BEGIN")
    plan(database, "DELETE FROM t")
    database.execute("ROLLBACK")
    assert rows(database, "SELECT count(*) FROM t") == [(3,)]
    with pytest.raises(DuplicateRow):
        plan(database, "INSERT INTO t VALUES (1, 'again')")
    database.execute("EXPLAIN DELETE FROM t")
    assert rows(database, "SELECT count(*) FROM t") == [(3,)]


def test_what_tells_is_described_and_nothing_else(database: Connection) -> None:
    described = rows(database, "DESCRIBE mf.indexes")
    assert [row[:2] for row in described][:2] == [("index", "TEXT"), ("dataset", "TEXT")]
    assert rows(database, "SHOW COLUMNS FROM mf.indexes") == described
    names = [row[0] for row in rows(database, "DESCRIBE mf.segments")]
    assert names[:3] == ["dataset", "owner", "segment"]
    for text in (
        "DROP TABLE mf.indexes", "ALTER TABLE mf.indexes RENAME TO a",
        "CREATE INDEX ON mf.grants (grantee)",
        "GRANT SELECT ON mf.indexes TO PUBLIC", "SHOW CREATE TABLE mf.indexes",
        "INSERT INTO information_schema.tables VALUES (1)", "CREATE TABLE mf.a (x INTEGER)",
    ):  # fmt: skip
        with pytest.raises(WrongObject, match="tells what is there") as refused:
            database.execute(text)
        assert refused.value.position is not None
        assert "0x" not in refused.value.message


def test_a_mailbox_is_dropped_as_one(database: Connection) -> None:
    with pytest.raises(WrongObject, match="t is no mailbox") as refused:
        database.execute("DROP MAILBOX IF EXISTS t")
    assert refused.value.hint == "DROP TABLE t"
    database.execute("CREATE MAILBOX m")
    database.execute("DROP MAILBOX m")
    database.execute("CREATE MAILBOX m")
    database.execute("DROP TABLE t, m")
