"""Statements whose WITH changes rows: every part sees what there was, and all of them happen.

Parts are planned in order over the rows before the statement; only keys and UNIQUE values are
judged by what the parts before have done. A row that one part changed is passed over by later ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfdb.client.results import Result, columns_of
from mfdb.client.savepoints import copied
from mfdb.client.state import Batch
from mfdb.sql.bind import bind
from mfdb.sql.bound import BoundSelect
from mfdb.sql.dml import Beside, CompiledChange, compiled
from mfdb.sql.execute import CompiledSelect
from mfdb.sql.relational.tree import BoundRelational
from mfdb.sql.scratch import ScratchTables, scratch_rows
from mfdb.sql.tables import RowInsert
from mfdb.sql.types import to_storage

if TYPE_CHECKING:
    from mfdb.client.ground import Ground
    from mfdb.client.noting import Noting
    from mfdb.kernel.ids import DatasetId, RowId
    from mfdb.sql import statement as st
    from mfdb.sql.bound import BoundChained
    from mfdb.sql.parameters import ExecutionContext, Given
    from mfdb.sql.tables import Mutation, StoredRow, Tables


def plan_chained(ground: Ground, noting: Noting, statement: st.Chained, params: Given) -> Result:
    """Note what a statement and the changes in its WITH do; return its result.

    Raises:
        MfdbError: it may not be.
    """
    noting.demand(statement)
    bound: Any = bind(statement, noting.catalogue)
    for step in bound.steps:
        noting.demand_rest(step.change)
    noting.demand_rest(bound.last)
    return _Planning(ground, noting).run(bound, params)


class _Planning:
    """One statement that is planned."""

    def __init__(self, ground: Ground, noting: Noting) -> None:
        self._ground = ground
        self._noting = noting
        self._context = ground.context()
        before = Batch(tables=copied(noting.batch.tables))
        self._before = ground.tables(noting.reading, noting.catalogue, before)
        self._now = ground.tables(noting.reading, noting.catalogue, noting.batch)
        self._returned: dict[DatasetId, list[StoredRow]] = {}
        self._touched: dict[DatasetId, set[RowId]] = {}
        self._mutations: list[Mutation] = []

    def run(self, bound: BoundChained, params: Given) -> Result:
        """Note what all parts change, and return the result of the last."""
        for step in bound.steps:
            change = CompiledChange(step.change, self._ground.engine, finished=False)
            mutation = self._change(change, params)
            if step.table is not None:
                working: tuple[tuple[Any, ...], ...] = mutation.rows
                stored = (tuple(map(to_storage, row)) for row in working)
                self._returned[step.table.dataset] = scratch_rows(stored)
        result = self._last(bound.last, params)
        if self._noting.is_tied(self._mutations):
            self._noting.enforce(self._mutations, self._now, self._context)
        return result

    def _last(self, last: Any, params: Given) -> Result:
        if isinstance(last, BoundSelect | BoundRelational):
            return self._answer(last, params)
        change = compiled(last, self._ground.engine)
        mutation = self._change(change, params)
        columns, count = columns_of(mutation.columns), mutation.count
        return Result(f"{change.verb} {count}", columns, list(mutation.rows), count)

    def _seen(self) -> Tables:
        return ScratchTables(self._before, self._returned)

    def _change(self, change: Any, params: Given) -> Mutation:
        touched = self._touched.setdefault(change.table.dataset, set())
        beside = Beside(self._now, touched)
        mutation: Mutation = change.plan(self._seen(), params, self._context, beside)
        touched.update(one.row_id for one in mutation.changes if not isinstance(one, RowInsert))
        self._noting.note(mutation)
        self._mutations.append(mutation)
        return mutation

    def _answer(self, last: BoundSelect | BoundRelational, params: Given) -> Result:
        found = _run(last, self._ground, self._seen(), params, self._context)
        rows = self._context.allowance.gather(found.rows)
        return Result(f"SELECT {len(rows)}", columns_of(found.columns), rows, len(rows))


def _run(
    query: BoundSelect | BoundRelational,
    ground: Ground,
    tables: Tables,
    params: Given,
    context: ExecutionContext,
) -> Any:
    if isinstance(query, BoundSelect):
        return CompiledSelect(query).run(tables, params, context)
    from mfdb.sql.relational.run import CompiledRelational

    return CompiledRelational(query, ground.engine).run(tables, params, context)
