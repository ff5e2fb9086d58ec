"""Keccak-256 by the C function in pycryptodome, without the objects that it is wrapped in.

A hash of a struct takes 3 us this way and 9 us by the wrapper. The function is private to
pycryptodome: where it is not what we know, its public one serves, through eth-hash.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_CAPACITY_BYTES = 64
_ROUNDS = 24
_PADDING = 1
_DIGEST_BYTES = 32
_OF_NOTHING = bytes.fromhex("c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470")


def load() -> Callable[[bytes], bytes]:
    """Return the quickest keccak-256 there is."""
    try:
        quick = _Quick()
        if quick(b"") == quick(b"") == _OF_NOTHING:
            return quick
    except (ImportError, AttributeError, TypeError, ValueError):
        pass  # another release of pycryptodome, or one without cffi
    from eth_hash.auto import keccak

    return keccak


class _Quick:
    """Hashes with states that are used again; each is one caller's at a time."""

    def __init__(self) -> None:
        room = importlib.import_module("Crypto.Hash.keccak")
        raw = importlib.import_module("Crypto.Util._raw_api")
        self._lib: Any = room._raw_keccak_lib
        self._ffi: Any = raw.ffi
        self._pointer: Any = raw.VoidPointer
        self._free: list[tuple[Any, Any, Any]] = []

    def __call__(self, data: bytes) -> bytes:
        lib = self._lib
        try:
            own = self._free.pop()
        except IndexError:
            own = self._new()
        state, out, found = own
        if (
            lib.keccak_reset(state)
            or lib.keccak_absorb(state, data, len(data))
            or lib.keccak_digest(state, out, _DIGEST_BYTES, _PADDING)
        ):
            raise ValueError("keccak failed")
        digest = bytes(found)
        self._free.append(own)
        return digest

    def _new(self) -> tuple[Any, Any, Any]:
        pointer = self._pointer()
        if self._lib.keccak_init(pointer.address_of(), _CAPACITY_BYTES, _ROUNDS):
            raise ValueError("keccak failed")
        out = self._ffi.new("uint8_t[]", _DIGEST_BYTES)
        return pointer.get(), out, self._ffi.buffer(out)
