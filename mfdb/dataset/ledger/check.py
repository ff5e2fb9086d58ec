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
from mfdb.dataset.ledger.format import (
    FORMAT,
    GONE,
    Kind,
    LedgerEntry,
    LedgerHead,
    LedgerRow,
    LocalOperation,
    leaf_of,
    operation_in,
    parent_in,
    root_of,
)
from mfdb.dataset.ledger.journal import SLOTS, Journal
from mfdb.dataset.rows import key_packer, place_handle
from mfdb.dataset.schema import fitter, has_key
from mfdb.dataset.working import load, parse
from mfdb.kernel.codec import decode_own
from mfdb.kernel.errors import MfdbError
from mfdb.kernel.ids import ZERO_HASH, Hash
from mfdb.rules.signing import check_signature

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
        self._superseded: dict[int, int] = {}
        self._gone: dict[int, int] = {}
        self._deleted: list[int] = []
        self.changesets = 0
        self.rows = 0

    def run(self) -> None:
        """Check everything, as far as it can be read."""
        self._chain()
        self._graph()
        self._shown()

    # ---- signatures

    def _chain(self) -> None:
        previous, sequence, hlc = ZERO_HASH, 0, 0
        slots = self._all_slots()
        for key, value in self._snapshot.scan(of_dataset(b"l", self._dataset)):
            number, self.changesets = self.changesets, self.changesets + 1
            try:
                entry = parse(LedgerEntry, value)
                self._entry(entry, number)
            except MfdbError as error:
                self._say(f"changeset {number}: {error}")
                previous, sequence = ZERO_HASH, int.from_bytes(key[-8:], "big")
                continue
            header = entry.header
            if header.previous != previous or header.first != sequence + 1 or header.hlc < hlc:
                self._say(f"changeset {number} does not follow the one before it")
            if int.from_bytes(key[-8:], "big") != entry.last:
                self._say(f"changeset {number} is kept under another's number")
            self._root(entry, slots)
            previous, sequence, hlc = Hash(entry.id), entry.last, header.hlc
        head = self._journal.head
        if head != LedgerHead(self.changesets, sequence, previous, hlc):
            self._say("the ledger does not end with the changeset that its head names")
        if slots and max(slots) > sequence:
            self._say("there are operations beyond the last changeset")

    def _entry(self, entry: LedgerEntry, number: int) -> None:
        header = entry.header
        check_signature(header, entry.signature, header.signer)
        named = any(one.hash == header.manifest for one in self._known.manifests)
        if header.signer != self._manifest.owner or header.dataset != self._dataset:
            self._say(f"changeset {number} was not signed by the owner for this dataset")
        if header.format != FORMAT or header.network != self._manifest.network or not named:
            self._say(f"changeset {number} names another format, network or manifest")
        if header.number != number:
            self._say(f"changeset {number} calls itself number {header.number}")

    def _root(self, entry: LedgerEntry, slots: dict[int, bytes]) -> None:
        number, header = entry.header.number, entry.header
        numbers = range(header.first, entry.last + 1)
        missing = [at for at in numbers if at not in slots]
        if missing:
            self._say(f"changeset {number}: {len(missing)} operations are missing")
        elif root_of(slots[at] for at in numbers) != header.root:
            self._say(f"changeset {number}: the operations are not those that were signed")

    def _all_slots(self) -> dict[int, bytes]:
        """Return the leaf of each operation, and note how they hang together."""
        leaves: dict[int, bytes] = {}
        for key, value in self._snapshot.scan(of_dataset(b"q", self._dataset)):
            first = int.from_bytes(key[-8:], "big")
            try:
                for sequence, slot in enumerate(decode_own(SLOTS, value), first):
                    if sequence in leaves:
                        self._say(f"operation {sequence} is there twice")
                    leaves[sequence] = leaf_of(slot)
                    self._note(sequence, slot)
            except MfdbError as error:
                self._say(f"the operations from {first} on cannot be read: {error}")
        return leaves

    # ---- operations

    def _note(self, sequence: int, slot: bytes) -> None:
        operation = operation_in(slot)
        parent = parent_in(slot)
        if operation is None:
            self._gone[sequence] = parent
        elif (operation.kind is Kind.INSERT) != (parent == 0):
            self._say(f"operation {sequence} is malformed")
        elif operation.kind is Kind.DELETE:
            self._deleted.append(sequence)
        if not parent:
            return
        if parent >= sequence or parent in self._superseded:
            self._say(f"operation {sequence} supersedes what it cannot: {parent}")
        self._superseded[parent] = sequence

    def _graph(self) -> None:
        """What a DELETE superseded, and all before that, is destroyed; nothing else ever is."""
        due = set(self._gone)
        for sequence in self._deleted:
            parent = next((p for p in [self._parent_of(sequence)] if p), 0)
            while parent:
                if parent not in self._gone:
                    self._say(f"operation {parent} of a deleted row was not destroyed")
                    break
                due.discard(parent)
                parent = self._gone[parent]
        for sequence in sorted(due):
            self._say(f"operation {sequence} was destroyed, but its row was not deleted")

    def _parent_of(self, sequence: int) -> int:
        operation = self._journal.operation(sequence)
        return 0 if operation is None else operation.parent

    # ---- rows

    def _shown(self) -> None:
        due = 0
        for entry in self._entries():
            for sequence, slot in self._journal.slots(entry.header.first, entry.last):
                if slot[:1] == GONE or sequence in self._superseded:
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
