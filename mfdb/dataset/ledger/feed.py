"""The past of a dataset that has a ledger: its feed is the log of operations itself.

The ids by which a change, a row or a version is known elsewhere are made here, when somebody asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mfdb.dataset.layout import StoredRow, of_dataset, shown_key
from mfdb.dataset.layouts import carrier
from mfdb.dataset.ledger.allowed import clear_view
from mfdb.dataset.ledger.format import Kind, LedgerEntry, LocalOperation, operation_in
from mfdb.dataset.ledger.journal import Journal
from mfdb.dataset.outcome import RowChanged
from mfdb.dataset.rows import (
    key_packer,
    local_row_id,
    place_handle,
    row_reader,
    sequence_and_place,
)
from mfdb.dataset.schema import has_key
from mfdb.rules.changeset import version_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.keyring import Keyring
    from mfdb.dataset.outcome import Conflict
    from mfdb.dataset.pending import Before, Values
    from mfdb.dataset.visibility import Visibility
    from mfdb.kernel.ids import Address, DatasetId, Hash, RowId, VersionId
    from mfdb.rules.authorise import RowView
    from mfdb.store.port import Snapshot


class _Version(msgspec.Struct, frozen=True):
    """An operation that is there, with the header that holds it."""

    sequence: int
    entry: LedgerEntry
    operation: LocalOperation


class LedgerFeed:
    """`mfdb.dataset.feed.Feed` of a dataset that has a ledger."""

    def __init__(
        self,
        snapshot: Snapshot,
        known: Known,
        keyring: Keyring,
        recent: Mapping[tuple[DatasetId, int], Before],
    ) -> None:
        self._snapshot = snapshot
        self._manifest = known.manifest
        self._dataset = known.manifest.dataset
        self._keyring = keyring
        self._recent = recent
        self._journal = Journal(snapshot, self._dataset)
        self._columns = Columns(known)
        self._pack = key_packer(known.manifest) if has_key(known.manifest) else None

    def last_sequence(self) -> int:
        """Return the number of the newest change, 0 if there is none."""
        return self._journal.head.sequence

    def changes(self, after: int, sees: Visibility) -> Iterator[RowChanged]:
        """Yield the changes that may be seen, with a sequence number above `after`."""
        for entry in self._journal.entries(after + 1):
            first = max(entry.header.first, after + 1)
            for sequence, slot in self._journal.slots(first, entry.last):
                operation = operation_in(slot)
                if operation is not None:
                    change = self._change(_Version(sequence, entry, operation), sees)
                    if change is not None:
                        yield change

    def places(self, sees: Visibility) -> list[tuple[int, RowId, VersionId]]:
        """Return the rows that may be seen, in the order in which they were first shown."""
        read, prefix = row_reader(self._manifest), of_dataset(b"d", self._dataset)
        found = []
        for key, value in self._snapshot.scan(prefix):
            row = read(key[len(prefix) :], value)
            if sees.all or sees.row(self.view(row)):
                found.append((sequence_and_place(row.version)[1], row.row, row.version))
        return sorted(found)

    def of_version(self, row: RowId, version: VersionId) -> StoredRow | None:
        """Return a row as it is or was in a version, or None if that was destroyed since."""
        sequence, _ = sequence_and_place(version)
        operation = self._journal.operation(sequence)
        if operation is None:
            return None
        entry = self._journal.entry_of(sequence)
        return StoredRow(
            row=self._row_id(row),
            origin=_version_id(entry, sequence),
            author=self._manifest.owner,
            hlc=entry.header.hlc,
            values=self._columns.now(entry, operation),
        )

    def conflicts(self) -> Iterator[Conflict]:
        """Yield nothing: one node orders all writes, and nothing ever waits."""
        return iter(())

    def shown_version(self, row: RowId) -> VersionId | None:
        """Return the handle of the version in which a row is shown, or None."""
        data = self._snapshot.get(shown_key(self._dataset, row))
        return None if data is None else row_reader(self._manifest)(row, data).version

    def frontier(self, signer: Address | None) -> tuple[Hash, ...]:
        """Return the last changeset's id if the owner is asked for; nobody else ever signs."""
        head = self._journal.head
        return (head.previous,) if signer == self._manifest.owner and head.number else ()

    def view(self, row: StoredRow) -> RowView:
        """Return what the rules may look at of a visible row."""
        return clear_view(self._manifest, row.values)

    # ---- one change

    def _change(self, version: _Version, sees: Visibility) -> RowChanged | None:
        kind, parent = version.operation.kind, version.operation.parent
        values = self._columns.now(version.entry, version.operation)
        if kind is Kind.DELETE:
            return self._deletion(version, values, sees)
        new = self._seen(values, sees)
        superseded = self._journal.operation(parent) if parent else None
        old = None
        if superseded is not None:
            before = self._columns.now(self._entry_of(parent, version.entry), superseded)
            old = self._seen(before, sees)
        if old is None and new is None:
            return None
        return self._changed(version, values, old, new)

    def _deletion(self, version: _Version, kept: Values, sees: Visibility) -> RowChanged | None:
        recent = self._recent.get((self._dataset, version.sequence))
        old = self._seen(kept if recent is None else recent.values, sees)
        if old is None:
            return None
        return self._changed(version, kept, old, None, is_partial=recent is None)

    def _changed(
        self,
        version: _Version,
        values: Values,
        old: dict[str, Any] | None,
        new: dict[str, Any] | None,
        *,
        is_partial: bool = False,
    ) -> RowChanged:
        operation, entry = version.operation, version.entry
        named = operation.parent if operation.kind is Kind.DELETE else version.sequence
        handle = self._handle(values, operation.place or version.sequence)
        return RowChanged(
            op="insert" if old is None else "delete" if new is None else "update",
            row=self._row_id(handle),
            version=_version_id(self._entry_of(named, entry), named),
            old=old,
            new=new,
            author=self._manifest.owner,
            hlc=entry.header.hlc,
            sequence=version.sequence,
            is_partial=is_partial,
        )

    def _seen(self, values: Values, sees: Visibility) -> dict[str, Any] | None:
        if not sees.all and not sees.row(clear_view(self._manifest, values)):
            return None
        names = (column.name for column in self._manifest.columns)
        return dict(zip(names, values, strict=True))

    def _entry_of(self, sequence: int, here: LedgerEntry) -> LedgerEntry:
        return here if sequence >= here.header.first else self._journal.entry_of(sequence)

    def _handle(self, values: Values, place: int) -> RowId:
        return place_handle(place) if self._pack is None else self._pack(values)  # type: ignore[return-value] # packed keys are handles

    def _row_id(self, handle: RowId) -> RowId:
        return local_row_id(self._dataset, handle, self._keyring, keyed=self._pack is not None)


class Columns:
    """Puts values that an earlier manifest ordered into the columns of today, by their numbers."""

    def __init__(self, known: Known) -> None:
        now = known.manifest
        self._carriers = {one.hash: carrier(one, now) for one in known.manifests}

    def now(self, entry: LedgerEntry, operation: LocalOperation) -> Values:
        """Return an operation's values as rows have them now."""
        carry = self._carriers.get(entry.header.manifest)
        return operation.values if carry is None else carry(operation.values)


def _version_id(entry: LedgerEntry, sequence: int) -> VersionId:
    return version_id(entry.id, sequence - entry.header.first)
