"""What writers do about blocks: mark the rows that they show or hide inside the covered ranges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.dataset.blocks.columns import shape_of
from mfdb.dataset.blocks.records import TABLES, Coverage, coverage_key, tail_key
from mfdb.dataset.layout import of_dataset
from mfdb.dataset.working import load, save

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.dataset.working import Working
    from mfdb.kernel.ids import DatasetId
    from mfdb.rules.manifest import Manifest


class Tail:
    """The marks of one batch in one dataset; beyond the last block a row needs none."""

    __slots__ = ("_dataset", "_high", "_watch", "_working", "touched")

    def __init__(self, working: Working, dataset: DatasetId, watch: set[bytes] | None) -> None:
        """`watch` collects the locators while blocks are being made of this dataset."""
        coverage = load(working, Coverage, coverage_key(dataset))
        self._working = working
        self._dataset = dataset
        self._high = coverage.high if coverage is not None else b""
        self._watch = watch
        self.touched = 0
        """How many rows were shown or hidden."""

    def touch(self, locator: bytes) -> None:
        """Take note that the row at a place is shown, replaced or hidden by this batch."""
        self.touch_all((locator,))

    def touch_all(self, locators: Sequence[bytes]) -> None:
        """Take note of many such rows."""
        self.touched += len(locators)
        high = self._high
        covered = [locator for locator in locators if locator <= high] if high else ()
        prefix = tail_key(self._dataset, b"")
        self._working.put_all(dict.fromkeys([prefix + locator for locator in covered], b""))
        if self._watch is not None:
            self._watch.update(locators)


def drop_blocks(working: Working, dataset: DatasetId) -> None:
    """Remove a dataset's blocks; the rows stay, and no block's number is ever given again."""
    coverage = load(working, Coverage, coverage_key(dataset))
    for table in TABLES:
        for key, _ in list(working.scan(of_dataset(bytes([table]), dataset))):
            working.delete(key)
    if coverage is not None:
        after = Coverage(coverage.generation + 1, b"", coverage.next_number, b"")
        save(working, coverage_key(dataset), after)


def drop_misfits(working: Working, manifest: Manifest) -> None:
    """Remove the blocks of a dataset whose columns are others from now on.

    They would not be used anyway, but columns may become what they were, with other values.
    """
    coverage = load(working, Coverage, coverage_key(manifest.dataset))
    if coverage is not None and coverage.high and coverage.shape != shape_of(manifest):
        drop_blocks(working, manifest.dataset)
