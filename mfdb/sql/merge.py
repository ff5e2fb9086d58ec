"""MERGE: what becomes of the rows that its query found, as the changes of one statement."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.kernel.errors import TooManyRows
from mfdb.sql.compile import compile_expression
from mfdb.sql.dml import Numbers, answers, check_row, check_unique, default_of, updates
from mfdb.sql.parameters import environment
from mfdb.sql.tables import FullScan, KeyLookup, Mutation, RowDelete, RowInsert
from mfdb.sql.types import to_storage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfdb.kernel.ids import RowId
    from mfdb.sql.bound import BoundMerge, BoundWhen
    from mfdb.sql.compile import Compiled, Environment
    from mfdb.sql.dml import Beside
    from mfdb.sql.parameters import ExecutionContext, Given
    from mfdb.sql.relational.engine import Engine
    from mfdb.sql.tables import Access, Change, StoredRow, Tables, Values

Compiling = tuple["BoundWhen", list[tuple[int, "Compiled | None"]]]


class CompiledMerge:
    """A bound MERGE with its closures: make it once, plan it often."""

    def __init__(self, bound: BoundMerge, engine: Engine) -> None:
        self._bound = bound
        self._engine = engine
        self.table = bound.table
        self.verb = "MERGE"
        self._whens: list[Compiling] = [
            (
                when,
                [
                    (place, None if value is None else compile_expression(value))
                    for place, value in when.assignments
                ],
            )
            for when in bound.whens
        ]

    def plan(
        self,
        tables: Tables,
        given: Given,
        context: ExecutionContext,
        beside: Beside | None = None,
    ) -> Mutation:
        """Return what the statement changes; `beside` is what other parts of it have done.

        Raises:
            TooManyRows: a row would be changed twice.
            NotNullViolation, SchemaViolation, DuplicateRow: a rule of the dataset forbids it.
            WrongParameters, DataError: a value does not fit.
        """
        about = environment(self._bound.parameters, given, context)
        found = answers(self._bound.query, self._engine, tables, about)
        there = self._rows_there(found, tables)
        now = tables if beside is None else beside.now
        numbers = Numbers(self.table, now)
        deleted: list[StoredRow] = []
        updated: list[tuple[Values, StoredRow]] = []
        inserted: list[Values] = []
        seen: set[RowId] = set()
        for values, (when, assignments) in self._acted(found):
            if when.action == "insert":
                inserted.append(self._inserted(values, assignments, about, numbers))
                continue
            row = there[values[0]]
            if beside is not None and row.row_id in beside.touched:
                continue
            if row.row_id in seen:
                raise TooManyRows(
                    "MERGE would change a row a second time",
                    hint="let no more than one row of USING match each row",
                )
            seen.add(row.row_id)
            if when.action == "delete":
                deleted.append(row)
            else:
                about.row = row
                updated.append((self._set(row.values, values, assignments, about), row))
        after = [*(values for values, _ in updated), *inserted]
        check_unique(self.table, after, [*deleted, *(row for _, row in updated)], now)
        return self._mutation(deleted, updated, inserted)

    def _acted(self, found: list[Values]) -> Iterator[tuple[Values, Compiling]]:
        for values in found:
            which = values[self._bound.which]
            assert isinstance(which, int), "the number of a WHEN"
            if which and self._whens[which - 1][0].action != "nothing":
                yield values, self._whens[which - 1]

    def _rows_there(self, found: list[Values], tables: Tables) -> dict[object, StoredRow]:
        """Return the rows that something becomes of, by their lasting ids."""
        wanted = {values[0]: values for values, _ in self._acted(found) if values[0] is not None}
        if not wanted:
            return {}
        access: Access = FullScan()
        if self.table.key:
            width = len(self.table.key)
            access = KeyLookup(tuple(values[1 : 1 + width] for values in wanted.values()))
        return {row.lasting_id: row for row in tables.scan(self.table, access)}

    def _inserted(
        self,
        values: Values,
        assignments: list[tuple[int, Compiled | None]],
        about: Environment,
        numbers: Numbers,
    ) -> Values:
        given = {place: value for place, value in assignments if value is not None}
        made = [
            to_storage(given[place](values, about)) if place in given else default_of(column, about)
            for place, column in enumerate(self.table.columns)
        ]
        for place in numbers.places:
            made[place] = numbers.given(place, made[place], asked=place not in given)
        return check_row(self.table, tuple(made), about)

    def _set(
        self,
        before: Values,
        given: Values,
        assignments: list[tuple[int, Compiled | None]],
        about: Environment,
    ) -> Values:
        made = list(before)
        for place, value in assignments:
            column = self.table.columns[place]
            made[place] = (
                default_of(column, about) if value is None else to_storage(value(given, about))
            )
        return check_row(self.table, tuple(made), about)

    def _mutation(
        self,
        deleted: list[StoredRow],
        updated: list[tuple[Values, StoredRow]],
        inserted: list[Values],
    ) -> Mutation:
        changes: list[Change] = [RowDelete(row.row_id, row) for row in deleted]
        changes += updates(self.table, updated)
        moved = tuple((row.values, values) for values, row in updated)
        if not any(isinstance(change, RowInsert) for change in changes):
            moved = ()
        changes += [RowInsert(values) for values in inserted]
        count = len(deleted) + len(updated) + len(inserted)
        return Mutation(self.table, tuple(changes), count, (), (), moved=moved)
