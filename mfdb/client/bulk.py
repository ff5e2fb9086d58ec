"""Many rows by one INSERT: parameters are judged column by column, rows keyed and noted in one go.

What qualifies: INSERT of one row of parameters (and defaults of NULL) into a dataset that this
identity owns and orders, with a primary key and without UNIQUE columns or indexes, CHECKs and
RETURNING. A column whose values are not of just the expected type goes through the general
conversion value by value, so that errors are the general ones.

    sets of parameters -> columns -> checked, converted -> rows -> row ids -> nobody has them yet
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfdb.client.tables import PendingTable, VersionedRow
from mfdb.dataset.table import key_packer
from mfdb.kernel.errors import NotNullViolation, WrongParameters
from mfdb.kernel.ids import VersionId
from mfdb.sql.bound import BoundInsert, Slot
from mfdb.sql.dml import duplicate
from mfdb.sql.parameters import slot_value
from mfdb.sql.types import RANGES, to_storage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.keyring import Keyring
    from mfdb.dataset.reading import Reading
    from mfdb.kernel.ids import RowId
    from mfdb.sql.parameters import Given
    from mfdb.sql.tables import Values
    from mfdb.sql.types import SqlType

LEAST = 8
"""Sets of parameters from which on columns are worth their while."""
_KINDS = {
    "SMALLINT": int,
    "INTEGER": int,
    "BIGINT": int,
    "DOUBLE PRECISION": float,
    "TEXT": str,
    "BOOLEAN": bool,
    "BYTEA": bytes,
}


class BulkInsert:
    """One INSERT statement, ready for many sets of parameters."""

    def __init__(
        self, bound: BoundInsert, known: Known, pack_key: Callable[[Values], bytes]
    ) -> None:
        self._bound = bound
        self._table = bound.table
        self.known = known
        self._pack_key = pack_key

    @classmethod
    def of(cls, bound: object, known: Known, keyring: Keyring) -> BulkInsert | None:
        """Return the bulk form of a statement, or None if it has none."""
        pack_key = key_packer(known.manifest)
        if not isinstance(bound, BoundInsert) or pack_key is None:
            return None
        table, manifest = bound.table, known.manifest
        plain = len(bound.rows) == 1 and not bound.returning and not table.checks
        if not plain or manifest.owner != keyring.address or bound.parameters.style == ":":
            return None
        if any(index.unique for index in table.indexes):
            return None
        if getattr(bound, "on_conflict", None) is not None or getattr(bound, "query", None):
            return None
        for value, column in zip(bound.rows[0], table.columns, strict=True):
            if value is None and column.default is not None:
                return None
            if (value is not None and type(value) is not Slot) or column.unique:
                return None
        return cls(bound, known, pack_key)

    def plan(
        self, many: Sequence[Given], reading: Reading, pending: PendingTable, keyring: Keyring
    ) -> int:
        """Note the rows in a batch and return how many they are.

        Raises:
            MfdbError: what the general way raises; nothing was noted.
        """
        rows = list(zip(*self._columns(many), strict=True))
        dataset = self.known.manifest.dataset
        fresh: dict[RowId, Values] = {}
        for values in rows:
            packed = self._pack_key(values)
            row_id = keyring.row_id(dataset, packed)
            if (
                row_id in fresh
                or pending.rows.get(row_id) is not None
                or (row_id not in pending.rows and reading.is_shown(dataset, packed + row_id))
            ):
                raise duplicate(self._table, self._table.key, values)
            fresh[row_id] = values
        self._note(fresh, pending, keyring)
        return len(rows)

    def _note(self, fresh: dict[RowId, Values], pending: PendingTable, keyring: Keyring) -> None:
        names = [column.name for column in self._table.columns]
        me, nothing = keyring.address, VersionId(b"")
        insert, show = pending.changes.insert, pending.show
        for row_id, values in fresh.items():
            insert(row_id, dict(zip(names, values, strict=True)), keyed=True)
            show(row_id, VersionedRow(row_id, values, me, 0, nothing), self._table)

    def _columns(self, many: Sequence[Given]) -> list[Sequence[Any]]:
        count = self._bound.parameters.count
        for given in many:
            if type(given) not in (tuple, list) or len(given) != count:
                raise WrongParameters(
                    f"the statement has {count} parameters, {len(given)} values were given",
                    hint="pass one value for each parameter, in a list or tuple",
                )
        turned = list(zip(*many, strict=True))
        found: list[Sequence[Any]] = []
        for value, column in zip(self._bound.rows[0], self._table.columns, strict=True):
            if value is None:
                converted: Sequence[Any] = (None,) * len(many)
            else:
                assert type(value) is Slot, "`of` lets nothing else pass"
                slot = self._bound.parameters.slots[value.index]
                place = slot[0]
                assert isinstance(place, int), "`of` refuses parameters with names"
                if slot[1] == column.type and _is_exact(turned[place], column.type):
                    converted = turned[place]
                else:
                    converted = [to_storage(slot_value(slot, given)) for given in many]
            if column.not_null and None in converted:
                raise NotNullViolation(
                    f"column {column.name} of {self._table.name} needs a value",
                    hint=f"give {column.name} a value, or a DEFAULT when the dataset is created",
                )
            found.append(converted)
        return found


def _is_exact(values: Sequence[Any], kind: SqlType) -> bool:
    """Return whether all values are NULL or just what a column of this type stores."""
    wanted = _KINDS.get(kind.name)
    found = set(map(type, values))
    if wanted is None or kind.numbers or not found <= {wanted, type(None)}:
        return False
    known = values if type(None) not in found else [v for v in values if v is not None]
    if not known:
        return True
    if wanted is int:
        bounds = RANGES[kind.name]
        return min(known) in bounds and max(known) in bounds
    if wanted is str:
        try:
            "".join(known).encode()
        except UnicodeEncodeError:
            return False
    return True
