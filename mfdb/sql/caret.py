"""How an error is shown beside the statement that caused it."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mfdb.kernel.errors import MfdbError

WIDTH = 76
"""Columns of the statement's line that are shown around the caret."""


def explain_error(text: str, error: MfdbError) -> str:
    """Return the message, the line of the statement with a caret under the place, and the hint.

    ERROR 42601: syntax error at "FORM"
    LINE 2: select a FORM m
                     ^
    HINT: did you mean FROM?
    """
    lines = [f"ERROR {error.sqlstate}: {error.message}"]
    if error.position is not None and 0 <= error.position <= len(text):
        lines += _point(text, error.position)
    if error.hint:
        lines.append(f"HINT: {error.hint}")
    return "\n".join(lines)


def _point(text: str, position: int) -> list[str]:
    number = text.count("\n", 0, position) + 1
    start = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    line = text[start : end if end >= 0 else len(text)].rstrip("\r")
    column = position - start
    cut = max(0, column - WIDTH // 2) if len(line) > WIDTH else 0
    shown = line[cut : cut + WIDTH]
    before = "..." if cut else ""
    after = "..." if cut + WIDTH < len(line) else ""
    label = f"LINE {number}: {before}"
    gap = len(label) + sum(_cells(letter) for letter in shown[: column - cut])
    return [label + _printable(shown) + after, " " * gap + "^"]


def _printable(line: str) -> str:
    """Tabs as a space, control characters as a dot: a statement must not steer a terminal."""
    return "".join(
        " " if letter == "\t" else "." if unicodedata.category(letter)[0] == "C" else letter
        for letter in line
    )


def _cells(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1
