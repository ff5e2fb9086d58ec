"""INSERT, UPDATE and DELETE on this machine: planned over what is there, written whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfdb.client.bulk import BulkInsert
from mfdb.client.bulk_change import BulkChange
from mfdb.client.noting import Noting
from mfdb.client.plans import make_room
from mfdb.client.quick_insert import quick_insert
from mfdb.client.results import Result, columns_of
from mfdb.client.state import Batch
from mfdb.kernel.errors import DuplicateRow, NetworkError, ProgrammingError, StaleWrite
from mfdb.rules.evidence import EMBEDDED
from mfdb.sql import statement as st
from mfdb.sql.bind import bind
from mfdb.sql.bound import queries_of, query_of
from mfdb.sql.dml import compiled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.client.bulk_query import BulkQuery
    from mfdb.client.ground import Ground
    from mfdb.client.plans import Plans
    from mfdb.client.quick_insert import QuickInsert
    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.row_changes import FreshRows
    from mfdb.sql.parameters import ExecutionContext, Given
    from mfdb.sql.tables import Mutation, Tables

ATTEMPTS = 5
"""How often a statement is planned anew when another thread changed its rows meanwhile."""


class Changes:
    """Plans and writes changes."""

    def __init__(self, ground: Ground, plans: Plans, quick: dict[str, QuickInsert]) -> None:
        """`quick` is where statements are kept for which `quick` may be called."""
        self._ground = ground
        self._plans = plans
        self._bulks: dict[str, BulkInsert | BulkChange] = {}
        self._quick = quick
        self.noted = 0

    def quick(self, text: str, params: Given, *, opens: bool) -> Result | None:
        """Return the result of a change that is known to be simple, or None for the general way.

        `opens` says that it opens a batch, if none is open; else it is durable at once then.
        """
        found, state = self._quick[text], self._ground.state
        if found.state != state.replica.catalogue_state:
            del self._quick[text]
            return None
        if opens and state.batch is None:
            state.begin()
        batch = state.batch or Batch()
        if batch.failed or not found.note(params, batch, state.replica):
            return None
        if state.batch is None:
            try:
                self.commit(batch)
            except (StaleWrite, DuplicateRow):  # the general way looks again
                return None
        return Result("INSERT 1", (), (), 1)

    def run_many(self, statement: st.Statement, many: Sequence[Given], text: str) -> Result:
        """Return the result of one change, carried out for each set of parameters at once.

        Raises:
            MfdbError: one failed; nothing of any was kept.
        """
        if not isinstance(statement, st.CHANGES):
            raise ProgrammingError("only INSERT, UPDATE and DELETE run over many parameters")
        if self._ground.state.batch is not None:
            return self.plan(statement, many, text, self._ground.state.batch)
        for attempt in range(ATTEMPTS):
            batch = Batch()
            result = self.plan(statement, many, text, batch)
            try:
                self.commit(batch)
            except (StaleWrite, DuplicateRow):
                if attempt + 1 == ATTEMPTS:
                    raise
                continue
            return result
        raise AssertionError("the last attempt returns or raises")

    def unasked(self, text: str, many: Sequence[Given], known: Known) -> FreshRows | None:
        """Return the new rows of an INSERT that asks nothing of what is there, or None.

        Raises:
            MfdbError: the values do not suit the columns.
        """
        bulk = self._bulks.get(text) if many else None
        if not isinstance(bulk, BulkInsert) or bulk.known is not known or bulk.has_key:
            return None
        return bulk.changes(many)

    def plan(
        self, statement: st.Statement, many: Sequence[Given], text: str, batch: Batch
    ) -> Result:
        """Note what a statement changes in a batch, and return its result.

        Raises:
            MfdbError: it may not be.
        """
        self.noted = 0
        with self._ground.state.replica.reading() as reading:
            noting = Noting(self._ground, reading, batch)
            if isinstance(statement, st.Chained):
                return self._chained(statement, many, noting)
            return self._planned(statement, many, text, noting)

    def _chained(self, statement: st.Chained, many: Sequence[Given], noting: Noting) -> Result:
        from mfdb.client.chained import plan_chained

        count = 0
        rows: list[tuple[object, ...]] = []
        result = Result(tag="SELECT 0")
        for self.noted, params in enumerate(many):
            result = plan_chained(self._ground, noting, statement, params)
            count += result.count
            rows += result.rows
        verb = result.tag.partition(" ")[0]
        return Result(tag=f"{verb} {count}", columns=result.columns, rows=rows, count=count)

    def _planned(self, statement: Any, many: Sequence[Given], text: str, noting: Noting) -> Result:
        reading, batch = noting.reading, noting.batch
        count, name = 0, type(statement).__name__.upper()
        known = noting.catalogue.known(statement.table)
        fill: BulkQuery | None = None
        change = self._plans.find(text, known)
        if change is None:  # else the same rules were asked already
            change, fill = self._compiled(statement, known, text, noting)
        assert known is not None, "the binder knows every dataset it lets pass"
        pending = batch.table(known.manifest.dataset)
        keyring = self._ground.state.replica.keyring
        pending.begin(reading, known, keyring)
        tied = change.table.foreign_keys or reading.referring(known.manifest.dataset)
        bulk = self._bulks.get(text) if many else None
        if tied and not isinstance(bulk, BulkInsert):
            bulk = None  # rows that refer would have to be asked
        if bulk is not None and bulk.known is known:
            count = bulk.plan(many, reading, pending, keyring)
            return Result(tag=f"{name} {count}", count=count)
        tables = self._ground.tables(reading, noting.catalogue, batch)
        context = self._ground.context()
        if fill is not None:
            for self.noted, params in enumerate(many):
                count += fill.plan(params, tables, context, reading, pending, keyring)
                batch.noted += 1
            return Result(tag=f"{name} {count}", count=count)
        return self._each(change, many, tables, context, noting)

    def _compiled(
        self, statement: Any, known: Known | None, text: str, noting: Noting
    ) -> tuple[Any, BulkQuery | None]:
        """Return a change that may be, bound and compiled, and its bulk form if it has one."""
        state = self._ground.state.replica.catalogue_state
        noting.demand(statement)
        bound: Any = bind(statement, noting.catalogue)
        change = compiled(bound, self._ground.engine)
        noting.demand_rest(bound)
        fill = None
        if query_of(bound) is not None:
            fill = self._filling(bound, known)
        elif not queries_of(bound):
            self._plans.remember(text, known, change)
            self._learn_bulk(text, bound, known, state)
        return change, fill

    def _each(
        self,
        change: Any,
        many: Sequence[Given],
        tables: Tables,
        context: ExecutionContext,
        noting: Noting,
    ) -> Result:
        """Plan and note a change for each set of parameters."""
        mutations: list[Mutation] = []
        rows: list[tuple[object, ...]] = []
        for self.noted, params in enumerate(many):
            mutation = change.plan(tables, params, context)
            noting.note(mutation)
            mutations.append(mutation)
            rows += mutation.rows
        if noting.is_tied(mutations[:1]):
            noting.enforce(mutations, tables, context)
        count = sum(mutation.count for mutation in mutations)
        columns = columns_of(mutations[-1].columns) if mutations else ()
        return Result(tag=f"{change.verb} {count}", columns=columns, rows=rows, count=count)

    def _filling(self, bound: Any, known: Known | None) -> BulkQuery | None:
        """Return the bulk form of an INSERT ... SELECT, if it has one."""
        from mfdb.client.bulk_query import BulkQuery

        if known is None:
            return None
        keyring = self._ground.state.replica.keyring
        return BulkQuery.of(bound, known, keyring, self._ground.engine)

    def commit(self, batch: Batch) -> None:
        """Make the changes of a batch durable: all or none.

        Raises:
            NetworkError: it changes a dataset that lives on a network.
            StaleWrite, DuplicateRow: a row changed, or came, meanwhile.
        """
        changes = {
            dataset: pending.changes
            for dataset, pending in batch.tables.items()
            if pending.changes.watched or not pending.changes.is_empty
        }
        if all(one.is_empty for one in changes.values()):
            return
        for dataset in changes:
            manifest = self._ground.state.replica.known(dataset).manifest
            if manifest.network != EMBEDDED:
                raise NetworkError(
                    f"dataset {manifest.name} lives on a network, and none is open",
                    hint="connect with network=...",
                )
        self._ground.state.replica.commit(changes)

    def _learn_bulk(self, text: str, bound: Any, known: Known | None, state: int) -> None:
        make_room(self._bulks)
        self._bulks.pop(text, None)
        self._quick.pop(text, None)
        if known is None:
            return
        keyring = self._ground.state.replica.keyring
        found = BulkInsert.of(bound, known, keyring) or BulkChange.of(bound, known, keyring)
        if found is not None:
            self._bulks[text] = found
        if isinstance(found, BulkInsert):
            quick = quick_insert(bound, known, keyring, state=state)
            if quick is not None:
                make_room(self._quick)
                self._quick[text] = quick
