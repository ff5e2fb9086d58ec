"""Signatures have one form each: nobody can re-write one that somebody else made."""

from __future__ import annotations

import pytest
from coincurve import PrivateKey
from eth_account import Account as Oracle

from mfdb.kernel.account import _ORDER, Account, recover, verify
from mfdb.kernel.errors import BadSignature
from mfdb.kernel.ids import Hash
from tests.factories import AUTHOR, STRANGER, hash_of

DIGEST = hash_of("digest")
SIGNATURE = AUTHOR.sign(DIGEST)


def test_signer_and_address_are_those_of_eth_account() -> None:
    oracle = Oracle.from_key(AUTHOR.secret())
    assert AUTHOR.address == bytes.fromhex(oracle.address[2:])
    assert oracle.unsafe_sign_hash(DIGEST).signature == SIGNATURE
    assert recover(DIGEST, SIGNATURE) == AUTHOR.address
    verify(DIGEST, SIGNATURE, AUTHOR.address)


def test_a_high_s_is_the_twin_of_a_good_signature_and_refused() -> None:
    s = int.from_bytes(SIGNATURE[32:64], "big")
    twin = SIGNATURE[:32] + (_ORDER - s).to_bytes(32, "big") + bytes([55 - SIGNATURE[64]])
    with pytest.raises(BadSignature, match="lower half"):
        recover(DIGEST, twin)
    assert Oracle._recover_hash(DIGEST, signature=twin)  # another library takes it


@pytest.mark.parametrize("v", [v for v in range(256) if v not in (27, 28)])
def test_every_other_v_is_refused(v: int) -> None:
    with pytest.raises(BadSignature, match="27 or 28"):
        recover(DIGEST, SIGNATURE[:64] + bytes([v]))


def test_the_other_v_names_somebody_else() -> None:
    other = SIGNATURE[:64] + bytes([55 - SIGNATURE[64]])
    with pytest.raises(BadSignature):
        verify(DIGEST, other, AUTHOR.address)


@pytest.mark.parametrize("size", [0, 1, 64, 66, 130])
def test_a_signature_has_65_bytes(size: int) -> None:
    with pytest.raises(BadSignature, match="65"):
        recover(DIGEST, (SIGNATURE * 2)[:size])


@pytest.mark.parametrize(
    ("r", "s"),
    [(0, 1), (1, 0), (_ORDER, 1), (2**256 - 1, 1), (5, 1), (1, _ORDER // 2 + 1), (1, 2**256 - 1)],
)
def test_impossible_numbers_are_refused_by_name(r: int, s: int) -> None:
    raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    for v in (27, 28):
        with pytest.raises(BadSignature):
            verify(DIGEST, raw + bytes([v]), AUTHOR.address)


def test_a_signature_over_another_digest_or_by_another_key_does_not_verify() -> None:
    with pytest.raises(BadSignature, match=AUTHOR.address.hex()):
        verify(hash_of("other digest"), SIGNATURE, AUTHOR.address)
    with pytest.raises(BadSignature):
        verify(DIGEST, STRANGER.sign(DIGEST), AUTHOR.address)


def test_the_secret_never_shows() -> None:
    assert AUTHOR.secret().hex() not in repr(AUTHOR)
    assert AUTHOR.address.hex() in repr(AUTHOR)
    assert not hasattr(Account(AUTHOR.secret()), "__dict__")


def test_signing_is_deterministic() -> None:
    assert AUTHOR.sign(DIGEST) == SIGNATURE
    assert AUTHOR.sign(Hash(bytes(32))) != SIGNATURE


def test_any_digest_is_signed_as_by_the_library_s_own_function() -> None:
    key = PrivateKey(AUTHOR.secret())
    for n in range(40):
        digest = hash_of(f"digest {n}")
        due = key.sign_recoverable(digest, hasher=None)
        assert AUTHOR.sign(digest) == due[:64] + bytes([27 + due[64]])


def test_what_is_no_digest_is_not_signed() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        AUTHOR.sign(Hash(b"short"))
