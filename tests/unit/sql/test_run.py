"""Statements with parameters, over memory: what is looked at, returned, planned and refused."""

from __future__ import annotations

import datetime
import operator
from typing import Any

import pytest

from mfdb.kernel.errors import (
    BadType,
    DivisionByZero,
    DuplicateRow,
    MfdbError,
    NumberOutOfRange,
    SqlSyntax,
    WrongParameters,
)
from mfdb.kernel.ids import ZERO_HASH, Address, DatasetId, Hash, Wei
from mfdb.rules import manifest as rules
from mfdb.rules.clauses import plain
from mfdb.sql import bound as bd
from mfdb.sql.bind import bind
from mfdb.sql.catalogue import schema_of
from mfdb.sql.dml import CompiledChange, plan_dml
from mfdb.sql.execute import CompiledSelect, run_select
from mfdb.sql.parameters import ExecutionContext, Given
from mfdb.sql.parse import parse
from mfdb.sql.tables import Mutation, RowDelete, RowInsert, RowUpdate
from mfdb.testing.memory_tables import MemoryTables

ALICE = Address(b"a" * 20)
BOB = Address(b"b" * 20)
NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
CONTEXT = ExecutionContext(identity=ALICE, now=NOW)


@pytest.fixture
def tables() -> MemoryTables:
    tables = MemoryTables(ALICE, NOW.timestamp())
    create(tables, "CREATE TABLE m (id INTEGER PRIMARY KEY, who TEXT, stars DOUBLE PRECISION)")
    for number in range(100):
        change(tables, "INSERT INTO m VALUES (?, ?, ?)", (number, f"w{number % 7}", number / 2))
    tables.scanned = 0
    return tables


def create(tables: MemoryTables, text: str) -> None:
    bound = bind(parse(text), tables)
    assert isinstance(bound, bd.BoundCreate)
    tables.create(bound)


def change(tables: MemoryTables, text: str, given: Given = ()) -> Mutation:
    bound = bind(parse(text), tables)
    assert isinstance(bound, bd.BoundInsert | bd.BoundUpdate | bd.BoundDelete)
    mutation = plan_dml(bound, tables, given, CONTEXT)
    tables.apply(mutation, ALICE)
    return mutation


def query(tables: MemoryTables, text: str, given: Given = ()) -> list[tuple[object, ...]]:
    bound = bind(parse(text), tables)
    assert isinstance(bound, bd.BoundSelect)
    return list(run_select(bound, tables, given, CONTEXT).rows)


@pytest.mark.parametrize(
    ("where", "given", "count", "scanned"),
    [
        ("id = ?", (5,), 1, 1),
        ("id = ?", (None,), 0, 0),
        ("id = ?", (2**40,), 0, 0),
        ("id = $1 AND who = 'x'", (5,), 0, 1),
        ("id IN (?, ?, ?)", (1, 2, 2), 2, 2),
        ("id > :low AND id <= :high", {"low": 10, "high": 20}, 10, 10),
        ("id >= ? AND id < ?", (None, 5), 0, 0),
        ("id BETWEEN ? AND ?", (5, 3), 0, 0),
        ("id = 1 OR id = 2", (), 2, 100),
        ("id + 0 = 1", (), 1, 100),
        ("id <> 1", (), 99, 100),
        ("stars = ?", (1,), 1, 100),
    ],
)
def test_the_key_narrows_what_is_looked_at(
    tables: MemoryTables, where: str, given: Given, count: int, scanned: int
) -> None:
    assert len(query(tables, f"SELECT * FROM m WHERE {where}", given)) == count
    assert tables.scanned == scanned


def test_access_by_key_gives_the_answers_of_a_scan(tables: MemoryTables) -> None:
    signs = ("=", "<", "<=", ">", ">=")
    for sign in signs:
        for value in (-1, 0, 50, 99, 200):
            keyed = query(tables, f"SELECT id FROM m WHERE id {sign} ?", (value,))
            scanned = query(tables, f"SELECT id FROM m WHERE id + 0 {sign} ?", (value,))
            turned = query(tables, f"SELECT id FROM m WHERE ? {_turn(sign)} id", (value,))
            assert sorted(keyed, key=operator.itemgetter(0)) == scanned
            assert sorted(turned, key=operator.itemgetter(0)) == scanned


def _turn(sign: str) -> str:
    return sign.translate(str.maketrans("<>", "><"))


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("SELECT ?", ()),
        ("SELECT ?", (1, 2)),
        ("SELECT 1", (1,)),
        ("SELECT ?", {"a": 1}),
        ("SELECT ?", "x"),
        ("SELECT :a", {}),
        ("SELECT :a", (1,)),
    ],
)
def test_wrong_parameters(tables: MemoryTables, text: str, given: Given) -> None:
    with pytest.raises(WrongParameters):
        query(tables, text, given)


def test_a_parameter_without_a_place_that_types_it_keeps_its_own(tables: MemoryTables) -> None:
    assert query(tables, "SELECT ?, ?, ?, ?", (5, "a", b"b", None)) == [(5, "a", b"b", None)]
    assert query(tables, "SELECT CAST(? AS TEXT), ?::INTEGER", (5, "7")) == [("5", 7)]


def test_very_many_parameters_items_and_rows(tables: MemoryTables) -> None:
    count = 60_000
    marks = ", ".join("?" * count)
    found = query(tables, f"SELECT count(*) FROM m WHERE id IN ({marks})", range(count))
    assert found == [(100,)]
    with pytest.raises(SqlSyntax, match="at most 65535"):
        query(tables, "SELECT 1 IN (" + ", ".join("?" * 65_536) + ")", range(65_536))
    for text in ("SELECT " + ", ".join("1" * 2_000), "SELECT 1 ORDER BY " + ", ".join("1" * 2_000)):
        with pytest.raises(SqlSyntax, match="more than 1664"):
            query(tables, text)


def test_one_parameter_may_have_two_types(tables: MemoryTables) -> None:
    assert query(tables, "SELECT $1 + 1, $1 = 0.5 FROM m LIMIT 1", (3,)) == [(4, False)]


def test_a_wrong_parameter_is_named_and_placed(tables: MemoryTables) -> None:
    text = "SELECT * FROM m WHERE who = 'x' AND id = ?"
    with pytest.raises(BadType, match=r"parameter 1: str 'x' is no") as caught:
        query(tables, text, ("x",))
    assert caught.value.position == text.index("?")
    with pytest.raises(NumberOutOfRange, match="parameter 1"):
        change(tables, "INSERT INTO m VALUES (?)", (2**31,))


def test_an_error_while_computing_points_at_its_operator(tables: MemoryTables) -> None:
    text = "SELECT id FROM m WHERE 10 / (id - 5) = 1"
    with pytest.raises(DivisionByZero) as caught:
        query(tables, text)
    assert caught.value.position == text.index("/")


def test_a_compiled_statement_runs_again_with_other_values(tables: MemoryTables) -> None:
    bound = bind(parse("SELECT who FROM m WHERE id = ?"), tables)
    assert isinstance(bound, bd.BoundSelect)
    compiled = CompiledSelect(bound)
    found = [list(compiled.run(tables, (number,), CONTEXT).rows) for number in (1, 2, 500)]
    assert found == [[("w1",)], [("w2",)], []]
    insert = bind(parse("INSERT INTO m (id) VALUES (?)"), tables)
    assert isinstance(insert, bd.BoundInsert)
    planned = CompiledChange(insert)
    values = [planned.plan(tables, (number,), CONTEXT).changes for number in (500, 501)]
    assert values == [(RowInsert((500, None, None)),), (RowInsert((501, None, None)),)]


def test_rows_come_lazily_and_limit_stops_the_scan(tables: MemoryTables) -> None:
    assert len(query(tables, "SELECT id FROM m LIMIT 3 OFFSET 2")) == 3
    assert tables.scanned <= 6


def test_sorting_with_nulls_and_several_keys(tables: MemoryTables) -> None:
    change(tables, "UPDATE m SET stars = NULL WHERE id < 3")
    found = query(tables, "SELECT id FROM m ORDER BY stars DESC NULLS LAST, id DESC")
    assert [row[0] for row in found[-3:]] == [2, 1, 0]
    found = query(tables, "SELECT who, id FROM m ORDER BY 1 DESC, id LIMIT 2")
    assert found == [("w6", 6), ("w6", 13)]


def test_planning_changes_nothing(tables: MemoryTables) -> None:
    bound = bind(parse("DELETE FROM m RETURNING id"), tables)
    assert isinstance(bound, bd.BoundDelete)
    mutation = plan_dml(bound, tables, (), CONTEXT)
    assert mutation.count == len(mutation.rows) == 100
    assert all(isinstance(item, RowDelete) for item in mutation.changes)
    assert query(tables, "SELECT count(*) FROM m") == [(100,)]


def test_a_failing_statement_changes_nothing(tables: MemoryTables) -> None:
    with pytest.raises(DuplicateRow):
        change(tables, "INSERT INTO m VALUES (1000), (1001), (5)")
    assert query(tables, "SELECT count(*) FROM m WHERE id >= 1000") == [(0,)]


def test_an_update_keeps_row_ids_unless_the_key_moves(tables: MemoryTables) -> None:
    kept = change(tables, "UPDATE m SET who = 'x' WHERE id = 1")
    assert [type(item) for item in kept.changes] == [RowUpdate]
    swapped = change(tables, "UPDATE m SET id = 3 - id WHERE id IN (1, 2)")
    assert [type(item) for item in swapped.changes] == [RowUpdate, RowUpdate]
    assert query(tables, "SELECT who FROM m WHERE id = 2") == [("x",)]
    moved = change(tables, "UPDATE m SET id = 999 WHERE id = 2")
    assert [type(item) for item in moved.changes] == [RowDelete, RowInsert]
    touched = [getattr(item, "row_id", None) for item in swapped.changes]
    assert len(set(touched)) == 2


def test_a_manifest_gives_its_schema() -> None:
    tables = MemoryTables(ALICE)
    bound = bind(
        parse(
            "CREATE TABLE t (b TEXT, a DECIMAL(9, 2) DEFAULT 1.5 CHECK (a > 1), c VARCHAR(3) CLEAR,"
            " PRIMARY KEY (c, b)) WITH (ordering = 'owner')"
        ),
        tables,
    )
    assert isinstance(bound, bd.BoundCreate)
    manifest = rules.Manifest(
        format=2,
        network=ZERO_HASH,
        dataset=DatasetId(b"d" * 32),
        owner=ALICE,
        nonce=Hash(b"n" * 32),
        number=0,
        previous=ZERO_HASH,
        name="t",
        kind=rules.Kind.DATASET,
        ordering=rules.Ordering.OWNER,
        columns=bound.columns,
        clauses=tuple(plain(clause) for clause in bound.clauses),
        grants=(),
        acl_epoch=0,
        revocations=(),
        read_keys=(),
        wrapped_keys=(),
        profile=rules.Profile(),
        salt=ZERO_HASH,
        price_ceiling=Wei(0),
        retention_s=0,
        options=(),
    )
    memory = tables.create(bound)
    schema = schema_of(_through_bytes(manifest))
    assert schema.columns == _as_lists(memory.columns)
    assert schema.key == memory.key == (2, 0)
    assert schema.owner_ordered


def _through_bytes(manifest: rules.Manifest) -> rules.Manifest:
    from mfdb.kernel.codec import decode, encode

    return decode(rules.Manifest, encode(manifest), limit_bytes=10_000)


def _as_lists(columns: Any) -> Any:
    return columns


@pytest.mark.parametrize(
    "text",
    [
        "SELECT row_author() = current_identity() FROM m WHERE id = 1",
        "SELECT row_written_at() = now() FROM m WHERE id = 1",
    ],
)
def test_rows_know_their_author_and_time(tables: MemoryTables, text: str) -> None:
    assert query(tables, text) == [(True,)]


def test_nobody_is_no_identity(tables: MemoryTables) -> None:
    bound = bind(parse("SELECT current_identity() IS NULL"), tables)
    assert isinstance(bound, bd.BoundSelect)
    nobody = ExecutionContext(identity=None, now=NOW)
    assert list(run_select(bound, tables, (), nobody).rows) == [(True,)]


def test_errors_are_pickled_whole() -> None:
    import pickle

    tables = MemoryTables(BOB)
    with pytest.raises(MfdbError) as caught:
        bind(parse("SELECT 1 FROM nowhere"), tables)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.message, again.position) == (caught.value.message, 14)
