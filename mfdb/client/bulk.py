"""INSERT in bulk: parameters are judged column by column, rows keyed and noted in one go.

That is the quicker way for a single row already, because less is asked on it.

What qualifies: INSERT of one row of parameters (and defaults of NULL) without RETURNING into a
dataset that `NewRows` takes. A column whose values are not of just the expected type goes through
the general conversion value by value, so that errors are the general ones.

    sets of parameters -> columns -> checked, converted -> rows -> row ids -> nobody has them yet
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfdb.client.new_rows import NewRows, check_not_null
from mfdb.dataset.row_changes import FreshRows
from mfdb.sql.bound import BoundInsert, Slot
from mfdb.sql.parameters import slot_value, wrong_count
from mfdb.sql.types import RANGES, to_storage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.client.pending_table import PendingTable
    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.keyring import Keyring
    from mfdb.dataset.reading import Reading
    from mfdb.sql.bound import Parameters
    from mfdb.sql.catalogue import ColumnSchema
    from mfdb.sql.parameters import Given
    from mfdb.sql.tables import Values
    from mfdb.sql.types import SqlType

EXACT = {
    "SMALLINT": int,
    "INTEGER": int,
    "BIGINT": int,
    "DOUBLE PRECISION": float,
    "TEXT": str,
    "BOOLEAN": bool,
    "BYTEA": bytes,
}
"""The one Python type whose values columns of a type store as they are."""


class BulkInsert:
    """One INSERT statement, ready for many sets of parameters."""

    def __init__(self, bound: BoundInsert, known: Known, new: NewRows) -> None:
        self._bound = bound
        self._table = bound.table
        self.known = known
        self._new = new
        self._names = tuple(column.name for column in bound.table.columns)
        self._steps = [
            _Step.of(bound.parameters, value, column)
            for value, column in zip(bound.rows[0], bound.table.columns, strict=True)
        ]

    @classmethod
    def of(cls, bound: object, known: Known, keyring: Keyring) -> BulkInsert | None:
        """Return the bulk form of a statement, or None if it has none."""
        if not isinstance(bound, BoundInsert):
            return None
        table = bound.table
        plain = len(bound.rows) == 1 and not bound.returning and bound.on_conflict is None
        if not plain or bound.query is not None or bound.parameters.style == ":":
            return None
        for value, column in zip(bound.rows[0], table.columns, strict=True):
            if value is None and column.default is not None:
                return None
            if value is not None and type(value) is not Slot:
                return None
        new = NewRows.of(table, known, keyring)
        return None if new is None else cls(bound, known, new)

    def plan(
        self, many: Sequence[Given], reading: Reading, pending: PendingTable, keyring: Keyring
    ) -> int:
        """Note the rows in a batch and return how many they are.

        Raises:
            MfdbError: what the general way raises; nothing was noted.
        """
        return self._new.note(self._rows(many), reading, pending, keyring)

    @property
    def has_key(self) -> bool:
        """Whether it depends on what is there what may be inserted."""
        return bool(self._table.key)

    def changes(self, many: Sequence[Given]) -> FreshRows:
        """Return what is to be written to a dataset without a key.

        Raises:
            MfdbError: what the general way raises.
        """
        return FreshRows(self._names, self._rows(many))

    def _rows(self, many: Sequence[Given]) -> list[Values]:
        """Return the rows as they are stored; a single one is quicker not turned into columns."""
        if len(many) > 1:
            return list(zip(*self._columns(many), strict=True))
        check_counted(many, self._bound.parameters.count)
        given = many[0]
        row = tuple([None if step is None else step.stored(given) for step in self._steps])
        for value, column in zip(row, self._table.columns, strict=True):
            if value is None:
                check_not_null(self._table, column, (None,))
        return [row]

    def _columns(self, many: Sequence[Given]) -> list[Sequence[Any]]:
        turned = Turned(self._bound.parameters, many)
        found: list[Sequence[Any]] = []
        for value, column in zip(self._bound.rows[0], self._table.columns, strict=True):
            assert value is None or isinstance(value, Slot), "`of` lets nothing else pass"
            converted = turned.nulls if value is None else turned.column(value, column.type)
            check_not_null(self._table, column, converted)
            found.append(converted)
        return found


class _Step:
    """What becomes of one parameter of a row; quick for a value of just the expected type."""

    __slots__ = ("_bounds", "_place", "_slot", "_wanted")

    def __init__(self, slot: Any, kind: SqlType) -> None:
        self._slot = slot
        self._place = slot[0]
        is_exact = slot[1] == kind and not kind.numbers
        self._wanted = EXACT.get(kind.name) if is_exact else None
        self._bounds = RANGES[kind.name] if self._wanted is int else None

    @classmethod
    def of(cls, parameters: Parameters, value: Any, column: ColumnSchema) -> _Step | None:
        """Return the step for a parameter, None for a NULL."""
        return None if value is None else cls(parameters.slots[value.index], column.type)

    def stored(self, given: Given) -> Any:
        """Return the stored value.

        Raises:
            BadType, InvalidText, NumberOutOfRange: it does not suit its place.
        """
        value: Any = given[self._place]
        if type(value) is self._wanted:
            if self._bounds is not None:
                if value in self._bounds:
                    return value
            elif not isinstance(value, str) or value.isascii():
                return value
        return to_storage(slot_value(self._slot, given))


def check_counted(many: Sequence[Given], count: int) -> None:
    """Return quietly if every set of parameters has one value for each.

    Raises:
        WrongParameters: a set is too long or too short.
    """
    for given in many:
        if type(given) not in (tuple, list) or len(given) != count:
            raise wrong_count(given, count)


class Turned:
    """Many sets of parameters, turned into columns.

    Raises:
        WrongParameters: a set is too long or too short.
    """

    def __init__(self, parameters: Parameters, many: Sequence[Given]) -> None:
        check_counted(many, parameters.count)
        self._parameters = parameters
        self._many = many
        self._columns = list(zip(*many, strict=True))
        self.nulls: Sequence[Any] = (None,) * len(many)

    def column(self, value: Slot, kind: SqlType) -> Sequence[Any]:
        """Return the stored values of one parameter, which stands for a column of a type.

        Raises:
            BadType, InvalidText, NumberOutOfRange: one does not suit its place.
        """
        slot = self._parameters.slots[value.index]
        place = slot[0]
        assert isinstance(place, int), "parameters with names go the general way"
        column = self._columns[place]
        if slot[1] == kind and _is_exact(column, kind):
            return column
        if set(map(type, column)) == {str}:
            texts = dict.fromkeys(column)
            if len(texts) <= len(column) // 2:  # a text that comes again is read once
                first = dict(zip(reversed(column), reversed(self._many), strict=True))
                read = {text: to_storage(slot_value(slot, first[text])) for text in texts}
                return [read[text] for text in column]
        return [to_storage(slot_value(slot, given)) for given in self._many]


def _is_exact(values: Sequence[Any], kind: SqlType) -> bool:
    """Return whether all values are NULL or just what a column of this type stores."""
    wanted = EXACT.get(kind.name)
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
