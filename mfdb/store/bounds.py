"""What every store checks before it touches a batch: sizes of keys and values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.kernel.errors import InterfaceError, ValueTooLarge
from mfdb.store.port import KEY_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.store.port import Write

VALUE_BYTES = 64 * 2**20
"""Largest value a store keeps."""


def check_batch(batch: Sequence[Write]) -> None:
    """Return quietly if a store may take this batch.

    Raises:
        ValueTooLarge: a key or value is over its limit.
        InterfaceError: a key is empty.
    """
    for key, value in batch:
        if not key:
            raise InterfaceError("a key has at least one byte")
        if len(key) > KEY_BYTES:
            raise ValueTooLarge(f"a key of {len(key)} bytes is over the limit of {KEY_BYTES}")
        if value is not None and len(value) > VALUE_BYTES:
            raise ValueTooLarge(f"a value of {len(value)} bytes is over the limit of {VALUE_BYTES}")


def batch_bytes(batch: Sequence[Write]) -> int:
    """Return the bytes of all keys and values of a batch."""
    return sum(len(key) + len(value or b"") for key, value in batch)
