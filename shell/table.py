"""Rows in columns: `table`, `box` and `vertical`, in blocks whose widths are measured together.

Most columns are short ASCII texts or numbers, so a block is looked at column by column: one test
tells whether any value of it needs escaping or has wide letters, and only then is each looked at.
"""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from shell.values import clipped, safe, safe_lines, shown, width

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from shell.settings import Look

    Rows = Iterable[Sequence[object]]
    Cell = list[str]

BLOCK_ROWS = 1000
"""Rows whose widths are measured together; a later block never gets narrower columns."""


class Frame(NamedTuple):
    """The lines of a table: what stands around cells, and the rules above, below and between.

    After each cell stands one letter more: a space, or `+` where its text goes on below.
    """

    left: str
    middle: str
    right: str
    rule: str
    cross: tuple[str, str, str]
    top: tuple[str, str, str] | None = None
    bottom: tuple[str, str, str] | None = None


PLAIN = Frame(" ", "| ", "", "-", ("-", "-+-", "-"))
BOX = Frame("│ ", "│ ", "│", "─", ("├─", "─┼─", "─┤"), ("┌─", "─┬─", "─┐"), ("└─", "─┴─", "─┘"))


class Column(NamedTuple):
    """A column of a block: its texts, whether one has several lines, width, side to stand on."""

    texts: list[str]
    has_lines: bool
    width: int
    right: bool


def blocks(rows: Rows, size: int = BLOCK_ROWS) -> Iterator[list[Sequence[object]]]:
    """Yield rows in lists of at most `size`."""
    source = iter(rows)
    while block := list(itertools.islice(source, size)):
        yield block


def table(frame: Frame) -> Callable[[Sequence[str], Rows, Look], Iterator[str]]:
    """Return a writer of tables in a frame."""

    def write(names: Sequence[str], rows: Rows, look: Look) -> Iterator[str]:
        heads = [safe(name) for name in names]
        widths = [width(head) for head in heads]
        rights: list[bool] = []
        started = False
        source = blocks(rows)
        for block in source:
            columns = [_column(values, look) for values in zip(*block, strict=True)]
            widths = [max(old, new.width) for old, new in zip(widths, columns, strict=True)]
            if not started:
                if look.screen_width and _is_wider(widths, look.screen_width):
                    yield from vertical(names, _again(block, source), look)
                    return
                rights = [column.right for column in columns]
                yield _head(frame, heads, widths, look)
                started = True
            yield _lines(frame, columns, widths, rights)
        if not started:
            yield _head(frame, heads, widths, look)
        if frame.bottom:
            yield _rule(frame, frame.bottom, widths)

    return write


def vertical(names: Sequence[str], rows: Rows, look: Look) -> Iterator[str]:
    """Yield one line for each value, a rule above each row."""
    heads = [safe(name) for name in names]
    size = max(map(width, heads))
    labels = [head + " " * (size - width(head)) for head in heads]
    below = "\n" + " " * size + " | "
    for number, row in enumerate(rows, start=1):
        lines = [] if look.tuples_only else [f"-[ row {number} ]".ljust(size + 3, "-")]
        for label, value in zip(labels, row, strict=True):
            texts = safe_lines(value) if isinstance(value, str) else [_shown(value, look)]
            lines.append(f"{label} | {below.join(texts)}".rstrip())
        yield "\n".join(lines) + "\n"


def _again(
    first: list[Sequence[object]], rest: Iterator[list[Sequence[object]]]
) -> Iterator[Sequence[object]]:
    yield from first
    for block in rest:
        yield from block


def _is_wider(widths: Sequence[int], screen: int) -> bool:
    return sum(widths) + 3 * len(widths) - 1 > screen


def _shown(value: object, look: Look) -> str:
    return look.null if value is None else shown(value)


def _column(values: Sequence[object], look: Look) -> Column:
    kinds = set(map(type, values))
    if kinds == {int}:
        texts = list(map(str, values))
        return Column(texts, has_lines=False, width=max(map(len, texts)), right=True)
    texts, has_lines = _texts(values, look, kinds)
    if look.column_width and max(map(len, texts)) > look.column_width:
        texts = [
            "\n".join(clipped(line, look.column_width) for line in text.split("\n"))
            for text in texts
        ]
    kinds.discard(type(None))
    right = bool(kinds) and kinds <= {int, float, Decimal}
    return Column(texts, has_lines=has_lines, width=_widest(texts), right=right)


def _texts(
    values: Sequence[object], look: Look, kinds: set[type[object]]
) -> tuple[list[str], bool]:
    """Return the safe text of each value, and whether one has line breaks (the only such left)."""
    raw = [look.null if value is None else _raw(value) for value in values]
    joined = "".join(raw)
    if joined.isascii() and joined.isprintable():
        return raw, False
    if str in kinds and "\n" in joined:
        return ["\n".join(safe_lines(text)) for text in raw], True
    return [safe(text) for text in raw], False


def _raw(value: object) -> str:
    return value if type(value) is str else shown(value)


def _widest(texts: Sequence[str]) -> int:
    joined = "".join(texts)
    if joined.isascii() and "\n" not in joined:
        return max(map(len, texts))
    return max(width(line) for text in texts for line in text.split("\n"))


def _head(frame: Frame, heads: Sequence[str], widths: Sequence[int], look: Look) -> str:
    top = _rule(frame, frame.top, widths) if frame.top else ""
    if look.tuples_only:
        return top
    padded = [head + " " * (size - width(head)) for head, size in zip(heads, widths, strict=True)]
    line = _line(frame, padded)
    return top + line + _rule(frame, frame.cross, widths)


def _rule(frame: Frame, ends: tuple[str, str, str], widths: Sequence[int]) -> str:
    left, middle, right = ends
    return left + middle.join(frame.rule * size for size in widths) + right + "\n"


def _line(frame: Frame, cells: Sequence[str]) -> str:
    return (frame.left + (" " + frame.middle).join(cells) + " " + frame.right).rstrip() + "\n"


def _lines(
    frame: Frame, columns: Sequence[Column], widths: Sequence[int], rights: Sequence[bool]
) -> str:
    """Return the lines of a block."""
    if any(column.has_lines for column in columns):
        rows = zip(*(column.texts for column in columns), strict=True)
        return "".join(_tall(frame, row, widths, rights) for row in rows)
    padded = [
        _padded(column.texts, size, right=right)
        for column, size, right in zip(columns, widths, rights, strict=True)
    ]
    between = " " + frame.middle
    if not frame.right:  # the last column needs no space after it
        return "".join(
            (frame.left + between.join(row)).rstrip() + "\n" for row in zip(*padded, strict=True)
        )
    end = " " + frame.right + "\n"
    return "".join(frame.left + between.join(row) + end for row in zip(*padded, strict=True))


def _padded(texts: Sequence[str], size: int, *, right: bool) -> list[str]:
    if right:
        return [text.rjust(size) for text in texts]
    if "".join(texts).isascii():
        return [text.ljust(size) for text in texts]
    return [text + " " * (size - width(text)) for text in texts]


def _tall(frame: Frame, row: Sequence[str], widths: Sequence[int], rights: Sequence[bool]) -> str:
    """Return a row of which a cell has several lines: `+` after each line that goes on."""
    cells = [text.split("\n") for text in row]
    lines = []
    for number in range(max(map(len, cells))):
        parts = []
        for cell, size, right in zip(cells, widths, rights, strict=True):
            text = cell[number] if number < len(cell) else ""
            space = " " * (size - width(text))
            mark = "+" if number + 1 < len(cell) else " "
            parts.append((space + text if right else text + space) + mark)
        line = frame.left + frame.middle.join(parts) + frame.right
        lines.append(line.rstrip() + "\n")
    return "".join(lines)
