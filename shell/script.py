r"""From text to statements and meta commands, for the prompt, for files and for standard input.

A statement ends at its `;`, a meta command at the end of its line. As in psql, a meta command may
stand behind a statement and is then about it: `SELECT 1 \gx`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from mfdb.kernel.errors import SqlSyntax
from mfdb.sql.scanner import is_open, outside, skip, tokenise

_META = re.compile(r"\s*(\\\S|\.[a-z])")
_WORD = re.compile(r"[A-Za-z]+")
_HELP = re.compile(r"help(\s+[A-Za-z][A-Za-z ]*)?\Z", re.IGNORECASE)
BARE_WORDS = frozenset({"exit", "help", "quit", "clear", "cls", "?"})
"""Words that newcomers type without a backslash; no statement starts with them."""


class Entry(NamedTuple):
    """One thing to run, and the number of the line it starts on.

    `query` is the statement before a meta command that is about it; a statement has none.
    """

    text: str
    line: int
    query: str = ""


def is_meta(text: str) -> bool:
    r"""Return whether a text is a meta command: `\d`, `.tables`, a bare `quit` or `help select`.

    >>> is_meta("\\dt"), is_meta(".tables"), is_meta("quit"), is_meta("SELECT 1")
    (True, True, True, False)
    """
    if _META.match(text) is not None:
        return True
    bare = text.strip(" \t\r\n;")
    return bare.lower() in BARE_WORDS or _HELP.match(bare) is not None


def is_complete(text: str) -> bool:
    """Return whether Enter should run a text rather than start a new line."""
    stripped = text.rstrip()
    if not stripped or is_meta(stripped):
        return True
    return _ends_statement(stripped) or next(outside(stripped, "\\"), None) is not None


def lacks_only_its_end(text: str) -> bool:
    """Return whether a text is a whole statement but for its `;`."""
    from mfdb.sql.automaton import END
    from mfdb.sql.places import after

    if not text.strip() or is_complete(text) or is_open(text):
        return False
    try:
        tokens = tokenise(text)
    except SqlSyntax:
        return False
    states = after(tokens[:-1])
    return states is not None and END in states.accepted()


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
    try:
        found = _WORD.match(text, skip(text, 0))
    except SqlSyntax:
        return ""
    return found.group().upper() if found else ""


def entries_of(text: str, line: int = 1) -> list[Entry]:
    """Return what a text says to run; its last statement may lack the `;`."""
    if is_meta(text):
        head, _, rest = text.strip().partition("\n")
        first = Entry(head.strip(), line + _breaks_before(text))
        return [first, *entries_of(rest, first.line + 1)] if rest.strip() else [first]
    start = 0
    found: list[Entry] = []
    for place in outside(text, ";\\"):
        if place < start:
            continue  # inside the line of a meta command
        if text[place] == ";":
            found += _statement(text, start, place, line)
            start = place + 1
            continue
        query = "".join(entry.text for entry in _statement(text, start, place, line))
        end = text.find("\n", place)
        end = len(text) if end < 0 else end
        number = line + text.count("\n", 0, place)
        found.append(Entry(text[place:end].strip(), number, query))
        start = end
    return found + _statement(text, start, len(text), line)


def _breaks_before(text: str) -> int:
    return text[: len(text) - len(text.lstrip())].count("\n")


def _statement(text: str, start: int, end: int, line: int) -> list[Entry]:
    """Return the statement of a part of the text, or nothing if that is space and comments."""
    try:
        begin = skip(text[:end], start)
    except SqlSyntax:
        begin = start  # an open comment: parsing it reports the error in its place
    piece = text[begin:end].rstrip()
    return [Entry(piece, line + text.count("\n", 0, begin))] if piece else []


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
        if not line.rstrip().endswith(";") and "\\" not in line:
            return []
        text = "".join(self._lines)
        has_meta = "\\" in line and next(outside(text, "\\"), None) is not None
        return self.finish() if has_meta or _ends_statement(text) else []

    def finish(self) -> list[Entry]:
        """Return what is left, finished or not."""
        text, start = "".join(self._lines), self._start
        self._lines = []
        return entries_of(text, start) if text.strip() else []
