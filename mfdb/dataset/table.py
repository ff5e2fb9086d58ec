"""The visible rows of a dataset, their indexes and the changelog, kept in step with the heads.

touched row -> heads -> greatest head -> its values -> visible row, indexes, one feed entry
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfdb.dataset.acceptance import VersionMeta, winner
from mfdb.dataset.layout import (
    FeedEntry,
    RowState,
    StoredRow,
    feed_key,
    key_locator,
    of_dataset,
    row_key,
    shown_key,
    unique_prefix,
    version_key,
)
from mfdb.dataset.opener import Opened
from mfdb.dataset.working import Working, load, save
from mfdb.rules.manifest import Ordering

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.contents import Contents
    from mfdb.kernel.ids import DatasetId, RowId, VersionId
    from mfdb.rules.manifest import Manifest
    from mfdb.store.port import Snapshot

PLACE_BYTES = 8


class Table:
    """Brings the visible rows of one dataset up to date while a batch is taken in."""

    def __init__(self, working: Working, known: Known, contents: Contents) -> None:
        self._working = working
        self._manifest = known.manifest
        self._contents = contents
        self._dataset = known.manifest.dataset
        self._next = last_sequence(working, self._dataset) + 1
        self.gone: dict[int, StoredRow] = {}
        """The rows that were replaced or removed, by the sequence number of the change."""

    def refresh(self, row: RowId) -> None:
        """Show the greatest valid head of a row, or nothing, and log the change if there is one."""
        key = row_key(self._dataset, row)
        state = load(self._working, RowState, key)
        if state is None:
            return
        head = self._winner(state)
        if head is not None and state.shown == head.version:
            return
        old = self._shown(state)
        new = None if head is None else self._content(head, old)
        if old is None and new is None:
            return
        if old is not None:
            self._remove(state.locator, old)
        place = state.place or self._next.to_bytes(PLACE_BYTES, "big")
        locator = b""
        if new is not None:
            locator = self._locator(new, place)
            self._put(locator, new)
        after = RowState(state.heads, locator, new.version if new else b"", place)
        save(self._working, key, after)
        self._log(row, old, new, head)

    def _winner(self, state: RowState) -> VersionMeta | None:
        heads = [load(self._working, VersionMeta, self._version_key(h)) for h in state.heads]
        found = [head for head in heads if head is not None]
        return winner(found) if found else None

    def _version_key(self, version: VersionId) -> bytes:
        return version_key(self._dataset, version)

    def _content(self, head: VersionMeta, old: StoredRow | None) -> StoredRow | None:
        opened = self._contents.of(head)
        if not isinstance(opened, Opened):
            return None
        proven = opened.author if not head.parent else old.author if old else b""
        return StoredRow(
            row=head.row,
            version=head.version,
            author=head.author or proven,
            hlc=head.hlc,
            values=tuple(opened.values.get(c.name) for c in self._manifest.columns),
        )

    def _shown(self, state: RowState) -> StoredRow | None:
        if not state.shown:
            return None
        return load(self._working, StoredRow, shown_key(self._dataset, state.locator))

    def _locator(self, row: StoredRow, place: bytes) -> bytes:
        if has_key(self._manifest):
            return key_locator(self._manifest, row.values) + row.row
        return place

    def _put(self, locator: bytes, row: StoredRow) -> None:
        save(self._working, shown_key(self._dataset, locator), row)
        for key in self._unique_keys(locator, row):
            self._working.put(key, b"")

    def _remove(self, locator: bytes, row: StoredRow) -> None:
        self._working.delete(shown_key(self._dataset, locator))
        for key in self._unique_keys(locator, row):
            self._working.delete(key)

    def _unique_keys(self, locator: bytes, row: StoredRow) -> Iterator[bytes]:
        for index, value in unique_values(self._manifest, row.values):
            yield unique_prefix(self._dataset, index, value) + locator

    def _log(
        self, row: RowId, old: StoredRow | None, new: StoredRow | None, head: VersionMeta | None
    ) -> None:
        entry = FeedEntry(
            row=row,
            old=old.version if old else b"",
            new=new.version if new else b"",
            author=new.author if new else head.author if head else b"",
            hlc=head.hlc if head else 0,
            kept={} if new or not old else self._kept(old),
        )
        save(self._working, feed_key(self._dataset, self._next), entry)
        if old is not None:
            self.gone[self._next] = old
        self._next += 1

    def _kept(self, old: StoredRow) -> dict[str, Any]:
        """A deleted row's sealed columns must not live on in the changelog, its key may."""
        named = zip(self._manifest.columns, old.values, strict=True)
        return {column.name: value for column, value in named if column.clear or column.key}


def has_key(manifest: Manifest) -> bool:
    """Return whether rows are found by a primary key (else by where they were first seen)."""
    return manifest.ordering is Ordering.OWNER and bool(manifest.key_columns)


def unique_values(manifest: Manifest, values: tuple[Any, ...]) -> Iterator[tuple[int, Any]]:
    """Yield index and value of each UNIQUE column that is not NULL."""
    for index, column in enumerate(manifest.columns):
        if column.unique and values[index] is not None:
            yield index, values[index]


def last_sequence(source: Snapshot | Working, dataset: DatasetId) -> int:
    """Return the number of the newest changelog entry, 0 if there is none."""
    for key, _ in source.scan(of_dataset(b"f", dataset), reverse=True):
        return int.from_bytes(key[-8:], "big")
    return 0
