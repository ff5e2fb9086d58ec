"""Which keys an identity has for a dataset: its own, or one that the owner wrapped for it."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox

from mfdb.kernel.ids import ZERO_ADDRESS, RowId
from mfdb.kernel.seed import MAILBOX_NONCE
from mfdb.rules.changeset import keyed_row_id, ordered_row_id
from mfdb.rules.manifest import ReadKey, WrappedKey, dataset_id

if TYPE_CHECKING:
    from mfdb.kernel.ids import Address, DatasetId, Hash
    from mfdb.kernel.seed import IdentityKeys
    from mfdb.rules.manifest import Manifest

READER_EPOCH = 0
"""Key epoch of a reader's own seal key, to which owners wrap read keys."""
EVERYBODY = ZERO_ADDRESS
"""The reader of a wrapped key that is not wrapped: the dataset is readable by PUBLIC."""


class Keyring:
    """The keys of one identity, as datasets ask for them."""

    def __init__(self, keys: IdentityKeys) -> None:
        self._keys = keys
        self._row_secrets: dict[DatasetId, bytes] = {}
        self._read_keys: dict[tuple[Hash, int], PrivateKey] = {}

    @property
    def address(self) -> Address:
        """Whose keys these are."""
        return self._keys.address

    def own_read_key(self, nonce: Hash, epoch: int) -> PrivateKey:
        """Return the private read key of one of the identity's own datasets."""
        found = self._read_keys.get((nonce, epoch))
        if found is None:
            if nonce == MAILBOX_NONCE:
                found = self._keys.seal_key(epoch)
            else:
                found = self._keys.read_key(dataset_id(self.address, nonce), epoch)
            self._read_keys[nonce, epoch] = found
        return found

    def public_read_key(self, nonce: Hash, epoch: int) -> ReadKey:
        """Return what a manifest says of that read key."""
        return ReadKey(epoch, bytes(self.own_read_key(nonce, epoch).public_key))

    def private_read_key(self, manifest: Manifest, epoch: int) -> PrivateKey | None:
        """Return the private read key of an epoch, or None for somebody who is no reader."""
        if manifest.owner == self.address:
            return self.own_read_key(manifest.nonce, epoch)
        for wrapped in manifest.wrapped_keys:
            if wrapped.epoch == epoch and wrapped.reader in (self.address, EVERYBODY):
                found = self._unwrapped(wrapped)
                if found is not None:
                    return found
        return None

    def wrap_for(self, manifest: Manifest, epoch: int, reader: Address, key: bytes) -> WrappedKey:
        """Return the read key of an own dataset, wrapped for a reader's public seal key."""
        private = bytes(self.own_read_key(manifest.nonce, epoch))
        if reader == EVERYBODY:
            return WrappedKey(epoch, reader, private)
        return WrappedKey(epoch, reader, SealedBox(PublicKey(key)).encrypt(private))

    def row_id(self, dataset: DatasetId, packed_key: bytes, *, in_order: bool = False) -> RowId:
        """Return the id of a row by its primary key, which only this identity can foresee.

        Where keys are clear it begins `in_order` of them.
        """
        secret = self._row_secrets.get(dataset)
        if secret is None:
            secret = self._row_secrets[dataset] = self._keys.row_id_key(dataset)
        keyed = hmac.digest(secret, packed_key, hashlib.sha256)
        if in_order:
            return ordered_row_id(dataset, keyed, packed_key)
        return keyed_row_id(dataset, keyed)

    def _unwrapped(self, wrapped: WrappedKey) -> PrivateKey | None:
        try:
            if wrapped.reader == EVERYBODY:
                return PrivateKey(wrapped.box)
            box = SealedBox(self._keys.seal_key(READER_EPOCH))
            return PrivateKey(box.decrypt(wrapped.box))
        except (CryptoError, ValueError, TypeError):
            return None  # an owner who wraps nonsense has given us no key
