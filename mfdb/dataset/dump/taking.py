"""Taking a dump: everything that one state of a replica keeps, less what a former dump has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mfdb.dataset import catalogue
from mfdb.dataset.dump.file_form import FORMAT, DumpWriter
from mfdb.dataset.dump.parts import (
    ChangesetPart,
    DroppedPart,
    DumpHead,
    EntryPart,
    IndexPart,
    InventoryPart,
    KeysPart,
    ManifestPart,
    ReceiptsPart,
    SlotsPart,
    Stock,
    UnsentPart,
    item_of,
)
from mfdb.dataset.layout import (
    Envelope,
    IndexInfo,
    Outgoing,
    Receipts,
    Verdict,
    envelope_key,
    of_dataset,
    receipts_key,
)
from mfdb.dataset.ledger.format import LedgerHead, has_ledger
from mfdb.dataset.ledger.journal import Journal
from mfdb.dataset.salts import load_entry
from mfdb.dataset.working import load, parse
from mfdb.kernel.errors import BadDump
from mfdb.kernel.ids import ZERO_HASH, ChangesetId, DatasetId, Hash

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from typing import BinaryIO

    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.dump.chain import Former
    from mfdb.dataset.dump.parts import Keyed
    from mfdb.kernel.account import Account
    from mfdb.store.port import Snapshot

_ITEMS = 10_000
"""Items in one part of an inventory: some 600 KB."""
_RUNS_BYTES = 128 * 2**10


class Outside(Protocol):
    """What an identity's node knows of a dataset beside the replica."""

    def parts(self, dataset: DatasetId) -> Iterable[Keyed]:
        """Yield placement, segments, network and node records."""
        ...


class Taken:
    """What a dump holds, in numbers."""

    def __init__(self) -> None:
        self.id = ZERO_HASH
        self.number = 0
        self.datasets = 0
        self.parts = 0
        self.length_bytes = 0
        self.new_changesets = 0


def take(
    stream: BinaryIO,
    snapshot: Snapshot,
    account: Account,
    *,
    time_s: int,
    former: Former | None = None,
    only: Collection[DatasetId] | None = None,
    outside: Outside | None = None,
    progress: Callable[[float], object] = lambda _: None,
) -> Taken:
    """Write a dump of all datasets (or only some) that a snapshot holds; return what it holds.

    Raises:
        BadDump: the former dump is another identity's, or has what is not here any more.
        CorruptRecord: a stored record does not decode.
        OSError: the file cannot be written.
    """
    if former is not None and former.identity != account.address:
        raise BadDump("the former dump is another identity's")
    head = DumpHead(
        format=FORMAT,
        identity=account.address,
        number=0 if former is None else former.number + 1,
        previous=ZERO_HASH if former is None else former.id,
        time_s=time_s,
    )
    writer, taken = DumpWriter(stream, head), Taken()
    datasets = [d for d in _datasets(snapshot) if only is None or d in only]
    for done, dataset in enumerate(datasets):
        progress(done / len(datasets))
        stock = former.inventory.get(dataset) if former is not None else None
        part = _Taking(snapshot, dataset, writer, stock or Stock(), outside)
        part.run()
        taken.datasets += not part.is_dropped
        taken.new_changesets += part.new_changesets
    taken.id, taken.number = writer.end(account), head.number
    taken.parts, taken.length_bytes = writer.parts, writer.length_bytes
    return taken


def _datasets(snapshot: Snapshot) -> list[DatasetId]:
    """Return the datasets that are here, then those that were dropped."""
    here = list(dict.fromkeys(catalogue.all_datasets(snapshot)))
    return here + [DatasetId(Hash(key[1:])) for key, _ in snapshot.scan(b"t")]


class _Taking:
    """The part of a dump that is about one dataset."""

    def __init__(
        self,
        snapshot: Snapshot,
        dataset: DatasetId,
        writer: DumpWriter,
        former: Stock,
        outside: Outside | None,
    ) -> None:
        self._snapshot = snapshot
        self._dataset = dataset
        self._writer = writer
        self._former = former
        self._outside = outside
        self._items: dict[bytes, bytes] = {}
        self._ledger = LedgerHead()
        self.is_dropped = False
        self.new_changesets = 0

    def run(self) -> None:
        """Write it."""
        reason = self._snapshot.get(b"t" + self._dataset)
        if reason is not None:
            self.is_dropped = True
            self._keep(DroppedPart(self._dataset, reason))
        else:
            self._whole(catalogue.known_dataset(self._snapshot, self._dataset))
        items = list(self._items.items())
        for at in range(0, max(1, len(items)), _ITEMS):
            part = tuple(items[at : at + _ITEMS])
            self._writer.put(InventoryPart(self._dataset, self._ledger, part))

    def _whole(self, known: Known) -> None:
        for signed in known.chain:
            self._keep(ManifestPart(signed))
        for part in self._outside.parts(self._dataset) if self._outside is not None else ():
            self._keep(part)
        for _, value in self._snapshot.scan(of_dataset(b"i", self._dataset)):
            self._keep(IndexPart(self._dataset, parse(IndexInfo, value)))
        if has_ledger(known.manifest):
            self._take_ledger()
        else:
            self._take_changesets()

    def _keep(self, part: Keyed) -> bool:
        """List a part, and write it if the former dump has another or none; return whether so."""
        key, found = item_of(part)
        self._items[key] = found
        is_new = self._former.items.get(key) != found
        if is_new:
            self._writer.put(part)
        return is_new

    # ---- ledgers

    def _take_ledger(self) -> None:
        journal = Journal(self._snapshot, self._dataset)
        self._ledger = journal.head
        since = self._former.ledger
        if since.number and not self._continues(journal, since):
            raise BadDump(
                f"dataset 0x{self._dataset.hex()[:16]} does not go on where the former dump ends",
                hint="it was restored or made anew since: begin a new chain, without --since",
            )
        for entry in journal.entries(since.sequence + 1):
            self.new_changesets += 1
            self._writer.put(EntryPart(entry))
            for first, runs in _gathered(journal.chunks(entry.header.first, entry.last)):
                self._writer.put(SlotsPart(self._dataset, first, runs))

    def _continues(self, journal: Journal, since: LedgerHead) -> bool:
        if since.sequence > journal.head.sequence:
            return False
        entry = journal.entry_of(since.sequence)
        return entry.last == since.sequence and Hash(entry.id) == since.previous

    # ---- sealed changesets

    def _take_changesets(self) -> None:
        for changeset in self._by_stamp():
            envelope = load(self._snapshot, Envelope, envelope_key(self._dataset, changeset))
            if envelope is None:
                continue
            self.new_changesets += self._keep(ChangesetPart(envelope.changeset))
            entry = load_entry(self._snapshot, self._dataset, changeset)
            if entry is not None:
                self._keep(KeysPart(entry))
            kept = load(self._snapshot, Receipts, receipts_key(self._dataset, changeset))
            if kept is not None and kept.receipts:
                self._keep(ReceiptsPart(self._dataset, changeset, kept.receipts))
        for _, value in self._snapshot.scan(of_dataset(b"o", self._dataset)):
            waiting = parse(Outgoing, value)
            self._keep(UnsentPart(waiting.changeset, waiting.entry))

    def _by_stamp(self) -> list[ChangesetId]:
        """Return what was not refused, in the order in which it was written: parents come first."""
        stamps = []
        for key, value in self._snapshot.scan(of_dataset(b"c", self._dataset)):
            envelope = parse(Envelope, value)
            if envelope.verdict is not Verdict.DENIED:
                stamps.append((envelope.changeset.header.hlc, ChangesetId(Hash(key[33:]))))
        return [changeset for _, changeset in sorted(stamps)]


def _gathered(
    chunks: Iterable[tuple[int, tuple[bytes, ...]]],
) -> Iterator[tuple[int, tuple[tuple[bytes, ...], ...]]]:
    """Yield runs of slots some at a time, with the sequence of the first slot."""
    start, runs, size = 0, list[tuple[bytes, ...]](), 0
    for first, slots in chunks:
        if not runs:
            start = first
        runs.append(slots)
        size += sum(map(len, slots))
        if size >= _RUNS_BYTES:
            yield start, tuple(runs)
            runs, size = [], 0
    if runs:
        yield start, tuple(runs)
