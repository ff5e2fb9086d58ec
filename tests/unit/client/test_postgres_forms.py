r"""What PostgreSQL's applications write, on both routes."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

import mfdb
from mfdb.kernel.errors import MfdbError, NotSupportedError, SqlSyntax

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfdb.client.dbapi import Connection


@pytest.fixture(scope="module")
def opened() -> Iterator[Connection]:
    with mfdb.connect(":memory:", autocommit=True) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)")
        connection.execute(
            r"INSERT INTO t VALUES (1, E'it\'s\n'), (2, 'b.c'), (3, 'abc'), (4, NULL)"
        )
        yield connection


@pytest.fixture(params=["auto", "relational"])
def database(opened: Connection, request: pytest.FixtureRequest) -> Iterator[Connection]:
    opened.execute(f"SET route = {request.param}")
    yield opened
    opened.execute("SET route = DEFAULT")


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        (r"SELECT id FROM t WHERE a = E'it\'s\u000a'", [1]),
        (r"SELECT id FROM t WHERE a = E'\x62\x2E\143'", [2]),
        (r"SELECT id FROM t WHERE a = 'a' || E'b\c'", [3]),
        ("SELECT id FROM t ORDER BY id FETCH FIRST ROW ONLY", [1]),
        ("SELECT id FROM t ORDER BY id OFFSET 1 ROW FETCH NEXT 2 ROWS ONLY", [2, 3]),
        ("SELECT id FROM t ORDER BY id FETCH FIRST (1 + 1) ROWS ONLY OFFSET 2 ROWS", [3, 4]),
        ("SELECT id FROM t WHERE id > 2 ORDER BY id LIMIT 1 FOR UPDATE", [3]),
        ("SELECT id FROM t WHERE id = 2 FOR NO KEY UPDATE OF t SKIP LOCKED", [2]),
        ("SELECT id FROM t WHERE id BETWEEN SYMMETRIC 3 AND 2 ORDER BY id", [2, 3]),
        ("SELECT id FROM t WHERE id NOT BETWEEN SYMMETRIC 3 AND 2 ORDER BY id", [1, 4]),
        ("SELECT id FROM t WHERE id BETWEEN SYMMETRIC NULL AND 2 ORDER BY id", []),
        ("SELECT id FROM t WHERE id NOT BETWEEN SYMMETRIC NULL AND 2 ORDER BY id", []),
        ("SELECT id FROM t WHERE a SIMILAR TO '(a|b)%' ORDER BY id", [2, 3]),
        ("SELECT id FROM t WHERE a SIMILAR TO 'b.c'", [2]),
        ("SELECT id FROM t WHERE a SIMILAR TO 'a_c' OR a SIMILAR TO '[a-b]x.c' ESCAPE 'x'", [2, 3]),
        ("SELECT id FROM t WHERE a NOT SIMILAR TO '%c' ORDER BY id", [1]),
        ("SELECT 7 WHERE current_user = current_identity AND session_user = user", [7]),
        ("SELECT id FROM (TABLE t) AS x WHERE id < 3 ORDER BY id", [1, 2]),
        ("SELECT id FROM t WHERE id IN (SELECT id FROM t ORDER BY id FETCH FIRST 1 ROW ONLY)", [1]),
    ],
)  # fmt: skip
def test_forms_of_queries(database: Connection, text: str, ids: list[int]) -> None:
    assert [row[0] for row in database.execute(text)] == ids


@pytest.mark.parametrize(
    ("text", "given", "ids"),
    [
        ("id = ANY (?)", [3, 1, 9], [1, 3]),
        ("id = ANY (?)", [], []),
        ("id = ANY (?)", None, []),
        ("id = SOME (?)", {2}, [2]),
        ("a = ANY (?)", ("abc", None), [3]),
        ("a <> ALL (?)", ["abc"], [1, 2]),
        ("a <> ALL (?)", ["abc", None], []),
        ("a != ALL (?)", [], [1, 2, 3, 4]),
        ("(id * 1.5) = ANY (?)", [3, Decimal("4.50")], [2, 3]),
        ("CAST(id AS FLOAT) / 2 = ANY (?)", [0.5, float("nan")], [1]),
        ("NOT id = ANY (?) AND id = ANY ($1)".replace("?", "$1"), [1], []),
    ],
)
def test_parameters_may_be_lists(
    database: Connection, text: str, given: object, ids: list[int]
) -> None:
    rows = database.execute(f"SELECT id FROM t WHERE {text} ORDER BY id", [given])
    assert [row[0] for row in rows] == ids


@pytest.mark.parametrize(
    ("text", "given", "said"),
    [
        ("id = ANY (?)", "1", "take a list"),
        ("id = ANY (?)", ["x"], "parameter 1"),
        ("id = ANY (?)", [2**70], "out of the range"),
    ],
)
def test_what_is_no_list_is_said(database: Connection, text: str, given: object, said: str) -> None:
    with pytest.raises(MfdbError, match=said) as caught:
        database.execute(f"SELECT id FROM t WHERE {text}", [given])
    assert caught.value.position is not None


def test_keys_and_indexes_find_the_values_of_a_list(opened: Connection) -> None:
    opened.execute("CREATE TABLE keyed (id INTEGER PRIMARY KEY, n INTEGER)")
    opened.execute("CREATE INDEX ON keyed (n)")
    opened.cursor().executemany("INSERT INTO keyed VALUES (?, ?)", [(n, n % 5) for n in range(50)])
    for column, kind in (("id", "key look-ups"), ("n", "index look-ups")):
        plan = opened.execute(f"EXPLAIN SELECT id FROM keyed WHERE {column} = ANY (?)", [[1]])
        assert any(kind in row[0] for row in plan)
    changed = opened.execute("UPDATE keyed SET n = 9 WHERE id = ANY (?)", [[4, 5, 99]])
    assert changed.rowcount == 2
    assert opened.execute("DELETE FROM keyed WHERE n = ANY ($1)", [[9, 1]]).rowcount == 12


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("(id, a) > (2, 'a')", [2, 3, 4]),
        ("(id, a) > (2, 'b.c')", [3, 4]),
        ("(id, a) >= (2, 'b.c')", [2, 3, 4]),
        ("(id, id, a) <= (3, 2, 'z')", [1, 2]),
        ("(id, a) < (4, 'x')", [1, 2, 3]),
        ("(id, a) = (3, 'abc')", [3]),
        ("(a, id) <> ('abc', 3)", [1, 2, 4]),
        ("(a, 1) = (NULL, 1) OR (a, id) <> (NULL, 1)", [2, 3, 4]),
        ("(id, a) IN ((3, 'abc'), (2, 'x'), (4, NULL))", [3]),
        ("(id, a) NOT IN ((3, 'abc'), (2, 'x'))", [1, 2, 4]),
    ],
)
def test_rows_of_values_are_compared(database: Connection, text: str, ids: list[int]) -> None:
    rows = database.execute(f"SELECT id FROM t WHERE {text} ORDER BY id")
    assert [row[0] for row in rows] == ids


@pytest.mark.parametrize(
    "text",
    ["(1, 2)", "(1, 2) = 1", "(1, 2) < (1, 2, 3)", "(1, 2) || (3, 4)", "(1, 2) IN (1)",
     "(1, (2, 3)) = (1, 2)"],
)  # fmt: skip
def test_rows_of_values_are_only_compared(database: Connection, text: str) -> None:
    with pytest.raises(MfdbError, match="row") as caught:
        database.execute(f"SELECT {text}")
    assert caught.value.position is not None
    assert caught.value.hint


def test_keys_find_pages_by_rows_of_values(opened: Connection) -> None:
    opened.execute("CREATE TABLE pages (a INTEGER, b INTEGER, PRIMARY KEY (a, b))")
    opened.cursor().executemany("INSERT INTO pages VALUES (?, ?)", [(n // 4, n) for n in range(20)])
    text = "SELECT a, b FROM pages WHERE (a, b) > (?, ?) ORDER BY a, b LIMIT 3"
    seen, last = [], (-1, -1)
    while page := opened.execute(text, last).fetchall():
        seen += page
        last = page[-1]
    assert seen == [(n // 4, n) for n in range(20)]
    plan = [row[0] for row in opened.execute(f"EXPLAIN {text}", last)]
    assert any("key range on (a)" in line for line in plan)


def test_a_table_is_a_query(database: Connection) -> None:
    assert len(database.execute("TABLE t").fetchall()) == 4
    assert database.execute("TABLE t ORDER BY id DESC LIMIT 1").fetchall() == [(4, None)]


@pytest.mark.parametrize(
    "text", ["SET timezone = 'UTC'", "SET TIME ZONE 'utc'", "SET SESSION TIME ZONE DEFAULT",
             "SET search_path TO public, pg_catalog", 'SET search_path = "$user", public',
             "SET client_encoding TO 'utf-8'", "SET standard_conforming_strings = on"]
)  # fmt: skip
def test_settings_may_be_what_they_are(opened: Connection, text: str) -> None:
    before = opened.execute("SHOW SETTINGS").fetchall()
    opened.execute(text)
    assert opened.execute("SHOW SETTINGS").fetchall() == before


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("SET TIME ZONE 'Asia/Tokyo'", "AT TIME ZONE"),
        ("SET search_path = app", "owner.name"),
        ("SET standard_conforming_strings = off", "backslashes"),
        ("SET client_encoding = 'latin1'", "UTF8"),
    ],
)
def test_settings_may_not_be_others(opened: Connection, text: str, hint: str) -> None:
    with pytest.raises(MfdbError) as caught:
        opened.execute(text)
    assert hint in str(caught.value.hint)
    assert caught.value.position is not None
    assert isinstance(caught.value, NotSupportedError) or caught.value.sqlstate == "42P16"


@pytest.mark.parametrize(
    ("text", "at"),
    [
        (r"SELECT E'a\u00g1'", 10),
        (r"SELECT E'\xff'", 7),
        (r"SELECT E'\ud83d'", 7),
        (r"SELECT E'\U00110000'", 9),
        ("SELECT 1, E'abc", 10),
        (r"SELECT E'abc\'", 7),
        ("SELECT id FROM t WHERE a SIMILAR TO a", 36),
        ("SELECT id FROM t FOR UPDATE NOW", 17),
        ("SELECT id FROM t FETCH LAST ROW ONLY", 23),
    ],
)
def test_errors_of_such_forms_have_their_place(opened: Connection, text: str, at: int) -> None:
    with pytest.raises(SqlSyntax) as caught:
        opened.execute(text)
    assert caught.value.position == at
    assert caught.value.hint
