"""INSERT, UPDATE and DELETE: what they would change, as pure data, with every rule checked.

The whole statement is planned before anything is written: it happens as a whole or not at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfdb.kernel.clock import hlc_at
from mfdb.kernel.errors import DuplicateRow, NotNullViolation, SchemaViolation
from mfdb.rules.expression import evaluate
from mfdb.sql.bound import BoundDelete, BoundInsert, BoundUpdate
from mfdb.sql.compile import compile_expression
from mfdb.sql.convert import to_text
from mfdb.sql.execute import CompiledSource, finisher
from mfdb.sql.lower import NOW
from mfdb.sql.parameters import environment
from mfdb.sql.show_expression import show_expression
from mfdb.sql.tables import (
    Change,
    IndexRange,
    KeyLookup,
    Mutation,
    RowDelete,
    RowInsert,
    RowUpdate,
    StoredRow,
    ValueLookup,
)
from mfdb.sql.types import Scalar, fit, from_storage, to_storage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mfdb.sql.bound import Bound
    from mfdb.sql.catalogue import ColumnSchema, IndexSchema, TableSchema
    from mfdb.sql.compile import Compiled, Environment
    from mfdb.sql.parameters import ExecutionContext, Given
    from mfdb.sql.relational.engine import Engine
    from mfdb.sql.relational.tree import BoundRelational
    from mfdb.sql.tables import Key, Tables, Values
    from mfdb.sql.types import StoredScalar

BoundChange = BoundInsert | BoundUpdate | BoundDelete


class CompiledChange:
    """A bound INSERT, UPDATE or DELETE with its closures: make it once, plan it often."""

    def __init__(self, bound: BoundChange, engine: Engine | None = None) -> None:
        self._bound = bound
        self._engine = engine
        self.table = bound.table if isinstance(bound, BoundInsert) else bound.source.table
        self._returning = [compile_expression(item) for item in bound.returning]
        self._finish = finisher([item.type for item in bound.returning])
        self._source = None if isinstance(bound, BoundInsert) else CompiledSource(bound.source)
        self._rows: list[list[Compiled | None]] = []
        self._assignments: list[tuple[int, Compiled | None]] = []
        if isinstance(bound, BoundInsert):
            self._rows = [[_compiled(value) for value in row] for row in bound.rows]
        elif isinstance(bound, BoundUpdate):
            self._assignments = [(place, _compiled(value)) for place, value in bound.assignments]

    def plan(self, tables: Tables, given: Given, context: ExecutionContext) -> Mutation:
        """Return what the statement changes.

        Raises:
            NotNullViolation, SchemaViolation, DuplicateRow: a rule of the dataset forbids it.
            WrongParameters, DataError: a value does not fit.
        """
        about = environment(self._bound.parameters, given, context)
        if isinstance(self._bound, BoundInsert):
            given_rows = self._given_rows(self._bound.query, tables, about)
            new = [self._insert(row, values, about) for values in given_rows for row in self._rows]
            check_unique(self.table, new, (), tables)
            changes: list[Change] = [RowInsert(values) for values in new]
            return self._mutation(changes, [(values, None) for values in new], about)
        assert self._source is not None
        old = list(self._source.rows(tables, about))
        if isinstance(self._bound, BoundDelete):
            changes = [RowDelete(row.row_id, row) for row in old]
            return self._mutation(changes, [(row.values, row) for row in old], about)
        pairs = [(self._update(row, about), row) for row in old]
        check_unique(self.table, [values for values, _ in pairs], old, tables)
        return self._mutation(_updates(self.table, pairs), pairs, about)

    def _mutation(
        self,
        changes: list[Change],
        touched: Iterable[tuple[Values, StoredRow | None]],
        about: Environment,
    ) -> Mutation:
        touched = list(touched)
        rows: tuple[tuple[object, ...], ...] = ()
        if self._returning:
            rows = tuple(self._return(values, row, about) for values, row in touched)
        return Mutation(self.table, tuple(changes), len(touched), self._bound.outputs, rows)

    def _return(
        self, values: Values, row: StoredRow | None, about: Environment
    ) -> tuple[object, ...]:
        about.row = row
        if row is not None and isinstance(self._bound, BoundUpdate):
            stamp = hlc_at(about.now_us / 1_000_000)
            about.row = StoredRow(row.row_id, values, about.caller, stamp)
        return self._finish([item(values, about) for item in self._returning])

    def _given_rows(
        self, query: BoundRelational | None, tables: Tables, about: Environment
    ) -> list[Values]:
        """Return the rows of INSERT ... SELECT; one empty row where values are written out."""
        if query is None:
            return [()]
        from mfdb.sql.relational.engine import Engine
        from mfdb.sql.relational.run import CompiledRelational

        if self._engine is None:
            self._engine = Engine()
        rows = CompiledRelational(query, self._engine).working(tables, about)
        return [tuple(to_storage(value) for value in row) for row in rows]

    def _insert(self, row: list[Compiled | None], given: Values, about: Environment) -> Values:
        values = [
            to_storage(value(given, about)) if value is not None else default_of(column, about)
            for value, column in zip(row, self.table.columns, strict=True)
        ]
        return check_row(self.table, tuple(values), about)

    def _update(self, row: StoredRow, about: Environment) -> Values:
        about.row = row
        values = list(row.values)
        for place, value in self._assignments:
            if value is None:
                values[place] = default_of(self.table.columns[place], about)
            else:
                values[place] = to_storage(value(row.values, about))
        return check_row(self.table, tuple(values), about)


def plan_dml(
    bound: BoundChange, tables: Tables, given: Given, context: ExecutionContext
) -> Mutation:
    """Return what a bound change does; keep a `CompiledChange` to plan it more than once."""
    return CompiledChange(bound).plan(tables, given, context)


def _compiled(bound: Bound | None) -> Compiled | None:
    return compile_expression(bound) if bound is not None else None


def default_of(column: ColumnSchema, about: Environment) -> StoredScalar:
    """Return the stored default of a column, NULL if it has none."""
    if column.default is None:
        return None
    if list(column.default) == NOW:
        value: Scalar = about.now_us
    else:
        value = evaluate(column.default, {}, author=about.caller, caller=about.caller)
    return to_storage(fit(from_storage(_plain(value), column.type), column.type))


def _plain(value: Any) -> StoredScalar:
    return to_storage(value)


def check_row(table: TableSchema, values: Values, about: Environment) -> Values:
    """Return the values if NOT NULL and every CHECK hold.

    Raises:
        NotNullViolation, SchemaViolation: one does not, with the column or condition named.
    """
    for column, value in zip(table.columns, values, strict=True):
        if value is None and column.not_null:
            raise NotNullViolation(
                f"column {column.name} of {table.name} needs a value",
                hint=f"give {column.name} a value, or a DEFAULT when the dataset is created",
            )
    if table.checks:
        row = {column.name: value for column, value in zip(table.columns, values, strict=True)}
        for condition in table.checks:
            if evaluate(condition, row, author=about.caller, caller=about.caller) is False:
                raise SchemaViolation(
                    f"a row of {table.name} violates CHECK ({show_expression(condition)})"
                )
    return values


# ---- uniqueness


def key_of(table: TableSchema, values: Values) -> Key:
    """Return the values of the primary key's columns."""
    return tuple(values[place] for place in table.key)


def check_unique(
    table: TableSchema, new: list[Values], replaced: Iterable[StoredRow], tables: Tables
) -> None:
    """Return quietly if no two rows share a primary key or UNIQUE value afterwards.

    Raises:
        DuplicateRow: they would, with the key named.
    """
    gone = {row.row_id for row in replaced}
    before = {row.row_id: row.values for row in replaced}
    if table.key:
        fresh = _distinct_keys(table, new)
        unmoved = {key_of(table, values) for values in before.values()}
        wanted = tuple(key for key in fresh if key not in unmoved)
        if wanted:
            for row in tables.scan(table, KeyLookup(wanted)):
                if row.row_id not in gone:
                    raise duplicate(table, table.key, row.values)
    for place, column in enumerate(table.columns):
        if column.unique and table.key != (place,):
            _check_column(table, place, new, gone, tables)
    for index in table.indexes:
        if index.unique:
            _check_index(table, index, new, gone, tables)


def _distinct_keys(table: TableSchema, new: list[Values]) -> dict[Key, None]:
    keys: dict[Key, None] = {}
    for values in new:
        key = key_of(table, values)
        if key in keys:
            raise duplicate(table, table.key, values)
        keys[key] = None
    return keys


def _check_column(
    table: TableSchema, place: int, new: list[Values], gone: set[Any], tables: Tables
) -> None:
    """NULLs are never equal, so that a UNIQUE column may hold many."""
    seen: set[StoredScalar] = set()
    for values in new:
        if values[place] is None:
            continue
        if values[place] in seen:
            raise duplicate(table, (place,), values)
        seen.add(values[place])
    if not seen:
        return
    for row in tables.scan(table, ValueLookup(place, tuple(seen))):
        if row.row_id not in gone:
            raise duplicate(table, (place,), row.values)


def _check_index(
    table: TableSchema, index: IndexSchema, new: list[Values], gone: set[Any], tables: Tables
) -> None:
    """Values with a NULL among them are never equal."""
    places = tuple(place for place, _ in index.places)
    wanted: set[Key] = set()
    for values in new:
        key = tuple(values[place] for place in places)
        if None in key:
            continue
        if key in wanted:
            raise duplicate(table, places, values)
        wanted.add(key)
    if not wanted:
        return
    for row in tables.scan(table, IndexRange(index=index, prefixes=tuple(wanted))):
        same = tuple(row.values[place] for place in places) in wanted
        if same and row.row_id not in gone:
            raise duplicate(table, places, row.values)


def duplicate(table: TableSchema, places: tuple[int, ...], values: Values) -> DuplicateRow:
    """Return the error that a row's values in these columns are taken."""
    names = ", ".join(table.columns[place].name for place in places)
    shown = ", ".join(
        to_text(from_storage(values[place], table.columns[place].type), table.columns[place].type)
        for place in places
    )
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    return DuplicateRow(
        f"dataset {table.name} has a row with ({names}) = ({shown}) already",
        hint="choose another key, or UPDATE that row",
    )


def _updates(table: TableSchema, pairs: list[tuple[Values, StoredRow]]) -> list[Change]:
    """Return the changes of an UPDATE.

    Where row ids follow from keys, a row whose key moves leaves one id and takes another; ids that
    one row leaves and another takes are one change, because a changeset touches a row once.
    """
    moved = table.owner_ordered and any(
        key_of(table, values) != key_of(table, row.values) for values, row in pairs
    )
    if not moved:
        return [RowUpdate(row.row_id, values, row) for values, row in pairs]
    old = {key_of(table, row.values): row for _, row in pairs}
    new = {key_of(table, values): values for values, _ in pairs}
    changes: list[Change] = []
    for key, row in old.items():
        if key in new:
            changes.append(RowUpdate(row.row_id, new[key], row))
        else:
            changes.append(RowDelete(row.row_id, row))
    changes += [RowInsert(values) for key, values in new.items() if key not in old]
    return changes
