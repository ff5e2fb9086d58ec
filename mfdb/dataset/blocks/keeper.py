"""The blocks of a replica: their cache, the hook of writers, and compaction step by step."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any

from mfdb.dataset import catalogue
from mfdb.dataset.blocks.cache import BlockCache
from mfdb.dataset.blocks.records import BLOCK_ROWS, Coverage, coverage_key
from mfdb.dataset.blocks.tail import Tail, drop_blocks
from mfdb.dataset.working import parse
from mfdb.kernel.errors import UnknownDataset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from mfdb.dataset.blocks.coverage import Covered
    from mfdb.dataset.working import Working
    from mfdb.kernel.ids import DatasetId
    from mfdb.rules.manifest import Manifest
    from mfdb.store.port import Snapshot, Store

COLD_ROWS = 2 * BLOCK_ROWS
"""Rows that were written, or looked at one by one, before blocks are made of them."""


class Blocks:
    """Keeps the column blocks of a replica; the writer's lock is held for moments only."""

    def __init__(
        self,
        store: Store,
        lock: AbstractContextManager[Any],
        writing: Callable[[], AbstractContextManager[Working]],
    ) -> None:
        """`lock` keeps writers out, `writing` gives a batch that is durable when it is left."""
        self._store = store
        self._lock = lock
        self._writing = writing
        self._building = Lock()
        self._watch: dict[DatasetId, set[bytes]] = {}
        self._cold: dict[DatasetId, int] = {}
        self.cache = BlockCache()
        self.under_way = 0
        """Writes that wait for somebody else: in such moments nothing is quiet."""
        self.beats = 0
        """Grows whenever something is read or written."""
        self.on_cold: Callable[[DatasetId], None] | None = None
        """Called when a dataset has rows enough that are worth a block."""

    # ---- writers and readers

    def tail(self, working: Working, dataset: DatasetId) -> Tail:
        """Return what a batch tells about the rows it shows and hides."""
        self.beats += 1
        return Tail(working, dataset, self._watch.get(dataset))

    def is_made(self, dataset: DatasetId) -> bool:
        """Return whether blocks are being made of a dataset; asked by the writer."""
        self.beats += 1
        return dataset in self._watch

    def high(self, dataset: DatasetId) -> bytes:
        """Return the last row, as committed now, that needs a mark when it changes."""
        data = self._store.first(coverage_key(dataset))
        return b"" if data is None else parse(Coverage, data).high

    def note(self, dataset: DatasetId, rows: int) -> None:
        """Take note that so many rows were written, or read one by one."""
        if self.on_cold is None:
            return
        count = self._cold[dataset] = self._cold.get(dataset, 0) + rows
        if count >= COLD_ROWS:
            self._cold[dataset] = 0
            self.on_cold(dataset)

    def covered(self, source: Snapshot, manifest: Manifest, state: object) -> Covered | None:
        """Return what blocks cover in a snapshot, or None.

        `state` names the committed state that the snapshot is of, None if nothing does.
        """
        from mfdb.dataset.blocks.coverage import coverage_of, read_covered

        if coverage_of(source, manifest) is None:
            return None
        dataset = manifest.dataset
        if state is None:
            return read_covered(source, dataset, self.cache)
        key = (dataset, "covered", state)
        return self.cache.get(key, lambda: read_covered(source, dataset, self.cache))

    # ---- compaction

    def compact(self, dataset: DatasetId) -> int:
        """Make blocks of all rows that are worth one, leaving no tail; return the steps taken.

        Raises:
            CorruptRecord: a row holds what its columns cannot.
            StoreFull: the disk is full; what was done until then stays.
        """
        steps = 0
        while self.step(dataset, thorough=True):
            steps += 1
        return steps

    def compact_all(self) -> int:
        """Do what `compact` does for every dataset, damaged blocks anew; return the steps taken."""
        from mfdb.dataset.blocks.check import check_blocks

        with self._store.snapshot() as snapshot:
            datasets = catalogue.all_datasets(snapshot)
            manifests = [catalogue.known_dataset(snapshot, one).manifest for one in datasets]
            damaged = [one.dataset for one in manifests if any(check_blocks(snapshot, one))]
        for dataset in damaged:
            with self._writing() as working:
                drop_blocks(working, dataset)
            self.cache.clear()
        return sum(map(self.compact, datasets))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """A context in which no blocks are made, nor any snapshot of that work is open."""
        with self._building:
            yield

    def step(self, dataset: DatasetId, *, thorough: bool = False) -> bool:
        """Make one block, or make one anew; return whether there was anything to do."""
        from mfdb.dataset.blocks.building import build, next_job, publish

        with self._building:
            with self._lock:
                self._watch[dataset] = set()
                context = self._store.snapshot()
            try:
                with context as snapshot:
                    try:
                        manifest = catalogue.known_dataset(snapshot, dataset).manifest
                    except UnknownDataset:
                        return False
                    job = next_job(snapshot, manifest, thorough=thorough)
                    made = [] if job is None else build(snapshot, manifest, job)
                if job is None:
                    return False
                with self._writing() as working:
                    publish(working, manifest, job, made, self._watch[dataset])
                return True
            finally:
                with self._lock:
                    del self._watch[dataset]
