"""The short way for an INSERT of one row of parameters: no reading, no environment, no closures.

What qualifies is what `BulkInsert` takes, into a dataset with a ledger that its owner may write
whatever a row holds. Parameters must be just of the columns' types, and in their order. Whatever
differs goes the general way, which says what is wrong, or does the same.

    parameters -> values -> packed key -> nobody has it yet -> noted in the open batch
"""

from __future__ import annotations

import math
from types import NoneType
from typing import TYPE_CHECKING

import msgspec

from mfdb.client.bulk import EXACT
from mfdb.client.pending_table import footing_of
from mfdb.dataset.layout import of_dataset
from mfdb.dataset.ledger.format import has_ledger
from mfdb.dataset.rows import key_packer
from mfdb.dataset.visibility import unconditional
from mfdb.kernel.ids import RowId
from mfdb.rules.manifest import Action
from mfdb.sql.bound import Slot
from mfdb.sql.types import RANGES

if TYPE_CHECKING:
    from collections.abc import Callable

    from mfdb.client.pending_table import Footing
    from mfdb.client.state import Batch
    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.keyring import Keyring
    from mfdb.dataset.replica import Replica
    from mfdb.kernel.ids import DatasetId
    from mfdb.sql.bound import BoundInsert
    from mfdb.sql.parameters import Given
    from mfdb.sql.tables import Values


LONGEST_BYTES = 200
"""Keys that pack to more go the general way."""


class QuickInsert(msgspec.Struct, frozen=True):
    """One INSERT statement: `state` is the catalogue's state for which this holds."""

    state: int
    footing: Footing
    dataset: DatasetId
    prefix: bytes
    kinds: tuple[type, ...]
    bounded: tuple[tuple[int, range], ...]
    texts: tuple[int, ...]
    nullable: frozenset[int]
    pack: Callable[[Values], bytes]

    def note(self, given: Given, batch: Batch, replica: Replica) -> bool:
        """Note the row of these parameters in a batch; False: the general way has to see to it."""
        values = self._values(given)
        if values is None:
            return False
        newest = replica.newest(self.dataset)  # before the row is looked for
        if newest is None:
            return False
        table = batch.tables.get(self.dataset)
        handle = self.pack(values)
        if len(handle) > LONGEST_BYTES or (table is not None and handle in table.changes.after):
            return False
        if replica.first(self.prefix + handle) is not None:
            return False
        if table is None:
            table = batch.table(self.dataset)
        table.begin_at(newest, self.footing)
        table.insert_as(RowId(handle), values)  # in a ledger a packed key is a handle
        return True

    def _values(self, given: Given) -> Values | None:
        if type(given) is list:
            given = tuple(given)
        if type(given) is not tuple or not self._suits(given):
            return None
        for at, within in self.bounded:
            if given[at] is not None and given[at] not in within:  # a range looks long for None
                return None
        try:
            "".join([given[at] or "" for at in self.texts]).encode()
        except UnicodeEncodeError:
            return None
        return given

    def _suits(self, given: Values) -> bool:
        """Return whether all values are of just the columns' types, or NULL where that may be."""
        found = tuple(map(type, given))
        if found == self.kinds:
            return True
        if len(found) != len(self.kinds):
            return False
        both = zip(found, self.kinds, range(len(found)), strict=True)
        return all(
            kind is wanted or (kind is NoneType and at in self.nullable)
            for kind, wanted, at in both
        )


def quick_insert(
    bound: BoundInsert, known: Known, keyring: Keyring, *, state: int
) -> QuickInsert | None:
    """Return the short way of an INSERT that `BulkInsert` takes, or None if it has none."""
    manifest, table = known.manifest, bound.table
    lasting = manifest.at(math.inf)
    if not has_ledger(manifest) or state & 1:
        return None
    if not unconditional(lasting, Action.INSERT, keyring.address):
        return None
    slots, kinds = bound.parameters.slots, list[type]()
    bounded: list[tuple[int, range]] = []
    for at, (value, column) in enumerate(zip(bound.rows[0], table.columns, strict=True)):
        kind = EXACT.get(column.type.name)
        if type(value) is not Slot or kind is None or column.type.numbers:
            return None
        place, slot_type, _ = slots[value.index]
        if place != at or slot_type != column.type:
            return None
        kinds.append(kind)
        if kind is int:
            bounded.append((at, RANGES[column.type.name]))
    if bound.parameters.count != len(kinds):
        return None
    return QuickInsert(
        state=state,
        footing=footing_of(known, keyring),
        dataset=manifest.dataset,
        prefix=of_dataset(b"d", manifest.dataset),
        kinds=tuple(kinds),
        bounded=tuple(bounded),
        texts=tuple(at for at, kind in enumerate(kinds) if kind is str),
        nullable=frozenset(
            at
            for at, column in enumerate(table.columns)
            if not column.not_null and at not in table.key
        ),
        pack=key_packer(manifest),
    )
