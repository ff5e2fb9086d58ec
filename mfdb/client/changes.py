"""INSERT, UPDATE and DELETE on this machine: planned over what is there, written whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfdb.client.bulk import BulkInsert
from mfdb.client.bulk_change import BulkChange
from mfdb.client.pending_table import note
from mfdb.client.plans import make_room
from mfdb.client.quick_insert import quick_insert
from mfdb.client.results import Column, Result, columns_of
from mfdb.client.state import Batch
from mfdb.dataset.visibility import demand
from mfdb.kernel.errors import DuplicateRow, NetworkError, ProgrammingError, StaleWrite
from mfdb.rules.evidence import EMBEDDED
from mfdb.rules.manifest import Action
from mfdb.sql import statement as st
from mfdb.sql.bind import bind
from mfdb.sql.bound import BoundInsert, Parameters, query_of
from mfdb.sql.dml import CompiledChange
from mfdb.sql.foreign import ForeignKeys
from mfdb.sql.parameters import environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.client.bulk_query import BulkQuery
    from mfdb.client.ground import Ground
    from mfdb.client.plans import Plans
    from mfdb.client.quick_insert import QuickInsert
    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.reading import Reading
    from mfdb.dataset.writer import RowInsert
    from mfdb.kernel.ids import DatasetId
    from mfdb.sql.parameters import Given
    from mfdb.sql.tables import Mutation

ATTEMPTS = 5
"""How often a statement is planned anew when another thread changed its rows meanwhile."""
_ACTION = {st.Insert: Action.INSERT, st.Update: Action.UPDATE, st.Delete: Action.DELETE}
_CHANGE = st.Insert | st.Update | st.Delete


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

    def unasked(self, text: str, many: Sequence[Given], known: Known) -> list[RowInsert] | None:
        """Return the new rows of an INSERT that asks nothing of what is there, or None.

        Raises:
            MfdbError: the values do not suit the columns.
        """
        bulk = self._bulks.get(text) if many else None
        if not isinstance(bulk, BulkInsert) or bulk.known is not known or bulk.has_key:
            return None
        return bulk.changes(many)

    def plan(self, statement: _CHANGE, many: Sequence[Given], text: str, batch: Batch) -> Result:
        """Note what a statement changes in a batch, and return its result.

        Raises:
            MfdbError: it may not be.
        """
        self.noted = count = 0
        state = self._ground.state.replica.catalogue_state
        name = type(statement).__name__.upper()
        rows: list[tuple[object, ...]] = []
        columns: tuple[Column, ...] = ()
        with self._ground.state.replica.reading() as reading:
            catalogue = self._ground.catalogue(reading)
            known = catalogue.known(statement.table)
            fill: BulkQuery | None = None
            compiled = self._plans.find(text, known)
            if compiled is None:  # else the same rules were asked already
                if known is not None:
                    demand(known.manifest, _ACTION[type(statement)], self._ground.state.me)
                bound: Any = bind(statement, catalogue)
                compiled = CompiledChange(bound, self._ground.engine)
                self._demand_more(bound, known)
                query = query_of(bound)
                if query is not None:
                    self._ground.demand_all(query, reading)
                    fill = self._filling(bound, known)
                else:
                    self._plans.remember(text, known, compiled)
                    self._learn_bulk(text, bound, known, state)
            assert known is not None, "the binder knows every dataset it lets pass"
            pending = batch.table(known.manifest.dataset)
            keyring = self._ground.state.replica.keyring
            pending.begin(reading, known, keyring)
            tied = compiled.table.foreign_keys or reading.referring(known.manifest.dataset)
            bulk = self._bulks.get(text) if many else None
            if tied and not isinstance(bulk, BulkInsert):
                bulk = None  # rows that refer would have to be asked
            if bulk is not None and bulk.known is known:
                count = bulk.plan(many, reading, pending, keyring)
                return Result(tag=f"{name} {count}", count=count)
            tables = self._ground.tables(reading, catalogue, batch)
            context = self._ground.context()
            if fill is not None:
                for self.noted, params in enumerate(many):
                    count += fill.plan(params, tables, context, reading, pending, keyring)
                    batch.noted += 1
                return Result(tag=f"{name} {count}", count=count)
            mutations = []
            for self.noted, params in enumerate(many):
                mutation = compiled.plan(tables, params, context)
                self._note(mutation, reading, batch)
                mutations.append(mutation)
                count += mutation.count
                rows += mutation.rows
                columns = columns_of(mutation.columns)
            if tied:
                about = environment(Parameters("", 0, ()), (), context)
                keys = ForeignKeys(
                    catalogue,
                    tables,
                    lambda one: self._note(one, reading, batch),
                    lambda dataset: self._watch(dataset, reading, batch),
                    about,
                )
                keys.enforce(mutations)
        return Result(tag=f"{name} {count}", columns=columns, rows=rows, count=count)

    def _filling(self, bound: Any, known: Known | None) -> BulkQuery | None:
        """Return the bulk form of an INSERT ... SELECT, if it has one."""
        from mfdb.client.bulk_query import BulkQuery

        if known is None:
            return None
        keyring = self._ground.state.replica.keyring
        return BulkQuery.of(bound, known, keyring, self._ground.engine)

    def _demand_more(self, bound: Any, known: Known | None) -> None:
        """DO UPDATE changes rows, and INSERT OR REPLACE takes some away."""
        conflict = bound.on_conflict if isinstance(bound, BoundInsert) else None
        if conflict is None or known is None or conflict.action == "nothing":
            return
        demand(known.manifest, Action.UPDATE, self._ground.state.me)
        if conflict.action == "replace":
            demand(known.manifest, Action.DELETE, self._ground.state.me)

    def _note(self, mutation: Mutation, reading: Reading, batch: Batch) -> None:
        known = reading.known(mutation.table.dataset)
        pending = batch.table(known.manifest.dataset)
        pending.begin(reading, known, self._ground.state.replica.keyring)
        batch.noted += 1
        note(mutation, pending)

    def _watch(self, dataset: DatasetId, reading: Reading, batch: Batch) -> None:
        keyring = self._ground.state.replica.keyring
        batch.table(dataset).watch(reading, reading.known(dataset), keyring)

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
