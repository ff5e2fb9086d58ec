"""The changelog's blocks: entry by entry, or one run of new rows that tells all of its entries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.dataset.layout import FeedBlock, FeedEntry, FeedRun
from mfdb.dataset.working import parse
from mfdb.kernel.codec import encode
from mfdb.kernel.ids import Hash, RowId
from mfdb.rules.changeset import INDEX_BYTES, version_origin

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK_HEAD = encode((1,))[:1]
"""The first byte of a record of one field: a `FeedBlock`, and no `FeedRun`."""


def entries_after(value: bytes, last: int, after: int) -> Iterator[tuple[int, FeedEntry]]:
    """Yield the entries above `after` with their numbers, of a block that ends with `last`.

    Raises:
        CorruptRecord: it is no block.
    """
    if value.startswith(_BLOCK_HEAD):
        entries = parse(FeedBlock, value).entries
        first = last - len(entries) + 1
        skipped = max(0, after - first + 1)
        yield from enumerate(entries[skipped:], first + skipped)
        return
    run = parse(FeedRun, value)
    first = last - run.count + 1
    for index in range(max(0, after - first + 1), run.count):
        yield first + index, _entry(run, index)


def _entry(run: FeedRun, index: int) -> FeedEntry:
    return FeedEntry(
        row=RowId(Hash(run.stem + index.to_bytes(INDEX_BYTES, "big") + run.rest)),
        old=b"",
        new=version_origin(run.changeset, index),
        author=run.author,
        hlc=run.hlc,
        kept={},
    )
