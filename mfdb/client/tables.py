"""Rows as statements read them: one committed state, with an open batch's own changes on top."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mfdb.dataset.indexes import KEPT_BYTES, Span
from mfdb.dataset.pending import Pending
from mfdb.dataset.table import has_key
from mfdb.kernel.ids import Address, RowId, VersionId
from mfdb.sql.tables import (
    Access,
    IndexRange,
    KeyLookup,
    KeyRange,
    RowInsert,
    RowUpdate,
    StoredRow,
    ValueLookup,
)
from mfdb.store.ordered import Desc, pack, prefix_end

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.indexes import Index
    from mfdb.dataset.keyring import Keyring
    from mfdb.dataset.layout import StoredRow as ReplicaRow
    from mfdb.dataset.reading import Reading
    from mfdb.kernel.ids import DatasetId
    from mfdb.sql.catalogue import TableSchema
    from mfdb.sql.tables import ColumnScan, Mutation, Values

_LONG = frozenset({"text", "bytes"})
"""Families whose values may be longer than an index keeps."""
_BEYOND = b"\xff"
"""Greater than every packed key: tags of ascending parts end at 0x70."""


class VersionedRow(StoredRow, frozen=True):
    """A stored row that also knows its version, which a change of it must name."""

    version: VersionId


def versioned(row: ReplicaRow) -> VersionedRow:
    """Return a replica's row as statements read it."""
    author = Address(row.author) if row.author else None
    return VersionedRow(row.row, row.values, author, row.hlc, row.version)


class PendingTable(msgspec.Struct):
    """What an open batch did to one dataset: the changes to write, and the rows to show."""

    changes: Pending = msgspec.field(default_factory=Pending)
    rows: dict[RowId, VersionedRow | None] = msgspec.field(default_factory=dict)
    _by_value: dict[tuple[int, bytes], dict[RowId, None]] = msgspec.field(default_factory=dict)
    _unsorted: dict[RowId, None] = msgspec.field(default_factory=dict)
    _fresh: int = 0

    def fresh_id(self) -> RowId:
        """Return a stand-in for the id that a new row gets when it is written."""
        self._fresh += 1
        return RowId(b"pending" + self._fresh.to_bytes(8, "big"))

    def show(self, row: RowId, shown: VersionedRow | None, table: TableSchema) -> None:
        """Let reads of this batch see a row in its new state (None: gone)."""
        before = self.rows.get(row)
        if before is not None and row not in self._unsorted:
            for key in _index_keys(table, before.values):
                self._by_value.get(key, {}).pop(row, None)
        self.rows[row] = shown
        self._unsorted[row] = None

    def _sort(self, table: TableSchema) -> None:
        """Enter into the index what came since; a batch that is never read needs none."""
        for row in self._unsorted:
            shown = self.rows[row]
            if shown is not None:
                for key in _index_keys(table, shown.values):
                    self._by_value.setdefault(key, {})[row] = None
        self._unsorted.clear()

    def matching(self, table: TableSchema, access: Access) -> Iterator[VersionedRow]:
        """Yield the rows of this batch that an access describes."""
        self._sort(table)
        match access:
            case KeyLookup(keys=keys):
                wanted = [(-1, pack(*key)) for key in keys]
            case ValueLookup(column=column, values=values) if table.columns[column].unique:
                wanted = [(column, pack(value)) for value in values]
            case _:
                for row in self.rows.values():
                    if row is not None and matches(table, access, row.values):
                        yield row
                return
        for place in wanted:
            for row_id in self._by_value.get(place, ()):
                shown = self.rows[row_id]
                if shown is not None:
                    yield shown


def _index_keys(table: TableSchema, values: Values) -> Iterator[tuple[int, bytes]]:
    if table.key:
        yield -1, pack(*(values[place] for place in table.key))
    for place, column in enumerate(table.columns):
        if column.unique:
            yield place, pack(values[place])


class LocalTables:
    """`mfdb.sql.tables.Tables` over a reading of the replica and the open batch."""

    def __init__(self, reading: Reading, pending: Mapping[DatasetId, PendingTable]) -> None:
        self._reading = reading
        self._pending = pending
        self._known: dict[DatasetId, Known] = {}

    def scan(self, table: TableSchema, access: Access) -> Iterator[StoredRow]:
        """Yield the rows that an access describes; a KeyRange's in key order."""
        pending = self._pending.get(table.dataset)
        stored = self._stored(table, access)
        if pending is None or not pending.rows:
            return stored
        return self._with_pending(table, access, stored, pending)

    def columns(self, table: TableSchema) -> ColumnScan | None:
        """Return the rows by column: not with an open batch on top, which only `scan` knows."""
        pending = self._pending.get(table.dataset)
        if pending is not None and pending.rows:
            return None
        scan = self._reading.columns(self._known_of(table))
        if scan is None:
            return None
        from mfdb.client.columns import LocalColumns

        return LocalColumns(scan)

    def _with_pending(
        self,
        table: TableSchema,
        access: Access,
        stored: Iterator[VersionedRow],
        pending: PendingTable,
    ) -> Iterator[StoredRow]:
        kept = (row for row in stored if row.row_id not in pending.rows)
        own = pending.matching(table, access)
        if isinstance(access, KeyRange | IndexRange):
            key = _order_of(table, access)
            return iter(
                sorted((*kept, *own), key=lambda row: key(row.values), reverse=access.reverse)
            )
        return (row for rows in (kept, own) for row in rows)

    def _stored(self, table: TableSchema, access: Access) -> Iterator[VersionedRow]:
        known = self._known_of(table)
        indexed = has_key(known.manifest)
        if isinstance(access, KeyLookup) and indexed:
            return self._looked_up(known, access)
        if isinstance(access, KeyRange) and indexed:
            start, stop = _bounds(access)
            found = self._reading.keyed(known, start, stop, reverse=access.reverse)
            return map(versioned, found)
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
        for key in access.keys:
            yield from map(versioned, self._reading.keyed(known, pack(*key), None))

    def _by_unique(self, known: Known, access: ValueLookup) -> Iterator[VersionedRow]:
        for value in access.values:
            row = self._reading.by_unique(known, access.column, value)
            if row is not None:
                yield versioned(row)

    def _index_of(self, known: Known, column: int) -> Index | None:
        """Return a secondary index whose first column this is."""
        ready = (index for index in self._reading.indexes(known) if index.info.is_ready)
        return next((index for index in ready if index.places[0][0] == column), None)

    def _by_index(
        self, known: Known, index: Index, table: TableSchema, access: ValueLookup
    ) -> Iterator[VersionedRow]:
        for value in access.values:
            for row in self._reading.by_index(known, index, index.start((value,)), None):
                if matches(table, access, row.values):  # long values share their beginnings
                    yield versioned(row)

    def _in_index(
        self, known: Known, table: TableSchema, access: IndexRange
    ) -> Iterator[VersionedRow]:
        wanted = (one for one in self._reading.indexes(known) if one.info.name == access.index.name)
        index = next(wanted)
        bounds = Span(
            None if access.low is None else pack(access.low),
            access.low_open,
            None if access.high is None else pack(access.high),
            access.high_open,
        )
        families = {table.columns[place].type.family for place, _ in access.index.places}
        for prefix in access.prefixes:
            start, stop = index.start(prefix), None
            if access.is_bounded:
                start, stop = index.between(prefix, bounds)
            found = self._reading.by_index(known, index, start, stop, reverse=access.reverse)
            if families & _LONG:
                found = _straightened(found, _order_of(table, access), reverse=access.reverse)
            yield from map(versioned, found)

    def _filtered(self, known: Known, table: TableSchema, access: Access) -> Iterator[VersionedRow]:
        for row in self._reading.rows(known):
            if matches(table, access, row.values):
                yield versioned(row)


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


def matches(table: TableSchema, access: Access, values: Values) -> bool:
    """Return whether an access describes a row with these values."""
    match access:
        case KeyLookup(keys=keys):
            return _packed_key(table, values) in {pack(*key) for key in keys}
        case KeyRange():
            start, stop = _bounds(access)
            key = _packed_key(table, values)
            return key.startswith(start) if stop is None else start <= key < stop
        case IndexRange():
            return _in_bounds(access, values)
        case ValueLookup(column=column, values=wanted):
            return pack(values[column]) in {pack(value) for value in wanted}
        case _:
            return True


def _in_bounds(access: IndexRange, values: Values) -> bool:
    """Return whether a row lies in a range of an index."""
    at = [place for place, _ in access.index.places]
    for prefix in access.prefixes:
        if pack(*(values[place] for place in at[: len(prefix)])) != pack(*prefix):
            continue
        if not access.is_bounded:
            return True
        value = values[at[len(prefix)]]
        if value is None:
            return False
        packed = pack(value)
        if access.low is not None:
            low = pack(access.low)
            if packed < low or (packed == low and access.low_open):
                return False
        if access.high is not None:
            high = pack(access.high)
            if packed > high or (packed == high and access.high_open):
                return False
        return True
    return False


def _order_of(table: TableSchema, access: KeyRange | IndexRange) -> Callable[[Values], bytes]:
    """Return what rows of a range are ordered by."""
    if isinstance(access, KeyRange):
        return lambda values: _packed_key(table, values)
    places = access.index.places
    return lambda values: pack(*(Desc(values[at]) if down else values[at] for at, down in places))


def _packed_key(table: TableSchema, values: Values) -> bytes:
    return pack(*(values[place] for place in table.key))


def _bounds(access: KeyRange) -> tuple[bytes, bytes | None]:
    """Return the packed range: start <= key < stop, or stop None for "begins with start"."""
    prefix = pack(*access.prefix)
    start, stop = prefix, prefix_end(prefix) if prefix else _BEYOND
    if access.low is not None:
        low = pack(*access.prefix, access.low)
        start = (prefix_end(low) or _BEYOND) if access.low_open else low
    if access.high is not None:
        high = pack(*access.prefix, access.high)
        stop = high if access.high_open else prefix_end(high)
    return start, stop


# ---- from a statement's mutation to pending changes


def note(mutation: Mutation, pending: PendingTable, known: Known, keyring: Keyring) -> None:
    """Add what a statement changes to the batch, and show it to the batch's later reads."""
    table = mutation.table
    keyed = has_key(known.manifest)
    names = [column.name for column in table.columns]
    for change in mutation.changes:
        if isinstance(change, RowInsert):
            packed = _packed_key(table, change.values)
            row_id = keyring.row_id(table.dataset, packed) if keyed else pending.fresh_id()
            pending.changes.insert(row_id, _named(names, change.values), keyed=keyed)
            shown = VersionedRow(row_id, change.values, keyring.address, 0, VersionId(b""))
            pending.show(row_id, shown, table)
            continue
        old = change.old
        assert isinstance(old, VersionedRow), "rows come from LocalTables"
        if isinstance(change, RowUpdate):
            pending.changes.update(change.row_id, old.version, _named(names, change.values))
            author, hlc = old.author, old.hlc
            shown = VersionedRow(change.row_id, change.values, author, hlc, old.version)
            pending.show(change.row_id, shown, table)
        else:
            pending.changes.delete(change.row_id, old.version)
            pending.show(change.row_id, None, table)


def _named(names: list[str], values: Values) -> dict[str, Any]:
    return dict(zip(names, values, strict=True))
