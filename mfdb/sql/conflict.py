"""INSERT ... ON CONFLICT: each new row in turn meets the rows that are there, and earlier new ones.

new rows -> the rows there with one of their keys -> for each new row: it is inserted, skipped,
turned into an UPDATE of the row there, or the rows there make room for it
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mfdb.kernel.errors import TooManyRows
from mfdb.sql.compile import compile_expression
from mfdb.sql.tables import RowDelete, RowInsert, RowUpdate

if TYPE_CHECKING:
    from collections.abc import Callable

    from mfdb.sql.bound import BoundConflict
    from mfdb.sql.catalogue import TableSchema
    from mfdb.sql.compile import Compiled, Environment
    from mfdb.sql.tables import Change, Key, StoredRow, Tables, Values
    from mfdb.sql.unique import UniqueKey

    Ask = Callable[[list[tuple[StoredRow, Values]], Environment], list[Values]]
    Changed = Callable[[StoredRow, list[tuple[int, Compiled | None]], Values, Environment], Values]


@dataclass(slots=True)
class Resolved:
    """What becomes of the rows of an INSERT.

    `inserted` are new, `updated` the new values of rows there, `removed` rows there that make
    room; `touched` are all rows that count, in order, with the row there that each replaces.
    """

    inserted: list[Values] = field(default_factory=list)
    updated: list[tuple[Values, StoredRow]] = field(default_factory=list)
    removed: list[StoredRow] = field(default_factory=list)
    touched: list[tuple[Values, StoredRow | None]] = field(default_factory=list)

    @property
    def replaced(self) -> list[StoredRow]:
        """The rows there that are no more as they were."""
        return [*(row for _, row in self.updated), *self.removed]


class CompiledConflict:
    """A bound ON CONFLICT with its closures; `change` gives a row's values after an update."""

    def __init__(self, table: TableSchema, bound: BoundConflict, change: Changed) -> None:
        self._table = table
        self._bound = bound
        self._change = change
        self._assignments = [
            (place, None if value is None else compile_expression(value))
            for place, value in bound.assignments
        ]
        self._where = None if bound.where is None else compile_expression(bound.where)

    def resolve(
        self, new: list[Values], tables: Tables, about: Environment, ask: Ask | None = None
    ) -> Resolved:
        """Return what becomes of new rows.

        `ask` computes what updates say, of all pairs of a row there and one that was to come.

        Raises:
            TooManyRows: two of them would update the same row.
            NotNullViolation, SchemaViolation, DataError: an update may not be.
        """
        there = [self._rows_there(key, new, tables) for key in self._bound.keys]
        met: list[tuple[StoredRow, Values]] = []
        if self._bound.action == "replace":
            return self._replaced(new, there)
        found = Resolved()
        updated: set[bytes] = set()
        for values in new:
            row, is_new = self._met(values, there)
            if row is None and not is_new:
                found.inserted.append(values)
                found.touched.append((values, None))
                self._enter(values, there)
            elif self._bound.action == "update":
                if row is None or row.row_id in updated:
                    raise TooManyRows(
                        "ON CONFLICT DO UPDATE would change a row a second time",
                        hint="give each key once in a statement",
                    )
                updated.add(row.row_id)
                met.append((row, values))
                if ask is None:
                    self._update(row, (*row.values, *values), found, about)
        if ask is not None and met:
            answers = ask(met, about)
            for (row, _), answer in zip(met, answers, strict=True):
                self._update(row, answer, found, about)
        return found

    def _rows_there(
        self, key: UniqueKey, new: list[Values], tables: Tables
    ) -> dict[Key, StoredRow | None]:
        """Return the rows there by their key; None stands for a new row that took its key."""
        wanted = {value for value in map(key.of, new) if value is not None}
        if not wanted:
            return {}
        rows = tables.scan(self._table, key.lookup(wanted))
        found = {key.of(row.values): row for row in rows}
        return {value: row for value, row in found.items() if value in wanted and value is not None}

    def _met(
        self, values: Values, there: list[dict[Key, StoredRow | None]]
    ) -> tuple[StoredRow | None, bool]:
        """Return the row that is in a new one's way, or that an earlier new one is."""
        for key, rows in zip(self._bound.keys, there, strict=True):
            value = key.of(values)
            if value is not None and value in rows:
                row = rows[value]
                return row, row is None
        return None, False

    def _enter(self, values: Values, there: list[dict[Key, StoredRow | None]]) -> None:
        for key, rows in zip(self._bound.keys, there, strict=True):
            value = key.of(values)
            if value is not None:
                rows[value] = None

    def _update(self, row: StoredRow, both: Values, found: Resolved, about: Environment) -> None:
        about.row = row
        if self._where is not None and self._where(both, about) is not True:
            return
        after = self._change(row, self._assignments, both, about)
        found.updated.append((after, row))
        found.touched.append((after, row))

    def _replaced(self, new: list[Values], there: list[dict[Key, StoredRow | None]]) -> Resolved:
        """Later rows take the place of earlier ones, new or not."""
        kept: dict[int, Values] = {}
        holders: dict[tuple[int, Key], int] = {}
        removed: dict[bytes, StoredRow] = {}
        for number, values in enumerate(new):
            for at, key in enumerate(self._bound.keys):
                value = key.of(values)
                if value is None:
                    continue
                row = there[at].get(value)
                if row is not None:
                    removed[row.row_id] = row
                earlier = holders.get((at, value))
                if earlier is not None:
                    kept.pop(earlier, None)
                holders[at, value] = number
            kept[number] = values
        found = Resolved(inserted=list(kept.values()), removed=list(removed.values()))
        found.touched = [(values, None) for values in kept.values()]
        return found


def changes_of(
    found: Resolved, table: TableSchema, updates: Callable[..., list[Change]]
) -> list[Change]:
    """Return the changes of what was resolved; a row replaced under its key is one update."""
    changes: list[Change] = []
    inserted = found.inserted
    if table.owner_ordered and table.key and found.removed:
        by_key = {_key(table, row.values): row for row in found.removed}
        inserted = []
        for values in found.inserted:
            row = by_key.pop(_key(table, values), None)
            if row is None:
                inserted.append(values)
            else:
                changes.append(RowUpdate(row.row_id, values, row))
        changes += [RowDelete(row.row_id, row) for row in by_key.values()]
    else:
        changes += [RowDelete(row.row_id, row) for row in found.removed]
    changes += [RowInsert(values) for values in inserted]
    return changes + (updates(table, found.updated) if found.updated else [])


def _key(table: TableSchema, values: Values) -> Key:
    return tuple(values[place] for place in table.key)
