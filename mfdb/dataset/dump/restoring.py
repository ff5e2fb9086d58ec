"""Restoring dumps into a replica that holds nothing: the judged chain in, then checked as a whole.

    manifests    -> rules, oldest first
    ledger       -> headers and slots as they are; deletes of later dumps destroy what earlier ones
                    carry; then rows and indexes are made of the operations
    changesets   -> through the same judgement as what a network brings
    definitions  -> secondary indexes, built from the rows

Whatever is in the files but not in the newest inventory (a dataset that was dropped since, a
changeset that rules refused later) is left out. Interrupted, the replica is of no use: the caller
builds it aside and puts it in its place when it is whole.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec

from mfdb.dataset.dump.parts import (
    ChangesetPart,
    DroppedPart,
    DumpEnd,
    DumpHead,
    EntryPart,
    IndexPart,
    InventoryPart,
    KeysPart,
    ManifestPart,
    ReceiptsPart,
    SlotsPart,
    UnsentPart,
)
from mfdb.dataset.ledger.format import Kind, operation_in, parent_in
from mfdb.dataset.outcome import Incoming
from mfdb.kernel.codec import encode
from mfdb.kernel.errors import BadDump, DuplicateObject

if TYPE_CHECKING:
    from collections.abc import Callable

    from mfdb.dataset.check import CheckReport
    from mfdb.dataset.dump.chain import DumpFile
    from mfdb.dataset.dump.judging import Judged
    from mfdb.dataset.dump.parts import Inventory, Kept, Keyed
    from mfdb.dataset.layout import IndexInfo
    from mfdb.dataset.replica import Replica
    from mfdb.kernel.ids import ChangesetId, DatasetId
    from mfdb.rules.changeset import Changeset
    from mfdb.rules.key_log import KeyLogEntry
    from mfdb.rules.receipt import WriteReceipt

_BATCH_BYTES = 4 * 2**20
"""What is gathered before it is taken in together."""


class Restored(msgspec.Struct):
    """What was restored, and what belongs to the identity's node."""

    check: CheckReport
    outside: dict[DatasetId, list[Keyed]]


class _Coming(msgspec.Struct):
    """A changeset that waits for what comes with it."""

    changeset: Changeset | None = None
    entry: KeyLogEntry | None = None
    receipts: tuple[WriteReceipt, ...] = ()


def restore(
    replica: Replica, judged: Judged, progress: Callable[[float], object] = lambda _: None
) -> Restored:
    """Bring a chain that was judged good into an empty replica; return what a check of it found.

    Raises:
        BadDump: something is wrong with the chain, or with what came of it.
        DuplicateObject: the replica holds datasets.
        StoreFull: the disk is full.
    """
    if not judged.report.is_good:
        raise BadDump(
            f"the dump does not verify: {judged.report.problems[0]}",
            hint="`mfdb verify` tells all that is wrong; nothing was restored",
        )
    if judged.report.identity != replica.identity:
        raise BadDump("the dump is another identity's")
    with replica.reading() as reading:
        if reading.datasets():
            raise DuplicateObject(
                "there are datasets of this identity here already",
                hint="restore into a directory of its own: --data DIR",
            )
    work = _Restoring(replica, judged.inventory)
    total, done = max(1, sum(file.length_bytes for file in judged.files)), 0
    for file in judged.files:
        work.file(file, partial(_tell, progress, done, total))
        done += file.length_bytes
    work.finish()
    check = replica.check()
    if not check.is_good:
        raise BadDump(f"what was restored does not hold: {check.problems[0]}")
    return Restored(check, work.outside)


def _tell(progress: Callable[[float], object], before: int, total: int, at: int) -> None:
    progress((before + at) / total)


class _Restoring:
    """One restoration on its way."""

    def __init__(self, replica: Replica, inventory: Inventory) -> None:
        self._replica = replica
        self._install = replica.installer()
        self._inventory = inventory
        self._indexes: dict[tuple[DatasetId, str], IndexInfo] = {}
        self._destroyed: dict[DatasetId, list[int]] = {}
        self._log: list[EntryPart | SlotsPart] = []
        self._coming: dict[ChangesetId, _Coming] = {}
        self._waiting_bytes = 0
        self.outside: dict[DatasetId, list[Keyed]] = {}

    def file(self, file: DumpFile, tell: Callable[[int], object]) -> None:
        """Take in one file."""
        is_first = True
        for _, part in file.parts(tell):
            match part:
                case DumpHead(number=number):
                    is_first = number == 0
                case InventoryPart():
                    self._flush(part.dataset)
                case DumpEnd():
                    pass
                case _ if self._is_wanted(part):
                    if isinstance(part, SlotsPart) and not is_first:
                        self._note_deletes(part)
                    self._take(part)

    def finish(self) -> None:
        """Make rows and indexes of everything."""
        for dataset, stock in self._inventory.items():
            if stock.ledger.number:
                destroyed = self._destroyed.get(dataset, ())
                self._install.end_ledger(dataset, stock.ledger, destroyed)
                self._install.show(dataset)
        for (dataset, name), info in self._indexes.items():
            if name not in self._install.indexes(dataset):
                self._replica.create_index(dataset, name, info.columns, unique=info.unique)

    def _is_wanted(self, part: Kept) -> bool:
        stock = self._inventory.get(part.dataset)
        if stock is None:
            return False
        if isinstance(part, EntryPart | SlotsPart):
            return stock.ledger.number > 0
        return part.key in stock.items

    def _take(self, part: Kept) -> None:
        if isinstance(part, ChangesetPart | EntryPart | SlotsPart):
            if self._waiting_bytes > _BATCH_BYTES:
                self._flush(part.dataset)  # what came of the changesets before is complete
            self._waiting_bytes += len(encode(part))
        match part:
            case EntryPart() | SlotsPart():
                self._log.append(part)
            case ChangesetPart(changeset=changeset):
                self._come(changeset.id).changeset = changeset
            case KeysPart(entry=entry):
                self._come(entry.changeset).entry = entry
            case ReceiptsPart(changeset=named, receipts=receipts):
                self._come(named).receipts = receipts
            case _:
                self._define(part)

    def _define(self, part: Keyed) -> None:
        match part:
            case ManifestPart(signed=signed):
                self._replica.add_manifests([signed])
            case IndexPart(dataset=dataset, info=info):
                self._indexes[dataset, info.name] = info
            case UnsentPart():
                self._install.put_unsent(part)
            case DroppedPart(dataset=dataset, reason=reason):
                self._install.put_dropped(dataset, reason)
            case _:
                self.outside.setdefault(part.dataset, []).append(part)

    def _note_deletes(self, part: SlotsPart) -> None:
        """Note what a delete, or what one destroyed, supersedes: dumps before may have it yet."""
        for slots in part.runs:
            for slot in slots:
                operation, parent = operation_in(slot), parent_in(slot)
                if parent and (operation is None or operation.kind is Kind.DELETE):
                    self._destroyed.setdefault(part.dataset, []).append(parent)

    # ---- changesets

    def _come(self, named: ChangesetId) -> _Coming:
        return self._coming.setdefault(named, _Coming())

    def _flush(self, dataset: DatasetId) -> None:
        """Take in what waits."""
        if self._log:
            self._install.put_ledger(self._log)
            self._log = []
        items = []
        for named, coming in self._coming.items():
            changeset = coming.changeset or self._install.changeset(dataset, named)
            if changeset is not None:
                items.append(
                    Incoming(changeset=changeset, entry=coming.entry, receipts=coming.receipts)
                )
        self._coming, self._waiting_bytes = {}, 0
        if items:
            done = self._replica.apply(dataset, items)
            for _, error in done.refused:
                raise BadDump(f"a changeset of the dump is not valid: {error}") from error
