"""Signatures over off-chain records: SHA-256 of domain string and canonical bytes, secp256k1."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

from mfdb.kernel.account import recover
from mfdb.kernel.codec import encode
from mfdb.kernel.digest import tagged_hash
from mfdb.kernel.errors import BadSignature, WrongNetwork

if TYPE_CHECKING:
    from mfdb.kernel.account import Account
    from mfdb.kernel.ids import Address, Hash


class Signable(Protocol):
    """A record with a domain string of its own, so that it never passes for another kind."""

    DOMAIN: ClassVar[str]


def digest_of(record: Signable) -> Hash:
    """Return the hash that names a record and that its author signs."""
    return tagged_hash(record.DOMAIN, encode(record))


def sign(record: Signable, account: Account) -> bytes:
    """Return the account's signature over a record."""
    return account.sign(digest_of(record))


def check_signature(record: Signable, signature: bytes, signer: Address) -> None:
    """Return quietly if `signer` signed the record.

    Raises:
        BadSignature: it did not.
    """
    check_signed(digest_of(record), signature, signer, kind=type(record).__name__)


def check_signed(digest: Hash, signature: bytes, signer: Address, *, kind: str) -> None:
    """Do what `check_signature` does, for a record of a kind whose digest is known.

    Raises:
        BadSignature: `signer` did not sign it.
    """
    found = recover(digest, signature)
    if found != signer:
        raise BadSignature(f"{kind} signed by 0x{found.hex()}, not by 0x{signer.hex()}")


def check_network(found: Hash, expected: Hash) -> None:
    """Return quietly if a record belongs to our network.

    Raises:
        WrongNetwork: it belongs to another one.
    """
    if found != expected:
        raise WrongNetwork(
            f"record of network 0x{found.hex()[:16]}, ours is 0x{expected.hex()[:16]}",
            hint="the other side runs on another chain or another deployment of the contracts",
        )
