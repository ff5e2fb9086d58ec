"""Hashes: SHA-256 with a domain string for ids and signatures, keccak where the EVM wants it.

Keys come from `hkdf_sha256`, in the standard library's terms: as fast as the package cryptography,
whose import a process that reads rows need not pay.
"""

from __future__ import annotations

import hashlib
import hmac
from functools import cache
from typing import TYPE_CHECKING

from mfdb.kernel.ids import Hash

if TYPE_CHECKING:
    from collections.abc import Callable


def sha256(*parts: bytes) -> Hash:
    """Return SHA-256 over the parts, one after the other."""
    return Hash(hashlib.sha256(b"".join(parts)).digest())


def tagged_hash(domain: str, *parts: bytes) -> Hash:
    """Return SHA-256 over the domain string, a zero byte and the parts.

    Every kind of message has its own domain string, so that a signature over one can never be
    replayed as another (reference/protocol B3).
    """
    return Hash(hashlib.sha256(b"".join((_start(domain), *parts))).digest())


@cache
def _start(domain: str) -> bytes:
    return domain.encode("ascii") + b"\x00"


def hkdf_sha256(secret: bytes, *, salt: bytes, info: bytes) -> bytes:
    """Return the 32 bytes that HKDF-SHA256 (RFC 5869) derives; an empty salt is 32 zero bytes."""
    extracted = hmac.digest(salt or bytes(32), secret, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def keccak256(data: bytes) -> Hash:
    """Return the keccak-256 that the EVM computes."""
    return Hash(_keccak()(data))


@cache
def _keccak() -> Callable[[bytes], bytes]:
    """Loaded on first use: its import costs what a whole `SELECT 1` does, which hashes nothing."""
    from mfdb.kernel.keccak import load

    return load()
