"""INSERT, UPDATE and DELETE: what they would change, as pure data, with every rule checked.

The whole statement is planned before anything is written: it happens as a whole or not at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mfdb.kernel.clock import hlc_at
from mfdb.kernel.errors import DuplicateRow, NotNullViolation, SchemaViolation
from mfdb.rules.expression import evaluate
from mfdb.sql.bound import BoundDelete, BoundInsert, BoundMerge, BoundUpdate
from mfdb.sql.compile import compile_expression
from mfdb.sql.conflict import CompiledConflict, changes_of
from mfdb.sql.convert import to_text
from mfdb.sql.execute import CompiledSource, finisher
from mfdb.sql.functions import random_uuid
from mfdb.sql.lower import NOW, UUID
from mfdb.sql.parameters import environment
from mfdb.sql.scratch import ScratchTables, scratch_rows
from mfdb.sql.show_expression import show_expression
from mfdb.sql.tables import (
    Change,
    FullScan,
    IndexRange,
    KeyLookup,
    Mutation,
    RowDelete,
    RowInsert,
    RowUpdate,
    ValueLookup,
)
from mfdb.sql.types import Scalar, fit, from_storage, to_storage

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from mfdb.kernel.ids import RowId
    from mfdb.sql.bound import Asked, Bound
    from mfdb.sql.catalogue import ColumnSchema, IndexSchema, TableSchema
    from mfdb.sql.compile import Compiled, Environment
    from mfdb.sql.conflict import Ask
    from mfdb.sql.merge import CompiledMerge
    from mfdb.sql.parameters import ExecutionContext, Given
    from mfdb.sql.relational.engine import Engine
    from mfdb.sql.relational.tree import BoundRelational
    from mfdb.sql.tables import Access, Key, StoredRow, Tables, Values
    from mfdb.sql.types import StoredScalar

BoundChange = BoundInsert | BoundUpdate | BoundDelete


class Beside(msgspec.Struct, frozen=True):
    """What the other parts of a statement have done: rows as they are `now`, and who was touched.

    A part sees what was there before all of them, but no two rows may share a key afterwards.
    """

    now: Tables
    touched: Collection[RowId]


class CompiledChange:
    """A bound INSERT, UPDATE or DELETE with its closures: make it once, plan it often."""

    def __init__(
        self, bound: BoundChange, engine: Engine | None = None, *, finished: bool = True
    ) -> None:
        """Unless `finished`, what is returned stays in working form."""
        self._bound = bound
        self.verb = type(bound).__name__.removeprefix("Bound").upper()
        self._engine = engine
        self.table = bound.table if isinstance(bound, BoundInsert) else bound.source.table
        self._returning = [compile_expression(item) for item in bound.returning]
        kinds = [item.type for item in bound.returning] if finished else []
        self._finish = finisher(kinds)
        self._source = None if isinstance(bound, BoundInsert) else CompiledSource(bound.source)
        self._rows: list[list[Compiled | None]] = []
        self._assignments: list[tuple[int, Compiled | None]] = []
        self._conflict: CompiledConflict | None = None
        if isinstance(bound, BoundInsert):
            self._rows = [[_compiled(value) for value in row] for row in bound.rows]
            if bound.on_conflict is not None:
                self._conflict = CompiledConflict(self.table, bound.on_conflict, self._changed)
        elif isinstance(bound, BoundUpdate):
            self._assignments = [(place, _compiled(value)) for place, value in bound.assignments]

    def plan(
        self,
        tables: Tables,
        given: Given,
        context: ExecutionContext,
        beside: Beside | None = None,
    ) -> Mutation:
        """Return what the statement changes; `beside` is what other parts of it have done.

        Raises:
            NotNullViolation, SchemaViolation, DuplicateRow: a rule of the dataset forbids it.
            WrongParameters, DataError: a value does not fit.
        """
        about = environment(self._bound.parameters, given, context)
        now = tables if beside is None else beside.now
        if isinstance(self._bound, BoundInsert):
            return self._inserted(self._bound, tables, now, about)
        found = self._found(self._bound, tables, about)
        if beside is not None:
            found = [one for one in found if one[0].row_id not in beside.touched]
        old = [row for row, _ in found]
        extra = [beside for _, beside in found]
        if isinstance(self._bound, BoundDelete):
            changes: list[Change] = [RowDelete(row.row_id, row) for row in old]
            touched = [(row.values, row) for row in old]
            return self._mutation(changes, touched, tables, about, extra)
        pairs = [(self._update(row, beside, about), row) for row, beside in found]
        check_unique(self.table, [values for values, _ in pairs], old, now)
        return self._mutation(updates(self.table, pairs), pairs, tables, about, extra)

    def _inserted(
        self, bound: BoundInsert, tables: Tables, now: Tables, about: Environment
    ) -> Mutation:
        given_rows = self._given_rows(bound.query, tables, about)
        numbers = Numbers(self.table, now)
        new = [
            self._insert(row, values, about, numbers) for values in given_rows for row in self._rows
        ]
        if self._conflict is None:
            check_unique(self.table, new, (), now)
            changes: list[Change] = [RowInsert(values) for values in new]
            return self._mutation(changes, [(values, None) for values in new], tables, about)
        found = self._conflict.resolve(new, now, about, self._asking(tables))
        after = [*found.inserted, *(values for values, _ in found.updated)]
        check_unique(self.table, after, found.replaced, now)
        changes = changes_of(found, self.table, updates)
        return self._mutation(changes, found.touched, tables, about)

    def _asking(self, tables: Tables) -> Ask | None:
        """Return what computes the values of DO UPDATE by a query, if one does."""
        conflict = self._bound.on_conflict if isinstance(self._bound, BoundInsert) else None
        asked = conflict.asked if conflict is not None else None
        if asked is None:
            return None

        def ask(met: list[tuple[StoredRow, Values]], about: Environment) -> list[Values]:
            pairs = [(*row.values, *values) for row, values in met]
            return self._answers(asked, scratch_rows(_numbered(pairs)), tables, about)

        return ask

    def _found(
        self, bound: BoundUpdate | BoundDelete, tables: Tables, about: Environment
    ) -> list[tuple[StoredRow, Values]]:
        """Return the rows to change, each with the row of the query that found it."""
        if bound.joined is None:
            assert self._source is not None
            return [(row, ()) for row in self._source.rows(tables, about)]
        wanted: dict[Any, Values] = {}
        for values in self._given_rows(bound.joined.query, tables, about):
            wanted.setdefault(values[0], values)
        access: Access = FullScan()
        if self.table.key:
            width = len(self.table.key)
            access = KeyLookup(tuple(values[1 : 1 + width] for values in wanted.values()))
        rows = {row.lasting_id: row for row in tables.scan(self.table, access)}
        return [(rows[row_id], values) for row_id, values in wanted.items()]

    def _mutation(
        self,
        changes: list[Change],
        touched: Sequence[tuple[Values, StoredRow | None]],
        tables: Tables,
        about: Environment,
        extra: Sequence[Values] = (),
    ) -> Mutation:
        rows: tuple[tuple[object, ...], ...] = ()
        if self._returning:
            returned = self._returned(touched, tables, about, extra or [()] * len(touched))
            rows = tuple(about.allowance.gather(returned))
        mutation = Mutation(self.table, tuple(changes), len(touched), self._bound.outputs, rows)
        if not any(isinstance(change, RowInsert) for change in changes):
            return mutation
        moved = tuple((row.values, values) for values, row in touched if row is not None)
        return msgspec.structs.replace(mutation, moved=moved) if moved else mutation

    def _returned(
        self,
        touched: Sequence[tuple[Values, StoredRow | None]],
        tables: Tables,
        about: Environment,
        extra: Sequence[Values],
    ) -> Iterator[tuple[object, ...]]:
        """Yield what RETURNING says of each changed row, with the rows that found it beside."""
        joined = None if isinstance(self._bound, BoundInsert) else self._bound.joined
        shown: list[tuple[Values, StoredRow | None]] = []
        for (values, row), beside in zip(touched, extra, strict=True):
            more = beside[joined.own :] if joined is not None else ()
            shown.append(((*values, *more), self._after(values, row, about)))
        if self._bound.asked is not None:
            asked = scratch_rows(_numbered([values for values, _ in shown]))
            stamped = [
                one if row is None else msgspec.structs.replace(one, author=row.author, hlc=row.hlc)
                for one, (_, row) in zip(asked, shown, strict=True)
            ]
            answers = self._answers(self._bound.asked, stamped, tables, about)
            shown = [(answer, None) for answer in answers]
        for values, row in shown:
            about.row = row
            yield self._finish([item(values, about) for item in self._returning])

    def _after(self, values: Values, row: StoredRow | None, about: Environment) -> StoredRow | None:
        """Return a row as it will be, with its author and time."""
        if row is None or isinstance(self._bound, BoundDelete):
            return row
        stamp = hlc_at(about.now_us / 1_000_000)
        return msgspec.structs.replace(row, values=values, author=about.caller, hlc=stamp)

    def _answers(
        self, asked: Asked, rows: list[StoredRow], tables: Tables, about: Environment
    ) -> list[Values]:
        """Return what a query says of rows of the change itself."""
        seen: Tables = ScratchTables(tables, {asked.table.dataset: rows})
        return self._given_rows(asked.query, seen, about)

    def _given_rows(
        self, query: BoundRelational | None, tables: Tables, about: Environment
    ) -> list[Values]:
        """Return the rows of a statement's query; one empty row where it has none."""
        if query is None:
            return [()]
        if self._engine is None:
            from mfdb.sql.relational.engine import Engine

            self._engine = Engine()
        return answers(query, self._engine, tables, about)

    def _insert(
        self, row: list[Compiled | None], given: Values, about: Environment, numbers: Numbers
    ) -> Values:
        values = [
            to_storage(value(given, about)) if value is not None else default_of(column, about)
            for value, column in zip(row, self.table.columns, strict=True)
        ]
        for place in numbers.places:
            values[place] = numbers.given(place, values[place], asked=row[place] is None)
        return check_row(self.table, tuple(values), about)

    def _update(self, row: StoredRow, beside: Values, about: Environment) -> Values:
        about.row = row
        return self._changed(row, self._assignments, beside or row.values, about)

    def _changed(
        self,
        row: StoredRow,
        assignments: list[tuple[int, Compiled | None]],
        given: Values,
        about: Environment,
    ) -> Values:
        """Return a row's values after assignments, which are computed from `given`."""
        values = list(row.values)
        for place, value in assignments:
            if value is None:
                values[place] = default_of(self.table.columns[place], about)
            else:
                values[place] = to_storage(value(given, about))
        return check_row(self.table, tuple(values), about)


def _numbered(rows: Sequence[Values]) -> Iterator[Values]:
    return ((*values, number) for number, values in enumerate(rows))


def answers(
    query: BoundRelational, engine: Engine, tables: Tables, about: Environment
) -> list[Values]:
    """Return the rows of a query that is a part of a change, as stored values."""
    from mfdb.sql.relational.run import CompiledRelational

    rows = CompiledRelational(query, engine).working(tables, about)
    return [tuple(to_storage(value) for value in row) for row in rows]


class Numbers:
    """Numbers for the identity columns of the rows that one statement inserts."""

    def __init__(self, table: TableSchema, tables: Tables) -> None:
        self._table = table
        self._tables = tables
        self._last: dict[int, int] = {}
        self.places = [place for place, column in enumerate(table.columns) if column.is_numbered]

    def given(self, place: int, value: StoredScalar, *, asked: bool) -> StoredScalar:
        """Return the next number if one is asked for, else the value as it is.

        Raises:
            NumberOutOfRange: the type holds no greater number.
        """
        if not asked:
            if place in self._last and isinstance(value, int):
                self._last[place] = max(self._last[place], value)
            return value
        last = self._last.get(place)
        if last is None:
            last = max(self._tables.greatest(self._table, place) or 0, 0)
        self._last[place] = last + 1
        return to_storage(fit(last + 1, self._table.columns[place].type))


def compiled(bound: BoundChange | BoundMerge, engine: Engine) -> CompiledChange | CompiledMerge:
    """Return any bound change, ready to be planned."""
    if isinstance(bound, BoundMerge):
        from mfdb.sql.merge import CompiledMerge

        return CompiledMerge(bound, engine)
    return CompiledChange(bound, engine)


def plan_dml(
    bound: BoundChange | BoundMerge, tables: Tables, given: Given, context: ExecutionContext
) -> Mutation:
    """Return what a bound change does; keep what `compiled` gives to plan it more than once."""
    from mfdb.sql.relational.engine import Engine

    return compiled(bound, Engine()).plan(tables, given, context)


def _compiled(bound: Bound | None) -> Compiled | None:
    return compile_expression(bound) if bound is not None else None


def default_of(column: ColumnSchema, about: Environment) -> StoredScalar:
    """Return the stored default of a column, NULL if it has none."""
    if column.default is None:
        return None
    if list(column.default) == NOW:
        value: Scalar = about.now_us
    elif list(column.default) == UUID:
        value = random_uuid(about.token)
    elif column.is_numbered:
        return None  # `Numbers` knows the next one
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
        for check in table.checks:
            if evaluate(check.condition, row, author=about.caller, caller=about.caller) is False:
                named = f" {check.name}" if check.name else ""
                shown = show_expression(check.condition)
                raise SchemaViolation(f"a row of {table.name} violates CHECK{named} ({shown})")
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


def updates(table: TableSchema, pairs: list[tuple[Values, StoredRow]]) -> list[Change]:
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
