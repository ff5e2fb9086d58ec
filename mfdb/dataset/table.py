"""The visible rows of a dataset, their indexes and the changelog, kept in step with the heads.

touched row -> heads -> greatest head -> its values -> visible row, indexes, one feed entry
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

from mfdb.dataset.acceptance import VersionMeta, winner
from mfdb.dataset.indexes import indexes_of
from mfdb.dataset.layout import (
    FeedBlock,
    FeedEntry,
    RowState,
    StoredRow,
    feed_key,
    of_dataset,
    shown_key,
    unique_prefix,
)
from mfdb.dataset.opener import Opened
from mfdb.dataset.schema import has_key
from mfdb.dataset.working import Working, load, save
from mfdb.store.ordered import pack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mfdb.dataset.blocks.tail import Tail
    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.contents import Contents
    from mfdb.dataset.states import States
    from mfdb.kernel.ids import DatasetId, RowId
    from mfdb.rules.manifest import Manifest
    from mfdb.store.port import Snapshot

PLACE_BYTES = 8
FEED_BLOCK = 1_000
"""Changes in one block of the changelog at most."""


class Table:
    """Brings the visible rows of one dataset up to date while a batch is taken in."""

    def __init__(
        self, working: Working, known: Known, contents: Contents, states: States, tail: Tail
    ) -> None:
        self._working = working
        self._tail = tail
        self._manifest = known.manifest
        self._contents = contents
        self._states = states
        self._dataset = known.manifest.dataset
        self._next = last_sequence(working, self._dataset) + 1
        self._in_order = ordered_values(known.manifest)
        self._key = key_packer(known.manifest)
        self._unique = [at for at, column in enumerate(known.manifest.columns) if column.unique]
        self._log: list[FeedEntry] = []
        self.indexes = indexes_of(working, known.manifest)
        self.fresh: list[StoredRow] = []
        """The rows that are shown anew, where a UNIQUE index has to be asked about them."""
        self.gone: dict[int, StoredRow] = {}
        """The rows that were replaced or removed, by the sequence number of the change."""

    def refresh(self, row: RowId) -> None:
        """Show the greatest valid head of a row, or nothing, and log the change if there is one."""
        state = self._states.get(row)
        if state is None:
            return
        head = winner(state.versions) if state.versions else None
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
            locator = place if self._key is None else self._key(new.values) + row
            self._put(locator, new)
        after = RowState(state.versions, locator, new.version if new else b"", place, state.past)
        self._states.set(row, after)
        self._note(row, old, new, head)

    def finish(self) -> None:
        """Write the changelog and the states of rows; nothing is refreshed afterwards."""
        first = self._next - len(self._log)
        for at in range(0, len(self._log), FEED_BLOCK):
            part = self._log[at : at + FEED_BLOCK]
            key = feed_key(self._dataset, first + at + len(part) - 1)
            save(self._working, key, FeedBlock(tuple(part)))
        self._log = []
        self._states.flush()

    def _content(self, head: VersionMeta, old: StoredRow | None) -> StoredRow | None:
        opened = self._contents.of(head)
        if not isinstance(opened, Opened):
            return None
        proven = opened.author if not head.parent else old.author if old else b""
        return StoredRow(
            row=head.row,
            origin=head.version,
            author=head.author or proven,
            hlc=head.hlc,
            values=self._in_order(opened.values),
        )

    def _shown(self, state: RowState) -> StoredRow | None:
        if not state.shown:
            return None
        return load(self._working, StoredRow, shown_key(self._dataset, state.locator))

    def _put(self, locator: bytes, row: StoredRow) -> None:
        self._tail.touch(locator)
        save(self._working, shown_key(self._dataset, locator), row)
        if self._unique:
            for key in self._unique_keys(locator, row):
                self._working.put(key, b"")
        if self.indexes:
            for index in self.indexes:
                self._working.put(index.entry(row), locator)
            self.fresh.append(row)

    def _remove(self, locator: bytes, row: StoredRow) -> None:
        self._tail.touch(locator)
        self._working.delete(shown_key(self._dataset, locator))
        for key in self._unique_keys(locator, row):
            self._working.delete(key)
        for index in self.indexes:
            self._working.delete(index.entry(row))

    def _unique_keys(self, locator: bytes, row: StoredRow) -> Iterator[bytes]:
        for index in self._unique:
            value = row.values[index]
            if value is not None:
                yield unique_prefix(self._dataset, index, value) + locator

    def _note(
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
        self._log.append(entry)
        if old is not None:
            self.gone[self._next] = old
        self._next += 1

    def _kept(self, old: StoredRow) -> dict[str, Any]:
        """A deleted row's sealed columns must not live on in the changelog, its key may."""
        named = zip(self._manifest.columns, old.values, strict=True)
        return {column.name: value for column, value in named if column.clear or column.key}


def ordered_values(manifest: Manifest) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    """Return what gives values by name in the order of the columns; what is missing is NULL."""
    names = tuple(column.name for column in manifest.columns)
    if len(names) < 2:
        return lambda values: tuple(values.get(name) for name in names)
    quick = itemgetter(*names)

    def in_order(values: Mapping[str, Any]) -> tuple[Any, ...]:
        if len(values) == len(names):
            return quick(values)  # type: ignore[no-any-return] # several names give a tuple
        return tuple(values.get(name) for name in names)

    return in_order


def key_packer(manifest: Manifest) -> Callable[[tuple[Any, ...]], bytes] | None:
    """Return what packs the primary key of a row, or None where rows are not found by one."""
    if not has_key(manifest):
        return None
    places = {column.name: at for at, column in enumerate(manifest.columns)}
    at = [places[column.name] for column in manifest.key_columns]
    if len(at) == 1:
        only = at[0]
        return lambda values: pack(values[only])
    return lambda values: pack(*[values[place] for place in at])


def last_sequence(source: Snapshot | Working, dataset: DatasetId) -> int:
    """Return the number of the newest changelog entry, 0 if there is none."""
    for key, _ in source.scan(of_dataset(b"f", dataset), reverse=True):
        return int.from_bytes(key[-8:], "big")
    return 0
