"""What came of taking changesets in, of writing to providers and of sealing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mfdb.dataset.writer import Draft
    from mfdb.kernel.errors import MfdbError
    from mfdb.kernel.ids import Address, ChangesetId, Hash, RowId, VersionId
    from mfdb.rules.changeset import Changeset
    from mfdb.rules.key_log import KeyLogEntry
    from mfdb.rules.receipt import WriteReceipt


class Incoming(msgspec.Struct, frozen=True, kw_only=True):
    """A changeset as the network brings it, with what opens it and the receipts given for it."""

    changeset: Changeset
    entry: KeyLogEntry | None = None
    receipts: tuple[WriteReceipt, ...] = ()


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """A changeset of our own that a quorum has acknowledged."""

    draft: Draft
    receipts: tuple[WriteReceipt, ...]


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """What a replica made of a group of changesets.

    `shred` lists salts (changeset, operation index) that every other holder should destroy too.
    """

    applied: tuple[ChangesetId, ...] = ()
    parked: tuple[ChangesetId, ...] = ()
    refused: tuple[tuple[ChangesetId, MfdbError], ...] = ()
    shred: tuple[tuple[ChangesetId, int], ...] = ()


class WriteOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """The durable receipts that a write got, and how many were needed."""

    receipts: tuple[WriteReceipt, ...]
    needed: int


class SealOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one `ALTER DATASET x SEAL` did, and how long it took."""

    segments: int
    changesets: int
    shards: int
    seconds: float


class Proven(msgspec.Struct, frozen=True, kw_only=True):
    """What one replica has shown: that so many rows, of all or of a scope, are all that it has.

    `root` is that of its tree of rows, which it signed when its log stood at `number` and had
    nothing newer than `hlc`. The proof beside the root took `proof_bytes`, none where all rows are
    the same here; with `is_walked`, it has other rows, and its log was held against the copy.
    """

    provider: Address
    root: Hash
    number: int
    hlc: int
    is_whole: bool
    rows: int
    proof_bytes: int
    is_walked: bool = False


class RowChanged(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a visible row: `op` is insert, update or delete; values by column name.

    `sequence` counts the changes of a dataset in this replica without a gap; `version` names the
    change in every replica (the version that is shown since, or the last one that was), so that a
    consumer who reads from several replicas can drop what it has seen. With `is_partial`, `old` has
    only the clear and key columns (the others None), because the row was shredded.
    """

    op: str
    row: RowId
    version: VersionId
    old: Mapping[str, Any] | None
    new: Mapping[str, Any] | None
    author: bytes
    hlc: int
    sequence: int
    is_partial: bool = False


class Conflict(msgspec.Struct, frozen=True, kw_only=True):
    """A row version that does not decide its row's state, or cannot be shown, and why."""

    row: RowId
    version: VersionId
    author: bytes
    hlc: int
    reason: str
