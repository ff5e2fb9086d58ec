"""How deep MessagePack is nested, found without recursion, before anything is decoded.

msgspec recurses once per level and stops at the interpreter's recursion limit, which libraries
raise: with web3 loaded it is 100,000, and a message of 30 kB overflows the C stack and kills the
process (measured: msgspec 0.22, Python 3.11). A limit of our own also gives every node the same
answer, whatever it has on its stack. Only kinds with an untyped field need this; types bound the
depth of all others.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec
from msgspec import inspect

DEPTH = 64
"""Levels of arrays and maps; an expression has 32 (`mfdb.rules.expression`), its record a few."""

_SCALAR, _BYTES, _ARRAY, _MAP = range(4)


def _heads() -> list[tuple[int, int, int]]:
    """Return for every first byte: what follows, bytes of its head, its size or count if known."""
    heads = [(_SCALAR, 1, 0)] * 256
    heads[0x80:0x90] = [(_MAP, 1, count) for count in range(16)]
    heads[0x90:0xA0] = [(_ARRAY, 1, count) for count in range(16)]
    heads[0xA0:0xC0] = [(_SCALAR, 1 + size, 0) for size in range(32)]
    for first, payload in ((0xC4, 0), (0xC7, 1), (0xD9, 0)):  # bin, ext (and its type), str
        heads[first : first + 3] = [(_BYTES, 1 + width, payload) for width in (1, 2, 4)]
    for first, sizes in ((0xCA, (4, 8)), (0xCC, (1, 2, 4, 8)), (0xD0, (1, 2, 4, 8))):
        heads[first : first + len(sizes)] = [(_SCALAR, 1 + size, 0) for size in sizes]
    heads[0xD4:0xD9] = [(_SCALAR, 2 + size, 0) for size in (1, 2, 4, 8, 16)]
    heads[0xDC:0xDE] = [(_ARRAY, 3, -1), (_ARRAY, 5, -1)]
    heads[0xDE:0xE0] = [(_MAP, 3, -1), (_MAP, 5, -1)]
    return heads


_HEADS = _heads()


def is_deep(data: bytes, depth: int = DEPTH) -> bool:
    """Return whether arrays and maps are nested deeper than `depth`; about 0.2 us per element.

    What is cut short or malformed is not judged: the decoder says so.
    """
    left: list[int] = []
    at, size = 0, len(data)
    while at < size:
        kind, head, count = _HEADS[data[at]]
        if kind == _SCALAR:
            at += head
        elif kind == _BYTES:
            at += head + count + int.from_bytes(data[at + 1 : at + head], "big")
        else:
            if count < 0:
                count = int.from_bytes(data[at + 1 : at + head], "big")
            at += head
            left.append(1 + (2 * count if kind == _MAP else count))
            if len(left) > depth:
                return True
        while left:
            left[-1] -= 1
            if left[-1]:
                break
            left.pop()
    return False


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
