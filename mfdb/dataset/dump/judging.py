"""Judging dumps offline: every signature, hash and count of a chain of files, without any key.

    file      -> checksums, the identity's signature over all of it; it follows the one before
    dataset   -> manifests, ledger or changesets, key log, receipts, placement, certificates
    inventory -> exactly what it lists was in the files

What is *wrong* shows that a dump is damaged, forged or incomplete. A *note* is something that can
be in an honest dump too: anybody who may write can leave a gap in the chain of his own writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mfdb.dataset.check import Findings
from mfdb.dataset.dump.chain import Links, in_order, named
from mfdb.dataset.dump.judging_dataset import DatasetJudge, DatasetReport
from mfdb.dataset.dump.parts import (
    ChangesetPart,
    DumpEnd,
    DumpHead,
    Inventory,
    InventoryPart,
    Stock,
)
from mfdb.rules.signing import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mfdb.dataset.dump.chain import DumpFile
    from mfdb.kernel.ids import Address, DatasetId, Hash


class FileReport(msgspec.Struct):
    """One file of a chain that was read to its end."""

    name: str
    id: Hash
    number: int
    time_s: int
    length_bytes: int
    parts: int


class DumpReport(Findings):
    """What judging a chain found: nothing, if `is_good`."""

    identity: Address | None = None
    files: list[FileReport] = msgspec.field(default_factory=list)
    datasets: list[DatasetReport] = msgspec.field(default_factory=list)
    dropped: int = 0


class Judged(msgspec.Struct):
    """A report, with what is needed to restore the chain that it is about."""

    report: DumpReport
    files: list[DumpFile]
    inventory: Inventory


def judge_dumps(
    files: Sequence[DumpFile], progress: Callable[[float], object] = lambda _: None
) -> Judged:
    """Return what is wrong with a chain of dumps; `progress` hears fractions of 0 to 1.

    Raises:
        BadDump: a file is no whole dump, or does not follow the one before.
    """
    judge = _Judge(in_order(files), progress)
    judge.run()
    return judge.judged


class _Judge:
    """The judgement of one chain."""

    def __init__(self, files: list[DumpFile], progress: Callable[[float], object]) -> None:
        self._files = files
        self._progress = progress
        self._links = Links()
        self._datasets: dict[DatasetId, DatasetJudge] = {}
        self._inventory: Inventory = {}
        self._report = DumpReport()
        self._bytes = max(1, sum(file.length_bytes for file in files))

    @property
    def judged(self) -> Judged:
        """What came of it."""
        return Judged(self._report, self._files, self._inventory)

    def run(self) -> None:
        """Judge everything."""
        done = 0
        for file in self._files:
            with named(file.name):
                self._file(file, done)
            done += file.length_bytes
        self._report.identity = self._links.identity
        self._late()
        for dataset, stock in self._inventory.items():
            self._whole(dataset, stock)

    def _file(self, file: DumpFile, done: int) -> None:
        self._inventory = {}
        for judge in self._datasets.values():
            judge.resume()
        for _, part in file.parts(lambda at: self._progress((done + at) / self._bytes)):
            match part:
                case DumpHead():
                    self._links.begin(file, part)
                case InventoryPart():
                    self._of(part.dataset).close()
                    stock = self._inventory.setdefault(part.dataset, Stock())
                    stock.add(part.ledger, part.items)
                case DumpEnd(summary=summary):
                    self._links.end(summary)
                    report = FileReport(
                        name=file.name,
                        id=digest_of(summary),
                        number=summary.number,
                        time_s=summary.time_s,
                        length_bytes=file.length_bytes,
                        parts=summary.parts,
                    )
                    self._report.files.append(report)
                case _:
                    self._of(part.dataset).take(part)

    def _of(self, dataset: DatasetId) -> DatasetJudge:
        found = self._datasets.get(dataset)
        if found is None:
            found = self._datasets[dataset] = DatasetJudge(dataset, self._report.say)
        return found

    def _late(self) -> None:
        """Look again for the changesets of keys and receipts that a later file brought."""
        if not any(judge.late for judge in self._datasets.values()):
            return
        for file in self._files:
            for _, part in file.parts():
                if isinstance(part, ChangesetPart):
                    self._of(part.dataset).take_late(part.changeset)
        for judge in self._datasets.values():
            judge.end_late()

    def _whole(self, dataset: DatasetId, stock: Stock) -> None:
        judge = self._of(dataset)
        judge.finish(stock)
        if judge.is_dropped:
            self._report.dropped += 1
        else:
            self._report.datasets.append(judge.report)
