"""Sealing columns: one row key per row, verifiable disclosure, crypto-shredding (DESIGN 5).

    row_key = BLAKE2b-256(key = data_key, "mfdb.row-key.v2" || 0x00 || row salt)
    sealed  = XChaCha20-Poly1305(row_key, nonce 0, 32 zero bytes || plaintext, associated data)

The nonce may be zero because a row key seals once. The cipher alone does not commit to its key;
with 32 known bytes before the plaintext it does (Albertini et al., "How to Abuse and Fix
Authenticated Encryption Without Key Commitment", USENIX Security 2022), so that whoever is shown
one row's key can check it against the signed ciphertext. The operation also commits to the salt:
providers check it in the key log. Destroying the salt destroys the row.

In format 1 the row key came from HKDF, and the operation held a hash of row key and plaintext.
"""

from __future__ import annotations

from hashlib import blake2b
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from nacl._sodium import ffi, lib  # type: ignore[import-not-found] # a compiled module
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox

from mfdb.kernel.codec import Record, decode, encode
from mfdb.kernel.digest import hkdf_sha256, tagged_hash
from mfdb.kernel.errors import BadProof, MalformedMessage
from mfdb.kernel.ids import ZERO_HASH
from mfdb.kernel.limits import ROW_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mfdb.kernel.ids import Address, Hash, RowId

DATA_KEY_BYTES = 32
SALT_BYTES = 32
_TAG_BYTES = 16
_KNOWN_BYTES = 32
_KNOWN = bytes(_KNOWN_BYTES)
SEALING_BYTES = _KNOWN_BYTES + _TAG_BYTES
"""What a ciphertext has more than its plaintext."""
_KEY_PREFIX = b"mfdb.row-key.v2" + b"\x00"
_SALT_PREFIX = b"mfdb.row-salt.v2" + b"\x00"
_NONCE = bytes(24)

Stored = bool | int | float | str | bytes | None
"""A column value as it is stored (msgspec cannot type a union of str and bytes by itself)."""


def check_values(values: Sequence[Any]) -> None:
    """Return quietly if all values are of a stored type.

    Raises:
        MalformedMessage: one is a list or map.
    """
    if not all(
        value is None or isinstance(value, bool | int | float | str | bytes) for value in values
    ):
        raise MalformedMessage("a column value is a scalar")


class SealedRow(Record, frozen=True):
    """What is inside the ciphertext; the author stands here when the sender is sealed."""

    values: tuple[Any, ...]
    author: bytes = b""
    author_signature: bytes = b""


def row_key(data_key: bytes, salt: bytes) -> bytes:
    """Return the key that seals one row, once."""
    return blake2b(_KEY_PREFIX + salt, key=data_key, digest_size=32).digest()


def row_keys(data_key: bytes, salts: Iterable[bytes]) -> list[bytes]:
    """Return the keys of many rows, each as `row_key` gives it."""
    return [blake2b(_KEY_PREFIX + one, key=data_key, digest_size=32).digest() for one in salts]


def row_key_1(data_key: bytes, salt: bytes) -> bytes:
    """Return the key that sealed a row in format 1."""
    return hkdf_sha256(data_key, salt=salt, info=b"mfdb.row-key.v1")


def key_commitment(data_key: bytes) -> Hash:
    """Return what a header says of its data key."""
    return tagged_hash("mfdb.data-key.v1", data_key)


def salt_commitments(salts: Iterable[bytes]) -> list[bytes]:
    """Return what a body says of each row salt; 32 zero bytes of an operation without one."""
    return [
        blake2b(_SALT_PREFIX + salt, digest_size=32).digest() if salt else ZERO_HASH
        for salt in salts
    ]


def salt_commitment_1(salt: bytes) -> Hash:
    """Return what an operation of format 1 says of its row salt."""
    return tagged_hash("mfdb.row-salt.v1", salt)


def row_commitment_1(key: bytes, plaintext: bytes) -> Hash:
    """Return what an operation of format 1 says of its row key and plaintext."""
    return tagged_hash("mfdb.row.v1", key, plaintext)


def seal_row(row: SealedRow, key: bytes, *, context: Hash, row_id: RowId) -> bytes:
    """Return the ciphertext of a row."""
    return _encrypt(_KNOWN + encode(row), context + row_id, key)


def seal_row_1(row: SealedRow, key: bytes, *, context: Hash, row_id: RowId) -> tuple[bytes, Hash]:
    """Return the ciphertext of a row of format 1, and the commitment to its key and plaintext."""
    plaintext = encode(row)
    return _encrypt(plaintext, context + row_id, key), row_commitment_1(key, plaintext)


def seal_rows(
    plain: Sequence[bytes | None], keys: Sequence[bytes], *, context: Hash, row_ids: Sequence[RowId]
) -> tuple[bytes, ...]:
    """Return the ciphertexts of many encoded rows, each under its own key; None: nothing."""
    # The call that PyNaCl makes, into one buffer: its checks cost four times the cipher.
    assert set(map(len, keys)) == {DATA_KEY_BYTES}, "libsodium reads 32 bytes unasked"
    assert len(set(map(len, row_ids))) == 1, "it is told one length of what rows are bound to"
    ends = list(accumulate(0 if one is None else len(one) + SEALING_BYTES for one in plain))
    sealed = ffi.new("unsigned char[]", ends[-1])
    encrypt, null, start = lib.crypto_aead_xchacha20poly1305_ietf_encrypt, ffi.NULL, 0
    bound = len(context) + len(row_ids[0])
    for one, key, row_id, end in zip(plain, keys, row_ids, ends, strict=True):
        if one is not None:
            size, bound_to = end - start - _TAG_BYTES, context + row_id
            failed = encrypt(
                sealed + start, null, _KNOWN + one, size, bound_to, bound, null, _NONCE, key
            )
            assert failed == 0, "libsodium never fails to seal"
        start = end
    whole = bytes(ffi.buffer(sealed))
    return tuple([whole[start:end] for start, end in pairwise([0, *ends])])


def _encrypt(plaintext: bytes, bound_to: bytes, key: bytes) -> bytes:
    assert len(key) == DATA_KEY_BYTES, "libsodium reads 32 bytes of key unasked"
    sealed: bytes = crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, bound_to, _NONCE, key)
    return sealed


def open_row(sealed: bytes, key: bytes, *, context: Hash, row_id: RowId) -> SealedRow:
    """Return the row in a ciphertext, which no other key opens.

    Raises:
        BadProof: it does not open.
        MalformedMessage, ValueTooLarge: it holds no row.
    """
    plaintext = _decrypt(sealed, context + row_id, key)
    if plaintext[:_KNOWN_BYTES] != _KNOWN:
        raise BadProof("a sealed row does not commit to its key")
    return _row(plaintext[_KNOWN_BYTES:])


def open_row_1(
    sealed: bytes, key: bytes, *, context: Hash, row_id: RowId, commitment: Hash
) -> SealedRow:
    """Return the row in a ciphertext of format 1, checked against the signed commitment.

    Raises:
        BadProof: it does not open, or is not what was committed to.
        MalformedMessage, ValueTooLarge: it holds no row.
    """
    plaintext = _decrypt(sealed, context + row_id, key)
    if row_commitment_1(key, plaintext) != commitment:
        raise BadProof("a sealed row is not what its operation commits to")
    return _row(plaintext)


def _decrypt(sealed: bytes, bound_to: bytes, key: bytes) -> bytes:
    try:
        plaintext: bytes = crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, bound_to, _NONCE, key)
    except (CryptoError, ValueError) as error:  # ValueError: shorter than the cipher's tag
        raise BadProof("a sealed row does not open with its key") from error
    return plaintext


def _row(plaintext: bytes) -> SealedRow:
    row = decode(SealedRow, plaintext, limit_bytes=ROW_BYTES)
    check_values(row.values)
    return row


def wrap_key(data_key: bytes, public: bytes) -> bytes:
    """Return an envelope: the data key, sealed so that only the read key opens it.

    Raises:
        BadProof: no secret key belongs to this public one (a manifest may say anything).
    """
    try:
        return SealedBox(PublicKey(public)).encrypt(data_key)
    except CryptoError as error:
        raise BadProof("a read key is not a public key of X25519") from error


def unwrap_key(envelope: bytes, private: PrivateKey) -> bytes:
    """Return the data key in an envelope.

    Raises:
        BadProof: the envelope is not for this key, or damaged.
    """
    try:
        data_key = SealedBox(private).decrypt(envelope)
    except (CryptoError, ValueError) as error:
        raise BadProof("an envelope does not open with this read key") from error
    if len(data_key) != DATA_KEY_BYTES:
        raise BadProof("an envelope holds something else than a data key")
    return data_key


def author_digest(context: Hash, values: tuple[Any, ...], author: Address) -> Hash:
    """Return what a sealed sender signs inside the ciphertext."""
    return tagged_hash("mfdb.author.v1", context, author, encode(values))
