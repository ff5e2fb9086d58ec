"""How deep MessagePack is nested, found without recursion, before anything is decoded.

msgspec recurses once per level and stops at the interpreter's recursion limit, which libraries
raise: with web3 loaded it is 100,000, and a message of 30 kB overflows the C stack and kills the
process (measured: msgspec 0.22, Python 3.11). A limit of our own also gives every node the same
answer, whatever it has on its stack. Only kinds with an untyped field need this; types bound the
depth of all others.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import inspect

DEPTH = 64
"""Levels of arrays and maps; an expression has 32 (`mfdb.rules.expression`), its record a few."""

_BIN8 = 0xC4


def _scalars() -> list[int]:
    """Return for every first byte how many bytes such an element has; 0 if they vary."""
    sizes = [1] * 256
    sizes[0x80:0xA0] = [0] * 32
    sizes[0xA0:0xC0] = [1 + size for size in range(32)]
    sizes[0xC4:0xCA] = [0] * 6
    sizes[0xCA:0xD4] = [1 + size for size in (4, 8, 1, 2, 4, 8, 1, 2, 4, 8)]
    sizes[0xD4:0xD9] = [2 + size for size in (1, 2, 4, 8, 16)]
    sizes[0xD9:0xE0] = [0] * 7
    return sizes


_SCALARS = _scalars()
_EXT_TYPE_BYTES = 1
_PAYLOADS = {
    first + place: (width, extra)
    for first, extra in ((0xC4, 0), (0xC7, _EXT_TYPE_BYTES), (0xD9, 0))  # bin, ext, str
    for place, width in enumerate((1, 2, 4))
}
"""First byte -> bytes of the length that follows, bytes beside the payload."""


def is_deep(data: bytes, depth: int = DEPTH) -> bool:
    """Return whether arrays and maps are nested deeper than `depth`; about 0.3 us per element.

    What is cut short or malformed is not judged: the decoder says so.
    """
    outer: list[int] = []
    left = 1
    at, size = 0, len(data)
    while at < size:
        first = data[at]
        skip = _SCALARS[first]
        if skip:
            at += skip
        elif first == _BIN8:
            at += 2 + int.from_bytes(data[at + 1 : at + 2], "big")
        elif first in _PAYLOADS:
            width, extra = _PAYLOADS[first]
            at += 1 + width + extra + int.from_bytes(data[at + 1 : at + 1 + width], "big")
        else:
            if len(outer) == depth:
                return True
            outer.append(left)
            count, head = _count(data, at)
            at += head
            left = count + 1
        left -= 1
        while not left and outer:
            left = outer.pop() - 1
    return False


def _count(data: bytes, at: int) -> tuple[int, int]:
    """Return how many elements an array or map holds, and the bytes of its head."""
    first = data[at]
    if first < 0xA0:
        return (first & 0x0F) * (1 if first >= 0x90 else 2), 1
    width = 2 if first in (0xDC, 0xDE) else 4
    count = int.from_bytes(data[at + 1 : at + 1 + width], "big")
    return count * (1 if first < 0xDE else 2), 1 + width


@lru_cache(maxsize=256)
def is_untyped(kind: Any) -> bool:
    """Return whether values of a type may hold anything at all somewhere inside."""
    return _is_untyped(inspect.type_info(kind))


def _is_untyped(info: inspect.Type) -> bool:
    if isinstance(info, inspect.AnyType):
        return True
    return any(_is_untyped(part) for part in _parts(info))


def _parts(info: inspect.Type) -> list[inspect.Type]:
    """Return the types directly inside a type."""
    if isinstance(info, inspect.StructType):
        return [field.type for field in info.fields]
    inside = [getattr(info, name) for name in info.__struct_fields__] if _is_struct(info) else []
    found: list[inspect.Type] = []
    for part in inside:
        found += part if isinstance(part, tuple) else [part]
    return [part for part in found if isinstance(part, inspect.Type)]


def _is_struct(info: object) -> bool:
    return isinstance(info, msgspec.Struct)


JSON_DEPTH = 256
"""Levels of JSON at most. Decoders recur in C, and who raises Python's limit takes their guard."""
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\Z)|[\[\]{}]', re.DOTALL)


def is_deep_json(text: str, start: int = 0) -> bool:
    """Return whether the value that begins at `start` is nested deeper than `JSON_DEPTH` levels."""
    depth = 0
    for token in _JSON_TOKEN.finditer(text, start):
        kind = text[token.start()]
        if kind in "[{":
            depth += 1
        elif kind in "]}":
            depth -= 1
        if depth > JSON_DEPTH or depth <= 0:
            return depth > 0
    return False
