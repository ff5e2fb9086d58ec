"""CSV as PostgreSQL reads and writes it: an empty value is NULL, a quoted empty one is a text.

Lines without a quote are cut by `str.split`; records with one are put together first (a quoted
value may hold line ends), then cut by one regular expression.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mfdb.kernel.errors import BadCopyData

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mfdb.client.copying.options import CopyOptions

RECORD_CHARACTERS = 64 * 2**20
"""A longer record is one whose quote was never closed."""

Record = tuple[int, "list[str | None]"]
"""The number of a record's first line, and its values; None is NULL."""


class CsvReader:
    """Cuts text into records."""

    def __init__(self, options: CopyOptions) -> None:
        self._options = options
        self._quote = options.quote
        quote, escape = re.escape(options.quote), re.escape(options.escape or options.quote)
        delimiter = re.escape(options.delimiter)
        if options.escape in ("", options.quote):
            inside = f"[^{quote}]*(?:{quote}{quote}[^{quote}]*)*"
            self._escaped = None
        else:
            inside = f"[^{quote}{escape}]*(?:{escape}.[^{quote}{escape}]*)*"
            self._escaped = re.compile(f"{escape}(.)", re.DOTALL)
        self._value = re.compile(
            f"(?:{quote}({inside}){quote}|([^{quote}{delimiter}]*))({delimiter}|$)", re.DOTALL
        )

    def records(self, chunks: Iterable[str]) -> Iterator[Record]:
        """Yield the records of a text.

        Raises:
            BadCopyData: a quote is not closed, or stands in the middle of a value.
        """
        quote, null, delimiter = self._quote, self._options.null, self._options.delimiter
        lines = _lines(chunks)
        for number, line in lines:
            if quote not in line:
                if not line:
                    yield number, []
                    continue
                values = line.split(delimiter)
                yield number, [None if value == null else value for value in values]
                continue
            yield number, self._quoted(self._whole(number, line, lines), number)

    def _whole(self, number: int, line: str, lines: Iterator[tuple[int, str]]) -> str:
        """Return a record with all lines that its quoted values span."""
        parts, size = [line], len(line)
        is_open = self._count(line) % 2 == 1
        while is_open:
            following = next(lines, None)
            size += 0 if following is None else len(following[1])
            if following is None or size > RECORD_CHARACTERS:
                raise BadCopyData(
                    f"a quote that line {number} opens is not closed",
                    hint=f"a {self._quote} inside a value is written twice",
                )
            parts.append(following[1])
            is_open ^= self._count(following[1]) % 2 == 1
        return "\n".join(parts)

    def _count(self, line: str) -> int:
        if self._escaped is not None:
            line = self._escaped.sub("", line)
        return line.count(self._quote)

    def _quoted(self, record: str, number: int) -> list[str | None]:
        values: list[str | None] = []
        place, match = 0, self._value.match
        while True:
            found = match(record, place)
            if found is None:
                raise BadCopyData(
                    f"line {number}: value {len(values) + 1} is quoted only in part",
                    hint=f"quote the whole value, and write a {self._quote} inside it twice",
                )
            quoted, plain, end = found.groups()
            if quoted is None:
                values.append(None if plain == self._options.null else plain)
            else:
                values.append(self._unescaped(quoted))
            place = found.end()
            if not end:
                return values

    def _unescaped(self, text: str) -> str:
        if self._escaped is not None:
            return self._escaped.sub(r"\1", text)
        return text.replace(self._quote * 2, self._quote)


def _lines(chunks: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield lines, numbered from 1, without their ends (LF or CR LF)."""
    number = 0
    waiting: list[str] = []
    for chunk in chunks:
        *whole, rest = chunk.split("\n")
        for line in whole:
            if waiting:
                line = "".join((*waiting, line))  # noqa: PLW2901 - the line goes on from there
                waiting = []
            number += 1
            yield number, line.removesuffix("\r")
        if rest:
            waiting.append(rest)
    if waiting:
        yield number + 1, "".join(waiting).removesuffix("\r")


class CsvWriter:
    """Writes rows of texts as CSV."""

    def __init__(self, options: CopyOptions, names: Sequence[str]) -> None:
        self._options = options
        self._names = names
        quote = options.quote
        special = re.escape(quote + options.delimiter + options.escape)
        self._special = re.compile(f"[{special}\r\n]")
        self._escape = options.escape or quote

    def begin(self) -> str:
        """Return what stands before the rows."""
        return self.row(self._names) if self._options.header else ""

    def end(self) -> str:
        """Return what stands behind the rows."""
        return ""

    def row(self, texts: Sequence[str | None]) -> str:
        """Return a row; None is NULL."""
        options, special = self._options, self._special.search
        cells = [
            options.null
            if text is None
            else self._quoted(text)
            if text == options.null or special(text)
            else text
            for text in texts
        ]
        return options.delimiter.join(cells) + "\n"

    def _quoted(self, text: str) -> str:
        quote, escape = self._options.quote, self._escape
        if escape != quote:
            text = text.replace(escape, escape * 2)
        return f"{quote}{text.replace(quote, escape + quote)}{quote}"


def texts_of(kinds: Sequence[str]) -> list[Callable[[Any], str | None]]:
    """Return what makes the SQL text of a value, for columns of these types."""
    from mfdb.sql.convert import to_text, to_working
    from mfdb.sql.types import parse_type

    def writer(kind: str) -> Callable[[Any], str | None]:
        known = parse_type(kind)
        if known.family == "text":
            return lambda value: value
        if known.family == "integer":
            return lambda value: None if value is None else str(value)
        return lambda value: None if value is None else to_text(to_working(value, known), known)

    return [writer(kind) for kind in kinds]
