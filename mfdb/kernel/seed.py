"""One seed of twelve words, and every key of an identity derived from it (DESIGN 4).

    words --BIP-39--> 64-byte seed --BIP-32--> account, signer, recovery     (secp256k1)
                                   --HKDF----> seal keys, transport key      (X25519, Ed25519)
                                   --HKDF----> nonces of the identity's datasets

So a person who has only the words has everything. Nothing here is stored; `mfdb.node.keystore`
does that. No `repr` and no error shows a secret, except that an unknown seed word is named.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from nacl.public import PrivateKey
from nacl.signing import SigningKey

from mfdb.kernel.account import Account
from mfdb.kernel.digest import hkdf_sha256
from mfdb.kernel.errors import BadSeedWords, CorruptRecord
from mfdb.kernel.ids import Hash, TransportKey
from mfdb.kernel.nearest import nearest_hint

if TYPE_CHECKING:
    from mnemonic import Mnemonic

    from mfdb.kernel.entropy import Entropy
    from mfdb.kernel.ids import Address, DatasetId

HOME_LABEL = "home"
"""Label of the home dataset, which lists the identity's other datasets."""
MAILBOX_NONCE = Hash(bytes(32))
"""Nonce of everybody's mailbox 0, so that an address alone names it (DESIGN 4)."""

ACCOUNT_PATH = "m/44'/60'/0'/0/0"
SIGNER_PATH = "m/44'/60'/0'/0/1"
RECOVERY_PATH = "m/44'/60'/1'/0/0"

_SEED_BYTES = 64
_TEXT_CHARS = 512
_WORD_COUNTS = (12, 15, 18, 21, 24)


class Seed:
    """The 64-byte BIP-39 seed of an identity. Its `repr` shows nothing of it."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        if len(secret) != _SEED_BYTES:
            raise BadSeedWords(f"a seed has {_SEED_BYTES} bytes, not {len(secret)}")
        self._secret = secret

    @classmethod
    def from_words(cls, words: str) -> Seed:
        """Return the seed that 12 to 24 English BIP-39 words stand for; case and spaces are free.

        Raises:
            BadSeedWords: a word is not in the list (it is named), or the checksum fails.
        """
        return cls(_wordlist().to_seed(checked_words(words)))

    def keys(self) -> IdentityKeys:
        """Return the keys of the identity."""
        return IdentityKeys(self, self.account(ACCOUNT_PATH).address)

    def derive(self, info: str) -> bytes:
        """Return the 32 bytes that HKDF-SHA256 gives for a purpose."""
        return hkdf_sha256(self._secret, salt=b"", info=info.encode())

    def account(self, path: str) -> Account:
        """Return the secp256k1 account at a BIP-32 path."""
        from bip32 import BIP32  # slow to import, and a session that only reads signs nothing

        secret: bytes = BIP32.from_seed(self._secret).get_privkey_from_path(path)
        return Account(secret)

    def __repr__(self) -> str:
        return "Seed(hidden)"


class IdentityKeys:
    """Every key of one identity, each derived when it is first used.

    `address` is the identity's name for ever. Whoever makes the object says it, and no key comes
    out before it was compared with the account's own.
    """

    def __init__(self, seed: Seed, address: Address) -> None:
        self._unproven = seed
        self.address = address
        """The identity's address, the one of `account`."""

    def prove(self) -> None:
        """Return quietly if the seed is the one of `address`; every use of a key asks this first.

        Raises:
            CorruptRecord: it is another's.
        """
        _ = self._seed

    @cached_property
    def _seed(self) -> Seed:
        if self._unproven.account(ACCOUNT_PATH).address != self.address:
            raise CorruptRecord(
                f"the seed words are not those of 0x{self.address.hex()}",
                hint="restore the identity from its seed words: mfdb identity restore",
            )
        return self._unproven

    @cached_property
    def account(self) -> Account:
        """Signs rows, manifests, agreements and cheques."""
        return self._seed.account(ACCOUNT_PATH)

    @cached_property
    def signer(self) -> Account:
        """Hot key to which a provider delegates its receipts."""
        return self._seed.account(SIGNER_PATH)

    @cached_property
    def recovery(self) -> Account:
        """The only key that may replace the account's signing key in the registry."""
        return self._seed.account(RECOVERY_PATH)

    @cached_property
    def transport_seed(self) -> bytes:
        """32 bytes: seed of the node's Ed25519 transport key."""
        return self._seed.derive("mfdb.ed25519.v1")

    @property
    def transport_key(self) -> TransportKey:
        """The Ed25519 public key by which the identity's node is known on a connection."""
        return TransportKey(bytes(SigningKey(self.transport_seed).verify_key))

    def seal_key(self, epoch: int) -> PrivateKey:
        """Return the X25519 key to which others seal data keys in this key epoch."""
        return PrivateKey(self._seed.derive(f"mfdb.x25519.v1/{epoch}"))

    def read_key(self, dataset: DatasetId, epoch: int) -> PrivateKey:
        """Return the X25519 key that reads one dataset in this key epoch.

        Every dataset but the mailbox has its own, so that a reader of one reads no other.
        """
        return PrivateKey(self._seed.derive(f"mfdb.read-key.v1/{dataset.hex()}/{epoch}"))

    def row_id_key(self, dataset: DatasetId) -> bytes:
        """Return the 32-byte secret under which primary keys of a dataset become row ids."""
        return self._seed.derive(f"mfdb.row-id.v1/{dataset.hex()}")

    def dataset_nonce(self, label: str) -> Hash:
        """Return the nonce of the dataset with this label (`HOME_LABEL` is the home dataset).

        The nonce names a dataset id; mailbox 0 does not use it but `MAILBOX_NONCE`.
        """
        return Hash(self._seed.derive(f"mfdb.dataset.v1/{label}"))

    def __repr__(self) -> str:
        return f"IdentityKeys(0x{self.address.hex()})"


def new_words(entropy: Entropy) -> str:
    """Return twelve fresh English BIP-39 words (128 bits)."""
    return _wordlist().to_mnemonic(entropy.token(16))


def checked_words(words: str) -> str:
    """Return seed words in their one normal form: lower case, single spaces.

    Raises:
        BadSeedWords: a word is not in the list (it is named), or the checksum fails.
    """
    if len(words) > _TEXT_CHARS:
        raise BadSeedWords("the text is too long for seed words", hint="give 12 to 24 words")
    found = words.lower().split()
    if len(found) not in _WORD_COUNTS:
        raise BadSeedWords(f"{len(found)} seed words", hint="there are 12, 15, 18, 21 or 24")
    for index, name in enumerate(found, start=1):
        _check_word(index, name)
    normal = " ".join(found)
    if not _wordlist().check(normal):
        raise BadSeedWords(
            "the checksum of the seed words does not match",
            hint="every word is known, so one of them or their order is wrong",
        )
    return normal


def _check_word(index: int, name: str) -> None:
    listed = _wordlist().wordlist
    if name in listed:
        return
    hint = nearest_hint(name, listed, "see the English BIP-39 word list", most=3)
    raise BadSeedWords(f"word {index} is not a seed word: {name[:20]!r}", hint=hint)


@lru_cache(maxsize=1)
def _wordlist() -> Mnemonic:
    from mnemonic import Mnemonic

    return Mnemonic("english")
