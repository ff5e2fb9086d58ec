"""Results as text, written as they are made: nothing holds more than one block of rows.

Measured on 10,000 rows of five columns: about 40 ms for a table here, 5.6 s with rich, which is
why the writers are our own (docs/adr/0002).
"""

from __future__ import annotations

import csv
import io
import itertools
import json
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from shell.settings import FOR_PEOPLE, Format
from shell.values import exact, json_text, plain, safe, shown, width

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from shell.database import Result

    Writer = Callable[[Sequence[str], Iterable[Sequence[object]]], Iterator[str]]

BLOCK_ROWS = 1000
"""Rows whose widths are measured together; a later block never gets narrower columns."""


class Frame(NamedTuple):
    """The lines of a table: how cells are joined, and the rules above, below and between."""

    left: str
    middle: str
    right: str
    rule: str
    cross: tuple[str, str, str]
    top: tuple[str, str, str] | None = None
    bottom: tuple[str, str, str] | None = None


PLAIN = Frame(" ", " | ", "", "-", ("-", "-+-", "-"))
BOX = Frame("│ ", " │ ", " │", "─", ("├─", "─┼─", "─┤"), ("┌─", "─┬─", "─┐"), ("└─", "─┴─", "─┘"))


def written(result: Result, chosen: Format, *, colour: bool = False) -> Iterator[str]:
    """Yield the text of a result in a format, in pieces that end in a line break."""
    names = [column.name for column in result.columns]
    if names:
        yield from _WRITERS[chosen](names, result.rows)
    if chosen in FOR_PEOPLE:
        yield _footer(result, has_rows=bool(names), colour=colour)
    elif chosen is Format.JSON and not names:
        yield json_text({"tag": result.tag}) + "\n"


def _footer(result: Result, *, has_rows: bool, colour: bool) -> str:
    if not has_rows:
        return f"{result.tag}\n"
    count = len(result.rows)
    text = f"({count} row{'' if count == 1 else 's'})"
    return f"\x1b[2m{text}\x1b[0m\n\n" if colour else f"{text}\n\n"


def _table(frame: Frame) -> Writer:
    def write(names: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
        heads = [safe(name) for name in names]
        widths = [width(head) for head in heads]
        started = False
        for block in _blocks(rows):
            cells = [[shown(value) for value in row] for row in block]
            for index, column in enumerate(zip(*cells, strict=True)):
                widths[index] = max(widths[index], *map(width, column))
            if not started:
                yield _head(frame, heads, widths)
                numbers = [_all_numbers(column) for column in zip(*block, strict=True)]
                started = True
            yield "".join(_line(frame, row, widths, numbers) for row in cells)
        if not started:
            yield _head(frame, heads, widths)
        if frame.bottom:
            yield _rule(frame, frame.bottom, widths)

    return write


def _blocks(rows: Iterable[Sequence[object]]) -> Iterator[list[Sequence[object]]]:
    source = iter(rows)
    while block := list(itertools.islice(source, BLOCK_ROWS)):
        yield block


def _all_numbers(column: Iterable[object]) -> bool:
    found = [value for value in column if value is not None]
    return bool(found) and all(
        isinstance(value, int | float | Decimal) and not isinstance(value, bool) for value in found
    )


def _head(frame: Frame, heads: Sequence[str], widths: Sequence[int]) -> str:
    top = _rule(frame, frame.top, widths) if frame.top else ""
    line = _line(frame, heads, widths, [False] * len(heads))
    return top + line + _rule(frame, frame.cross, widths)


def _rule(frame: Frame, ends: tuple[str, str, str], widths: Sequence[int]) -> str:
    left, middle, right = ends
    return left + middle.join(frame.rule * size for size in widths) + right + "\n"


def _line(
    frame: Frame, cells: Sequence[str], widths: Sequence[int], numbers: Sequence[bool]
) -> str:
    padded = []
    for cell, size, right in zip(cells, widths, numbers, strict=True):
        space = " " * (size - width(cell))
        padded.append(space + cell if right else cell + space)
    return (frame.left + frame.middle.join(padded) + frame.right).rstrip() + "\n"


def _vertical(names: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    heads = [safe(name) for name in names]
    size = max(map(width, heads))
    labels = [head + " " * (size - width(head)) for head in heads]
    for number, row in enumerate(rows, start=1):
        lines = [f"-[ row {number} ]".ljust(size + 3, "-")]
        lines += [
            f"{label} | {shown(value)}".rstrip() for label, value in zip(labels, row, strict=True)
        ]
        yield "\n".join(lines) + "\n"


def _markdown(names: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    yield _markdown_line(safe(name) for name in names)
    yield _markdown_line("---" for _ in names)
    for row in rows:
        yield _markdown_line(shown(value) for value in row)


def _markdown_line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _separated(delimiter: str) -> Writer:
    def write(names: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
        yield _separated_lines([names], delimiter)
        for block in _blocks(rows):
            yield _separated_lines(block, delimiter)

    return write


def _separated_lines(rows: Iterable[Sequence[object]], delimiter: str) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator="\n")
    writer.writerows([exact(value) for value in row] for row in rows)
    return buffer.getvalue()


def _json(names: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    start = "["
    for row in rows:
        yield f"{start}{_object(names, row)}"
        start = ",\n "
    yield "[]\n" if start == "[" else "]\n"


def _json_lines(names: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    for row in rows:
        yield _object(names, row) + "\n"


def _object(names: Sequence[str], row: Sequence[object]) -> str:
    """Return a row as a JSON object; of two columns with one name both are kept, numbered."""
    made: dict[str, object] = {}
    for name, value in zip(names, row, strict=True):
        key, number = name, 1
        while key in made:
            number += 1
            key = f"{name}_{number}"
        made[key] = plain(value)
    return json.dumps(made, ensure_ascii=False)


_WRITERS: dict[Format, Writer] = {
    Format.TABLE: _table(PLAIN),
    Format.BOX: _table(BOX),
    Format.VERTICAL: _vertical,
    Format.CSV: _separated(","),
    Format.TSV: _separated("\t"),
    Format.JSON: _json,
    Format.JSONL: _json_lines,
    Format.MARKDOWN: _markdown,
}
