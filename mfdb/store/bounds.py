"""What every store checks before it touches a batch: sizes of keys and values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.kernel.errors import InterfaceError, ValueTooLarge
from mfdb.store.port import KEY_BYTES, OWN_KEY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.store.port import Write

VALUE_BYTES = 64 * 2**20
"""Largest value a store keeps."""
_FEW = 16
"""Writes of a batch that are looked at one by one: sooner done than by columns."""


def check_batch(batch: Sequence[Write]) -> int:
    """Return the bytes of all keys and values of a batch, if a store may take it.

    Raises:
        ValueTooLarge: a key or value is over its limit.
        InterfaceError: a key is empty, or the store's own.
    """
    if not batch:
        return 0
    if len(batch) <= _FEW:
        size, plain = 0, True
        for key, value in batch:
            size += len(key) + len(value or b"")
            plain = plain and 0 < len(key) <= KEY_BYTES and key != OWN_KEY
        if plain and size <= VALUE_BYTES:
            return size
    keys, values = zip(*batch, strict=True)
    key_sizes, value_sizes = list(map(len, keys)), list(map(len, filter(None, values)))
    longest, largest = max(key_sizes), max(value_sizes, default=0)
    if not min(key_sizes) or OWN_KEY in keys:
        raise InterfaceError("a key has at least one byte, and is not the byte 0")
    if longest > KEY_BYTES:
        raise ValueTooLarge(f"a key of {longest} bytes is over the limit of {KEY_BYTES}")
    if largest > VALUE_BYTES:
        raise ValueTooLarge(f"a value of {largest} bytes is over the limit of {VALUE_BYTES}")
    return sum(key_sizes) + sum(value_sizes)
