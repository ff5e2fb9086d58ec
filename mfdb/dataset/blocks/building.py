"""Making blocks: which rows are due, the columns made of them, and one write that changes it all.

    snapshot -> `next_job` -> `build` (no lock held) -> `publish` (inside the writer's batch)

What is written between the first and the last step is known by its locators and marked.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mfdb.dataset.blocks.columns import INTEGERS, OCTETS, kinds_of, shape_of, write_column
from mfdb.dataset.blocks.coverage import directory, tail_of
from mfdb.dataset.blocks.records import (
    AUTHOR,
    BESIDE,
    BLOCK_BYTES,
    BLOCK_ROWS,
    HLC,
    LEAST_ROWS,
    LOCATORS,
    BlockInfo,
    Coverage,
    after,
    column_key,
    coverage_key,
    info_key,
    tail_key,
)
from mfdb.dataset.blocks.tail import drop_blocks
from mfdb.dataset.visible import has_after, rows_after
from mfdb.dataset.working import load, save

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mfdb.dataset.blocks.coverage import Block
    from mfdb.dataset.layout import StoredRow
    from mfdb.dataset.working import Working
    from mfdb.kernel.ids import DatasetId
    from mfdb.rules.manifest import Manifest
    from mfdb.store.port import Snapshot

TAIL_PART = 8
"""A block is made anew once a tail of one row in so many stands against it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Blocks to replace, or none: rows that have no block; `low` and `high` bound the rows.

    `drops` says that all blocks go, because the dataset's columns are others now.
    """

    before: Coverage | None
    shape: bytes
    replaced: tuple[Block, ...] = ()
    low: bytes | None = None
    high: bytes | None = None
    drops: bool = False


@dataclass(frozen=True, slots=True)
class Made:
    """A new block: its columns as they are stored, by place."""

    high: bytes
    rows: int
    columns: dict[int, bytes]


def next_job(source: Snapshot, manifest: Manifest, *, thorough: bool) -> Job | None:
    """Return what is to be done next, or None; `thorough` leaves no tail and no thousand rows."""
    dataset = manifest.dataset
    before = load(source, Coverage, coverage_key(dataset))
    shape = shape_of(manifest)
    if before is not None and before.high and before.shape != shape:
        return Job(before=before, shape=b"", drops=True)
    if shape is None:
        return None
    if before is not None:
        worn = _worn(source, dataset, thorough=thorough)
        if worn is not None:
            replaced, low = worn
            high = replaced[-1].high
            return Job(before=before, shape=shape, replaced=replaced, low=low, high=high)
    low = before.high if before is not None else None
    due = LEAST_ROWS if thorough else BLOCK_ROWS
    if not has_after(source, dataset, low, due):
        return None
    return Job(before=before, shape=shape, low=low)


def _worn(
    source: Snapshot, dataset: DatasetId, *, thorough: bool
) -> tuple[tuple[Block, ...], bytes | None] | None:
    """Return the first block with too long a tail, its neighbour if little is left, their start."""
    blocks = directory(source, dataset)
    highs = [block.high for block in blocks]
    counts = [0] * (len(blocks) + 1)
    for locator in tail_of(source, dataset):
        counts[bisect_left(highs, locator)] += 1
    for at, block in enumerate(blocks):
        if counts[at] * TAIL_PART > (1 if thorough else block.info.rows):
            small = block.info.rows - counts[at] < LEAST_ROWS
            first = max(at - 1, 0) if small and at + 1 == len(blocks) else at
            last = at + 1 if small else at
            return tuple(blocks[first : last + 1]), highs[first - 1] if first else None
    return None


def build(source: Snapshot, manifest: Manifest, job: Job) -> list[Made]:
    """Return the new blocks of a job.

    Raises:
        CorruptRecord: a row holds what its columns cannot.
    """
    if job.drops:
        return []
    rows = rows_after(source, manifest, job.low, job.high)
    parts = _parts(rows, all_of_them=job.high is not None)
    made = [_made(manifest, part) for part in parts]
    if job.high is not None and made:
        made[-1] = Made(job.high, made[-1].rows, made[-1].columns)
    return made


_Located = tuple[bytes, "StoredRow"]


def _parts(
    rows: Iterator[tuple[bytes, int, StoredRow]], *, all_of_them: bool
) -> Iterator[list[_Located]]:
    """Yield the rows block by block; only the first block's, unless all are wanted."""
    part: list[_Located] = []
    size = 0
    for locator, length, row in rows:
        part.append((locator, row))
        size += length
        if len(part) == BLOCK_ROWS or size >= BLOCK_BYTES:
            yield part
            if not all_of_them:
                return
            part, size = [], 0
    if part:
        yield part


def _made(manifest: Manifest, part: Sequence[_Located]) -> Made:
    columns: dict[int, bytes] = {}
    values = zip(*(row.values for _, row in part), strict=True)
    for place, (kind, column) in enumerate(zip(kinds_of(manifest), values, strict=True)):
        columns[place] = write_column(column, kind)
    beside: dict[int, tuple[list[Any], str]] = {
        AUTHOR: ([row.author or None for _, row in part], OCTETS),
        HLC: ([row.hlc for _, row in part], INTEGERS),
        LOCATORS: ([locator for locator, _ in part], OCTETS),
    }
    for place, (found, kind) in beside.items():
        columns[place] = write_column(found, kind)
    return Made(part[-1][0], len(part), columns)


def publish(
    working: Working, manifest: Manifest, job: Job, made: Sequence[Made], touched: set[bytes]
) -> bool:
    """Put new blocks in the place of old ones; `touched` rows changed since the job's snapshot.

    Return whether that was done: not if the blocks are others than the job knew.
    """
    dataset = manifest.dataset
    if load(working, Coverage, coverage_key(dataset)) != job.before:
        return False
    if job.drops:
        drop_blocks(working, dataset)
        return True
    number = job.before.next_number if job.before is not None else 0
    for block in job.replaced:
        _remove(working, dataset, block)
    for at, one in enumerate(made, number):
        _add(working, manifest, at, one)
    remaining = directory(working, dataset)
    high = remaining[-1].high if remaining else b""
    _mark(working, dataset, (job.low, job.high or high), high, touched)
    after_it = Coverage(
        generation=job.before.generation + 1 if job.before is not None else 1,
        high=high,
        next_number=number + len(made),
        shape=job.shape,
    )
    save(working, coverage_key(dataset), after_it)
    return True


def _mark(
    working: Working,
    dataset: DatasetId,
    new: tuple[bytes | None, bytes],
    high: bytes,
    touched: set[bytes],
) -> None:
    """Take the marks of the new range away, but for rows that changed meanwhile."""
    low, end = new
    start = tail_key(dataset, b"") if low is None else after(tail_key(dataset, low))
    for key, _ in list(working.scan(start, after(tail_key(dataset, end)))):
        working.delete(key)
    for locator in touched:
        if (low is None or locator > low) and locator <= min(end, high):
            working.put(tail_key(dataset, locator), b"")


def _add(working: Working, manifest: Manifest, number: int, made: Made) -> None:
    info = BlockInfo(number, made.rows, len(manifest.columns))
    save(working, info_key(manifest.dataset, made.high), info)
    for place, data in made.columns.items():
        working.put(column_key(manifest.dataset, number, place), data)


def _remove(working: Working, dataset: DatasetId, block: Block) -> None:
    working.delete(info_key(dataset, block.high))
    for place in (*range(block.info.columns), *BESIDE):
        working.delete(column_key(dataset, block.info.number, place))
