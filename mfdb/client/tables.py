"""Rows as statements read them: one committed state, with an open batch's own changes on top."""

from __future__ import annotations

from heapq import merge
from typing import TYPE_CHECKING, Any

import msgspec

from mfdb.client.watch import Watch
from mfdb.dataset.indexes import KEPT_BYTES, Span, span
from mfdb.dataset.ledger.format import has_ledger
from mfdb.dataset.pending import Pending
from mfdb.dataset.rows import handle_maker, lasting_id
from mfdb.dataset.schema import has_key
from mfdb.kernel.ids import Address, RowId, VersionId
from mfdb.sql.tables import (
    Access,
    FullScan,
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
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.indexes import Index
    from mfdb.dataset.keyring import Keyring
    from mfdb.dataset.layout import StoredRow as ReplicaRow
    from mfdb.dataset.pending import Before
    from mfdb.dataset.reading import Reading
    from mfdb.kernel.ids import DatasetId
    from mfdb.sql.catalogue import TableSchema
    from mfdb.sql.tables import ColumnScan, Mutation, Values

    Naming = Callable[[RowId], RowId]

_LONG = frozenset({"text", "bytes"})
"""Families whose values may be longer than an index keeps."""
_BEYOND = b"\xff"
"""Greater than every packed key: tags of ascending parts end at 0x70."""


class VersionedRow(StoredRow, frozen=True):
    """A stored row that also knows its version, which a change of it must name.

    `row_id` and `version` are the handles by which the replica knows them; `naming` makes the
    lasting id of a handle, where that is another.
    """

    version: VersionId
    naming: Callable[[RowId], RowId] | None = None

    @property
    def lasting_id(self) -> RowId:
        """The id by which the row is known everywhere."""
        return self.row_id if self.naming is None else self.naming(self.row_id)


def versioned(row: Before, row_id: RowId, naming: Naming | None = None) -> VersionedRow:
    """Return a replica's row as statements read it."""
    author = Address(row.author) if row.author else None
    return VersionedRow(row_id, row.values, author, row.hlc, row.version, naming)


class Footing(msgspec.Struct, frozen=True):
    """What changes of a dataset stand on, for one state of its rules.

    `handle` makes the handle of a new row; None: its values do not tell it.
    """

    rules: int
    author: Address
    naming: Naming | None
    handle: Callable[[Values], RowId] | None


def footing_of(known: Known, keyring: Keyring) -> Footing:
    """Return what an identity's changes of a dataset stand on."""
    return Footing(
        known.manifest.number,
        keyring.address,
        naming(known, keyring),
        handle_maker(known.manifest, keyring),
    )


class PendingTable(msgspec.Struct):
    """What an open batch did to one dataset: the changes to write, which its later reads see."""

    changes: Pending = msgspec.field(default_factory=Pending)
    numbers: dict[int, int] = msgspec.field(default_factory=dict)
    """The greatest values of columns that number themselves, by place."""
    _footing: Footing | None = None
    _by_value: dict[tuple[int, bytes], dict[RowId, None]] = msgspec.field(default_factory=dict)
    _sorted: dict[RowId, Values] = msgspec.field(default_factory=dict)
    _unsorted: dict[RowId, None] = msgspec.field(default_factory=dict)

    def begin(self, reading: Reading, known: Known, keyring: Keyring) -> None:
        """Take note of what the changes of a statement start from."""
        if not self.changes.is_empty:
            return
        footing = self._footing
        if footing is None or footing.rules != known.manifest.number:
            footing = footing_of(known, keyring)
        self.begin_at(reading.newest(known), footing)

    def begin_at(self, newest: int, footing: Footing) -> None:
        """Take note that changes start from the newest change of a ledger, unless some did so."""
        if self.changes.is_empty:
            self.changes.seen, self.changes.rules = newest, footing.rules
            self._footing = footing

    def watch(self, reading: Reading, known: Known, keyring: Keyring) -> None:
        """Let the batch hold only if nobody else changes anything here before it is written."""
        self.begin(reading, known, keyring)
        self.changes.watched = True

    def insert(self, values: Values) -> None:
        """Note a new row."""
        handle = None if self._footing is None else self._footing.handle
        row = self.changes.fresh_id() if handle is None else handle(values)
        self.changes.insert(row, values)
        self._unsorted[row] = None

    def insert_as(self, row: RowId, values: Values) -> None:
        """Note a new row by its handle."""
        self.changes.after[row] = values
        self._unsorted[row] = None

    def insert_all(self, rows: Mapping[Any, Values]) -> None:
        """Note many new rows by their handles."""
        self.changes.after.update(rows)
        self._unsorted.update(dict.fromkeys(rows))

    def update(self, row: RowId, before: Before, values: Values) -> None:
        """Note a row's new values."""
        self.changes.update(row, before, values)
        self._unsorted[row] = None

    def delete(self, row: RowId, before: Before) -> None:
        """Note that a row goes."""
        self.changes.delete(row, before)
        self._unsorted[row] = None

    def update_all(
        self,
        rows: Sequence[RowId],
        stored: Mapping[RowId, Before],
        places: Sequence[int],
        fresh: Sequence[Values],
    ) -> int:
        """Note new values, in the same columns of many rows; return how many rows were there."""
        after, before = self.changes.after, self.changes.before
        count, single = 0, places[0] if len(places) == 1 else None
        for row, new in zip(rows, fresh, strict=True):
            if row in after:
                old = after[row]
            else:
                found = stored.get(row)
                if found is None:
                    continue
                before[row], old = found, found.values
            if old is None:
                continue
            values = list(old)
            if single is not None:
                values[single] = new[0]
            else:
                for place, value in zip(places, new, strict=True):
                    values[place] = value
            after[row] = tuple(values)
            self._unsorted[row] = None
            count += 1
        return count

    def delete_all(self, rows: Sequence[RowId], stored: Mapping[RowId, Before]) -> int:
        """Note that many rows go; return how many were there."""
        after, before, count = self.changes.after, self.changes.before, 0
        if after.keys().isdisjoint(rows):
            there = {row: stored[row] for row in rows if row in stored}
            before.update(there)
            after.update(dict.fromkeys(there))
            self._unsorted.update(dict.fromkeys(there))
            return len(there)
        for row in rows:
            if row in after:
                if after[row] is None:
                    continue
                self.changes.delete(row, before.get(row))
            else:
                found = stored.get(row)
                if found is None:
                    continue
                before[row], after[row] = found, None
            self._unsorted[row] = None
            count += 1
        return count

    def touches(self, row: RowId) -> bool:
        """Return whether the batch says what becomes of a row."""
        return row in self.changes.after

    def _row(self, row_id: RowId) -> VersionedRow | None:
        """Return a row as the batch leaves it."""
        values = self.changes.after.get(row_id)
        if values is None:
            return None
        before, footing = self.changes.before.get(row_id), self._footing
        assert footing is not None, "a batch begins before it changes anything"
        if before is None:
            nothing = VersionId(b"")
            return VersionedRow(row_id, values, footing.author, 0, nothing, footing.naming)
        author = Address(before.author) if before.author else None
        return VersionedRow(row_id, values, author, before.hlc, before.version, footing.naming)

    def _sort(self, table: TableSchema) -> None:
        """Enter into the index what came since; a batch that is never read needs none."""
        for row in self._unsorted:
            former, values = self._sorted.pop(row, None), self.changes.after.get(row)
            if former is not None:
                for key in _index_keys(table, former):
                    self._by_value.get(key, {}).pop(row, None)
            if values is not None:
                self._sorted[row] = values
                for key in _index_keys(table, values):
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
                for row_id, after in self.changes.after.items():
                    if after is not None and matches(table, access, after):
                        yield from self._rows((row_id,))
                return
        for place in wanted:
            yield from self._rows(self._by_value.get(place, ()))

    def _rows(self, row_ids: Iterable[RowId]) -> Iterator[VersionedRow]:
        return (row for row in map(self._row, row_ids) if row is not None)


def _index_keys(table: TableSchema, values: Values) -> Iterator[tuple[int, bytes]]:
    if table.key:
        yield -1, pack(*(values[place] for place in table.key))
    for place, column in enumerate(table.columns):
        if column.unique:
            yield place, pack(values[place])


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
        from mfdb.client.columns import LocalColumns

        return LocalColumns(scan, naming(known, self._reading.keyring), self._watch)

    def greatest(self, table: TableSchema, place: int) -> int | None:
        """Return the greatest integer that a column holds or held in this batch, None if none."""
        known = self._known_of(table)
        rows: Iterator[ReplicaRow]
        index = self._index_of(known, place)
        if has_key(known.manifest) and table.key[0] == place:
            rows = self._reading.keyed(known, b"", _BEYOND, reverse=True)
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
            order = _order_of(table, access)

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
            start, stop = _bounds(access)
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


def naming(known: Known, keyring: Keyring) -> Naming | None:
    """Return what makes lasting ids of the handles of rows, or None where those are the same."""
    if not has_ledger(known.manifest):
        return None
    return lambda handle: lasting_id(known.manifest, handle, keyring)


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


def note(mutation: Mutation, pending: PendingTable) -> None:
    """Add what a statement changes to the batch, where its later reads see it."""
    columns = mutation.table.columns
    numbered = [place for place, column in enumerate(columns) if column.is_numbered]
    for change in mutation.changes:
        if isinstance(change, RowInsert):
            for place in numbered:
                value = change.values[place]
                if isinstance(value, int):
                    pending.numbers[place] = max(pending.numbers.get(place, value), value)
            pending.insert(change.values)
            continue
        old = change.old
        assert isinstance(old, VersionedRow), "rows come from LocalTables"
        if isinstance(change, RowUpdate):
            pending.update(change.row_id, old, change.values)
        else:
            pending.delete(change.row_id, old)
