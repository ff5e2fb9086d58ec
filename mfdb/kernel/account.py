"""secp256k1 accounts: sign a 32-byte digest, recover the signer's address.

Signatures are 65 bytes r || s || v with v 27 or 28 and s in the lower half (EIP-2), the form the
contracts accept; any other form is refused so that nobody can re-write a valid signature.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING

from mfdb.kernel.digest import keccak256
from mfdb.kernel.errors import BadSignature
from mfdb.kernel.ids import Address, Hash

if TYPE_CHECKING:
    from coincurve import PublicKey

SIGNATURE_BYTES = 65
_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


class Account:
    """A signing key and its address. Its `repr` shows the address only."""

    __slots__ = ("_key", "address")

    def __init__(self, secret: bytes) -> None:
        from coincurve import (
            PrivateKey,
        )  # slow to import, and a session that only reads signs nothing

        self._key = PrivateKey(secret)
        self.address = _address_of(self._key.public_key)

    def sign(self, digest: Hash) -> bytes:
        """Return the 65-byte recoverable signature over a digest."""
        return _curve().sign(digest, self._key.secret)

    def secret(self) -> bytes:
        """Return the 32-byte key; only the keystore and the chain adapter ask for it."""
        return self._key.secret

    def __repr__(self) -> str:
        return f"Account(0x{self.address.hex()})"


@lru_cache(maxsize=4096)
def recover(digest: Hash, signature: bytes) -> Address:
    """Return the address whose key made this signature over this digest.

    Remembered, because the receipts of a group commit share one signature.

    Raises:
        BadSignature: the signature is not 65 bytes, not canonical, or no key could have made it.
    """
    if len(signature) != SIGNATURE_BYTES or signature[64] not in (27, 28):
        raise BadSignature("a signature has 65 bytes and ends in 27 or 28")
    if not 0 < int.from_bytes(signature[32:64], "big") <= _ORDER // 2:
        raise BadSignature("the signature's s is not in the lower half of the order")
    point = _curve().recover(digest, signature)
    if point is None:
        raise BadSignature("no key can have made this signature")
    return _address_of_point(point)


def verify(digest: Hash, signature: bytes, signer: Address) -> None:
    """Return quietly if `signer` signed this digest.

    Raises:
        BadSignature: it did not.
    """
    if recover(digest, signature) != signer:
        raise BadSignature(f"not signed by 0x{signer.hex()}")


class _Curve:
    """libsecp256k1 as coincurve brings it, without the objects that coincurve makes of it.

    They cost a third of what the library does, and every write is recovered by all its replicas.
    """

    def __init__(self) -> None:
        from coincurve._libsecp256k1 import (  # type: ignore[import-not-found] # a compiled module
            ffi,
            lib,
        )
        from coincurve.context import GLOBAL_CONTEXT

        self._new, self._buffer = ffi.new, ffi.buffer
        self._lib, self._context = lib, GLOBAL_CONTEXT.ctx
        self._signature = ffi.typeof("secp256k1_ecdsa_recoverable_signature *")
        self._key = ffi.typeof("secp256k1_pubkey *")
        self._point = ffi.typeof("unsigned char[65]")
        self._size = ffi.typeof("size_t *")
        self._compact = ffi.typeof("unsigned char[64]")
        self._number = ffi.typeof("int *")
        self._uncompressed, self._no_nonce = lib.SECP256K1_EC_UNCOMPRESSED, ffi.NULL

    def sign(self, digest: bytes, secret: bytes) -> bytes:
        """Return a signature in our form, with the nonce of RFC 6979: no entropy is needed."""
        _demand_32(digest)
        lib, context, new, none = self._lib, self._context, self._new, self._no_nonce
        made, compact, number = new(self._signature), new(self._compact), new(self._number)
        if not lib.secp256k1_ecdsa_sign_recoverable(context, made, digest, secret, none, none):
            raise ValueError("the secret is no key")
        lib.secp256k1_ecdsa_recoverable_signature_serialize_compact(context, compact, number, made)
        return bytes(self._buffer(compact, 64)) + bytes([27 + number[0]])

    def recover(self, digest: bytes, signature: bytes) -> bytes | None:
        """Return the point (64 bytes) whose key made a signature in our form, None if none can."""
        _demand_32(digest)
        lib, context, new = self._lib, self._context, self._new
        parsed, key = new(self._signature), new(self._key)
        if not lib.secp256k1_ecdsa_recoverable_signature_parse_compact(
            context, parsed, signature, signature[64] - 27
        ) or not lib.secp256k1_ecdsa_recover(context, key, parsed, digest):
            return None
        point = new(self._point)
        lib.secp256k1_ec_pubkey_serialize(
            context, point, new(self._size, 65), key, self._uncompressed
        )
        return bytes(self._buffer(point, 65))[1:]


def _demand_32(digest: bytes) -> None:
    """libsecp256k1 reads 32 bytes unasked."""
    if len(digest) != 32:
        raise ValueError(f"a digest has 32 bytes, not {len(digest)}")


@cache
def _curve() -> _Curve:
    """Loaded on first use: it is slow to import, and a session that only reads checks nothing."""
    return _Curve()


def _address_of(key: PublicKey) -> Address:
    return _address_of_point(key.format(compressed=False)[1:])


@lru_cache(maxsize=1024)
def _address_of_point(point: bytes) -> Address:
    return Address(keccak256(point)[-20:])
