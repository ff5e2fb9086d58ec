"""Order-preserving keys: `pack(a, b) < pack(c, d)` exactly when `(a, b) < (c, d)`.

A composite key is the concatenation of its parts. No part's encoding is the beginning of another
part's, so that `pack(a)` is a prefix of `pack(a, b)` and of no key whose first part differs: a
prefix scan over `pack(a)` finds the keys whose first part is `a` and nothing else.

Order within one column, ascending (PostgreSQL's): False, True; numbers by value; texts by code
point; byte strings by byte; None last. `Desc(value)` turns the order round (None first). Types are
not compared with each other by value: all ints come before all floats before all Decimals, as a
column has one type. Rulings: -0.0 is 0.0; NaN (float or Decimal, quiet or not) sorts after
infinity and equals itself; Decimals equal by value have one key, so 1.0 comes back as 1.

One part, first byte (the tag) first:

    False 0x10 | True 0x11
    int     0x40 + n (n < 0 for negative ones), |n| bytes of magnitude, complemented if negative
    float   0x62, 8 bytes IEEE 754, sign bit flipped (all bits if negative)
    Decimal 0x64, class byte, then for finite ones an int part (exponent) and digit pairs
    str     0x66, UTF-8 escaped | bytes 0x68, escaped; 0x00 becomes 0x00 0xFF, the end is 0x00 0x01
    None    0x70

`Desc` complements every byte of a part, which makes its tag 0x80 or more.
"""

from __future__ import annotations

import math
import struct
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from mfdb.kernel.errors import BadType, CorruptRecord, NumberOutOfRange

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Plain = None | bool | int | float | str | bytes | Decimal
"""What a part of a key can be."""

INT_BYTES = 32
"""Integers from -(2**256 - 1) to 2**256 - 1 can be packed."""

_FALSE, _TRUE = 0x10, 0x11
_INT_ZERO = 0x40
_FLOAT, _DECIMAL, _STR, _BYTES, _NONE = 0x62, 0x64, 0x66, 0x68, 0x70
_DESC = 0x80

_MINUS_INFINITY, _NEGATIVE, _ZERO, _POSITIVE, _INFINITY, _NOT_A_NUMBER = range(6)

_FLIP = bytes(255 - n for n in range(256))
_END = b"\x00\x01"
_ESCAPED_ZERO = b"\x00\xff"
_SIGN_BIT = 1 << 63
_ALL_BITS = (1 << 64) - 1
_NAN_BYTES = b"\xff" * 8
_DOUBLE = struct.Struct(">d")
_U64 = struct.Struct(">Q")
_TAGGED_DOUBLE = struct.Struct(">Bd")
_COMMON = 2**64
_INT_HEADS = tuple(bytes((_INT_ZERO + size,)) for size in range(9))
_EXPONENT_LIMIT = 10**18


class Desc(msgspec.Struct, frozen=True):
    """A part that sorts in descending order."""

    value: Plain


def pack(*parts: Plain | Desc) -> bytes:
    """Return the key whose byte order is the order of the parts.

    Raises:
        BadType: a part is of a type that has no order here.
        NumberOutOfRange: an integer needs more than `INT_BYTES`.
    """
    return b"".join([_pack_part(part) for part in parts])


def pack_column(values: Sequence[Plain]) -> list[bytes]:
    """Return `pack(value)` of each value; values of one type take a third of the time.

    Raises:
        BadType, NumberOutOfRange: as `pack` does.
    """
    kinds = set(map(type, values))
    quick = _COLUMNS.get(kinds.pop()) if len(kinds) == 1 else None
    return [_pack_part(value) for value in values] if quick is None else quick(values)


def unpack(key: bytes) -> tuple[Plain, ...]:
    """Return the parts of a key, those packed with `Desc` as their plain values.

    Raises:
        CorruptRecord: no `pack` made these bytes.
    """
    parts: list[Plain] = []
    position = 0
    try:
        while position < len(key):
            part, position = _unpack_part(key, position)
            parts.append(part)
    except (IndexError, ValueError, struct.error) as error:
        raise CorruptRecord(f"a key is damaged at byte {position}") from error
    if pack(*_turned_as(key, parts)) != key:
        raise CorruptRecord("a key is not in its one form")
    return tuple(parts)


def prefix_end(prefix: bytes) -> bytes | None:
    """Return the least key above all keys that begin with `prefix`; None if there is no such key.

    >>> prefix_end(b"ab")
    b'ac'
    """
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else None


# ---- packing


def _pack_part(part: Plain | Desc) -> bytes:
    packer = _PACKERS.get(type(part))
    if packer is not None:
        return packer(part)
    for kind, known in _PACKERS.items():  # subclasses: enums, numpy's float64, named strings
        if isinstance(part, kind):
            return known(part)
    raise BadType(f"a {type(part).__name__} cannot be part of a key")


def _pack_none(_value: None) -> bytes:
    return b"\x70"


def _pack_bool(value: bool) -> bytes:  # noqa: FBT001 - the value to pack, not a switch
    return b"\x11" if value else b"\x10"


def _pack_int(value: int) -> bytes:
    size = (value.bit_length() + 7) >> 3
    if size > INT_BYTES:
        raise NumberOutOfRange(f"an integer of {size} bytes cannot be part of a key")
    if value >= 0:
        return bytes((_INT_ZERO + size,)) + value.to_bytes(size, "big")
    return bytes((_INT_ZERO - size,)) + (-value).to_bytes(size, "big").translate(_FLIP)


def _pack_float(value: float) -> bytes:
    if value != value:  # noqa: PLR0124 - the quickest test for NaN
        return b"\x62" + _NAN_BYTES
    (bits,) = _U64.unpack(_DOUBLE.pack(value + 0.0))  # -0.0 + 0.0 is 0.0
    return b"\x62" + _U64.pack(bits ^ (_ALL_BITS if bits & _SIGN_BIT else _SIGN_BIT))


def _pack_decimal(value: Decimal) -> bytes:
    head = bytes((_DECIMAL, _decimal_class(value)))
    if head[1] not in (_NEGATIVE, _POSITIVE):
        return head
    _, digits, exponent = value.as_tuple()
    text = "".join(map(str, digits)).lstrip("0")
    # The value is 0.text * 10**scale; the scale orders first, then the digits, read as pairs.
    scale = len(text) + int(exponent)
    text = text.rstrip("0")
    text += "0" * (len(text) & 1)
    pairs = bytes(int(text[i : i + 2]) + 1 for i in range(0, len(text), 2)) + b"\x00"
    body = _pack_int(scale) + pairs
    return head + (body if head[1] == _POSITIVE else body.translate(_FLIP))


def _decimal_class(value: Decimal) -> int:
    if value.is_nan():
        return _NOT_A_NUMBER
    if value.is_infinite():
        return _MINUS_INFINITY if value.is_signed() else _INFINITY
    if value.is_zero():
        return _ZERO
    return _NEGATIVE if value.is_signed() else _POSITIVE


def _pack_str(value: str) -> bytes:
    try:
        raw = value.encode()
    except UnicodeEncodeError as error:
        raise BadType("a text with half a surrogate pair cannot be part of a key") from error
    return b"\x66" + raw.replace(b"\x00", _ESCAPED_ZERO) + _END


def _pack_bytes(value: bytes) -> bytes:
    return b"\x68" + value.replace(b"\x00", _ESCAPED_ZERO) + _END


def _pack_desc(part: Desc) -> bytes:
    if isinstance(part.value, Desc):
        raise BadType("a descending part holds a plain value")
    return _pack_part(part.value).translate(_FLIP)


def _pack_ints(values: Sequence[int]) -> list[bytes]:
    if min(values) < 0 or max(values) >= _COMMON:
        return list(map(_pack_int, values))
    heads = _INT_HEADS
    return [
        heads[size := (value.bit_length() + 7) >> 3] + value.to_bytes(size, "big")
        for value in values
    ]


def _pack_floats(values: Sequence[float]) -> list[bytes]:
    """A positive number with its sign bit flipped is the negative one."""
    whole, other = _TAGGED_DOUBLE.pack, _pack_float
    return [whole(_FLOAT, -value) if value > 0.0 else other(value) for value in values]


def _pack_strs(values: Sequence[str]) -> list[bytes]:
    joined = "".join(values)
    if "\x00" in joined:
        return list(map(_pack_str, values))
    try:
        return [b"\x66" + value.encode() + _END for value in values]
    except UnicodeEncodeError:
        return list(map(_pack_str, values))  # which says what is wrong


_COLUMNS: dict[type, Callable[..., list[bytes]]] = {
    int: _pack_ints,
    float: _pack_floats,
    str: _pack_strs,
}

# bool stands before int: the walk over subclasses must not take a bool for an int.
_PACKERS: dict[type, Callable[..., bytes]] = {
    int: _pack_int,
    str: _pack_str,
    bytes: _pack_bytes,
    Desc: _pack_desc,
    bool: _pack_bool,
    type(None): _pack_none,
    float: _pack_float,
    Decimal: _pack_decimal,
}


# ---- unpacking


def _turned_as(key: bytes, parts: list[Plain]) -> list[Plain | Desc]:
    """Return the parts as they were given to `pack`, by the tags that the key shows."""
    turned: list[Plain | Desc] = []
    position = 0
    for part in parts:
        if position >= len(key):
            raise CorruptRecord("a key is not in its one form")
        whole: Plain | Desc = Desc(part) if key[position] >= _DESC else part
        turned.append(whole)
        position += len(_pack_part(whole))
        if position > len(key):
            raise CorruptRecord("a key is not in its one form")
    return turned


def _unpack_part(key: bytes, position: int) -> tuple[Plain, int]:
    if key[position] < _DESC:
        return _unpack_ascending(key, position)
    # Only this part is turned back; its end is unknown, so all the rest is turned and re-read.
    value, size = _unpack_ascending(key[position:].translate(_FLIP), 0)
    return value, position + size


def _unpack_ascending(key: bytes, position: int) -> tuple[Plain, int]:
    tag = key[position]
    position += 1
    if abs(tag - _INT_ZERO) <= INT_BYTES:
        return _unpack_int(key, position, tag - _INT_ZERO)
    if tag in _CONSTANTS:
        return _CONSTANTS[tag], position
    if tag in (_STR, _BYTES):
        raw, position = _unescape(key, position)
        return (raw if tag == _BYTES else raw.decode()), position
    if tag == _FLOAT:
        return _unpack_float(key[position : position + 8]), position + 8
    if tag == _DECIMAL:
        return _unpack_decimal(key, position)
    raise ValueError("unknown tag")


_CONSTANTS: dict[int, Plain] = {_FALSE: False, _TRUE: True, _NONE: None}


def _unpack_int(key: bytes, position: int, size: int) -> tuple[int, int]:
    stop = position + abs(size)
    raw = key[position:stop]
    if len(raw) != abs(size):
        raise ValueError("cut short")
    if size >= 0:
        return int.from_bytes(raw, "big"), stop
    return -int.from_bytes(raw.translate(_FLIP), "big"), stop


def _unpack_float(raw: bytes) -> float:
    if raw == _NAN_BYTES:
        return math.nan
    (bits,) = _U64.unpack(raw)
    bits ^= _SIGN_BIT if bits & _SIGN_BIT else _ALL_BITS
    value: float = _DOUBLE.unpack(_U64.pack(bits))[0]
    return value


def _unescape(key: bytes, position: int) -> tuple[bytes, int]:
    search = position
    while True:
        zero = key.index(b"\x00", search)
        if key[zero + 1] == _END[1]:
            return key[position:zero].replace(_ESCAPED_ZERO, b"\x00"), zero + 2
        search = zero + 2


_DECIMALS = {
    _MINUS_INFINITY: Decimal("-Infinity"),
    _ZERO: Decimal(0),
    _INFINITY: Decimal("Infinity"),
    _NOT_A_NUMBER: Decimal("NaN"),
}


def _unpack_decimal(key: bytes, position: int) -> tuple[Decimal, int]:
    kind = key[position]
    if kind in _DECIMALS:
        return _DECIMALS[kind], position + 1
    if kind not in (_NEGATIVE, _POSITIVE):
        raise ValueError("unknown class of number")
    rest = key[position + 1 :]
    if kind == _NEGATIVE:
        rest = rest.translate(_FLIP)
    scale, start = _unpack_int(rest, 1, rest[0] - _INT_ZERO)
    if abs(scale) >= _EXPONENT_LIMIT:
        raise ValueError("exponent out of range")
    end = rest.index(b"\x00", start)
    text = "".join(f"{pair - 1:02d}" for pair in rest[start:end]).rstrip("0")
    digits = tuple(map(int, text.lstrip("0")))
    value = Decimal((int(kind == _NEGATIVE), digits, scale - len(text)))
    return value, position + 1 + end + 1
