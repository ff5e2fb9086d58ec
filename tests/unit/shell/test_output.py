"""Every format against its expected text, and against the parsers that read it back."""

from __future__ import annotations

import csv
import datetime
import io
import json
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfdb.sql.parse import parse
from shell.literals import literal
from shell.output import written
from shell.settings import FOR_PEOPLE, Format, Look
from shell.values import width
from tests.unit.shell.fake_database import FakeColumn, FakeResult

if TYPE_CHECKING:
    from collections.abc import Sequence


def result(names: Sequence[str], *rows: tuple[object, ...]) -> FakeResult:
    return FakeResult(tuple(map(FakeColumn, names)), rows, f"SELECT {len(rows)}")


PEOPLE = result(["id", "name"], (1, "ann"), (22, None), (333, "名前"))


def text(of: FakeResult, chosen: Format) -> str:
    return "".join(written(of, chosen))


def test_table() -> None:
    assert text(PEOPLE, Format.TABLE) == (
        " id  | name\n-----+------\n   1 | ann\n  22 | NULL\n 333 | 名前\n(3 rows)\n\n"
    )


def test_box() -> None:
    assert text(PEOPLE, Format.BOX) == (
        "┌─────┬──────┐\n"
        "│ id  │ name │\n"
        "├─────┼──────┤\n"
        "│   1 │ ann  │\n"
        "│  22 │ NULL │\n"
        "│ 333 │ 名前 │\n"
        "└─────┴──────┘\n"
        "(3 rows)\n\n"
    )


def test_vertical() -> None:
    assert text(result(["id", "name"], (1, "a\nb")), Format.VERTICAL) == (
        "-[ row 1 ]\nid   | 1\nname | a\n     | b\n(1 row)\n\n"
    )


def test_markdown_escapes_bars() -> None:
    assert text(result(["a"], ("x|y",)), Format.MARKDOWN) == (
        "| a |\n| --- |\n| x\\|y |\n(1 row)\n\n"
    )


@pytest.mark.parametrize(("chosen", "delimiter"), [(Format.CSV, ","), (Format.TSV, "\t")])
def test_separated_values_read_back(chosen: Format, delimiter: str) -> None:
    awkward = 'a,"b"\tc\r\nd'
    lines = text(result(["n", awkward], (awkward, 1), (None, b"\x00")), chosen)
    assert list(csv.reader(io.StringIO(lines, newline=""), delimiter=delimiter)) == [
        ["n", awkward],
        [awkward, "1"],
        ["", "\\x00"],
    ]


def test_json_reads_back() -> None:
    assert json.loads(text(PEOPLE, Format.JSON)) == [
        {"id": 1, "name": "ann"},
        {"id": 22, "name": None},
        {"id": 333, "name": "名前"},
    ]
    assert json.loads(text(result(["a"]), Format.JSON)) == []


def test_json_lines_read_back() -> None:
    lines = text(PEOPLE, Format.JSONL).splitlines()
    assert [json.loads(line)["id"] for line in lines] == [1, 22, 333]


def test_json_keeps_both_columns_of_one_name() -> None:
    found = json.loads(text(result(["a", "a", "a_2"], (1, 2, 3)), Format.JSON))
    assert sorted(found[0].values()) == [1, 2, 3]


@pytest.mark.parametrize("chosen", list(Format))
def test_a_statement_without_rows(chosen: Format) -> None:
    made = text(FakeResult(tag="INSERT 3"), chosen)
    if chosen is Format.JSON:
        assert json.loads(made) == {"tag": "INSERT 3"}
    elif chosen not in FOR_PEOPLE:
        assert made == ""
    else:
        assert made == "INSERT 3\n"


@pytest.mark.parametrize("chosen", [Format.TABLE, Format.BOX])
def test_a_later_block_may_be_wider_but_no_row_is_lost(chosen: Format) -> None:
    rows = [(index, "x" * (index // 500)) for index in range(2500)]
    lines = text(result(["n", "x"], *rows), chosen).splitlines()
    first = [line.replace("│", "|").strip("|").partition("|")[0].strip() for line in lines]
    numbers = [int(cell) for cell in first if cell.isdigit()]
    assert numbers == list(range(2500))


def test_an_empty_table_still_names_its_columns() -> None:
    assert text(result(["a", "bc"]), Format.TABLE) == " a | bc\n---+----\n(0 rows)\n\n"


def test_a_hostile_column_name_is_made_safe() -> None:
    assert "\x1b" not in text(result(["a\x1b[2J"], (1,)), Format.TABLE)


def test_only_whole_columns_of_numbers_stand_right() -> None:
    made = text(result(["a", "b"], (1, 1), ("xxx", 22)), Format.TABLE).splitlines()
    assert made[2] == " 1   |  1"


def test_a_cell_of_several_lines_keeps_them() -> None:
    made = text(result(["a", "b"], ("one\ntwo", 1), ("x", 2)), Format.TABLE)
    assert made == " a   | b\n-----+---\n one+| 1\n two |\n x   | 2\n(2 rows)\n\n"
    box = text(result(["a", "b"], ("one\ntwo", 1)), Format.BOX).splitlines()
    assert box[3:5] == ["│ one+│ 1 │", "│ two │   │"]


def test_wide_cells_are_cut_where_that_is_asked_for() -> None:
    look = Look(column_width=5)
    made = "".join(written(result(["a"], ("123456789",), ("名前名前",)), Format.TABLE, look))
    assert made.splitlines()[2:4] == [" 1234…", " 名前…"]
    assert "123456789" in text(result(["a"], ("123456789",)), Format.TABLE)


def test_a_table_wider_than_the_screen_becomes_vertical() -> None:
    wide = result(["a", "b"], *[(n, "x" * 30) for n in range(1500)])
    narrow = "".join(written(wide, Format.TABLE, Look(screen_width=20)))
    assert narrow.startswith("-[ row 1 ]")
    assert narrow.count("-[ row ") == 1500
    assert "".join(written(wide, Format.TABLE, Look(screen_width=80))).startswith(" a ")


def test_null_is_shown_as_wished_and_rows_alone() -> None:
    look = Look(null="∅", tuples_only=True)
    assert "".join(written(result(["a"], (None,), (1,)), Format.TABLE, look)) == " ∅\n 1\n"
    assert "".join(written(result(["a"], (1,)), Format.CSV, look)) == "1\n"
    assert "".join(written(FakeResult(tag="INSERT 3"), Format.TABLE, Look(quiet=True))) == ""


def test_inserts_run_again() -> None:
    value = "it's"
    row = (1, None, True, value, b"\x01", Decimal("1.50"), datetime.date(2026, 1, 2), {"a": 1})
    made = "".join(
        written(result(["id", "b c"], row[:1] + row[3:4]), Format.INSERT, Look(dataset="t"))
    )
    assert made == "INSERT INTO t (id, \"b c\") VALUES\n  (1, 'it''s');\n"
    assert parse(made.strip())
    literals = [literal(one) for one in row]
    assert literals == [
        "1",
        "NULL",
        "TRUE",
        "'it''s'",
        "X'01'",
        "1.50",
        "'2026-01-02'",
        "'{\"a\": 1}'",
    ]


def test_html_is_escaped() -> None:
    made = text(result(["<b>"], ("<script>",)), Format.HTML)
    assert "<th>&lt;b&gt;</th>" in made
    assert "<td>&lt;script&gt;</td>" in made


@given(
    st.lists(st.tuples(st.text(), st.none() | st.integers() | st.text())), st.sampled_from(Format)
)
def test_no_format_for_people_drives_a_terminal(
    rows: list[tuple[object, ...]], chosen: Format
) -> None:
    if chosen not in FOR_PEOPLE:
        return
    made = text(result(["a", "b"], *rows), chosen)
    assert not any(ord(letter) < 32 and letter != "\n" for letter in made)


@given(st.lists(st.tuples(st.text(alphabet="ab\n名é"), st.integers()), min_size=1, max_size=5))
def test_every_line_of_a_box_is_equally_wide(rows: list[tuple[object, ...]]) -> None:
    lines = text(result(["a", "b"], *rows), Format.BOX).splitlines()[:-2]
    assert len({width(line) for line in lines}) == 1
