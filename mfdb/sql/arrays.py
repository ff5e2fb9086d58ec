"""Values of arrays: one dimension, any type but arrays inside, NULLs too.

The working and the stored form of an array is the canonical MessagePack of its elements' stored
forms. Equal arrays are equal bytes, but for elements that are equal and written differently (1.0
and 1.00, 30 days and a month): `key_of` is what is compared.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from mfdb.kernel.errors import BadType, InvalidText, NotSupportedError, ValueTooLarge
from mfdb.kernel.limits import ROW_BYTES
from mfdb.sql.types import NAMES, Scalar, SqlType, cut_short, fit, from_storage, to_storage

if TYPE_CHECKING:
    from collections.abc import Sequence

ELEMENTS = 1_000_000
"""Most elements of an array."""
_ONE_DIMENSION = "JSON holds lists of lists, as in '[[1, 2]]'::JSON"
_PLAIN = r'[^\s{}",\\]+'
_ITEM = (
    r'\s*(?:"((?:[^"\\]|\\.)*)"|((?:[^\s{}",\\]|\\.)(?:(?:[^{}",\\]|\\.)*(?:[^\s{}",\\]|\\.))?))'
    r"\s*(,|$)"
)
_OPENING = r"\s*(?:\[[-+]?\d+:[-+]?\d+\]\s*=\s*)"


class Array(list[object]):
    """An array as applications get it: a list, whose text is PostgreSQL's."""

    __slots__ = ("_text",)

    def __init__(self, values: Sequence[object], text: str) -> None:
        super().__init__(values)
        self._text = text

    def __str__(self) -> str:
        """Return the text that PostgreSQL writes."""
        return self._text

    def __reduce__(self) -> tuple[type[Array], tuple[list[object], str]]:
        """Return how to make a copy."""
        return Array, (list(self), self._text)


def array_of(kind: SqlType, position: int | None = None) -> SqlType:
    """Return the type of arrays of a type.

    Raises:
        NotSupportedError: that is one of arrays already.
    """
    if kind.family == "array":
        raise NotSupportedError("arrays have one dimension", hint=_ONE_DIMENSION, position=position)
    return SqlType(f"{kind.name}[]", "array", kind.numbers)


def element_of(kind: SqlType) -> SqlType:
    """Return the type of the elements of an array."""
    plain = NAMES[kind.name.removesuffix("[]").lower()]
    return SqlType(plain.name, plain.family, kind.numbers)


def encode(values: Sequence[Scalar]) -> bytes:
    """Return an array of working values.

    Raises:
        ValueTooLarge: it is longer than a row, or has too many elements.
    """
    if len(values) > ELEMENTS:
        raise ValueTooLarge(f"an array has at most {ELEMENTS} elements")
    data = msgspec.msgpack.encode([to_storage(value) for value in values])
    if len(data) > ROW_BYTES:
        raise ValueTooLarge(f"the result is over {ROW_BYTES} bytes")
    return data


def decode(array: bytes, element: SqlType) -> list[Any]:
    """Return the working values of an array."""
    values: list[Any] = msgspec.msgpack.decode(array)
    if element.family == "decimal":
        return [from_storage(value, element) for value in values]
    return values


# ---- texts


def text_of(array: bytes, kind: SqlType) -> str:
    """Return the text of an array, as PostgreSQL writes it."""
    element = element_of(kind)
    return f"{{{','.join([_written(one, element) for one in decode(array, element)])}}}"


def _written(value: Scalar, element: SqlType) -> str:
    if value is None:
        return "NULL"
    text = shown(value, element)
    if text.upper() != "NULL" and re.fullmatch(_PLAIN, text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def shown(value: Scalar, element: SqlType) -> str:
    """Return the text of an element, t and f for truths."""
    from mfdb.sql.convert import to_text

    return "ft"[value] if isinstance(value, bool) else to_text(value, element)


def read(text: str, kind: SqlType) -> bytes:
    """Return the array that a text spells.

    Raises:
        InvalidText: it spells none, or an element is none of the type.
        NotSupportedError: it has several dimensions, or says from where it counts.
    """
    from mfdb.sql.convert import parse_text

    element = element_of(kind)
    inside = text.strip()
    if re.match(_OPENING, inside):
        raise NotSupportedError("arrays count from 1", hint="write {1,2}")
    if inside[:1] != "{" or inside[-1:] != "}" or len(inside) < 2:
        raise _malformed(text, kind)
    inside = inside[1:-1].strip()
    if inside[:1] == "{":
        raise NotSupportedError("arrays have one dimension", hint=_ONE_DIMENSION)
    items = _items(inside)
    if items is None:
        raise _malformed(text, kind)
    return encode([None if one is None else parse_text(one, element) for one in items])


def _malformed(text: str, kind: SqlType) -> InvalidText:
    return InvalidText(f"{cut_short(text)!r} is no {kind}", hint='write {1,2}, or {"a b",NULL}')


def _items(inside: str) -> list[str | None] | None:
    """Return the texts of elements, None for NULL; None if they are not written as such."""
    if not inside:
        return []
    found: list[str | None] = []
    item = re.compile(_ITEM, re.DOTALL)
    place, comma = 0, ","
    while comma:
        match = item.match(inside, place)
        if match is None:
            return None
        quoted, plain, comma = match.groups()
        is_null = quoted is None and plain.upper() == "NULL"
        found.append(None if is_null else _unescaped(plain if quoted is None else quoted))
        place = match.end()
    return found


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL) if "\\" in text else text


# ---- what applications give and get


def accept(value: object, kind: SqlType) -> bytes:
    """Return what an application gives as an array: a list, or the text of one.

    Raises:
        BadType, InvalidText, NumberOutOfRange: it is none of that type.
    """
    from mfdb.sql.convert import to_working

    if isinstance(value, str):
        return read(value, kind)
    if not isinstance(value, list | tuple):
        raise BadType(f"{type(value).__name__} is no {kind}", hint="pass a list")
    element = element_of(kind)
    if len(value) > ELEMENTS:
        raise ValueTooLarge(f"an array has at most {ELEMENTS} elements")
    return encode([fit(to_working(one, element), element) for one in value])


def give(array: bytes, kind: SqlType) -> Array:
    """Return an array as applications get it."""
    from mfdb.sql.convert import to_python

    element = element_of(kind)
    values = [to_python(value, element) for value in decode(array, element)]
    return Array(values, text_of(array, kind))


# ---- order


def key_of(array: bytes, element: SqlType) -> str:
    """Return a text that compares as the array does: element by element, NULL above all."""
    return "".join([_key(value, element) for value in decode(array, element)]) + "0"


def _key(value: Any, element: SqlType) -> str:
    from mfdb.sql.interval import length
    from mfdb.sql.relational.physical import encode_decimal

    if value is None:
        return "2"
    if isinstance(value, bool):
        return f"1{int(value)}"
    if isinstance(value, int):
        return f"1{value + 2**63:020d}"
    if isinstance(value, float):
        return f"1{_float_key(value):020d}"
    if element.family == "decimal":
        return f"1{encode_decimal(value).partition('!')[0]} "
    if element.family == "interval":
        return f"1{length(value)}"
    text = value.hex() if isinstance(value, bytes) else value
    return "1" + text.replace("\0", "\0\1") + "\0\0"


def _float_key(value: float) -> int:
    """Return an integer that compares as a float does, NaN above all."""
    import struct

    if value != value:  # noqa: PLR0124 - NaN
        return 2**64
    (bits,) = struct.unpack(">Q", struct.pack(">d", value + 0.0))
    return int(bits) + 2**63 if bits < 2**63 else 2**64 - 1 - int(bits)
