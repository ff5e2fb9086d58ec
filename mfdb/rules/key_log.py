"""The key log: envelopes and row salts, beside the signed changesets and never erasure-coded.

An entry is good if it opens to what the signed header and operations committed to. Re-sealing
replaces envelopes only; deleting a row destroys its salt, on every replica (DESIGN 5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mfdb.kernel.codec import Record
from mfdb.kernel.errors import BadProof
from mfdb.kernel.ids import ChangesetId, DatasetId
from mfdb.rules.columns import key_commitment, salt_commitment_1, salt_commitments, unwrap_key

if TYPE_CHECKING:
    from collections.abc import Collection

    from nacl.public import PrivateKey

    from mfdb.rules.changeset import Changeset

ENVELOPE_BYTES = 80


class KeyLogEntry(Record, frozen=True):
    """What opens one changeset: an envelope for its key epoch and one salt per operation.

    An empty salt marks a row that was shredded.
    """

    dataset: DatasetId
    changeset: ChangesetId
    key_epoch: int
    envelope: bytes
    salts: tuple[bytes, ...]

    def without(self, indexes: Collection[int]) -> KeyLogEntry:
        """Return the entry with the salts of these operations destroyed."""
        salts = tuple(b"" if at in indexes else salt for at, salt in enumerate(self.salts))
        return msgspec.structs.replace(self, salts=salts)


def check_entry(entry: KeyLogEntry, changeset: Changeset) -> None:
    """Return quietly if an entry belongs to a changeset, as far as one can tell without keys.

    Raises:
        BadProof: it does not.
    """
    if entry.changeset != changeset.id or entry.dataset != changeset.header.dataset:
        raise BadProof("the key log entry belongs to another changeset")
    if len(entry.envelope) != ENVELOPE_BYTES:
        raise BadProof(f"an envelope has {ENVELOPE_BYTES} bytes")
    if len(entry.salts) != changeset.count:
        raise BadProof("the key log entry has another number of salts than operations")
    if not _are_committed(entry.salts, changeset):
        raise BadProof("a row salt is not the one that its operation commits to")


def _are_committed(salts: tuple[bytes, ...], changeset: Changeset) -> bool:
    columns = changeset.columns
    if columns is None:
        return all(
            not salt or salt_commitment_1(salt) == operation.salt_commitment
            for salt, operation in zip(salts, changeset.operations, strict=True)
        )
    found = salt_commitments(salts)
    if b"".join(found) == columns.salt_commitments:
        return True
    both = zip(salts, found, columns.committed_salts, strict=True)
    return all(not salt or one == other for salt, one, other in both)


def open_envelope(entry: KeyLogEntry, changeset: Changeset, private: PrivateKey) -> bytes:
    """Return the data key of a changeset, checked against its header.

    Raises:
        BadProof: the envelope does not open, or to another key.
    """
    data_key = unwrap_key(entry.envelope, private)
    if key_commitment(data_key) != changeset.header.key_commitment:
        raise BadProof("the envelope holds another data key than the header commits to")
    return data_key
