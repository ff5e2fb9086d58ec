"""Both routes give the same answer to the same statement, or the same error."""

from __future__ import annotations

import datetime
import math
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as some

from mfdb.kernel.errors import MfdbError
from mfdb.kernel.ids import Address
from mfdb.sql import bound as bd
from mfdb.sql import statement as st
from mfdb.sql.bind import bind
from mfdb.sql.dml import plan_dml
from mfdb.sql.execute import run_select
from mfdb.sql.parameters import ExecutionContext
from mfdb.sql.parse import parse
from mfdb.sql.relational.bind_query import bind_relational
from mfdb.sql.relational.engine import Engine
from mfdb.sql.relational.physical import decode_decimal, encode_decimal
from mfdb.sql.relational.run import CompiledRelational
from mfdb.sql.types import bounded
from mfdb.testing.memory_tables import MemoryTables

if TYPE_CHECKING:
    from collections.abc import Callable

    from mfdb.sql.execute import Result

ALICE = Address(b"a" * 20)
CONTEXT = ExecutionContext(identity=ALICE, now=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))
ENGINE = Engine()


def _tables() -> MemoryTables:
    tables = MemoryTables(ALICE)
    for text in (
        "CREATE TABLE t (id INTEGER PRIMARY KEY, i INTEGER, j BIGINT, d DECIMAL(10,2), n DECIMAL, "
        "f FLOAT, s TEXT, b BOOLEAN, y BYTEA, day DATE, at TIMESTAMPTZ, m MFT)",
        """INSERT INTO t VALUES
        (1, 0, 7, 1.50, 1.5, 2.5, 'abc', TRUE, X'00', '2026-01-01', '2026-01-01 10:00+00', 1.5),
        (2, -3, 9223372036854775807, -2.25, 1e30, -0.5, 'Abc', FALSE, X'FF', '1999-12-31',
         '1999-12-31 23:59+00', 0),
        (3, 5, -2, 0, 0.0001, 'NaN', '', NULL, X'', NULL, NULL, NULL),
        (4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
        (5, 5, 2, 99999999.99, -7, 'Infinity', 'a%c', TRUE, X'00', '2026-01-01', NULL, 3),
        (6, 2, 3, 1.5, 2, 0, 'Straße', FALSE, NULL, '2026-01-02', '2026-01-01 10:00+00', 7)""",
    ):
        bound = bind(parse(text), tables)
        if isinstance(bound, bd.BoundCreate):
            tables.create(bound)
        else:
            assert isinstance(bound, bd.BoundInsert)
            tables.apply(plan_dml(bound, tables, (), CONTEXT), ALICE)
    return tables


TABLES = _tables()

LEAVES = """id i j d n f s b y day at m 0 1 -2 7 2.5 0.00 NULL TRUE FALSE 'abc' '1' '' X'00'
    '%b_' DATE'2026-01-01' 100000000000"""
SIGNS = "+ - * / % ^ || = <> < <= > >= AND OR LIKE ILIKE"
_leaves = some.sampled_from(LEAVES.split())
_signs = some.sampled_from(SIGNS.split())
_calls = some.sampled_from(["abs", "length", "lower", "upper", "coalesce", "round", "sqrt", "sign"])
_more_calls = some.sampled_from(
    [
        "reverse",
        "initcap",
        "ascii",
        "chr",
        "md5",
        "sha256",
        "concat",
        "cbrt",
        "exp",
        "ln",
        "log",
        "log10",
        "degrees",
        "radians",
        "sin",
        "cos",
        "tan",
        "asin",
        "acos",
        "atan",
        "trunc",
        "btrim",
        "ltrim",
        "octet_length",
    ]
)
_pair_calls = some.sampled_from(
    [
        "left",
        "right",
        "lpad",
        "rpad",
        "repeat",
        "strpos",
        "starts_with",
        "concat",
        "concat_ws",
        "power",
        "mod",
        "trunc",
        "round",
        "atan2",
        "gcd",
        "lcm",
        "rtrim",
    ]
)
_triple_calls = some.sampled_from(
    ["lpad", "rpad", "split_part", "translate", "replace", "concat_ws", "substr", "concat"]
)

_types = some.sampled_from(["TEXT", "INTEGER", "FLOAT", "DECIMAL", "DECIMAL(6,1)", "BOOLEAN"])


def _compose(inner: some.SearchStrategy[str]) -> some.SearchStrategy[str]:
    return (
        some.builds("({} {} {})".format, inner, _signs, inner)
        | some.builds("{}({})".format, _more_calls, inner)
        | some.builds("{}({}, {})".format, _pair_calls, inner, inner)
        | some.builds("{}({}, {}, {})".format, _triple_calls, inner, inner, inner)
        | some.builds("substring({} FROM {} FOR {})".format, inner, inner, inner)
        | some.builds("trim({} FROM {})".format, inner, inner)
        | some.builds("overlay({} PLACING {} FROM {})".format, inner, inner, inner)
        | some.builds("position({} IN {})".format, inner, inner)
        | some.builds("({} IS NULL)".format, inner)
        | some.builds("(NOT {})".format, inner)
        | some.builds("(- {})".format, inner)
        | some.builds("{}({})".format, _calls, inner)
        | some.builds("nullif({}, {})".format, inner, inner)
        | some.builds("greatest({}, {}, {})".format, inner, inner, inner)
        | some.builds("({} IS DISTINCT FROM {})".format, inner, inner)
        | some.builds("({} BETWEEN {} AND {})".format, inner, inner, inner)
        | some.builds("({} IN ({}, {}))".format, inner, inner, inner)
        | some.builds("CASE WHEN {} THEN {} ELSE {} END".format, inner, inner, inner)
        | some.builds("CAST({} AS {})".format, inner, _types)
    )


expressions = some.recursive(_leaves, _compose, max_leaves=5)
_aggregates = some.sampled_from(["count", "sum", "avg", "min", "max"])
aggregated = some.builds(
    "{}({}{})".format, _aggregates, some.sampled_from(["", "DISTINCT "]), _leaves | expressions
)
windows = some.sampled_from(["", "LIMIT 3", "LIMIT 2 OFFSET 1", "OFFSET 4"])
directions = some.sampled_from(["", "DESC", "NULLS FIRST", "DESC NULLS LAST"])


def _plain(value: object, *, scaled: bool) -> object:
    """NaN is itself, and a float's last bit may depend on the order of a sum."""
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else float(f"{value:.12g}")
    if isinstance(value, Decimal) and scaled:
        return str(value)
    return value


def _answers(text: str, *, scaled: bool = True) -> tuple[object, object]:
    statement = parse(text)
    assert isinstance(statement, st.Select)
    try:
        bound = bind(statement, TABLES)
    except MfdbError:
        with pytest.raises(MfdbError):
            bind_relational(statement, TABLES)
        return None, None
    if not isinstance(bound, bd.BoundSelect):  # an aggregate that the row route leaves to the other
        return None, None
    relational = bind_relational(statement, TABLES)
    assert relational.outputs == bound.outputs
    compiled = CompiledRelational(relational, ENGINE)
    return (
        _outcome(lambda: run_select(bound, TABLES, (), CONTEXT), scaled=scaled),
        _outcome(lambda: compiled.run(TABLES, (), CONTEXT), scaled=scaled),
    )


def _outcome(run: Callable[[], Result], *, scaled: bool) -> object:
    try:
        rows = list(run().rows)
    except MfdbError as error:
        return error.sqlstate
    return [tuple(_plain(value, scaled=scaled) for value in row) for row in rows]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(expressions)
@example("(i / j)")
@example("(f * f)")
@example("(d * d)")
@example("(d * d) + (d * d) - d")
@example("nullif(f, f)")
@example("(- n)")
@example("(id IN (id, CAST(j AS INTEGER)))")
@example("((NOT b) AND ((1 / i) > 0))")
@example("CASE WHEN (i = 0) THEN 0 ELSE (7 / i) END")
@example("(d IN (n, 1.50))")
@example("upper(s)")
@example("(j + 1)")
def test_expressions_are_the_same_on_both_routes(expression: str) -> None:
    row, relational = _answers(f"SELECT id, {expression} FROM t ORDER BY id")
    assert relational == row


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(some.lists(expressions, min_size=1, max_size=2), _leaves, directions, windows)
@example(["(s LIKE 'a%')", "((7 / i) > 1)"], "s", "DESC", "")
def test_conditions_and_order_are_the_same_on_both_routes(
    conditions: list[str], key: str, direction: str, window: str
) -> None:
    where = " AND ".join(f"({condition}) IS TRUE" for condition in conditions)
    key = key if key[0].isalpha() and key.islower() else "id"
    row, relational = _answers(
        f"SELECT * FROM t WHERE {where} ORDER BY {key} {direction}, id {window}"
    )
    assert relational == row


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(some.lists(aggregated, min_size=1, max_size=3), expressions)
def test_aggregates_are_the_same_on_both_routes(items: list[str], condition: str) -> None:
    row, relational = _answers(
        f"SELECT {', '.join(items)} FROM t WHERE ({condition}) IS NOT DISTINCT FROM ({condition})",
        scaled=False,  # values that DISTINCT made one have no scale of their own
    )
    assert relational == row


_numbers = (
    some.decimals(allow_nan=False, allow_infinity=False, places=4)
    | some.builds(
        lambda digits, shift: Decimal(digits).scaleb(shift),
        some.integers(-(10**40), 10**40),
        some.integers(-900, 0),
    )
).map(bounded)


@settings(deadline=None)
@given(_numbers, _numbers)
@example(Decimal("-1.2"), Decimal("-1.25"))
@example(Decimal("0.00"), Decimal("-0.01"))
def test_exact_numbers_sort_as_texts(one: Decimal, other: Decimal) -> None:
    first, second = encode_decimal(one), encode_decimal(other)
    assert decode_decimal(first) == one
    assert decode_decimal(first).as_tuple().exponent == one.as_tuple().exponent
    left, right = first.partition("!")[0], second.partition("!")[0]
    assert (left < right, left == right) == (one < other, one == other)
