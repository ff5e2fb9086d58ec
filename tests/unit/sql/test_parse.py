"""Texts to statements: names, parameters, positions, limits, and cutting scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mfdb.kernel.errors import SqlSyntax, UnknownObject
from mfdb.sql import statement as st
from mfdb.sql.caret import explain_error
from mfdb.sql.parse import parse, split
from mfdb.sql.scanner import STATEMENT_CHARACTERS, is_open
from mfdb.sql.types import make_type

if TYPE_CHECKING:
    from mfdb.sql.statement import Expression


def expression(text: str) -> Expression:
    statement = parse(f"SELECT {text}")
    assert isinstance(statement, st.Select)
    item = statement.items[0]
    assert isinstance(item, st.Item)
    return item.expression


def shape(node: Expression) -> str:
    """Return an expression fully parenthesised."""
    match node:
        case st.Binary():
            return f"({shape(node.left)} {node.sign} {shape(node.right)})"
        case st.Logical():
            return "(" + f" {node.sign} ".join(map(shape, node.operands)) + ")"
        case st.Unary():
            return f"({node.sign} {shape(node.operand)})"
        case st.ColumnRef():
            return node.name
        case st.Constant():
            return str(node.value)
        case st.Test():
            return f"({shape(node.operand)} IS {'NOT ' * node.negated}{node.truth})"
        case st.Between():
            parts = (node.operand, node.low, node.high)
            return f"({' BETWEEN '.join(map(shape, parts))})"
        case st.InList():
            return f"({shape(node.operand)} IN {len(node.choices)})"
        case _:
            return other_shape(node)


def other_shape(node: Expression) -> str:
    match node:
        case st.Like():
            return f"({shape(node.operand)} LIKE {shape(node.pattern)})"
        case st.Cast():
            return f"{shape(node.operand)}::{node.type.name}"
        case _:
            return type(node).__name__


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a + b * c", "(a + (b * c))"),
        ("a - b - c", "((a - b) - c)"),
        ("a ^ b ^ c", "((a ^ b) ^ c)"),
        ("-a ^ b", "((- a) ^ b)"),
        ("- - a", "(- (- a))"),
        ("-5", "-5"),
        ("- 5::int", "(- 5::int)"),
        ("a::int::text", "a::int::text"),
        ("a || b + c", "(a || (b + c))"),
        ("a = b || c", "(a = (b || c))"),
        ("NOT a = b", "(NOT (a = b))"),
        ("NOT a AND b OR c", "(((NOT a) AND b) OR c)"),
        ("a OR b AND c OR d", "(a OR (b AND c) OR d)"),
        ("a = b IS NULL", "((a = b) IS NULL)"),
        ("a BETWEEN b AND c AND d", "((a BETWEEN b BETWEEN c) AND d)"),
        ("a < b BETWEEN c AND d", "(a < (b BETWEEN c BETWEEN d))"),
        ("a LIKE b || '%'", "(a LIKE (b || %))"),
        ("a IN (1, 2) = b", "((a IN 2) = b)"),
        ("NOT a IS NOT NULL", "(NOT (a IS NOT NULL))"),
        ("(a + b) * c", "((a + b) * c)"),
    ],
)
def test_precedence_is_postgresqls(text: str, expected: str) -> None:
    assert shape(expression(text)) == expected


def test_comparisons_do_not_chain() -> None:
    with pytest.raises(SqlSyntax):
        parse("SELECT a < b < c")


def test_names_fold_and_quotes_keep() -> None:
    statement = parse('SELECT MiXeD, "MiXeD", "a""b", ÄB FROM "0xAB"."Mail" AS M')
    assert isinstance(statement, st.Select)
    names = [
        item.expression.name
        for item in statement.items
        if isinstance(item, st.Item) and isinstance(item.expression, st.ColumnRef)
    ]
    assert names == ["mixed", "MiXeD", 'a"b', "Äb"]
    assert str(statement.table) == '"0xAB".Mail'
    assert statement.alias == "m"


def test_positions_point_into_the_text() -> None:
    text = "SELECT /* ä */ a,\n  b + 1 FROM t WHERE c LIKE 'x'"
    statement = parse(text)
    assert isinstance(statement, st.Select)
    second = statement.items[1]
    assert isinstance(second, st.Item)
    assert text[second.position] == "b"
    assert text[second.expression.position] == "+"
    assert statement.table is not None
    assert text[statement.table.position] == "t"
    assert statement.where is not None
    assert text[statement.where.position] == "c"


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("SELECT ?, ? + ?", [0, 1, 2]),
        ("SELECT $2, $1 + $2", [1, 0, 1]),
        ("SELECT :b, :A_1 + :b", ["b", "A_1", "b"]),
        ("SELECT '?', \"?\", ? + ? -- ?", [0, 1]),
    ],
)
def test_parameters_are_numbered_in_their_style(text: str, keys: list[object]) -> None:
    found: list[object] = []

    def walk(node: object) -> None:
        if isinstance(node, st.Parameter):
            found.append(node.key)
        elif isinstance(node, st.Node):
            for name in node.__struct_fields__:
                walk(getattr(node, name))
        elif isinstance(node, tuple):
            for part in node:
                walk(part)

    walk(parse(text))
    assert found == keys


@pytest.mark.parametrize("text", ["SELECT ?, $1", "SELECT :a, ?", "SELECT $1, :a"])
def test_one_style_of_parameters_per_statement(text: str) -> None:
    with pytest.raises(SqlSyntax, match="in one statement"):
        parse(text)


@pytest.mark.parametrize("text", ["SELECT $0", "SELECT $65536", "SELECT $999999999999"])
def test_parameter_numbers_are_bounded(text: str) -> None:
    with pytest.raises(SqlSyntax, match="parameters run from"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("SELECT 1; SELECT 2", 10),
        ("SELECT 1;;", 9),
        ("DELETE FROM t; x", 15),
        ("COMMIT; DROP TABLE t", 8),
        ("; SELECT 1", 2),
    ],
)
def test_nothing_may_follow_a_statement(text: str, position: int) -> None:
    with pytest.raises(SqlSyntax) as caught:
        parse(text)
    assert caught.value.position == position


def test_the_same_text_is_parsed_once() -> None:
    assert parse("SELECT 1, 2, 3") is parse("SELECT 1, 2, 3")


@pytest.mark.parametrize(
    ("script", "pieces"),
    [
        ("", []),
        (" ;; -- nothing\n ; /* ; */", []),
        ("SELECT 1", [("SELECT 1", 0)]),
        ("SELECT 1; SELECT 2 ;\n", [("SELECT 1", 0), ("SELECT 2", 10)]),
        ("SELECT ';' ; SELECT \";\"", [("SELECT ';'", 0), ('SELECT ";"', 13)]),
        ("SELECT $$;$$; SELECT $a$;$$;$a$", [("SELECT $$;$$", 0), ("SELECT $a$;$$;$a$", 14)]),
        ("/* a; /* b; */ c; */ SELECT 1; -- ;\nSELECT 2", [("SELECT 1", 21), ("SELECT 2", 36)]),
        ("SELECT 1; SELECT 'open; SELECT 2", [("SELECT 1", 0), ("SELECT 'open; SELECT 2", 10)]),
        ("SELECT 1; SELECT /* open; SELECT 2", [("SELECT 1", 0), ("SELECT /* open; SELECT 2", 10)]),
        ("SELECT # ; SELECT 2", [("SELECT #", 0), ("SELECT 2", 11)]),
    ],
)
def test_split(script: str, pieces: list[tuple[str, int]]) -> None:
    found = split(script)
    assert [tuple(piece) for piece in found] == pieces
    for text, offset in pieces:
        assert script[offset:].startswith(text)


@pytest.mark.parametrize(
    ("text", "open_"),
    [
        ("SELECT 1", False),
        ("SELECT (1", True),
        ("SELECT 'a", True),
        ('SELECT "a', True),
        ("SELECT $$a", True),
        ("SELECT /* a", True),
        ("SELECT ')'", False),
        ("SELECT #", False),
    ],
)
def test_an_editor_knows_when_to_wait(text: str, open_: bool) -> None:  # noqa: FBT001 - a table
    assert is_open(text) is open_


@pytest.mark.parametrize(
    "text",
    [
        "SELECT " + "(" * 100_000,
        "SELECT " + "(" * 5_000 + "1" + ")" * 5_000,
        "SELECT " + "- " * 5_000 + "1",
        "SELECT " + "NOT " * 5_000 + "TRUE",
        "SELECT " + "1 + " * 5_000 + "1",
        "SELECT " + "'a' || " * 5_000 + "'a'",
        "SELECT " + "CASE WHEN TRUE THEN " * 500 + "1" + " END" * 500,
        "SELECT " + "abs(" * 500 + "1" + ")" * 500,
        "SELECT 1" + "::text" * 500,
    ],
)
def test_deep_nesting_is_refused(text: str) -> None:
    with pytest.raises(SqlSyntax, match="nested"):
        parse(text)


def test_long_chains_and_lists_are_no_nesting_and_take_linear_time() -> None:
    parse("SELECT " + " AND ".join(["a"] * 40_000))
    parse("SELECT " + " OR ".join(["a"] * 40_000))
    parse("SELECT a IN (" + ", ".join(["1"] * 40_000) + ")")
    parse("INSERT INTO m VALUES " + ", ".join(["(1)"] * 20_000))
    parse("SELECT " + "(" * 400 + "1" + ")" * 400)


def test_an_over_long_statement_is_refused_unread() -> None:
    with pytest.raises(SqlSyntax, match="over the limit"):
        parse("SELECT '" + "x" * STATEMENT_CHARACTERS + "'")


def test_a_statement_of_too_many_words_is_refused() -> None:
    with pytest.raises(SqlSyntax, match="more than 500000 words"):
        parse("SELECT " + "," * 600_000)


@pytest.mark.parametrize("name", ["x" * 129, '"' + "x" * 129 + '"', "x" * 5_000_000])
def test_a_name_that_is_too_long_is_refused(name: str) -> None:
    with pytest.raises(SqlSyntax, match="128 characters"):
        parse(f"SELECT {name}")
    with pytest.raises(SqlSyntax):
        parse(name)


@pytest.mark.parametrize("digits", [2_001, 1_000_000])
def test_a_huge_number_is_refused(digits: int) -> None:
    for text in ("9" * digits, "0." + "9" * digits):
        with pytest.raises(SqlSyntax, match="digits"):
            parse(f"SELECT {text}")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("SELECT ARRAY[[1]]", "JSON holds lists of lists"),
        ("SELECT `a`", '"name"'),
        ("SELECT \u2018a\u2019", "plain quotes"),
        ("SELECT 1 WHERE 1 = %s", "?, $1 or :name"),
        ("SELECT 1 WHERE 1 = %(a)s", "?, $1 or :name"),
        ("INSERT INTO t VALUES (%s, %s)", "?, $1 or :name"),
    ],
)
def test_other_dialects_ways_of_writing_are_told_ours(text: str, hint: str) -> None:
    with pytest.raises(SqlSyntax) as caught:
        parse(text)
    assert hint in caught.value.hint


def test_strings_with_a_prefix_are_told_ours() -> None:
    with pytest.raises(UnknownObject) as caught:
        make_type("n")
    assert "without the N" in caught.value.hint


def test_the_caret_stands_under_wide_letters_and_far_right() -> None:
    text = "SELECT '漢字', " + "a, " * 60 + "FROM m"
    with pytest.raises(SqlSyntax) as caught:
        parse(text)
    _, line, caret, hint = explain_error(text, caught.value).splitlines()
    assert line[caret.index("^") :].startswith("FROM m")
    assert len(line) < 100
    assert hint.startswith("HINT: ")
    wide = "SELECT '漢字' 1"
    with pytest.raises(SqlSyntax) as caught:
        parse(wide)
    _, line, caret, *_ = explain_error(wide, caught.value).splitlines()
    assert caret.index("^") == line.index("1", 7) + 2


def test_control_characters_are_not_shown() -> None:
    text = "SELECT '\x1b[31m' 1"
    with pytest.raises(SqlSyntax) as caught:
        parse(text)
    assert "\x1b" not in explain_error(text, caught.value)
