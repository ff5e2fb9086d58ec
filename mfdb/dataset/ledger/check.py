"""Holding a ledger, and the rows that were made of it, against its signatures.

headers    -> signature, numbers, the chain that they make
slots      -> there, well formed, their leaves give the root
operations -> each supersedes one that is there, once; what was destroyed, a DELETE destroyed
rows       -> each operation that nothing superseded is shown as it was signed, nothing besides
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfdb.dataset.blocks.check import same_values
from mfdb.dataset.layout import of_dataset
from mfdb.dataset.ledger.feed import Columns
from mfdb.dataset.ledger.fold import LedgerFold
from mfdb.dataset.ledger.format import (
    GONE,
    Kind,
    LedgerEntry,
    LedgerRow,
    LocalOperation,
    operation_in,
)
from mfdb.dataset.ledger.journal import SLOTS, Journal
from mfdb.dataset.rows import key_packer, place_handle
from mfdb.dataset.schema import fitter, has_key
from mfdb.dataset.working import load, parse
from mfdb.kernel.codec import decode_own
from mfdb.kernel.errors import MfdbError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mfdb.dataset.catalogue import Known
    from mfdb.store.port import Snapshot


class LedgerCheck:
    """The check of one dataset's ledger; `say` is told what is wrong."""

    def __init__(self, snapshot: Snapshot, known: Known, say: Callable[[str], None]) -> None:
        self._snapshot = snapshot
        self._known = known
        self._manifest = known.manifest
        self._dataset = known.manifest.dataset
        self._journal = Journal(snapshot, self._dataset)
        self._say = say
        self._columns = Columns(known)
        self._misfit = fitter(known.manifest)
        self._pack = key_packer(known.manifest) if has_key(known.manifest) else None
        self._fold = LedgerFold(say)
        self.rows = 0

    @property
    def changesets(self) -> int:
        """How many there are."""
        return self._fold.number

    def run(self) -> None:
        """Check everything, as far as it can be read."""
        self._chain()
        self._fold.finish()
        self._shown()

    # ---- signatures

    def _chain(self) -> None:
        fold, manifests = self._fold, self._known.manifests
        slots = self._all_slots()
        for key, value in self._snapshot.scan(of_dataset(b"l", self._dataset)):
            number, last = fold.number, int.from_bytes(key[-8:], "big")
            try:
                entry = parse(LedgerEntry, value)
                fold.follow(entry, manifests)
            except MfdbError as error:
                self._say(f"changeset {number}: {error}")
                fold.number = number
                fold.skip(last)
                continue
            if last != entry.last:
                self._say(f"changeset {number} is kept under another's number")
            numbers = range(entry.header.first, entry.last + 1)
            fold.root(entry, [slots[at] for at in numbers if at in slots])
        if self._journal.head != fold.head:
            self._say("the ledger does not end with the changeset that its head names")
        if slots and max(slots) > fold.sequence:
            self._say("there are operations beyond the last changeset")

    def _all_slots(self) -> dict[int, bytes]:
        """Return the leaf of each operation, and note how they hang together."""
        leaves: dict[int, bytes] = {}
        for key, value in self._snapshot.scan(of_dataset(b"q", self._dataset)):
            first = int.from_bytes(key[-8:], "big")
            try:
                for sequence, slot in enumerate(decode_own(SLOTS, value), first):
                    if sequence in leaves:
                        self._say(f"operation {sequence} is there twice")
                    leaves[sequence] = self._fold.note(sequence, slot)
            except MfdbError as error:
                self._say(f"the operations from {first} on cannot be read: {error}")
        return leaves

    # ---- rows

    def _shown(self) -> None:
        due = 0
        for entry in self._entries():
            for sequence, slot in self._journal.slots(entry.header.first, entry.last):
                if slot[:1] == GONE or sequence in self._fold.superseded:
                    continue
                operation = operation_in(slot)
                if operation is not None and operation.kind is not Kind.DELETE:
                    due += 1
                    self._row(sequence, entry, operation)
        self.rows = sum(1 for _ in self._snapshot.scan(of_dataset(b"d", self._dataset)))
        if self.rows != due:
            self._say(f"{self.rows} rows are visible, {due} should be")

    def _entries(self) -> list[LedgerEntry]:
        found = []
        for _, value in self._snapshot.scan(of_dataset(b"l", self._dataset)):
            try:
                found.append(parse(LedgerEntry, value))
            except MfdbError:
                continue  # said already when the chain was looked at
        return found

    def _row(self, sequence: int, entry: LedgerEntry, operation: LocalOperation) -> None:
        values: tuple[Any, ...] = self._columns.now(entry, operation)
        place = operation.place or sequence
        handle: bytes = place_handle(place) if self._pack is None else self._pack(values)
        stored = load(self._snapshot, LedgerRow, of_dataset(b"d", self._dataset) + handle)
        if stored is None:
            self._say(f"the row of operation {sequence} is not visible")
        elif (
            stored.sequence,
            stored.place,
            stored.hlc,
        ) != (sequence, place, entry.header.hlc) or not same_values(stored.values, values):
            self._say(f"the row of operation {sequence} shows other values than were signed")
        wrong = self._misfit(
            dict(zip((c.name for c in self._manifest.columns), values, strict=True))
        )
        if wrong:
            self._say(f"the row of operation {sequence}: {wrong}")
