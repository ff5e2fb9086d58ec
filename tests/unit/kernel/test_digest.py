"""Key derivation against RFC 5869 and against the package cryptography."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from mfdb.kernel.digest import hkdf_sha256


@pytest.mark.parametrize(
    ("secret", "salt", "info", "due"),
    [
        (
            "0b" * 22,
            "000102030405060708090a0b0c",
            "f0f1f2f3f4f5f6f7f8f9",
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf",
        ),
        ("0b" * 22, "", "", "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"),
    ],
    ids=["case 1", "case 3, no salt"],
)
def test_the_vectors_of_the_rfc(secret: str, salt: str, info: str, due: str) -> None:
    found = hkdf_sha256(bytes.fromhex(secret), salt=bytes.fromhex(salt), info=bytes.fromhex(info))
    assert found.hex() == due


@given(st.binary(max_size=100), st.binary(max_size=100), st.binary(max_size=100))
def test_it_agrees_with_cryptography(secret: bytes, salt: bytes, info: bytes) -> None:
    due = HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(secret)
    assert hkdf_sha256(secret, salt=salt, info=info) == due
