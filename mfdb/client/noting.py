"""Taking note in a batch of what statements change, once their caller may do so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfdb.client.pending_table import note
from mfdb.dataset.visibility import demand
from mfdb.rules.manifest import Action
from mfdb.sql.bound import BoundInsert, BoundSelect, Parameters, queries_of
from mfdb.sql.changed import changes_in
from mfdb.sql.foreign import ForeignKeys
from mfdb.sql.parameters import environment
from mfdb.sql.relational.tree import BoundRelational

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.client.ground import Ground
    from mfdb.client.state import Batch
    from mfdb.dataset.reading import Reading
    from mfdb.kernel.ids import DatasetId
    from mfdb.sql.parameters import ExecutionContext
    from mfdb.sql.tables import Mutation, Tables


class Noting:
    """What one statement notes, over one committed state."""

    def __init__(self, ground: Ground, reading: Reading, batch: Batch) -> None:
        self._ground = ground
        self._keyring = ground.state.replica.keyring
        self.reading = reading
        self.batch = batch
        self.catalogue = ground.catalogue(reading)

    # ---- rights

    def demand(self, statement: Any) -> None:
        """Return quietly if this identity may change what a statement changes.

        Raises:
            AccessDenied: it may not.
        """
        for name, verb in changes_in(statement):
            known = self.catalogue.known(name)
            if known is not None:  # else the binder says so, and points at the name
                demand(known.manifest, Action[verb], self._ground.state.me)

    def demand_rest(self, bound: Any) -> None:
        """Return quietly if it may read what a bound statement reads, and do what a conflict asks.

        Raises:
            AccessDenied: it may not.
        """
        if isinstance(bound, BoundRelational):
            self._ground.demand_all(bound, self.reading)
        elif isinstance(bound, BoundSelect):
            table = bound.source.table if bound.source is not None else None
            if table is not None and not table.told:
                self._demand(table.dataset, Action.SELECT)
        else:
            self._demand_conflict(bound)
            for query in queries_of(bound):
                self._ground.demand_all(query, self.reading)

    def _demand_conflict(self, bound: Any) -> None:
        """DO UPDATE changes rows, and INSERT OR REPLACE takes some away."""
        conflict = bound.on_conflict if isinstance(bound, BoundInsert) else None
        if conflict is None or conflict.action == "nothing":
            return
        self._demand(bound.table.dataset, Action.UPDATE)
        if conflict.action == "replace":
            self._demand(bound.table.dataset, Action.DELETE)

    def _demand(self, dataset: DatasetId, action: Action) -> None:
        demand(self.reading.known(dataset).manifest, action, self._ground.state.me)

    # ---- notes

    def note(self, mutation: Mutation) -> None:
        """Note changes, which later reads of the batch see."""
        known = self.reading.known(mutation.table.dataset)
        pending = self.batch.table(known.manifest.dataset)
        pending.begin(self.reading, known, self._keyring)
        self.batch.noted += 1
        note(mutation, pending)

    def _watch(self, dataset: DatasetId) -> None:
        self.batch.table(dataset).watch(self.reading, self.reading.known(dataset), self._keyring)

    def is_tied(self, mutations: Sequence[Mutation]) -> bool:
        """Return whether rows refer to what was changed, or the other way."""
        return any(
            one.table.foreign_keys or self.reading.referring(one.table.dataset) for one in mutations
        )

    def enforce(
        self, mutations: Sequence[Mutation], tables: Tables, context: ExecutionContext
    ) -> None:
        """Carry out what foreign keys make of changes that were noted.

        Raises:
            ForeignKeyViolation: they forbid them.
        """
        about = environment(Parameters("", 0, ()), (), context)
        keys = ForeignKeys(self.catalogue, tables, self.note, self._watch, about)
        keys.enforce(mutations)
