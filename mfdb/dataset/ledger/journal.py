"""Reading a ledger: headers and operations by sequence, in whatever state of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.dataset.layout import chain_key, entries_key, slots_key
from mfdb.dataset.ledger.format import (
    LedgerEntry,
    LedgerHead,
    LocalOperation,
    operation_in,
)
from mfdb.dataset.working import load, parse
from mfdb.kernel.codec import decode_own
from mfdb.kernel.errors import CorruptRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfdb.kernel.ids import DatasetId
    from mfdb.store.port import Snapshot

SLOTS = tuple[bytes, ...]
_END = 2**64 - 1


class Journal:
    """The ledger of one dataset in one state of the store."""

    __slots__ = ("_first", "_source", "dataset")

    def __init__(self, source: Snapshot, dataset: DatasetId) -> None:
        self._source = source
        self.dataset = dataset
        self._first = slots_key(dataset, 0)

    @property
    def head(self) -> LedgerHead:
        """Where the ledger stands."""
        return load(self._source, LedgerHead, chain_key(self.dataset)) or LedgerHead()

    def entries(self, since: int = 1) -> Iterator[LedgerEntry]:
        """Yield the signed headers in order, from the one that holds an operation on."""
        start, stop = entries_key(self.dataset, since), entries_key(self.dataset, _END)
        for _, value in self._source.scan(start, stop):
            yield parse(LedgerEntry, value)

    def entry_of(self, sequence: int) -> LedgerEntry:
        """Return the header that holds an operation.

        Raises:
            CorruptRecord: it is missing.
        """
        for entry in self.entries(sequence):
            if entry.header.first <= sequence:
                return entry
        raise CorruptRecord(f"operation {sequence} belongs to no changeset")

    def chunks(self, first: int, last: int) -> Iterator[tuple[int, SLOTS]]:
        """Yield runs of slots with the sequence of the first, for the operations from - to."""
        if last < first:
            return
        start = self.chunk_of(first)[0]
        stop = slots_key(self.dataset, last + 1)
        for key, value in self._source.scan(slots_key(self.dataset, start), stop):
            yield int.from_bytes(key[-8:], "big"), decode_own(SLOTS, value)

    def slots(self, first: int, last: int) -> Iterator[tuple[int, bytes]]:
        """Yield the slots of the operations from - to with their sequences."""
        for start, slots in self.chunks(first, last):
            for sequence, slot in enumerate(slots, start):
                if first <= sequence <= last:
                    yield sequence, slot

    def chunk_of(self, sequence: int) -> tuple[int, SLOTS]:
        """Return the run of slots that holds an operation, and the sequence of its first.

        Raises:
            CorruptRecord: it is missing.
        """
        pair = self._source.last(self._first, slots_key(self.dataset, sequence + 1))
        if pair is not None:
            first, slots = int.from_bytes(pair[0][-8:], "big"), decode_own(SLOTS, pair[1])
            if sequence < first + len(slots):
                return first, slots
        raise CorruptRecord(f"operation {sequence} of the ledger is missing")

    def operation(self, sequence: int) -> LocalOperation | None:
        """Return an operation, or None if it was destroyed.

        Raises:
            CorruptRecord: it is missing or damaged.
        """
        first, slots = self.chunk_of(sequence)
        return operation_in(slots[sequence - first])
