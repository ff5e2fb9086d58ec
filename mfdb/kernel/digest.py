"""Hashes: SHA-256 with a domain string for ids and signatures, keccak where the EVM wants it."""

from __future__ import annotations

import hashlib

from eth_hash.auto import keccak as _keccak

from mfdb.kernel.ids import Hash


def sha256(*parts: bytes) -> Hash:
    """Return SHA-256 over the parts, one after the other."""
    return Hash(hashlib.sha256(b"".join(parts)).digest())


def tagged_hash(domain: str, *parts: bytes) -> Hash:
    """Return SHA-256 over the domain string, a zero byte and the parts.

    Every kind of message has its own domain string, so that a signature over one can never be
    replayed as another (reference/protocol B3).
    """
    return sha256(domain.encode("ascii"), b"\x00", *parts)


def keccak256(data: bytes) -> Hash:
    """Return the keccak-256 that the EVM computes."""
    return Hash(_keccak(data))
