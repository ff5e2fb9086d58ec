"""What policies mean: three values, no exceptions, hostile input refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from mfdb.kernel.errors import SchemaViolation
from mfdb.kernel.ids import Address
from mfdb.rules.expression import DEPTH, NODES, check, columns_of, evaluate

ALICE = Address(b"a" * 20)
BOB = Address(b"b" * 20)
ROW: dict[str, Any] = {"n": 7, "t": "Hello", "none": None, "b": b"\x01", "d": "2.50", "f": 0.5}
NULL = ["value", None]


YES = ["value", True]
NO = ["value", False]


def value(constant: object) -> list[object]:
    return ["value", constant]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (["column", "n"], 7),
        (["column", "absent"], None),
        (["=", ["author"], ["caller"]], False),
        (["and", YES, NULL], None),
        (["and", NULL, NO], False),
        (["or", NULL, YES], True),
        (["or", NULL, NO], None),
        (["not", NULL], None),
        (["=", NULL, NULL], None),
        (["same", NULL, NULL], True),
        (["same", NULL, value(1)], False),
        (["in", value(1), value(2), NULL], None),
        (["in", value(1), value(2), value(1)], True),
        (["in", value(1), value(2)], False),
        (["<", value(1), value("a")], None),
        (["=", YES, value(1)], None),
        (["=", value(float("nan")), value(float("nan"))], True),
        ([">", value(float("nan")), value(1e308)], True),
        (["/", value(-7), value(2)], -3),
        (["%", value(-7), value(2)], -1),
        (["/", value(7), value(0)], None),
        (["%", value(7), value(0)], None),
        (["/", value(1.0), value(0)], None),
        (["*", value(2**62), value(4)], None),
        (["negative", value(-(2**63))], None),
        (["+", ["decimal", ["column", "d"]], value(1)], Decimal("3.50")),
        (["=", ["decimal", ["column", "d"]], ["decimal", value("2.5")]], True),
        (["/", ["decimal", value(1)], ["decimal", value(0)]], None),
        (["||", ["column", "t"], value("!")], "Hello!"),
        (["||", ["column", "t"], value(1)], None),
        (["like", ["column", "t"], value("H_l%")], True),
        (["like", ["column", "t"], value("h%")], False),
        (["ilike", ["column", "t"], value("h%O")], True),
        (["like", value("a%"), value("a!%"), value("!")], True),
        (["like", value("a"), value("a!"), value("!")], None),
        (["~", ["column", "t"], value("^H.*o$")], True),
        (["~", ["column", "t"], value("^h")], False),
        (["~*", ["column", "t"], value("^h")], True),
        (["!~", ["column", "t"], value("x")], True),
        (["!~*", ["column", "t"], value("L+")], False),
        (["!~", ["column", "t"], value("(")], None),
        (["~", value(1), value("1")], None),
        (["!~", value("a" * 10**6), value("(a|b){250}c")], None),
        (["case", NO, value(1), NULL, value(2), value(3)], 3),
        (["case", YES, value(1), ["/", value(1), value(0)]], 1),
        (["coalesce", NULL, value(2)], 2),
        (["length", value("äö")], 2),
        (["octet_length", value("äö")], 4),
        (["substr", value("abcdef"), value(2), value(3)], "bcd"),
        (["substr", value("abc"), value(0), value(2)], "a"),
        (["substr", value("abc"), value(1), value(-1)], None),
        (["is_null", ["column", "none"]], True),
        (["is_true", NULL], False),
        (["is_false", NO], True),
        (["abs", value(-3)], 3),
        (["float", value(1)], 1.0),
        (["upper", ["lower", value("aB")]], "AB"),
        (["and"], None),
        (["nobody knows"], None),
        (["is_null", ["nobody knows"]], None),
        (["is_null", ["/", value(1), value(0)]], None),
        (["coalesce", ["=", value(1), value("a")], YES], None),
        (["or", YES, ["/", value(1), value(0)]], True),
        (["negative", value(float("inf"))], float("-inf")),
        (["*", value(1e308), value(10.0)], None),
        (["%", value(1.5), value(1)], None),
        (["="], None),
        ([], None),
        (5, None),
        ([["value", 1]], None),
    ],
)
def test_value_of_an_expression(expression: Any, expected: object) -> None:
    got = evaluate(expression, ROW, author=ALICE, caller=BOB)
    assert got == expected
    assert type(got) is type(expected)


def test_deep_nesting_is_unknown_instead_of_a_crash() -> None:
    expression: Any = YES
    for _ in range(100_000):
        expression = ["not", expression]
    assert evaluate(expression, {}, author=None, caller=None) is None
    with pytest.raises(SchemaViolation, match="levels"):
        check(expression)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        (1, "array"),
        ([], "array"),
        ([1], "array"),
        (["exec", value("x")], "no operator"),
        (["not"], "takes 1 to 1"),
        (["column", 3], "named by a string"),
        (["value", [1]], "scalar"),
        (["value", "x" * 4097], "scalar"),
        (["value", 2**63], "64 bits"),
        (["and", *[["author"]] * 257], "takes"),
        (["or", *[["or", *[["author"]] * 200]] * 3], str(NODES)),
    ],
)
def test_hostile_expressions_are_refused(expression: object, reason: str) -> None:
    with pytest.raises(SchemaViolation, match=reason):
        check(expression)


def test_an_expression_at_the_limits_stands() -> None:
    expression: Any = ["column", "n"]
    for _ in range(DEPTH - 1):
        expression = ["negative", expression]
    check(expression)
    assert evaluate(expression, ROW, author=None, caller=None) == -7
    assert columns_of(["and", expression, ["=", ["column", "t"], value("column")]]) == {"n", "t"}


def test_a_pattern_that_would_take_minutes_is_unknown() -> None:
    row = {"t": "a" * 2**20}
    slow = ["like", ["column", "t"], value("%" + "_" * 1000 + "b")]
    assert evaluate(slow, row, author=None, caller=None) is None
    quick = ["like", ["column", "t"], value("%" + "a" * 1000 + "b%")]
    assert evaluate(quick, row, author=None, caller=None) is False


def test_a_result_that_would_explode_is_unknown() -> None:
    expression: Any = ["column", "big"]
    for _ in range(8):
        expression = ["||", expression, expression]
    row = {"big": "x" * 2**20}
    assert evaluate(expression, row, author=None, caller=None) is None
