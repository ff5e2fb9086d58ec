"""Sealing columns: one row key per row, verifiable disclosure, crypto-shredding (DESIGN 5).

    row_key = HKDF-SHA256(data_key, salt = row salt, info = "mfdb.row-key.v1")
    sealed  = XChaCha20-Poly1305(row_key, nonce 0, plaintext, associated data)

The nonce may be zero because a row key seals once. The cipher does not commit to its key, so the
signed operation carries two commitments: to the salt (providers check it in the key log) and to
row key and plaintext (whoever is shown one row checks it). Destroying the salt destroys the row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nacl._sodium import ffi, lib  # type: ignore[import-not-found] # a compiled module
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox

from mfdb.kernel.codec import Record, decode, encode
from mfdb.kernel.digest import hkdf_sha256, tagged_hash
from mfdb.kernel.errors import BadProof, MalformedMessage
from mfdb.kernel.limits import ROW_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.kernel.ids import Address, Hash, RowId

DATA_KEY_BYTES = 32
SALT_BYTES = 32
_TAG_BYTES = 16
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
    return hkdf_sha256(data_key, salt=salt, info=b"mfdb.row-key.v1")


def key_commitment(data_key: bytes) -> Hash:
    """Return what a header says of its data key."""
    return tagged_hash("mfdb.data-key.v1", data_key)


def salt_commitment(salt: bytes) -> Hash:
    """Return what an operation says of its row salt."""
    return tagged_hash("mfdb.row-salt.v1", salt)


def row_commitment(key: bytes, plaintext: bytes) -> Hash:
    """Return what an operation says of its row key and plaintext."""
    return tagged_hash("mfdb.row.v1", key, plaintext)


def seal_row(row: SealedRow, key: bytes, *, context: Hash, row_id: RowId) -> tuple[bytes, Hash]:
    """Return the ciphertext of a row and the commitment to its key and plaintext."""
    plaintext = encode(row)
    return _encrypt(plaintext, context + row_id, key), row_commitment(key, plaintext)


def _encrypt(plaintext: bytes, bound_to: bytes, key: bytes) -> bytes:
    """The same call as PyNaCl's, whose checks of its arguments cost four times the cipher."""
    assert len(key) == DATA_KEY_BYTES, "libsodium reads 32 bytes of key unasked"
    size = len(plaintext) + _TAG_BYTES
    sealed = ffi.new("unsigned char[]", size)
    failed = lib.crypto_aead_xchacha20poly1305_ietf_encrypt(
        sealed,
        ffi.NULL,
        plaintext,
        len(plaintext),
        bound_to,
        len(bound_to),
        ffi.NULL,
        _NONCE,
        key,
    )
    assert failed == 0, "libsodium never fails to seal"
    return bytes(ffi.buffer(sealed, size))


def open_row(
    sealed: bytes, key: bytes, *, context: Hash, row_id: RowId, commitment: Hash
) -> SealedRow:
    """Return the row in a ciphertext, checked against the signed commitment.

    Raises:
        BadProof: it does not open, or is not what was committed to.
    """
    try:
        plaintext = crypto_aead_xchacha20poly1305_ietf_decrypt(
            sealed, context + row_id, _NONCE, key
        )
    except (CryptoError, ValueError) as error:  # ValueError: shorter than the cipher's tag
        raise BadProof("a sealed row does not open with its key") from error
    if row_commitment(key, plaintext) != commitment:
        raise BadProof("a sealed row is not what its operation commits to")
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
