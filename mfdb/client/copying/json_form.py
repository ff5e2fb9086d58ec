"""JSON: one object a line, or one array of objects; keys are column names, numbers stay exact."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from mfdb.kernel.errors import BadCopyData
from mfdb.kernel.nesting import JSON_DEPTH, is_deep_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

OBJECT_CHARACTERS = 64 * 2**20
"""A longer object is one that was never closed."""
_SPACE = " \t\r\n"
_JSON = msgspec.json.Encoder(decimal_format="number")
Object = tuple[int, "dict[str, Any]"]
"""The number of an object, or of its line; and what it says."""


def read_lines(chunks: Iterable[str]) -> Iterator[Object]:
    """Yield the objects of a text that holds one a line.

    Raises:
        BadCopyData: a line is no object.
    """
    from mfdb.client.copying.csv_form import _lines

    decode = msgspec.json.Decoder(float_hook=Decimal).decode
    for number, line in _lines(chunks):
        if not line.strip():
            continue
        if is_deep_json(line):
            raise BadCopyData(f"line {number} is nested deeper than {JSON_DEPTH} levels")
        try:
            found = decode(line)
        except (msgspec.DecodeError, RecursionError) as error:
            raise BadCopyData(f"line {number} is no JSON: {error}") from None
        yield number, _object(found, f"line {number}")


def read_array(chunks: Iterable[str]) -> Iterator[Object]:
    """Yield the objects of one array, each as soon as it is whole.

    Raises:
        BadCopyData: the text is no array of objects.
    """
    buffer = _Buffer(chunks)
    if buffer.peek() != "[":
        raise BadCopyData("the text is no array of objects", hint="FORMAT jsonl is one a line")
    buffer.skip()
    number = 0
    while buffer.peek() != "]":
        number += 1
        yield number, _object(buffer.value(number), f"object {number}")
        mark = buffer.peek()
        if mark == ",":
            buffer.skip()
            if buffer.peek() == "]":
                raise BadCopyData(f"nothing follows the comma after object {number}")
        elif mark != "]":
            raise BadCopyData(f"neither a comma nor ] follows object {number}")
    buffer.skip()
    if buffer.peek():
        raise BadCopyData("something follows the array", hint="FORMAT jsonl is one a line")


def _object(found: Any, where: str) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise BadCopyData(f"{where} is no object", hint='write {"column": value, ...}')
    return found


class _Buffer:
    """Text that is read as far as it is needed."""

    def __init__(self, chunks: Iterable[str]) -> None:
        self._chunks = iter(chunks)
        self._text = ""
        self._at = 0
        self._decode = json.JSONDecoder(parse_float=Decimal, parse_constant=_constant).raw_decode

    def peek(self) -> str:
        """Return the next character that is no space, "" at the end."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _SPACE:
                    return self._text[self._at]
                self._at += 1
            if not self._more(1):
                return ""

    def skip(self) -> None:
        """Pass over one character."""
        self._at += 1

    def value(self, number: int) -> Any:
        """Return the next value; what is not whole yet is tried with twice as much text."""
        wanted = 1
        while True:
            if is_deep_json(self._text, self._at):
                raise BadCopyData(f"object {number} is nested deeper than {JSON_DEPTH} levels")
            try:
                found, end = self._decode(self._text, self._at)
            except (ValueError, RecursionError) as error:
                wanted = max(1, len(self._text) - self._at)
                if wanted > OBJECT_CHARACTERS or not self._more(wanted):
                    raise BadCopyData(f"object {number} is no JSON: {error}") from None
                continue
            if end < len(self._text) or not self._more(1):
                self._at = end
                return found

    def _more(self, least: int) -> bool:
        """Read on by about so many characters; return whether there were any."""
        parts = [self._text[self._at :]]
        size = 0
        for chunk in self._chunks:
            parts.append(chunk)
            size += len(chunk)
            if size >= least:
                break
        self._text, self._at = "".join(parts), 0
        return size > 0


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


class JsonWriter:
    """Writes rows as objects: one a line, or as one array."""

    def __init__(self, names: Sequence[str], kinds: Sequence[str], *, array: bool) -> None:
        from mfdb.client.copying.csv_form import texts_of

        self._keys = [_JSON.encode(name).decode() + ": " for name in names]
        texts = texts_of(kinds)
        self._texts = [
            None if _is_plain(kind) else text for kind, text in zip(kinds, texts, strict=True)
        ]
        self._raw = [kind == "JSON" for kind in kinds]
        self._array = array
        self._written = 0

    def begin(self) -> str:
        """Return what stands before the rows."""
        return "[" if self._array else ""

    def end(self) -> str:
        """Return what stands behind the rows."""
        return ("\n]\n" if self._written else "]\n") if self._array else ""

    def row(self, values: Sequence[Any]) -> str:
        """Return a row."""
        cells = zip(self._keys, values, self._texts, self._raw, strict=True)
        shown = "{" + ", ".join(key + _cell(*rest) for key, *rest in cells) + "}"
        self._written += 1
        if not self._array:
            return shown + "\n"
        return ("\n" if self._written == 1 else ",\n") + shown


def _is_plain(kind: str) -> bool:
    plain = ("SMALLINT", "INTEGER", "BIGINT", "BOOLEAN", "TEXT", "DECIMAL", "JSON", "VARCHAR")
    return kind.startswith(plain)


def _cell(value: Any, text: Any, raw: bool) -> str:  # noqa: FBT001 - one of a row of facts
    if value is None:
        return "null"
    if isinstance(value, float):
        return repr(value) if value - value == 0 else _JSON.encode(text(value)).decode()
    if isinstance(value, Decimal) and not value.is_finite():
        return f'"{value}"'
    if raw and isinstance(value, str):
        return value
    return _JSON.encode(value if text is None else text(value)).decode()
