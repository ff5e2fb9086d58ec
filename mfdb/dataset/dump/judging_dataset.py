"""Judging what dumps hold of one dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mfdb.dataset.dump.judging_evidence import EvidenceJudge
from mfdb.dataset.dump.parts import (
    ChangesetPart,
    DroppedPart,
    EntryPart,
    IndexPart,
    Kept,
    KeysPart,
    ManifestPart,
    ReceiptsPart,
    SlotsPart,
    UnsentPart,
    item_of,
)
from mfdb.dataset.ledger.fold import LedgerFold
from mfdb.dataset.ledger.format import LedgerEntry, has_ledger
from mfdb.kernel.errors import BadProof, MfdbError
from mfdb.kernel.ids import ZERO_HASH, Hash
from mfdb.rules.changeset import Changeset, check_changeset, version_ids
from mfdb.rules.key_log import check_entry
from mfdb.rules.manifest import Manifest, check_manifest, check_successor

if TYPE_CHECKING:
    from collections.abc import Callable

    from mfdb.dataset.dump.parts import Stock
    from mfdb.kernel.ids import Address, ChangesetId, DatasetId


class DatasetReport(msgspec.Struct):
    """What was looked at of one dataset."""

    name: str = ""
    dataset: bytes = b""
    owner: bytes = b""
    kind: str = ""
    network: Hash = ZERO_HASH
    local: bool = True
    manifests: int = 0
    changesets: int = 0
    operations: int = 0
    receipts: int = 0
    segments: int = 0
    unsent: int = 0
    notes: list[str] = msgspec.field(default_factory=list)


class DatasetJudge:
    """The judgement of one dataset; `say` is told what is wrong."""

    def __init__(self, dataset: DatasetId, say: Callable[[str], None]) -> None:
        self._dataset = dataset
        self._tell = say
        self._manifests: dict[int, Manifest] = {}
        self._held: dict[bytes, bytes] = {}
        self._fold = LedgerFold(self._say)
        self._open: tuple[LedgerEntry, list[bytes]] | None = None
        self._chains: dict[tuple[Address, bytes], set[int]] = {}
        self._versions: set[bytes] = set()
        self._parents: set[bytes] = set()
        self._last: Changeset | None = None
        self._evidence = EvidenceJudge(self._say)
        self.late: dict[ChangesetId, list[KeysPart | ReceiptsPart]] = {}
        """Parts about changesets of earlier files."""
        self.report = DatasetReport(dataset=dataset)
        self.is_dropped = False

    def _say(self, problem: str) -> None:
        self._tell(f"dataset {self.report.name or '0x' + self._dataset.hex()[:16]}: {problem}")

    def resume(self) -> None:
        """What follows was dumped later."""
        self._fold.resume()

    def take(self, part: Kept) -> None:
        """Judge one part."""
        try:
            self._take(part)
        except MfdbError as error:
            self._say(str(error))

    def _take(self, part: Kept) -> None:
        if isinstance(part, EntryPart):
            self._entry(part.entry)
            return
        if isinstance(part, SlotsPart):
            self._slots(part)
            return
        key, found = item_of(part)
        self._held[key] = found
        match part:
            case ManifestPart():
                self._manifest(part)
            case ChangesetPart(changeset=changeset):
                self._changeset(changeset)
            case KeysPart(entry=entry):
                self._about(entry.changeset, part)
            case ReceiptsPart(changeset=named):
                self._about(named, part)
            case UnsentPart(changeset=changeset, entry=entry):
                check_changeset(changeset, network=self._now.network, dataset=self._dataset)
                check_entry(entry, changeset)
            case IndexPart() | DroppedPart():
                pass  # of the machine, not of the dataset: nobody signs it but the dump
            case _:
                self._evidence.take(part, self._now_or_none)

    # ---- rules

    @property
    def _now(self) -> Manifest:
        found = self._now_or_none
        if found is None:
            raise BadProof("rows come without the rules that they stand under")
        return found

    @property
    def _now_or_none(self) -> Manifest | None:
        return self._manifests[max(self._manifests)] if self._manifests else None

    def _manifest(self, part: ManifestPart) -> None:
        manifest = part.signed.manifest
        check_manifest(part.signed, manifest.network)
        before = self._manifests.get(manifest.number - 1)
        self._manifests[manifest.number] = manifest
        self.report.name = self._now.name
        if before is not None:
            check_successor(before, manifest)

    # ---- ledgers

    def _entry(self, entry: LedgerEntry) -> None:
        self.close()
        if not has_ledger(self._now):
            raise BadProof("a dataset of a network has no ledger")
        self._open = (entry, [])
        self.report.operations += entry.header.count
        self._fold.follow(entry, tuple(self._manifests.values()))

    def _slots(self, part: SlotsPart) -> None:
        if self._open is None:
            raise BadProof("operations come without the header that signs them")
        entry, leaves = self._open
        for slots in part.runs:
            for slot in slots:
                sequence = entry.header.first + len(leaves)
                if len(leaves) == entry.header.count:
                    raise BadProof(
                        f"there are more operations than changeset {entry.header.number} signs"
                    )
                leaves.append(self._fold.note(sequence, slot))

    def close(self) -> None:
        """End the header whose operations came last."""
        if self._open is not None:
            entry, leaves = self._open
            self._open = None
            self._fold.root(entry, leaves)

    # ---- sealed changesets

    def _changeset(self, changeset: Changeset) -> None:
        self._last = changeset
        header = changeset.header
        self._parents.update(op.parent for op in changeset.operations if op.parent)
        self._versions.update(version_ids(changeset.id, changeset.count))
        self._chains.setdefault((header.signer, header.run), set()).add(header.number)
        self.report.operations += changeset.count
        check_changeset(changeset, network=self._now.network, dataset=self._dataset)

    def _about(self, named: ChangesetId, part: KeysPart | ReceiptsPart) -> None:
        """Judge keys or receipts, beside their changeset or once that is found again."""
        if self._last is not None and self._last.id == named:
            self._beside(part, self._last)
        else:
            self.late.setdefault(named, []).append(part)

    def _beside(self, part: KeysPart | ReceiptsPart, changeset: Changeset) -> None:
        if isinstance(part, KeysPart):
            check_entry(part.entry, changeset)
        else:
            self._evidence.receipts(part.receipts, changeset)

    def take_late(self, changeset: Changeset) -> None:
        """Judge what came later about a changeset."""
        for part in self.late.pop(changeset.id, ()):
            try:
                self._beside(part, changeset)
            except MfdbError as error:
                self._say(str(error))

    def end_late(self) -> None:
        """Whatever is about a changeset that no file has is wrong."""
        for changeset in self.late:
            self._say(f"keys or receipts are of changeset {changeset.hex()[:16]}, which is missing")
        self.late = {}

    # ---- the end

    def finish(self, stock: Stock) -> None:
        """Hold what came against the newest inventory, and fill in the report."""
        self.close()
        self._fold.finish()
        if self._fold.head != stock.ledger:
            self._say("the ledger does not end where the dump says that it ends")
        for key, due in stock.items.items():
            if self._held.get(key) != due:
                self._say(f"{_described(key)} is missing, or another than the dump lists")
        self.is_dropped = b"t" in stock.items
        if self.is_dropped:
            return
        if not self._manifests:
            self._say("its rules are missing")
            return
        self._fill(stock)

    def _fill(self, stock: Stock) -> None:
        report, manifest = self.report, self._now
        kinds = [key[:1] for key in stock.items]
        report.owner, report.kind = manifest.owner, manifest.kind.name.lower()
        report.network = manifest.network
        report.local = has_ledger(manifest)
        report.manifests = kinds.count(b"m")
        report.changesets = self._fold.number + kinds.count(b"c")
        report.segments, report.unsent = kinds.count(b"s"), kinds.count(b"o")
        report.receipts = self._evidence.checked
        chain = [self._manifests[number] for number in sorted(self._manifests)]
        self._evidence.finish(stock, chain)
        gaps = sum(max(numbers) + 1 - len(numbers) for numbers in self._chains.values())
        waiting = len(self._parents - self._versions)
        lacking = manifest.number + 1 - report.manifests
        notes = [
            (gaps, f"{gaps} changesets are missing in the chains of their writers"),
            (waiting, f"{waiting} operations wait for versions that are not here"),
            (lacking, f"{lacking} older manifests are not here"),
        ]
        report.notes = [text for count, text in notes if count] + self._evidence.notes


_KINDS = {
    b"m": "a manifest",
    b"i": "an index",
    b"c": "a changeset",
    b"k": "what opens a changeset",
    b"r": "receipts",
    b"o": "an unsent changeset",
    b"p": "an entry of the placement log",
    b"s": "a segment's certificate",
    b"n": "a node record",
    b"w": "the network",
    b"t": "the mark of a dropped dataset",
}


def _described(key: bytes) -> str:
    return f"{_KINDS.get(key[:1], 'a part')} (0x{key.hex()[:16]})"
