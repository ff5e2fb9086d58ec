"""Canonical encoding of everything off chain: msgspec MessagePack arrays, one form only.

Amounts (`Wei`) are 32-byte words, since MessagePack integers end at 64 bits. A record is a frozen
`Record` subclass. `decode` refuses any byte string that `encode` would not have produced, so that
equal records have equal bytes and equal hashes (DESIGN 5, Encodings).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from mfdb.kernel.errors import CorruptRecord, MalformedMessage, ValueTooLarge
from mfdb.kernel.ids import Wei
from mfdb.kernel.nesting import DEPTH, is_deep, is_untyped

if TYPE_CHECKING:
    from collections.abc import Callable


class Record(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Base of every record that is hashed, signed, stored or sent."""


R = TypeVar("R")


def _encode_amount(value: object) -> bytes:
    if isinstance(value, Wei):
        return value.to_bytes(32, "big")
    raise NotImplementedError(f"records do not hold a {type(value).__name__}")


def _decode_amount(kind: type, value: object) -> Wei:
    if kind is not Wei or not isinstance(value, bytes) or len(value) != 32:
        raise ValueError("an amount is a 32-byte word")
    return Wei(int.from_bytes(value, "big"))


_encoder = msgspec.msgpack.Encoder(enc_hook=_encode_amount)


def _new_decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(kind, dec_hook=_decode_amount)


# What a cached function takes is typed as hashable, which unions of types are not said to be.
_decoder: Callable[[Any], msgspec.msgpack.Decoder[Any]] = lru_cache(maxsize=256)(_new_decoder)
_is_untyped: Callable[[Any], bool] = is_untyped


encode: Callable[[object], bytes] = _encoder.encode
"""`encode(record)`: the canonical bytes of a record (or of a plain value); msgspec's own method,
because a function around it takes as long as it does."""


def decode(kind: type[R], data: bytes, *, limit_bytes: int, usual: type[Record] | None = None) -> R:
    """Return the record that these bytes encode.

    `usual` is a kind without untyped fields that most of these records pass for: its types bound
    how deep they are, in a quarter of the time that it takes to walk through every element.

    Raises:
        ValueTooLarge: there are more than `limit_bytes` bytes.
        MalformedMessage: the bytes are not the canonical encoding of a `kind`, or are nested
            deeper than any node decodes.
    """
    if len(data) > limit_bytes:
        raise ValueTooLarge(f"{_name(kind)} of {len(data)} bytes is over its limit {limit_bytes}")
    is_plain = usual is not None and _passes_for(usual, data)
    if not is_plain and _is_untyped(kind) and is_deep(data):
        raise MalformedMessage(f"not a {_name(kind)}: nested deeper than {DEPTH} levels")
    try:
        record: R = _decoder(kind).decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise MalformedMessage(f"not a {_name(kind)}: {str(error)[:120]}") from error
    if _encoder.encode(record) != data:
        raise MalformedMessage(f"{_name(kind)} is not in canonical form")
    return record


def _passes_for(kind: type[Record], data: bytes) -> bool:
    try:
        _decoder(kind).decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return False
    return True


def decode_own(kind: type[R], data: bytes) -> R:
    """Return a record that this node encoded itself: no check for canonical form, half the cost.

    Raises:
        CorruptRecord: the bytes are no such record.
    """
    try:
        record: R = _decoder(kind).decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise CorruptRecord(f"a stored {_name(kind)} does not decode") from error
    return record


def own_decoder(kind: type[R]) -> Callable[[bytes], R]:
    """Return `decode_own` for many records of a kind; errors come as msgspec raises them."""
    decode: Callable[[bytes], R] = _decoder(kind).decode
    return decode


def _name(kind: object) -> str:
    return getattr(kind, "__name__", "known message")
