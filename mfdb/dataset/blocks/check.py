"""CHECK DATABASE for blocks: every row that a block claims to hold stands in `d`, just so."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any

from mfdb.dataset.blocks.cache import BlockCache
from mfdb.dataset.blocks.coverage import coverage_of, load_column, read_covered
from mfdb.dataset.blocks.records import AUTHOR, HLC, LOCATORS
from mfdb.dataset.visible import rows_after
from mfdb.kernel.errors import CorruptRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfdb.dataset.blocks.coverage import Block, Covered
    from mfdb.rules.manifest import Manifest
    from mfdb.store.port import Snapshot


def check_blocks(source: Snapshot, manifest: Manifest) -> Iterator[str]:
    """Yield what is wrong with a dataset's blocks; ones that are not used are not looked at."""
    coverage = coverage_of(source, manifest)
    if coverage is None:
        return
    cache = BlockCache(0)
    try:
        covered = read_covered(source, manifest.dataset, cache)
    except CorruptRecord as error:
        yield f"its blocks cannot be read: {error}"
        return
    if covered.high != coverage.high:
        yield "its blocks end elsewhere than is noted"
    low: bytes | None = None
    for block in covered.blocks:
        try:
            yield from _check_block(source, manifest, covered, block, low)
        except CorruptRecord as error:
            yield f"block {block.info.number}: {error}"
        low = block.high


def _check_block(
    source: Snapshot, manifest: Manifest, covered: Covered, block: Block, low: bytes | None
) -> Iterator[str]:
    places = (LOCATORS, AUTHOR, HLC, *range(block.info.columns))
    columns = [
        load_column(source, manifest.dataset, block, place, BlockCache(0)).values()
        for place in places
    ]
    if any(len(column) != block.info.rows for column in columns):
        yield f"block {block.info.number} has columns of different lengths"
        return
    held = dict(zip(columns[0], zip(*columns[1:], strict=True), strict=True))
    for locator, _, row in rows_after(source, manifest, low, block.high):
        found = held.pop(locator, None)
        if _is_marked(covered, locator):
            continue
        if found is None:
            yield f"block {block.info.number} lacks row {row.row.hex()[:16]}"
        elif not same_values(found, (row.author or None, row.hlc, *row.values)):
            yield f"block {block.info.number} holds other values of row {row.row.hex()[:16]}"
    gone = sum(1 for locator in held if not _is_marked(covered, locator))
    if gone:
        yield f"block {block.info.number} holds {gone} rows that are not visible"


def _is_marked(covered: Covered, locator: bytes) -> bool:
    at = bisect_left(covered.tail, locator)
    return at < len(covered.tail) and covered.tail[at] == locator


def same_values(held: tuple[Any, ...], stored: tuple[Any, ...]) -> bool:
    """Return whether two rows hold the same; NaN is NaN here."""
    return len(held) == len(stored) and all(
        one == other or (one != one and other != other)  # noqa: PLR0124 - NaN
        for one, other in zip(held, stored, strict=True)
    )
