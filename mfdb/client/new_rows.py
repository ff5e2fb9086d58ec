"""Many new rows of one dataset at once: keyed, looked for, noted in a batch.

What qualifies: a dataset without UNIQUE columns or indexes, foreign keys and CHECKs; where there is
a primary key, it is one that this identity owns and orders.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfdb.dataset.ledger.format import has_ledger
from mfdb.dataset.rows import key_packer
from mfdb.dataset.schema import has_key
from mfdb.kernel.errors import NotNullViolation
from mfdb.sql.dml import duplicate
from mfdb.store.ordered import pack_column

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mfdb.client.pending_table import PendingTable
    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.keyring import Keyring
    from mfdb.dataset.reading import Reading
    from mfdb.sql.catalogue import ColumnSchema, TableSchema
    from mfdb.sql.tables import Values


class NewRows:
    """Where new rows of one dataset go."""

    def __init__(self, table: TableSchema, known: Known) -> None:
        self._table = table
        self._known = known
        self._pack_key = key_packer(known.manifest)

    @classmethod
    def of(cls, table: TableSchema, known: Known, keyring: Keyring) -> NewRows | None:
        """Return where the rows go, or None if they have to be asked one by one."""
        if table.checks or table.foreign_keys or any(index.unique for index in table.indexes):
            return None
        if has_key(known.manifest) and known.manifest.owner != keyring.address:
            return None
        if any(column.unique or column.is_numbered for column in table.columns):
            return None
        return cls(table, known)

    def note(
        self, rows: list[Values], reading: Reading, pending: PendingTable, keyring: Keyring
    ) -> int:
        """Note the rows in a batch and return how many they are.

        Raises:
            DuplicateRow: two have one key, or somebody has it already; nothing was noted.
        """
        if not rows:
            return 0
        if not self._table.key:
            pending.insert_all({pending.changes.fresh_id(): row for row in rows})
            return len(rows)
        dataset = self._known.manifest.dataset
        packed = self._packed(rows)
        locators = handles = packed
        if not has_ledger(self._known.manifest):
            ordered = self._known.manifest.has_ordered_rows
            handles = [keyring.row_id(dataset, one, in_order=ordered) for one in packed]
            locators = [key + row for key, row in zip(packed, handles, strict=True)]
        fresh = dict(zip(handles, rows, strict=True))
        after = pending.changes.after
        if len(fresh) < len(rows) or not after.keys().isdisjoint(fresh):
            self._find_repeated(handles, rows, after)
        unasked: Sequence[bytes] = locators
        if after:
            both = zip(locators, handles, strict=True)
            unasked = [locator for locator, handle in both if handle not in after]
        taken = reading.any_shown(dataset, unasked) if unasked else None
        if taken is not None:
            raise duplicate(self._table, self._table.key, rows[locators.index(taken)])
        pending.insert_all(fresh)
        return len(rows)

    def _packed(self, rows: list[Values]) -> list[bytes]:
        key = self._table.key
        if len(key) == 1:
            return pack_column([values[key[0]] for values in rows])
        return list(map(self._pack_key, rows))

    def _find_repeated(
        self, handles: list[bytes], rows: list[Values], after: Mapping[Any, Values | None]
    ) -> None:
        """Raise for a row that repeats another one of the batch; a deleted one may come again."""
        seen: set[bytes] = set()
        for handle, values in zip(handles, rows, strict=True):
            if handle in seen or after.get(handle) is not None:
                raise duplicate(self._table, self._table.key, values)
            seen.add(handle)


def check_not_null(table: TableSchema, column: ColumnSchema, values: Sequence[Any]) -> None:
    """Return quietly if a column may hold all of these values, as far as NULL goes.

    Raises:
        NotNullViolation: one is NULL, and may not be.
    """
    if column.not_null and None in values:
        raise NotNullViolation(
            f"column {column.name} of {table.name} needs a value",
            hint=f"give {column.name} a value, or a DEFAULT when the dataset is created",
        )
