"""Functions of texts and bytes, with PostgreSQL's answers at the edges.

Lengths are bounded before anything is built.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from mfdb.kernel.errors import InvalidParameter, InvalidSubstring, ValueTooLarge
from mfdb.kernel.limits import ROW_BYTES
from mfdb.sql.overload import Overload
from mfdb.sql.quoting import quote_ident
from mfdb.sql.types import BYTEA, INTEGER, TEXT

if TYPE_CHECKING:
    from collections.abc import Callable

_LAST_LETTER = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)


def _bounded(length: int) -> int:
    if length > ROW_BYTES:
        raise ValueTooLarge(f"the result is over {ROW_BYTES} bytes")
    return length


def joined(separator: str, parts: list[str]) -> str:
    """Return texts as one, with a separator between them.

    Raises:
        ValueTooLarge: it would be longer than a row.
    """
    _bounded(sum(map(len, parts)) + len(separator) * max(len(parts) - 1, 0))
    return separator.join(parts)


def _left(text: str, count: int) -> str:
    """A negative count leaves out so many at the end."""
    return text[:count]


def _right(text: str, count: int) -> str:
    """A negative count leaves out so many at the beginning."""
    return text[-count:] if count else ""


def _padding(text: str, length: int, fill: str) -> str:
    missing = _bounded(length) - len(text)
    if missing <= 0 or not fill:
        return ""
    return (fill * (missing // len(fill) + 1))[:missing]


def _lpad(text: str, length: int, fill: str = " ") -> str:
    return (_padding(text, length, fill) + text)[: max(length, 0)]


def _rpad(text: str, length: int, fill: str = " ") -> str:
    return (text + _padding(text, length, fill))[: max(length, 0)]


def _split_part(text: str, delimiter: str, place: int) -> str:
    if place == 0:
        raise InvalidParameter("split_part has no field 0", hint="fields count from 1, or from -1")
    parts = text.split(delimiter) if delimiter else [text]
    index = place - 1 if place > 0 else place + len(parts)
    return parts[index] if 0 <= index < len(parts) else ""


def _initcap(text: str) -> str:
    letters, inside = [], False
    for letter in text:
        letters.append(letter.lower() if inside else letter.upper())
        inside = letter.isalnum()
    return "".join(letters)


def _ascii(text: str) -> int:
    return ord(text[0]) if text else 0


def _chr(code: int) -> str:
    if not 0 < code <= _LAST_LETTER or code in _SURROGATES:
        raise InvalidParameter("no character has that number", hint="Unicode runs to 1114111")
    return chr(code)


def _translate(text: str, old: str, new: str) -> str:
    table: dict[int, str | None] = {}
    for place, letter in enumerate(old):
        table.setdefault(ord(letter), new[place] if place < len(new) else None)
    return text.translate(table)


def _overlay(text: str, part: str, start: int, count: int | None = None) -> str:
    if start <= 0:
        raise InvalidSubstring("overlay starts at 1", hint="characters count from 1")
    end = start - 1 + (len(part) if count is None else count)
    head, tail = text[: start - 1], text[max(end, 0) :]
    _bounded(len(head) + len(part) + len(tail))
    return head + part + tail


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _hash(name: str) -> list[Overload]:
    make: Callable[[bytes], hashlib._Hash] = getattr(hashlib, name)
    return [Overload(("bytes",), BYTEA, lambda data: make(data).digest())]


def _pad(pad: Callable[..., str]) -> list[Overload]:
    return [
        Overload(("text", "integer"), TEXT, pad),
        Overload(("text", "integer", "text"), TEXT, pad),
    ]


TEXT_FUNCTIONS: dict[str, list[Overload]] = {
    "left": [Overload(("text", "integer"), TEXT, _left)],
    "right": [Overload(("text", "integer"), TEXT, _right)],
    "lpad": _pad(_lpad),
    "rpad": _pad(_rpad),
    "reverse": [Overload(("text",), TEXT, lambda text: text[::-1])],
    "split_part": [Overload(("text", "text", "integer"), TEXT, _split_part)],
    "initcap": [Overload(("text",), TEXT, _initcap)],
    "ascii": [Overload(("text",), INTEGER, _ascii)],
    "chr": [Overload(("integer",), TEXT, _chr)],
    "translate": [Overload(("text", "text", "text"), TEXT, _translate)],
    "overlay": [
        Overload(("text", "text", "integer"), TEXT, _overlay),
        Overload(("text", "text", "integer", "integer"), TEXT, _overlay),
    ],
    "to_hex": [Overload(("integer",), TEXT, lambda value: f"{value & (2**64 - 1):x}")],
    "quote_ident": [Overload(("text",), TEXT, quote_ident)],
    "md5": [
        Overload(("text",), TEXT, lambda text: _md5(text.encode("utf-8", "surrogatepass"))),
        Overload(("bytes",), TEXT, _md5),
    ],
    "sha224": _hash("sha224"),
    "sha256": _hash("sha256"),
    "sha384": _hash("sha384"),
    "sha512": _hash("sha512"),
}
