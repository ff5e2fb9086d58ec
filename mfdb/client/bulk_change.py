"""UPDATE and DELETE in bulk: rows found by their whole keys, one or many, read and noted in one go.

What qualifies: `UPDATE t SET a = ?, ... WHERE key = ? [AND ...]` and `DELETE FROM t WHERE key = ?`
on a dataset with a ledger, every row of which this identity may see. What is set are parameters,
into columns that neither the key nor anything UNIQUE has; there are no CHECKs and no RETURNING.
Everything else goes the general way, with the same results and errors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.client.bulk import Turned
from mfdb.client.new_rows import check_not_null
from mfdb.dataset.ledger.format import has_ledger
from mfdb.dataset.schema import has_key
from mfdb.dataset.visibility import unconditional
from mfdb.rules.manifest import Action
from mfdb.sql.bound import Bound, BoundDelete, BoundUpdate, Field, Lazy, Slot, Strict
from mfdb.store.ordered import pack, pack_column

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mfdb.client.pending_table import PendingTable
    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.keyring import Keyring
    from mfdb.dataset.reading import Reading
    from mfdb.sql.catalogue import TableSchema
    from mfdb.sql.parameters import Given

_KEYS = frozenset({"integer", "text", "bytes"})
"""Families of key columns whose parameters are packed as they are."""


class BulkChange:
    """One UPDATE or DELETE by key, ready for many sets of parameters."""

    def __init__(self, bound: BoundUpdate | BoundDelete, known: Known, key: list[Slot]) -> None:
        self._bound = bound
        self._table = bound.source.table
        self.known = known
        self._key = key
        self._set = [] if isinstance(bound, BoundDelete) else list(bound.assignments)

    @classmethod
    def of(cls, bound: object, known: Known, keyring: Keyring) -> BulkChange | None:
        """Return the bulk form of a statement, or None if it has none."""
        if not isinstance(bound, BoundUpdate | BoundDelete):
            return None
        table, manifest = bound.source.table, known.manifest
        if bound.returning or bound.joined is not None or bound.parameters.style == ":":
            return None
        if not has_ledger(manifest) or not has_key(manifest):
            return None
        if not unconditional(manifest, Action.SELECT, keyring.address):
            return None
        if isinstance(bound, BoundUpdate) and not _is_plain(bound, table):
            return None
        key = _key(bound.source.where, table)
        return None if key is None else cls(bound, known, key)

    def plan(
        self, many: Sequence[Given], reading: Reading, pending: PendingTable, _keyring: Keyring
    ) -> int:
        """Note the changes in a batch and return how many rows they change.

        Raises:
            MfdbError: what the general way raises; nothing was noted.
        """
        turned = Turned(self._bound.parameters, many)
        locators = self._locators(turned)
        after = pending.changes.after
        stored = reading.at(self.known, [one for one in locators if one and one not in after])
        if isinstance(self._bound, BoundDelete):
            return pending.delete_all(locators, stored)  # type: ignore[arg-type] # packed keys
        places = [place for place, _ in self._set]
        columns = []
        for place, value in self._set:
            assert isinstance(value, Slot), "`of` lets nothing else pass"
            column = self._table.columns[place]
            columns.append(turned.column(value, column.type))
            check_not_null(self._table, column, columns[-1])
        fresh = list(zip(*columns, strict=True))
        return pending.update_all(locators, stored, places, fresh)  # type: ignore[arg-type] # packed keys

    def _locators(self, turned: Turned) -> list[bytes]:
        """Return the packed key of each set of parameters, nothing where a part of it is NULL."""
        parts = [turned.column(slot, slot.type) for slot in self._key]
        if len(parts) == 1 and None not in parts[0]:
            return pack_column(parts[0])
        if len(parts) == 1:
            return [b"" if value is None else pack(value) for value in parts[0]]
        return [b"" if None in key else pack(*key) for key in zip(*parts, strict=True)]


def _is_plain(bound: BoundUpdate, table: TableSchema) -> bool:
    """Return whether parameters are set into columns that nothing has to be asked about."""
    asked = {*table.key, *(at for at, column in enumerate(table.columns) if column.unique)}
    for index in table.indexes:
        if index.unique:
            asked.update(place for place, _ in index.places)
    return not table.checks and all(
        type(value) is Slot and place not in asked for place, value in bound.assignments
    )


def _key(where: Bound | None, table: TableSchema) -> list[Slot] | None:
    """Return the parameters that WHERE compares each key column with, if it does nothing else."""
    if where is None:
        return None
    found: dict[int, Slot] = {}
    for part in _conjuncts(where):
        if type(part) is not Strict or part.operator != "=":
            return None
        field, slot = sorted(part.operands, key=lambda one: isinstance(one, Slot))
        if not isinstance(field, Field) or not isinstance(slot, Slot) or field.index in found:
            return None
        family = table.columns[field.index].type.family
        if family not in _KEYS or slot.type.family != family:
            return None
        found[field.index] = slot
    return [found[place] for place in table.key] if found.keys() == set(table.key) else None


def _conjuncts(where: Bound) -> Iterator[Bound]:
    if isinstance(where, Lazy) and where.operator == "and":
        for operand in where.operands:
            yield from _conjuncts(operand)
    else:
        yield where
