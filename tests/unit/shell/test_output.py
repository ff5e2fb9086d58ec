"""Every format against its expected text, and against the parsers that read it back."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

import pytest

from shell.output import written
from shell.settings import FOR_PEOPLE, Format
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
