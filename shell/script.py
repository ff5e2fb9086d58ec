"""From lines to statements and meta commands, for the prompt, for files and for standard input."""

from __future__ import annotations

import re
from typing import NamedTuple

from mfdb.kernel.errors import SqlSyntax
from mfdb.sql.scanner import is_open, skip, split, tokenise

_META = re.compile(r"\s*(\\\S|\.[a-z])")
_WORD = re.compile(r"[A-Za-z]+")
BARE_WORDS = frozenset({"exit", "help", "quit"})
"""Words that newcomers type without a backslash; no statement starts with them."""


class Entry(NamedTuple):
    """One thing to run, and the number of the line it starts on."""

    text: str
    line: int


def is_meta(text: str) -> bool:
    r"""Return whether a text is a meta command: `\d`, `.tables`, or a bare `quit`.

    >>> is_meta("\\dt"), is_meta(".tables"), is_meta("quit"), is_meta("SELECT 1")
    (True, True, True, False)
    """
    return _META.match(text) is not None or text.strip(" \t\r\n;").lower() in BARE_WORDS


def is_complete(text: str) -> bool:
    """Return whether Enter should run a text rather than start a new line."""
    stripped = text.rstrip()
    if not stripped or is_meta(stripped):
        return True
    return _ends_statement(stripped)


def _ends_statement(text: str) -> bool:
    """Return whether the last thing in a text is the `;` that ends a statement."""
    if not text.rstrip().endswith(";") or is_open(text):
        return False
    try:
        tokens = tokenise(text)
    except SqlSyntax:
        return True  # waiting would not mend it: let the error be reported
    return len(tokens) > 1 and tokens[-2].kind == ";"


def first_word(text: str) -> str:
    """Return the first word of a statement in upper case, past space and comments, or ''."""
    found = _WORD.match(text, skip(text, 0))
    return found.group().upper() if found else ""


class ScriptReader:
    """Cuts a stream of lines into entries; holds no more than one unfinished statement."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._start = 1
        self._next = 1

    def feed(self, line: str) -> list[Entry]:
        """Return the entries that this line (with its line break) completes."""
        number = self._next
        self._next += 1
        if not self._lines:
            self._start = number
            if not line.strip():
                return []
            if is_meta(line):
                return [Entry(line.strip(), number)]
        self._lines.append(line)
        if not line.rstrip().endswith(";"):
            return []
        return self.finish() if _ends_statement("".join(self._lines)) else []

    def finish(self) -> list[Entry]:
        """Return what is left, finished or not."""
        text, start = "".join(self._lines), self._start
        self._lines = []
        return [
            Entry(piece.text, start + text.count("\n", 0, piece.offset)) for piece in split(text)
        ]
