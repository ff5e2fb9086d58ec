"""What an open batch did to one dataset, and what its changes stand on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mfdb.client.matching import matches, packed_key
from mfdb.client.versioned import VersionedRow, naming
from mfdb.dataset.pending import Pending
from mfdb.dataset.rows import handle_maker
from mfdb.kernel.ids import Address, RowId
from mfdb.sql.tables import Access, KeyLookup, RowInsert, RowUpdate, ValueLookup
from mfdb.store.ordered import pack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from mfdb.client.versioned import Naming
    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.keyring import Keyring
    from mfdb.dataset.pending import Before
    from mfdb.dataset.reading import Reading
    from mfdb.sql.catalogue import TableSchema
    from mfdb.sql.tables import Mutation, Values


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
            return VersionedRow(row_id, values, footing.author, 0, b"", footing.naming)
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
        yield -1, packed_key(table, values)
    for place, column in enumerate(table.columns):
        if column.unique:
            yield place, pack(values[place])


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
