"""Statements that want out of the sandbox, too much, or make no sense get errors of ours."""

from __future__ import annotations

import re
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as hy

import mfdb
from mfdb.kernel.errors import MfdbError, NumberOutOfRange, OutOfMemory, StatementCancelled
from mfdb.sql.parse import split

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfdb.client.dbapi import Connection

ROOT = Path(__file__).parents[3]
ENDLESS = (
    "WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT (n + 1) % 1000 FROM r) "
    "SELECT count(*) FROM r"
)
_SCRIPTS = (ROOT / "tests" / "golden" / "sql").glob("*.mfdb")
_BLOCKS = re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "sql.md").read_text("utf-8"), re.DOTALL)
_BLOCKS += [
    block.partition("\n---\n")[0]
    for script in sorted(_SCRIPTS)
    for block in script.read_text("utf-8").split("\n\n")
    if not block.startswith("#")
]
CORPUS = sorted({piece.text for block in _BLOCKS for piece in split(block)} - {"VACUUM"})
WORDS = re.compile(r"\w+|'(?:[^']|'')*'|\s+|.", re.DOTALL)


@pytest.fixture(scope="module")
def opened() -> Iterator[Connection]:
    with mfdb.connect(":memory:", autocommit=True) as connection:
        yield connection


@pytest.fixture
def database(
    opened: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Connection]:
    monkeypatch.chdir(tmp_path)
    opened.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, n SMALLINT)")
    opened.cursor().executemany(
        "INSERT INTO t VALUES (?, ?, ?)", [(n, f"name {n}", n) for n in range(200)]
    )
    yield opened
    for (name,) in opened.execute("SELECT name FROM mf.datasets WHERE owner = current_identity()"):
        opened.execute(f'DROP TABLE "{name}"')
    opened.execute("SET route = DEFAULT")
    opened.execute("SET memory_limit = DEFAULT")


def is_usable(database: Connection) -> bool:
    return database.execute("SELECT id FROM t WHERE id = 7").fetchall() == [(7,)]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_parquet('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        'SELECT * FROM "/etc/passwd"',
        "SELECT * FROM glob('/etc/*')",
        "SELECT read_text('/etc/passwd')",
        "SELECT * FROM read_blob('/etc/passwd')",
        "SELECT getenv('HOME')",
        "SELECT (SELECT getenv('HOME'))",
        "SELECT current_setting('memory_limit')",
        "SELECT * FROM duckdb_settings()",
        "SELECT * FROM duckdb_secrets()",
        "SELECT * FROM sqlite_master",
        "SELECT * FROM pg_catalog.pg_class",
        "SELECT count(*) FROM range(10)",
        "SELECT * FROM sniff_csv('/etc/passwd')",
        "INSTALL httpfs",
        "LOAD httpfs",
        "ATTACH '/tmp/x.db' AS x",
        "DETACH x",
        "PRAGMA database_list",
        "CALL pragma_version()",
        "EXPORT DATABASE 'x'",
        "SET memory_limit = '90GB'",
        "SET enable_external_access = true",
        "CREATE SECRET s (TYPE s3)",
        "CREATE TABLE x AS SELECT * FROM read_csv('/etc/passwd')",
        "COPY (SELECT * FROM read_csv('/etc/passwd')) TO STDOUT",
        "COPY t TO PROGRAM 'touch escaped'",
        "COPY t FROM PROGRAM 'cat /etc/passwd'",
        "SELECT (COPY t TO 'escaped')",
        "WITH w AS (COPY t TO 'escaped') SELECT 1",
        "SELECT count(*) FROM t AS x, t AS y WHERE x.a = getvariable('x')",
        "SELECT query('SELECT 1')",
        "SELECT * FROM query('SELECT 42')",
        "SELECT lower(a) FROM t; COPY t TO 'escaped'",
        "DELETE FROM t USING read_csv('/etc/passwd') AS x",
        "UPDATE t SET a = (SELECT content FROM read_text('/etc/passwd'))",
    ],
)
@pytest.mark.parametrize("route", ["auto", "relational"])
def test_nothing_leaves_the_sandbox(database: Connection, text: str, route: str) -> None:
    database.execute(f"SET route = {route}")
    with pytest.raises(MfdbError):
        database.execute(text).fetchall()
    assert not Path("escaped").exists()
    database.execute("SET route = auto")
    assert is_usable(database)


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=hy.sampled_from(CORPUS), data=hy.data())
def test_mutated_statements_give_our_errors(
    database: Connection, text: str, data: hy.DataObject
) -> None:
    words = WORDS.findall(text)
    for _ in range(data.draw(hy.integers(1, 3))):
        at = data.draw(hy.integers(0, max(0, len(words) - 1)))
        kind = data.draw(hy.sampled_from(["drop", "twice", "swap", "cut", "other"]))
        if kind == "drop":
            del words[at : at + 1]
        elif kind == "twice":
            words[at:at] = words[at : at + 2]
        elif kind == "swap" and len(words) > at + 2:
            words[at], words[at + 2] = words[at + 2], words[at]
        elif kind == "cut":
            words = words[:at]
        else:
            other = WORDS.findall(data.draw(hy.sampled_from(CORPUS)))
            words[at:at] = other[: data.draw(hy.integers(1, 6))]
    mutated = "".join(words)
    try:
        cursor = database.execute(mutated)
        if cursor.description:
            cursor.fetchmany(5)
    except MfdbError as error:
        place = error.position or 0
    else:
        place = 0
    assert 0 <= place <= len(mutated)
    database.rollback()


@pytest.mark.parametrize(
    "pattern",
    [
        "INSERT INTO t (id) VALUES ({})",
        "UPDATE t SET n = {}",
        "UPDATE t SET (a, n) = ('x', {})",
        "DELETE FROM t WHERE id = {}",
        "INSERT INTO t (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET n = {}",
        "PREPARE p (INTEGER) AS SELECT {} + $1",
        "EXECUTE p ({})",
        "EXPLAIN ANALYZE SELECT {}",
        "COPY (SELECT {}) TO STDOUT",
    ],
)
def test_deep_nesting_ends_in_our_error_or_an_answer(database: Connection, pattern: str) -> None:
    for depth in (90, 5_000, 20_000):
        for inner in ("(" * depth + "1" + ")" * depth, "- " * depth + "1", "NOT " * depth + "TRUE"):
            with suppress(MfdbError):
                database.execute(pattern.format(inner))
    assert is_usable(database)


def test_integers_out_of_range_are_refused_wherever_they_stand(database: Connection) -> None:
    for text, params in (
        ("INSERT INTO t VALUES (2147483648, 'x', 1)", ()),
        ("INSERT INTO t VALUES (?, 'x', 1)", (2**31,)),
        ("INSERT INTO t VALUES (-1, 'x', ?)", (2**15,)),
        ("UPDATE t SET n = n * 1000 WHERE id > 100", ()),
        ("UPDATE t SET n = s.v FROM (VALUES (99999)) AS s (v) WHERE id = 1", ()),
        ("SELECT 9223372036854775807 + n FROM t", ()),
        ("SELECT id FROM t WHERE id = ?", (2**70,)),
    ):
        with pytest.raises(NumberOutOfRange):
            database.execute(text, params).fetchall()
    assert is_usable(database)


def test_values_of_ten_megabytes_are_values(database: Connection) -> None:
    long = "x'\\\n" * (10 * 2**18)
    database.execute("UPDATE t SET a = ? WHERE id = 1", [long])
    assert database.execute("SELECT a FROM t WHERE id = 1").fetchone() == (long,)
    quoted = long.replace("'", "''")
    database.execute(f"UPDATE t SET a = '{quoted}' || 'y' WHERE id = 2")
    assert database.execute("SELECT length(a) FROM t WHERE id = 2").fetchone() == (len(long) + 1,)
    database.execute("SET route = relational")
    assert database.execute("SELECT length(a) FROM t WHERE id = 1").fetchone() == (len(long),)
    database.execute("SET route = auto")
    with pytest.raises(MfdbError) as caught:
        database.execute("UPDATE t SET a = ? WHERE id = 3", ["x" * (13 * 2**20)])
    assert len(str(caught.value)) < 500
    assert is_usable(database)


def test_a_query_that_would_fill_the_memory_is_stopped(database: Connection) -> None:
    database.execute("SET memory_limit = '64MB'")
    with pytest.raises(OutOfMemory):
        database.execute(
            "WITH RECURSIVE r (s) AS (SELECT 'xxxxxxxxxxxxxxxx' UNION ALL SELECT s || s FROM r) "
            "SELECT count(*) FROM r"
        ).fetchall()
    assert is_usable(database)


@pytest.mark.parametrize("what", ["{}", "INSERT INTO t (n) {}", "COPY ({}) TO 'x.csv'"])
def test_a_statement_is_cancelled_from_another_thread(database: Connection, what: str) -> None:
    stop = threading.Event()

    def cancel() -> None:
        while not stop.wait(0.02):
            database.cancel()

    thread = threading.Thread(target=cancel)
    thread.start()
    try:
        with pytest.raises(StatementCancelled):
            database.execute(what.format(ENDLESS)).fetchall()
    finally:
        stop.set()
        thread.join()
    assert is_usable(database)
    assert list(Path().iterdir()) == []
