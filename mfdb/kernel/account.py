"""secp256k1 accounts: sign a 32-byte digest, recover the signer's address.

Signatures are 65 bytes r || s || v with v 27 or 28 and s in the lower half (EIP-2), the form the
contracts accept; any other form is refused so that nobody can re-write a valid signature.
"""

from __future__ import annotations

from functools import lru_cache
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
        signature = self._key.sign_recoverable(digest, hasher=None)
        return signature[:64] + bytes([27 + signature[64]])

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
    from coincurve import PublicKey

    raw = signature[:64] + bytes([signature[64] - 27])
    try:
        key = PublicKey.from_signature_and_message(raw, digest, hasher=None)
    except Exception as error:  # coincurve raises bare Exception for an impossible signature
        raise BadSignature("no key can have made this signature") from error
    return _address_of(key)


def verify(digest: Hash, signature: bytes, signer: Address) -> None:
    """Return quietly if `signer` signed this digest.

    Raises:
        BadSignature: it did not.
    """
    if recover(digest, signature) != signer:
        raise BadSignature(f"not signed by 0x{signer.hex()}")


def _address_of(key: PublicKey) -> Address:
    return _address_of_point(key.format(compressed=False)[1:])


@lru_cache(maxsize=1024)
def _address_of_point(point: bytes) -> Address:
    return Address(keccak256(point)[-20:])
