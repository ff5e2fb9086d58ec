r"""COPY and `\copy`: which file or stream a statement is about, and how far it has come."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from mfdb.kernel.errors import OperationalError, SqlSyntax
from mfdb.sql.scanner import tokenise
from mfdb.sql.text_literals import unquote
from shell.literals import quoted_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mfdb.sql.automaton import Token
    from shell.sink import Sink

_PLACE = re.compile(r"""\s*('(?:[^']|'')*'|"[^"]*"|[^\s;]+)""")
_STREAMS = {"stdin": "STDIN", "pstdin": "STDIN", "stdout": "STDOUT", "pstdout": "STDOUT"}
_FORMATS = {".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
USAGE = "\\copy NAME or (QUERY) from or to FILE [(FORMAT csv, HEADER)]"


class Copy(NamedTuple):
    """A COPY statement: whether it loads, and the file it names (None: the standard streams)."""

    is_load: bool
    path: str | None


class Progress:
    """How much of a file has been read; `fraction` is None where its size is unknown."""

    def __init__(self, size_bytes: int | None) -> None:
        self._size_bytes = size_bytes
        self.fraction: float | None = 0.0 if size_bytes else None

    def __call__(self, _rows: int, bytes_so_far: int) -> None:
        """Note how far it is."""
        if self._size_bytes:
            self.fraction = bytes_so_far / self._size_bytes


class ResultStream(io.RawIOBase):
    """What COPY TO STDOUT writes goes where results go."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Any) -> int:
        """Take bytes."""
        self._sink.write_bytes(bytes(data))
        return len(data)


def copy_of(text: str) -> Copy | None:
    """Return what a statement copies, or None if it is no COPY."""
    try:
        tokens = tokenise(text)
    except SqlSyntax:
        return None  # it will not run
    if tokens[0].text.upper() != "COPY":
        return None
    place = _direction(tokens)
    if place is None:
        return None
    file = tokens[place + 1]
    path = unquote(file.text) if file.kind == "STRING" else None
    return Copy(tokens[place].kind == "FROM", path)


def _direction(tokens: Sequence[Token]) -> int | None:
    """Return where FROM or TO stands outside parentheses."""
    depth = 0
    for index, token in enumerate(tokens[:-1]):
        depth += {"(": 1, ")": -1}.get(token.kind, 0)
        if depth == 0 and token.kind in ("FROM", "TO"):
            return index
    return None


def size_of(path: str | None) -> int | None:
    """Return the size of a file in bytes, None if nobody knows."""
    if path is None:
        return None
    try:
        return Path(path).expanduser().stat().st_size
    except OSError:
        return None


class ClientCopy(NamedTuple):
    r"""A `\copy` as a statement over the standard streams, and the file on this side."""

    statement: str
    is_load: bool
    path: str | None


def client_copy(argument: str) -> ClientCopy:
    r"""Return what the argument of `\copy` means.

    Raises:
        SqlSyntax: it is not of the form `name from file ...` or `(query) to file ...`.
    """
    try:
        tokens = tokenise(argument.partition("\\")[0])
    except SqlSyntax as error:  # a file's name need not be SQL
        tokens = tokenise(argument[: error.position])
    place = _direction([*tokens, tokens[-1]])
    if not place:
        raise SqlSyntax("\\copy needs a name, FROM or TO, and a file", hint=f"usage: {USAGE}")
    word = tokens[place]
    found = _PLACE.match(argument, word.position + len(word.text))
    if found is None:
        raise SqlSyntax("the file is missing", hint=f"usage: {USAGE}")
    is_load = word.text.upper() == "FROM"
    name, rest = found[1], argument[found.end() :].strip().rstrip(";")
    path = None if name.lower() in _STREAMS else name.strip("'\"")
    stream = "STDIN" if is_load else "STDOUT"
    options = rest or _by_ending(path or "")
    head = argument[: word.position].strip()
    return ClientCopy(f"COPY {head} {word.text} {stream} {options}".strip(), is_load, path)


def _by_ending(path: str) -> str:
    """Return the options that a file's name implies; none for csv, which is the usual form."""
    form = _FORMATS.get(Path(path).suffix.lower())
    return f"(FORMAT {form})" if form else ""


@contextlib.contextmanager
def opened(path: str, *, is_load: bool) -> Iterator[IO[bytes]]:
    """Return a context with a file to read or write.

    Raises:
        OperationalError: it cannot be opened, or read or written to its end.
    """
    try:
        with Path(path).expanduser().open("rb" if is_load else "wb") as file:
            yield file
    except OSError as error:
        doing = "read" if is_load else "write"
        raise OperationalError(f"cannot {doing} {path[:200]}: {error.strerror}") from error


def header_of(path: str) -> list[str]:
    """Return the first record of a csv file.

    Raises:
        OperationalError: it cannot be read.
    """
    import csv

    with opened(path, is_load=True) as file:
        line = file.readline(2**16).decode("utf-8-sig", "replace")
    return next(csv.reader([line.rstrip("\r\n")]), [])


def load_statement(name: str, path: str, *, has_header: bool) -> str:
    """Return the COPY that loads a file."""
    options = " (HEADER)" if has_header else ""
    return f"COPY {name} FROM {quoted_text(path)}{options}"
