"""The visible rows of a dataset by their place: what everything derived from them is made of."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from mfdb.dataset.layout import of_dataset, shown_key
from mfdb.dataset.rows import row_reader
from mfdb.store.ordered import prefix_end

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfdb.dataset.layout import StoredRow
    from mfdb.kernel.ids import DatasetId
    from mfdb.rules.manifest import Manifest
    from mfdb.store.port import Snapshot


def rows_after(
    source: Snapshot, manifest: Manifest, low: bytes | None, high: bytes | None = None
) -> Iterator[tuple[bytes, int, StoredRow]]:
    """Yield locator, stored bytes and row, for low < locator <= high; None is no bound."""
    prefix, read = of_dataset(b"d", manifest.dataset), row_reader(manifest)
    start = prefix if low is None else prefix + low + b"\x00"
    stop = prefix_end(prefix) if high is None else prefix + high + b"\x00"
    size = len(prefix)
    for key, value in source.scan(start, stop):
        locator = key[size:]
        yield locator, len(value), read(locator, value)


def has_after(source: Snapshot, dataset: DatasetId, low: bytes | None, count: int) -> bool:
    """Return whether so many rows stand behind a place; they are not read."""
    prefix = of_dataset(b"d", dataset)
    start = prefix if low is None else prefix + low + b"\x00"
    found = source.scan(start, prefix_end(prefix))
    return sum(1 for _ in islice(found, count)) == count


def row_at(source: Snapshot, manifest: Manifest, locator: bytes) -> StoredRow | None:
    """Return the row that is visible at a place, or None."""
    data = source.get(shown_key(manifest.dataset, locator))
    return None if data is None else row_reader(manifest)(locator, data)
