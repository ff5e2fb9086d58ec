"""Seed words against the published BIP-39, BIP-44 and HKDF vectors; no repr leaks a secret."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mfdb.kernel.account import recover
from mfdb.kernel.digest import sha256
from mfdb.kernel.errors import BadSeedWords
from mfdb.kernel.ids import DatasetId, show
from mfdb.kernel.seed import HOME_LABEL, MAILBOX_NONCE, IdentityKeys, Seed, checked_words, new_words

JUNK = "test test test test test test test test test test test junk"
ABANDON = "abandon " * 11 + "about"


class FixedEntropy:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def token(self, size: int) -> bytes:
        assert len(self.data) == size
        return self.data


def keys(words: str = JUNK) -> IdentityKeys:
    return Seed.from_words(words).keys()


@pytest.mark.parametrize(
    ("entropy", "words"),
    [  # https://github.com/trezor/python-mnemonic/blob/master/vectors.json
        ("00" * 16, ABANDON),
        ("7f" * 16, "legal winner thank year wave sausage worth useful legal winner thank yellow"),
        (
            "80" * 16,
            "letter advice cage absurd amount doctor acoustic avoid letter advice cage above",
        ),
        ("ff" * 16, "zoo " * 11 + "wrong"),
    ],
)
def test_new_words_follow_bip39(entropy: str, words: str) -> None:
    assert new_words(FixedEntropy(bytes.fromhex(entropy))) == words
    assert checked_words(words) == words


@pytest.mark.parametrize(
    ("words", "address"),
    [
        (JUNK, "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"),
        (ABANDON, "0x9858effd232b4033e47d90003d41ec34ecaeda94"),
    ],
)
def test_the_account_follows_bip44(words: str, address: str) -> None:
    assert show(keys(words).address) == address


def test_the_signer_is_the_second_account_of_the_path() -> None:
    assert show(keys().signer.address) == "0x70997970c51812dc3a010c7d01b50e0d17dc79c8"


def test_the_recovery_key_is_another_account() -> None:
    found = keys()
    digest = sha256(b"recover me")
    assert recover(digest, found.recovery.sign(digest)) == found.recovery.address
    assert (
        show(found.recovery.address) == "0x8c8d35429f74ec245f8ef2f4fd1e551cff97d650"
    )  # pinned: a new value would lock people out


def hkdf_sha256(secret: bytes, info: bytes) -> bytes:
    """RFC 5869 for one block and an empty salt, written out as the oracle."""
    prk = hmac.new(bytes(32), secret, hashlib.sha256).digest()
    return hmac.new(prk, info + b"\x01", hashlib.sha256).digest()


def test_the_other_keys_are_hkdf_of_the_bip39_seed() -> None:
    bip39 = hashlib.pbkdf2_hmac("sha512", JUNK.encode(), b"mnemonic", 2048)
    found = keys()
    assert found.transport_seed == hkdf_sha256(bip39, b"mfdb.ed25519.v1")
    assert bytes(found.seal_key(3)) == hkdf_sha256(bip39, b"mfdb.x25519.v1/3")
    assert found.dataset_nonce(HOME_LABEL) == hkdf_sha256(bip39, b"mfdb.dataset.v1/home")


def test_every_dataset_and_epoch_has_its_own_read_key() -> None:
    found = keys()
    one, other = DatasetId(bytes(32)), DatasetId(b"\x01" * 32)
    secrets = [bytes(found.read_key(name, epoch)) for name in (one, other) for epoch in (0, 1)]
    secrets += [found.row_id_key(one), found.row_id_key(other), bytes(found.seal_key(0))]
    assert len(set(secrets)) == len(secrets)
    assert bytes(keys().read_key(one, 1)) == secrets[1]
    assert keys().row_id_key(other) == secrets[5]


def test_the_transport_key_is_the_public_half_of_its_seed() -> None:
    found = keys()
    private = Ed25519PrivateKey.from_private_bytes(found.transport_seed)
    assert private.public_key().public_bytes_raw() == found.transport_key


def test_every_purpose_has_its_own_key() -> None:
    found = keys()
    secrets = [found.transport_seed, bytes(found.seal_key(0)), bytes(found.seal_key(1))]
    secrets += [found.dataset_nonce("home"), found.dataset_nonce("letters"), MAILBOX_NONCE]
    secrets += [found.account.secret(), found.signer.secret(), found.recovery.secret()]
    assert len(set(secrets)) == len(secrets)


def test_the_same_words_give_the_same_keys_whatever_the_case_and_spaces() -> None:
    assert keys("  " + JUNK.upper().replace(" ", "\n\t ")).address == keys().address


def test_mailbox_nonce_is_thirty_two_zero_bytes() -> None:
    assert bytes(32) == MAILBOX_NONCE


def test_an_unknown_word_is_named_with_its_place_and_a_neighbour() -> None:
    with pytest.raises(BadSeedWords, match=r"word 12 is not a seed word: 'jumk'") as caught:
        Seed.from_words(JUNK.replace("junk", "jumk"))
    assert "junk" in caught.value.hint


def test_a_word_like_no_other_gets_the_list_as_hint() -> None:
    with pytest.raises(BadSeedWords, match="word 1 ") as caught:
        Seed.from_words("qqqqqq " + JUNK.removeprefix("test "))
    assert "word list" in caught.value.hint


def test_swapped_words_fail_the_checksum() -> None:
    with pytest.raises(BadSeedWords, match="checksum"):
        Seed.from_words("junk " + "test " * 11)


@pytest.mark.parametrize("words", ["", "test", JUNK + " test", "test " * 2000])
def test_a_wrong_number_of_words_is_refused(words: str) -> None:
    with pytest.raises(BadSeedWords):
        Seed.from_words(words)


def test_a_seed_of_another_length_is_refused() -> None:
    with pytest.raises(BadSeedWords, match="64 bytes"):
        Seed(bytes(32))


def test_no_repr_shows_a_secret() -> None:
    seed = Seed.from_words(JUNK)
    found = seed.keys()
    shown = repr(seed) + repr(found) + repr(found.account) + str(seed) + str(found)
    assert show(found.address) in shown
    secrets = (found.account.secret(), found.signer.secret(), found.transport_seed)
    for secret in secrets:
        assert secret.hex() not in shown
    assert "test" not in shown
