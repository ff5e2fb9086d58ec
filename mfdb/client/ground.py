"""What every family of local statements stands on: the session's state, names, who asks, when."""

from __future__ import annotations

import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mfdb.client.names import LocalCatalogue
from mfdb.client.tables import LocalTables
from mfdb.dataset.visibility import demand
from mfdb.kernel.errors import NotSupportedError
from mfdb.rules.clauses import View
from mfdb.rules.manifest import Action
from mfdb.sql import statement as st
from mfdb.sql.allowance import Allowance
from mfdb.sql.bind import bind, table_of
from mfdb.sql.names import only_told
from mfdb.sql.parameters import ExecutionContext
from mfdb.sql.parse import parse
from mfdb.sql.query import tables_named
from mfdb.sql.relational.engine import Engine
from mfdb.sql.relational.tree import BoundRelational

if TYPE_CHECKING:
    from mfdb.client.measured import Counted
    from mfdb.client.state import Batch, SessionState
    from mfdb.client.told import Told
    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.reading import Reading
    from mfdb.sql.catalogue import TableSchema
    from mfdb.sql.tables import Tables


class Ground:
    """The state of a session, and the look-ups that all its statements share."""

    def __init__(self, state: SessionState) -> None:
        self.state = state
        self.engine = Engine()
        self.counted: Counted | None = None

    @cached_property
    def told(self) -> Told:
        """The relations that tell what SHOW tells."""
        from mfdb.client.told import Told

        return Told(self.state)

    def known(self, name: st.TableName) -> Known:
        """Return the dataset that a name means.

        Raises:
            UnknownDataset: none; the hint names the nearest.
            WrongObject: it only tells something.
        """
        with self.state.replica.reading() as reading:
            table = table_of(name, self.catalogue(reading))
            if table.told:
                raise only_told(name)
            return reading.known(table.dataset)

    def relation(self, name: st.TableName) -> TableSchema:
        """Return the columns of what a name means: a dataset, or what SHOW tells.

        Raises:
            UnknownDataset: there is none; the hint names the nearest.
        """
        with self.state.replica.reading() as reading:
            return table_of(name, self.catalogue(reading))

    def behind(self, statement: object) -> list[st.TableName]:
        """Return the datasets that a statement names, and those behind the views that it names."""
        found: list[st.TableName] = []
        left = list(tables_named(statement))
        seen: set[str] = set()
        while left:
            name = left.pop(0)
            if str(name) in seen:
                continue
            seen.add(str(name))
            known = self.lookup(name)
            views = known.manifest.of_kind(View) if known is not None else ()
            if views:
                left += tables_named(parse(views[0].query))
            else:
                found.append(name)
        return found

    def lookup(self, name: st.TableName) -> Known | None:
        """Return the dataset that a name means, or None."""
        with self.state.replica.reading() as reading:
            return self.catalogue(reading).known(name)

    def bound(self, statement: st.Statement) -> Any:
        """Return a statement, bound to what is known here."""
        with self.state.replica.reading() as reading:
            return bind(statement, self.catalogue(reading))

    def context(self) -> ExecutionContext:
        """Return who runs statements here, and when."""
        now = datetime.datetime.fromtimestamp(self.state.clock.now_s(), datetime.UTC)
        state = self.state
        return ExecutionContext(
            identity=state.me, now=now, token=state.entropy.token, allowance=self.allowance()
        )

    def allowance(self) -> Allowance:
        """Return what one statement may hold in memory."""
        return Allowance(self.state.settings.memory_limit, self.state.watch.check)

    def catalogue(self, reading: Reading) -> LocalCatalogue:
        """Return the datasets of one committed state, as names find them."""
        state = self.state
        expires = None if state.retaining is None else state.retaining.expires
        return LocalCatalogue(reading, state.me, state.identities, lambda: self.told, expires)

    def tables(self, reading: Reading, catalogue: LocalCatalogue, batch: Batch | None) -> Tables:
        """Return the rows of one committed state, with those of a batch and what is told."""
        changes = batch.tables if batch is not None else {}
        tables: Tables = LocalTables(reading, changes, self.state.watch)
        if catalogue.relations:
            from mfdb.client.told import ToldTables

            tables = ToldTables(tables, catalogue.relations)
        return tables if self.counted is None else self.counted.over(tables)

    def routed(self, statement: st.Statement, catalogue: LocalCatalogue) -> Any:
        """Return a statement bound for the route that the session wants.

        Raises:
            NotSupportedError: the row route is forced and cannot answer it.
        """
        route = self.state.settings.route
        if route == "relational" and isinstance(statement, st.Select):
            from mfdb.sql.relational.bind_query import bind_relational

            return bind_relational(statement, catalogue)
        bound = bind(statement, catalogue)
        if route == "row" and isinstance(bound, BoundRelational):
            raise NotSupportedError(
                "the row route answers queries of one dataset, without grouping",
                hint="SET route = auto",
            )
        return bound

    def demand_all(self, bound: BoundRelational, reading: Reading) -> None:
        """Return quietly if this identity may read every dataset that a query names.

        Raises:
            AccessDenied: it may not.
        """
        for read in bound.tables:
            if read.told:
                continue
            demand(reading.known(read.dataset).manifest, Action.SELECT, self.state.me)
