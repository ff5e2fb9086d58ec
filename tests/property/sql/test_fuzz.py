"""Whatever is typed: a statement or one of our errors; and our arithmetic against Python's."""

from __future__ import annotations

import datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as some

from mfdb.kernel.errors import DivisionByZero, MfdbError, NumberOutOfRange, SqlSyntax
from mfdb.kernel.ids import Address
from mfdb.rules.expression import evaluate
from mfdb.sql import bound as bd
from mfdb.sql.automaton import CLASSES, END, automaton
from mfdb.sql.bind import bind
from mfdb.sql.bind_expression import Scope, bind_condition
from mfdb.sql.caret import explain_error
from mfdb.sql.compile import Environment, compile_expression
from mfdb.sql.dml import plan_dml
from mfdb.sql.execute import run_select
from mfdb.sql.explain import explain
from mfdb.sql.lower import lower
from mfdb.sql.parameters import ExecutionContext
from mfdb.sql.parse import parse, split
from mfdb.sql.show_expression import show_expression
from mfdb.sql.statement import Select, TableName
from mfdb.testing.memory_tables import MemoryTables

ALICE = Address(b"a" * 20)
CONTEXT = ExecutionContext(identity=ALICE, now=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))
_TERMINALS = automaton().terminals
_FILLERS = ["m", "a", "b", "c", "'x'", "1", "0", "1.5", "X'00'", "count", "length", "text", ":p"]
WORDS = [*sorted(_TERMINALS - CLASSES - {END}), *_FILLERS]

words = some.lists(some.sampled_from(WORDS), max_size=25).map(" ".join)
texts = some.text(max_size=60) | some.text("()'\"$-/*;:?.,aA1 \n", max_size=40)

names = some.sampled_from(["a", "b", "c", "d"])
LITERALS = """0 1 -2 7 2.5 0.00 1e2 NULL TRUE FALSE 'x' '1' '' 9223372036854775807 X'00' '%x_'
    DATE'2026-01-01' 'NaN'::FLOAT"""
SIGNS = "+ - * / % ^ || = <> < <= > >= AND OR LIKE ILIKE"
literals = some.sampled_from(LITERALS.split())


def _compose(inner: some.SearchStrategy[str]) -> some.SearchStrategy[str]:
    signs = some.sampled_from(
        [
            "+",
            "-",
            "*",
            "/",
            "%",
            "^",
            "||",
            "=",
            "<>",
            "<",
            "<=",
            ">",
            ">=",
            "AND",
            "OR",
            "LIKE",
            "ILIKE",
        ]
    )
    calls = some.sampled_from(["abs", "length", "lower", "upper", "coalesce", "round", "sqrt"])
    return (
        some.builds("({} {} {})".format, inner, signs, inner)
        | some.builds("({} IS NULL)".format, inner)
        | some.builds("(NOT {})".format, inner)
        | some.builds("(- {})".format, inner)
        | some.builds("{}({})".format, calls, inner)
        | some.builds("({} BETWEEN {} AND {})".format, inner, inner, inner)
        | some.builds("({} IN ({}, {}))".format, inner, inner, inner)
        | some.builds("CASE WHEN {} THEN {} ELSE {} END".format, inner, inner, inner)
        | some.builds("({})::{}".format, inner, some.sampled_from(["TEXT", "INTEGER", "FLOAT"]))
        | some.builds("substr({}, {}, {})".format, inner, inner, inner)
        | some.builds("({} IS DISTINCT FROM {})".format, inner, inner)
    )


expressions = some.recursive(names | literals, _compose, max_leaves=8)
rows = some.tuples(
    some.none() | some.integers(-(2**31), 2**31 - 1),
    some.none() | some.text("xyX%_1 ", max_size=4),
    some.none() | some.floats(width=32),
    some.none() | some.decimals(-99, 99, places=2, allow_nan=False).map(lambda d: f"{d:f}"),
)


def _tables() -> MemoryTables:
    tables = MemoryTables(ALICE)
    bound = bind(
        parse("CREATE TABLE m (a INTEGER PRIMARY KEY, b TEXT, c FLOAT, d DECIMAL(9, 2))"), tables
    )
    assert isinstance(bound, bd.BoundCreate)
    tables.create(bound)
    insert = bind(parse("INSERT INTO m VALUES (1, 'x', 1.5, 2), (2, NULL, 'NaN', 3)"), tables)
    assert isinstance(insert, bd.BoundInsert)
    tables.apply(plan_dml(insert, tables, (), CONTEXT), ALICE)
    return tables


TABLES = _tables()


def _try(text: str) -> None:
    """Parse, bind, explain and run; nothing but our errors, each of which can be shown."""
    try:
        bound = bind(parse(text), TABLES)
        if isinstance(bound, bd.BoundSelect):
            explain(bound)
            list(run_select(bound, TABLES, (), CONTEXT).rows)
        elif isinstance(bound, bd.BoundInsert | bd.BoundUpdate | bd.BoundDelete):
            explain(bound)
            plan_dml(bound, TABLES, (), CONTEXT)
    except MfdbError as error:
        _check_shown(text, error)


def _check_shown(text: str, error: MfdbError) -> None:
    assert error.position is None or 0 <= error.position <= len(text)
    assert error.message in explain_error(text, error)


@settings(max_examples=300)
@given(words | texts)
@example("$")
@example("$a$ $")
@example("'\ud800'")
@example("SELECT '\ud800' || lower('\ud800')")
@example("SELECT 1e999999999")
@example("SELECT 10 ^ 1e9")
@example("SELECT round(1, 99999999999)")
@example("SELECT CAST('9' AS DECIMAL(1000,999)) / 1e-999")
@example("SELECT repeat('x', 999999999)")
@example("SELECT 'x' LIKE " + "'" + "%x" * 500 + "'")
@example("SELECT DATE '2026-01-01' + 2147483647")
@example("SELECT now() = '0001-01-01T00:00:00+23:59'")
@example("SELECT TIMESTAMP '9999-12-31T23:59:59-23:59'")
def test_any_text_gives_a_statement_or_our_error(text: str) -> None:
    _try(text)


@settings(max_examples=300)
@given(expressions)
@example("('%x_' || a)")
@example("(NULL ^ -2)")
def test_any_expression_computes_or_gives_our_error(expression: str) -> None:
    _try(f"SELECT {expression} FROM m")
    _try(f"SELECT a FROM m WHERE {expression} ORDER BY {expression}, 1 DESC")
    _try(f"UPDATE m SET b = {expression}, d = {expression} WHERE a = 1 RETURNING {expression}")


@given(words | texts)
def test_splitting_loses_no_statement(text: str) -> None:
    pieces = split(text)
    for piece in pieces:
        assert text[piece.offset :].startswith(piece.text)
        assert piece.text == piece.text.strip()
    assert [piece.text for piece in split(";".join(piece.text for piece in pieces))] == [
        piece.text for piece in pieces
    ]


NUMBERS = "a c d 0 1 -2 7 2.5 0.00 1e300::FLOAT 9223372036854775807 NULL"
STRINGS = "b 'x' '' 'X_%' NULL::TEXT"
numbers = some.recursive(
    some.sampled_from(NUMBERS.split()),
    lambda inner: (
        some.builds("({} {} {})".format, inner, some.sampled_from("+-*/%"), inner)
        | some.builds("(- {})".format, inner)
        | some.builds("abs({})".format, inner)
        | some.builds("coalesce({}, {})".format, inner, inner)
        | some.builds("CASE WHEN {} < {} THEN {} END".format, inner, inner, inner)
    ),
    max_leaves=5,
)
strings = some.recursive(
    some.sampled_from(STRINGS.split()),
    lambda inner: (
        some.builds("({} || {})".format, inner, inner)
        | some.builds("{}({})".format, some.sampled_from(["lower", "upper"]), inner)
        | some.builds("substr({}, a)".format, inner)
    ),
    max_leaves=4,
)
conditions = some.recursive(
    some.builds("({} {} {})".format, numbers, some.sampled_from(SIGNS.split()[7:13]), numbers)
    | some.builds("({} {} {})".format, strings, some.sampled_from(SIGNS.split()[7:]), strings)
    | some.builds("({} IN ({}, {}))".format, numbers, numbers, numbers)
    | some.builds("({} BETWEEN {} AND {})".format, strings, strings, strings)
    | some.builds("({} IS DISTINCT FROM {})".format, numbers, numbers)
    | some.builds("({} IS NULL)".format, numbers | strings)
    | some.builds("(length({}) > {})".format, strings, numbers),
    lambda inner: (
        some.builds("({} AND {})".format, inner, inner)
        | some.builds("({} OR {})".format, inner, inner)
        | some.builds("(NOT {})".format, inner)
        | some.builds("({} IS NOT TRUE)".format, inner)
    ),
    max_leaves=4,
)


@settings(max_examples=300)
@given(conditions, rows)
def test_a_lowered_condition_means_what_the_sql_meant(
    expression: str, row: tuple[int | None, str | None, float | None, str | None]
) -> None:
    """The form in manifests gives what SQL gives, and where SQL raises it is unknown."""
    table = TABLES.table(_table_name())
    assert table is not None
    try:
        statement = parse(f"SELECT a FROM m WHERE {expression}")
        assert isinstance(statement, Select)
        condition = bind_condition(statement.where, Scope(table), "WHERE")
        assert condition is not None
        lowered = lower(condition, "CHECK")
    except MfdbError:
        return
    by_rules = evaluate(lowered, dict(zip("abcd", row, strict=True)), author=ALICE, caller=ALICE)
    environment = Environment(parameters=(), caller=ALICE, now_us=0)
    try:
        by_sql = compile_expression(condition)(row, environment)
    except MfdbError:
        assert by_rules is None, show_expression(lowered)
        return
    assert by_rules == by_sql, show_expression(lowered)


def _table_name() -> TableName:
    statement = parse("SELECT * FROM m")
    assert isinstance(statement, Select)
    assert statement.table is not None
    return statement.table


integers = some.integers(-(2**63), 2**63 - 1)


@given(integers, integers, some.sampled_from("+-*/%"))
def test_integer_arithmetic_is_exact_or_refused(left: int, right: int, sign: str) -> None:
    bound = bind(parse(f"SELECT CAST({left} AS BIGINT) {sign} CAST({right} AS BIGINT)"), TABLES)
    assert isinstance(bound, bd.BoundSelect)
    exact = {
        "+": left + right,
        "-": left - right,
        "*": left * right,
        "/": int(Fraction(left, right or 1)),
        "%": left - right * int(Fraction(left, right or 1)),
    }[sign]
    zero = sign in "/%" and right == 0
    if zero or exact not in range(-(2**63), 2**63):
        with pytest.raises(DivisionByZero if zero else NumberOutOfRange):
            list(run_select(bound, TABLES, (), CONTEXT).rows)
        return
    [(value,)] = run_select(bound, TABLES, (), CONTEXT).rows
    assert value == exact
    assert isinstance(value, int)


@given(some.decimals(-(10**20), 10**20, places=6), some.decimals(-(10**9), 10**9, places=3))
def test_decimal_arithmetic_is_exact(left: Decimal, right: Decimal) -> None:
    text = f"SELECT {left:f} + ({right:f}), {left:f} - ({right:f}), {left:f} * ({right:f})"
    bound = bind(parse(text), TABLES)
    assert isinstance(bound, bd.BoundSelect)
    [found] = run_select(bound, TABLES, (), CONTEXT).rows
    assert [Fraction(value) for value in found if isinstance(value, Decimal | int)] == [
        Fraction(left) + Fraction(right),
        Fraction(left) - Fraction(right),
        Fraction(left) * Fraction(right),
    ]


@given(some.text(max_size=30))
def test_strings_survive_quoting(text: str) -> None:
    quoted = text.replace("'", "''")
    try:
        bound = bind(parse(f"SELECT '{quoted}'"), TABLES)
    except SqlSyntax as error:
        raise AssertionError(error.message) from error
    assert isinstance(bound, bd.BoundSelect)
    assert list(run_select(bound, TABLES, (), CONTEXT).rows) == [(text,)]
