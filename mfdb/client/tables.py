"""Rows as statements read them: one committed state, with an open batch's own changes on top."""

from __future__ import annotations

from heapq import merge
from typing import TYPE_CHECKING

from mfdb.client.matching import BEYOND, bounds, matches, order_of
from mfdb.client.versioned import naming, versioned
from mfdb.client.watch import Watch
from mfdb.dataset.indexes import KEPT_BYTES, Span, span
from mfdb.dataset.schema import has_key
from mfdb.sql.tables import (
    Access,
    FullScan,
    IndexRange,
    KeyLookup,
    KeyRange,
    StoredRow,
    ValueLookup,
)
from mfdb.store.ordered import pack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from mfdb.client.pending_table import PendingTable
    from mfdb.client.versioned import VersionedRow
    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.indexes import Index
    from mfdb.dataset.layout import StoredRow as ReplicaRow
    from mfdb.dataset.reading import Reading
    from mfdb.kernel.ids import DatasetId
    from mfdb.sql.catalogue import TableSchema
    from mfdb.sql.tables import ColumnScan, Values

_LONG = frozenset({"text", "bytes"})
"""Families whose values may be longer than an index keeps."""


class LocalTables:
    """`mfdb.sql.tables.Tables` over a reading of the replica and the open batch."""

    def __init__(
        self,
        reading: Reading,
        pending: Mapping[DatasetId, PendingTable],
        watch: Watch | None = None,
    ) -> None:
        self._reading = reading
        self._watch = Watch() if watch is None else watch
        self._pending = pending
        self._known: dict[DatasetId, Known] = {}

    def scan(self, table: TableSchema, access: Access) -> Iterator[StoredRow]:
        """Yield the rows that an access describes; a KeyRange's in key order."""
        pending = self._pending.get(table.dataset)
        stored = self._stored(table, access)
        if not isinstance(access, KeyLookup):
            stored = self._watch.over(stored)
        if pending is None or pending.changes.is_empty:
            return stored
        return self._with_pending(table, access, stored, pending)

    def columns(self, table: TableSchema) -> ColumnScan | None:
        """Return the rows by column: not with an open batch on top, which only `scan` knows."""
        pending = self._pending.get(table.dataset)
        if pending is not None and not pending.changes.is_empty:
            return None
        known = self._known_of(table)
        scan = self._reading.columns(known)
        if scan is None:
            return None
        from mfdb.client.columns import LocalColumns  # blocks load when they are read

        return LocalColumns(scan, naming(known, self._reading.keyring), self._watch)

    def greatest(self, table: TableSchema, place: int) -> int | None:
        """Return the greatest integer that a column holds or held in this batch, None if none."""
        known = self._known_of(table)
        rows: Iterator[ReplicaRow]
        index = self._index_of(known, place)
        if has_key(known.manifest) and table.key[0] == place:
            rows = self._reading.keyed(known, b"", BEYOND, reverse=True)
        elif index is not None:
            start, stop = span(index.prefix, Span(), descending=index.places[0][1])
            reverse = not index.places[0][1]
            rows = self._reading.by_index(known, index, start, stop, reverse=reverse)
        else:
            found = (_whole(row, place) for row in self._watch.over(self._reading.rows(known)))
            whole = max((one for one in found if one is not None), default=None)
            return self._greater(table, place, whole)
        first = next(rows, None)
        return self._greater(table, place, None if first is None else _whole(first, place))

    def _greater(self, table: TableSchema, place: int, stored: int | None) -> int | None:
        pending = self._pending.get(table.dataset)
        own = pending.numbers.get(place) if pending is not None else None
        return max((one for one in (stored, own) if one is not None), default=None)

    def _with_pending(
        self,
        table: TableSchema,
        access: Access,
        stored: Iterator[VersionedRow],
        pending: PendingTable,
    ) -> Iterator[StoredRow]:
        kept = (row for row in stored if not pending.touches(row.row_id))
        own = pending.matching(table, access)
        if isinstance(access, KeyRange | IndexRange):
            order = order_of(table, access)

            def key(row: VersionedRow) -> bytes:
                return order(row.values)

            fresh = sorted(own, key=key, reverse=access.reverse)
            return merge(kept, fresh, key=key, reverse=access.reverse)
        return (row for rows in (kept, own) for row in rows)

    def _stored(self, table: TableSchema, access: Access) -> Iterator[VersionedRow]:
        known = self._known_of(table)
        indexed = has_key(known.manifest)
        if isinstance(access, KeyLookup) and indexed:
            return self._looked_up(known, access)
        if isinstance(access, KeyRange) and indexed:
            start, stop = bounds(access)
            found = self._reading.keyed(known, start, stop, reverse=access.reverse)
            return self._versioned(known, found)
        if isinstance(access, IndexRange):
            return self._in_index(known, table, access)
        if isinstance(access, ValueLookup):
            if table.columns[access.column].unique:
                return self._by_unique(known, access)
            index = self._index_of(known, access.column)
            if index is not None:
                return self._by_index(known, index, table, access)
        return self._filtered(known, table, access)

    def _known_of(self, table: TableSchema) -> Known:
        known = self._known.get(table.dataset)
        if known is None:
            known = self._known[table.dataset] = self._reading.known(table.dataset)
        return known

    def _looked_up(self, known: Known, access: KeyLookup) -> Iterator[VersionedRow]:
        packed = [pack(*key) for key in access.keys]
        if self._reading.shows_all(known):
            found = self._reading.at(known, packed)
            yield from self._versioned(known, (found[one] for one in packed if one in found))
            return
        for one in packed:
            yield from self._versioned(known, self._reading.keyed(known, one, None))

    def _by_unique(self, known: Known, access: ValueLookup) -> Iterator[VersionedRow]:
        for value in access.values:
            row = self._reading.by_unique(known, access.column, value)
            if row is not None:
                yield from self._versioned(known, (row,))

    def _index_of(self, known: Known, column: int) -> Index | None:
        """Return a secondary index whose first column this is."""
        ready = (index for index in self._reading.indexes(known) if index.info.is_ready)
        return next((index for index in ready if index.places[0][0] == column), None)

    def _by_index(
        self, known: Known, index: Index, table: TableSchema, access: ValueLookup
    ) -> Iterator[VersionedRow]:
        for value in access.values:
            found = self._reading.by_index(known, index, index.start((value,)), None)
            # Long values share their beginnings in an index.
            wanted = (row for row in found if matches(table, access, row.values))
            yield from self._versioned(known, wanted)

    def _in_index(
        self, known: Known, table: TableSchema, access: IndexRange
    ) -> Iterator[VersionedRow]:
        wanted = (one for one in self._reading.indexes(known) if one.info.name == access.index.name)
        index = next(wanted)
        limits = Span(
            None if access.low is None else pack(access.low),
            access.low_open,
            None if access.high is None else pack(access.high),
            access.high_open,
        )
        families = {table.columns[place].type.family for place, _ in access.index.places}
        for prefix in access.prefixes:
            start, stop = index.start(prefix), None
            if access.is_bounded:
                start, stop = index.between(prefix, limits)
            found = self._reading.by_index(known, index, start, stop, reverse=access.reverse)
            if families & _LONG:
                found = _straightened(found, order_of(table, access), reverse=access.reverse)
            yield from self._versioned(known, found)

    def _filtered(self, known: Known, table: TableSchema, access: Access) -> Iterator[VersionedRow]:
        rows = self._reading.rows(known)
        if isinstance(access, FullScan):
            return self._versioned(known, rows)
        return self._versioned(known, (row for row in rows if matches(table, access, row.values)))

    def _versioned(self, known: Known, rows: Iterable[ReplicaRow]) -> Iterator[VersionedRow]:
        """Yield a replica's rows as statements read them."""
        named = naming(known, self._reading.keyring)
        return (versioned(row, row.row, named) for row in rows)


def _straightened(
    rows: Iterator[ReplicaRow], key: Callable[[Values], bytes], *, reverse: bool
) -> Iterator[ReplicaRow]:
    """Yield rows in the order of their whole values; an index keeps long ones only in part."""
    waiting: list[tuple[bytes, ReplicaRow]] = []
    for row in rows:
        packed = key(row.values)
        if waiting and packed[:KEPT_BYTES] != waiting[0][0][:KEPT_BYTES]:
            yield from _sorted(waiting, reverse=reverse)
            waiting = []
        if len(packed) > KEPT_BYTES:
            waiting.append((packed, row))
        else:
            yield row
    yield from _sorted(waiting, reverse=reverse)


def _sorted(waiting: list[tuple[bytes, ReplicaRow]], *, reverse: bool) -> Iterator[ReplicaRow]:
    waiting.sort(key=lambda pair: pair[0], reverse=reverse)
    return (row for _, row in waiting)


def _whole(row: ReplicaRow, place: int) -> int | None:
    value = row.values[place]
    return value if isinstance(value, int) else None


class OneRow:
    """Tables that hold a single row: filters and projects one change of a subscription."""

    def __init__(self, row: StoredRow) -> None:
        self._row = row

    def columns(self, table: TableSchema) -> None:
        """There is nothing by column."""

    def scan(self, table: TableSchema, access: Access) -> Iterator[StoredRow]:
        """Yield the row if the access describes it."""
        if matches(table, access, self._row.values):
            yield self._row

    def greatest(self, _table: TableSchema, place: int) -> int | None:
        """Return the row's own value, if it is an integer."""
        value = self._row.values[place]
        return value if isinstance(value, int) else None
