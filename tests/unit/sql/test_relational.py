"""The relational route: shut in, stoppable, bounded, and only there when it is needed."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mfdb.kernel.errors import (
    DivisionByZero,
    MfdbError,
    NumberOutOfRange,
    OutOfMemory,
    SqlSyntax,
    StatementCancelled,
    TooManyRows,
    UnknownFunction,
    WrongParameters,
)
from mfdb.kernel.ids import Address
from mfdb.sql.allowance import Allowance
from mfdb.sql.parameters import ExecutionContext, Given
from mfdb.sql.parse import parse
from mfdb.sql.prepare import Preparer
from mfdb.sql.query import tables_named
from mfdb.sql.relational.engine import Engine
from mfdb.sql.relational.run import CompiledRelational
from mfdb.sql.relational.udf import Functions
from mfdb.testing.memory_tables import MemoryTables

ALICE = Address(b"a" * 20)
CONTEXT = ExecutionContext(identity=ALICE, now=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))
ENDLESS = (
    "WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT (n + 1) % 1000 FROM r) "
    "SELECT count(*) FROM r"
)
LITTLE = ExecutionContext(identity=ALICE, now=CONTEXT.now, allowance=Allowance(16 * 2**20))
FORBIDDEN = [
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "COPY (SELECT 1) TO PROGRAM 'touch /tmp/mfdb_should_not_be_there'",
    "SELECT (COPY (SELECT 1) TO '/tmp/mfdb_should_not_be_there')",
    "ATTACH '/tmp/mfdb_should_not_be_there'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET memory_limit = '90GB'",
    "SET enable_external_access = true",
]


def answer(
    text: str,
    given: Given = (),
    engine: Engine | None = None,
    context: ExecutionContext = CONTEXT,
) -> list[tuple[object, ...]]:
    tables = MemoryTables(ALICE)
    prepared = Preparer(tables, engine=engine).prepare(text)
    assert isinstance(prepared, CompiledRelational)
    return list(prepared.run(tables, given, context).rows)


@pytest.mark.parametrize("text", FORBIDDEN)
def test_what_leaves_the_sandbox_is_refused_even_if_it_were_emitted(text: str) -> None:
    with pytest.raises(MfdbError):
        Engine().run(text, [], [], Functions(), Allowance())
    assert not Path("/tmp/mfdb_should_not_be_there").exists()


@pytest.mark.parametrize("text", [text for text in FORBIDDEN if not text.startswith("SET")])
def test_no_statement_says_it_either(text: str) -> None:
    with pytest.raises((SqlSyntax, UnknownFunction)):
        answer(text)


def test_duckdb_is_imported_by_the_first_relational_statement_only() -> None:
    code = (
        "import sys, mfdb; from mfdb.client.local import Local; c = mfdb.connect(':memory:'); "
        "c.execute('SELECT 1').fetchall(); assert 'duckdb' not in sys.modules; "
        "c.execute('SELECT (SELECT 1)').fetchall(); assert 'duckdb' in sys.modules; c.close()"
    )
    env = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    subprocess.run([sys.executable, "-c", code], env=env, check=True)


def test_a_query_is_stopped_from_another_thread() -> None:
    engine = Engine()
    engine.run("SELECT 1", [], [], Functions(), Allowance())
    stop = threading.Event()

    def interrupt() -> None:
        while not stop.wait(0.05):
            engine.interrupt()

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(StatementCancelled):
            answer(ENDLESS, engine=engine)
    finally:
        stop.set()
        thread.join()
    assert answer("SELECT (SELECT 7)", engine=engine) == [(7,)]


def test_a_query_that_would_use_all_memory_is_stopped() -> None:
    with pytest.raises(OutOfMemory):
        answer(
            "WITH RECURSIVE r (s) AS (SELECT 'xxxxxxxxxxxxxxxx' UNION ALL SELECT s || s FROM r) "
            "SELECT count(*) FROM r",
            context=LITTLE,
        )


def test_parameters_of_every_type_come_back_as_they_went() -> None:
    stamp = datetime.datetime(2026, 1, 31, 12, 30, tzinfo=datetime.UTC)
    text = "SELECT (SELECT ?::TEXT), ?::BIGINT, ?::FLOAT, ?::BYTEA, ?::TIMESTAMPTZ, ?::BOOLEAN, ?"
    given = ("it's \0 ö", 2**62, 0.1, b"\x00\xff", stamp, True, "x")
    assert answer(text, given) == [given]
    assert answer("SELECT (SELECT :a::TEXT) || :a, :b + 1", {"a": "x", "b": None}) == [("xx", None)]
    with pytest.raises(WrongParameters):
        answer("SELECT (SELECT ?::TEXT)", ())


def test_errors_have_their_facts() -> None:
    with pytest.raises(DivisionByZero):
        answer("SELECT 1 / n FROM (VALUES (0)) AS v (n)")
    with pytest.raises(DivisionByZero) as found:
        answer("SELECT 1.5 / n FROM (VALUES (0)) AS v (n)")
    assert found.value.position == len("SELECT 1.5 ")
    with pytest.raises(NumberOutOfRange):
        answer("SELECT n + 1 FROM (VALUES (9223372036854775807)) AS v (n)")
    with pytest.raises(TooManyRows):
        answer("SELECT (SELECT n FROM (VALUES (1), (2)) AS v (n))")


def test_names_of_with_are_no_datasets() -> None:
    text = (
        "WITH a AS (SELECT * FROM b), c AS (SELECT * FROM a, c) "
        "SELECT (SELECT 1 FROM d), * FROM a JOIN c ON EXISTS (SELECT 1 FROM a, e)"
    )
    assert [name.name for name in tables_named(parse(text))] == ["b", "c", "d", "e"]


def test_hundreds_of_unions_and_deep_nesting_are_answered_or_refused() -> None:
    many = " UNION ALL ".join(f"SELECT {number}" for number in range(800))
    assert len(answer(many)) == 800
    deep = "SELECT 1"
    for _ in range(40):
        deep = f"SELECT ({deep})"
    with pytest.raises(SqlSyntax, match="too deeply"):
        answer(deep)
    deep = "SELECT 1 AS a"
    for _ in range(40):
        deep = f"SELECT a FROM ({deep}) AS t"
    with pytest.raises(SqlSyntax, match="too deeply"):
        answer(deep)


def test_an_answer_that_would_use_all_memory_is_stopped() -> None:
    numbers = "WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < {}) "
    assert len(answer(numbers.format(100) + "SELECT a.n, b.n FROM r a, r b WHERE a.n < 9")) == 800
    with pytest.raises(OutOfMemory, match="more than 16MB"):
        answer(numbers.format(1_000) + "SELECT a.n, b.n FROM r a, r b", context=LITTLE)
