"""Results as text, written as they are made: nothing holds more than one block of rows.

Measured on 10,000 rows of five columns: about 25 ms for a table here, 5.6 s with rich, which is
why the writers are our own (docs/adr/0002).
"""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

from shell.literals import insert_into
from shell.settings import FOR_PEOPLE, Format, Look
from shell.table import BOX, PLAIN, blocks, table, vertical
from shell.values import exact, json_text, plain, safe, safe_lines, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from shell.database import Result

    Rows = Iterable[Sequence[object]]
    Writer = Callable[[Sequence[str], Rows, Look], Iterator[str]]

_PLAIN_LOOK = Look()


def written(result: Result, chosen: Format, look: Look = _PLAIN_LOOK) -> Iterator[str]:
    """Yield the text of a result in a format, in pieces that end in a line break."""
    names = [column.name for column in result.columns]
    if names:
        yield from _WRITERS[chosen](names, result.rows, look)
    if look.tuples_only:
        return
    if chosen in FOR_PEOPLE:
        yield from _footer(result, look, has_rows=bool(names))
    elif chosen is Format.JSON and not names:
        yield json_text({"tag": result.tag}) + "\n"


def _footer(result: Result, look: Look, *, has_rows: bool) -> Iterator[str]:
    if not has_rows:
        if not look.quiet:
            yield f"{result.tag}\n"
        return
    count = len(result.rows)
    text = f"({count} row{'' if count == 1 else 's'})"
    yield f"\x1b[2m{text}\x1b[0m\n\n" if look.colour else f"{text}\n\n"


def _markdown(names: Sequence[str], rows: Rows, look: Look) -> Iterator[str]:
    if not look.tuples_only:
        yield _markdown_line(safe(name) for name in names)
        yield _markdown_line("---" for _ in names)
    for row in rows:
        yield _markdown_line(_markdown_cell(value, look) for value in row)


def _markdown_cell(value: object, look: Look) -> str:
    if value is None:
        return look.null
    return "<br>".join(safe_lines(value)) if isinstance(value, str) else shown(value)


def _markdown_line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _html(names: Sequence[str], rows: Rows, look: Look) -> Iterator[str]:
    from html import escape

    def line(tag: str, cells: Iterable[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>\n"

    yield "<table>\n"
    if not look.tuples_only:
        yield line("th", (safe(name) for name in names))
    for row in rows:
        yield line("td", (look.null if value is None else shown(value) for value in row))
    yield "</table>\n"


def _separated(delimiter: str) -> Writer:
    def write(names: Sequence[str], rows: Rows, look: Look) -> Iterator[str]:
        if not look.tuples_only:
            yield _separated_lines([names], delimiter)
        for block in blocks(rows):
            yield _separated_lines(block, delimiter)

    return write


def _separated_lines(rows: Iterable[Sequence[object]], delimiter: str) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator="\n")
    writer.writerows([exact(value) for value in row] for row in rows)
    return buffer.getvalue()


def _json(names: Sequence[str], rows: Rows, _look: Look) -> Iterator[str]:
    start = "["
    for row in rows:
        yield f"{start}{_object(names, row)}"
        start = ",\n "
    yield "[]\n" if start == "[" else "]\n"


def _json_lines(names: Sequence[str], rows: Rows, _look: Look) -> Iterator[str]:
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
    Format.TABLE: table(PLAIN),
    Format.BOX: table(BOX),
    Format.VERTICAL: vertical,
    Format.CSV: _separated(","),
    Format.TSV: _separated("\t"),
    Format.JSON: _json,
    Format.JSONL: _json_lines,
    Format.MARKDOWN: _markdown,
    Format.INSERT: insert_into,
    Format.HTML: _html,
}
