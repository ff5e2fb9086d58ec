"""What the blocks of a dataset cover in one state of the store, and which of their rows still hold.

directory + tail -> `Covered`: blocks with their outdated positions, and what to read from `d`
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mfdb.dataset.blocks.columns import read_column, shape_of
from mfdb.dataset.blocks.records import (
    LOCATORS,
    BlockInfo,
    Coverage,
    column_key,
    coverage_key,
    tail_key,
)
from mfdb.dataset.blocks.run import Run, runs_of
from mfdb.dataset.layout import of_dataset
from mfdb.dataset.visible import row_at, rows_after
from mfdb.dataset.working import load, parse
from mfdb.kernel.errors import CorruptRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfdb.dataset.blocks.cache import BlockCache
    from mfdb.dataset.blocks.columns import Column
    from mfdb.dataset.layout import StoredRow
    from mfdb.kernel.ids import DatasetId
    from mfdb.rules.manifest import Manifest
    from mfdb.store.port import Snapshot


@dataclass(frozen=True, slots=True)
class Block:
    """One block: where its range ends, and the positions whose rows changed since."""

    high: bytes
    info: BlockInfo
    outdated: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """How many rows its columns have."""
        return self.info.rows

    @property
    def rows(self) -> int:
        """How many of its rows still hold."""
        return self.info.rows - len(self.outdated)


@dataclass(frozen=True, slots=True)
class Covered:
    """The blocks in locator order, the tail's locators, and the locator after which none covers."""

    blocks: tuple[Block, ...]
    tail: tuple[bytes, ...]
    high: bytes
    rows: int
    """How many rows stand in blocks."""
    runs: tuple[Run, ...]

    @property
    def size_bytes(self) -> int:
        """About what it occupies in memory."""
        return 300 * len(self.blocks) + 100 * len(self.tail)


def coverage_of(source: Snapshot, manifest: Manifest) -> Coverage | None:
    """Return how far the blocks of a dataset reach; None if there are none that fit its columns."""
    found = load(source, Coverage, coverage_key(manifest.dataset))
    return found if found is not None and found.shape == shape_of(manifest) else None


def directory(source: Snapshot, dataset: DatasetId) -> list[Block]:
    """Return the blocks of a dataset in the order of their ranges."""
    prefix = of_dataset(b"a", dataset)
    return [
        Block(key[len(prefix) :], parse(BlockInfo, value)) for key, value in source.scan(prefix)
    ]


def tail_of(source: Snapshot, dataset: DatasetId) -> list[bytes]:
    """Return the locators in the tail, in order."""
    prefix = tail_key(dataset, b"")
    return [key[len(prefix) :] for key, _ in source.scan(prefix)]


def read_covered(source: Snapshot, dataset: DatasetId, cache: BlockCache) -> Covered:
    """Return what the blocks of a dataset cover."""
    blocks = directory(source, dataset)
    tail = tail_of(source, dataset)
    if tail:
        highs = [block.high for block in blocks]
        marks: dict[int, list[bytes]] = {}
        for locator in tail:
            marks.setdefault(bisect_left(highs, locator), []).append(locator)
        for at, found in marks.items():
            if at < len(blocks):
                blocks[at] = _outdated(source, dataset, blocks[at], found, cache)
    high = blocks[-1].high if blocks else b""
    return Covered(
        tuple(blocks),
        tuple(tail),
        high,
        sum(block.rows for block in blocks),
        tuple(runs_of(blocks)),
    )


def _outdated(
    source: Snapshot, dataset: DatasetId, block: Block, marks: list[bytes], cache: BlockCache
) -> Block:
    """Return a block that knows which of its positions are marked; a mark may be of a new row."""
    locators = load_column(source, dataset, block, LOCATORS, cache).values()
    found = []
    for locator in marks:
        at = bisect_left(locators, locator)
        if at < len(locators) and locators[at] == locator:
            found.append(at)
    return Block(block.high, block.info, tuple(found))


def load_column(
    source: Snapshot, dataset: DatasetId, block: Block, place: int, cache: BlockCache
) -> Column:
    """Return a column of a block.

    Raises:
        CorruptRecord: it is not there, or damaged.
    """
    number = block.info.number

    def read() -> Column:
        data = source.get(column_key(dataset, number, place))
        if data is None:
            raise CorruptRecord("a column of a block is missing", hint="VACUUM makes blocks anew")
        return read_column(data)

    return cache.get((dataset, number, place), read)


def fresh_rows(source: Snapshot, manifest: Manifest, covered: Covered) -> Iterator[StoredRow]:
    """Yield the rows that no block holds as they are now."""
    for locator in covered.tail:
        row = row_at(source, manifest, locator)
        if row is not None:
            yield row
    for _, _, row in rows_after(source, manifest, covered.high or None):
        yield row
