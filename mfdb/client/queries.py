"""SELECT on this machine: the short way, the row route or the relational one."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from mfdb.client.matching import bounds, few_keys
from mfdb.client.plans import make_room
from mfdb.client.quick import shortcut
from mfdb.client.results import Result, columns_of
from mfdb.client.streams import Stream
from mfdb.dataset.indexes import span
from mfdb.dataset.schema import has_key
from mfdb.dataset.scope import scope_of_keys, scope_of_range
from mfdb.dataset.visibility import demand
from mfdb.kernel.errors import CorruptRecord, MfdbError
from mfdb.rules.evidence import EMBEDDED
from mfdb.rules.manifest import Action
from mfdb.sql import query as qu
from mfdb.sql import statement as st
from mfdb.sql.bound import BoundSelect
from mfdb.sql.execute import CompiledSelect, CompiledSource
from mfdb.sql.parameters import environment
from mfdb.sql.relational.tree import BoundRelational
from mfdb.sql.tables import KeyLookup, KeyRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfdb.client.ground import Ground
    from mfdb.client.names import LocalCatalogue
    from mfdb.client.plans import Plans
    from mfdb.client.quick import Shortcut
    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.reading import Reading
    from mfdb.dataset.scope import Scope
    from mfdb.sql.execute import Result as Answer
    from mfdb.sql.parameters import ExecutionContext, Given
    from mfdb.sql.relational.run import CompiledRelational
    from mfdb.sql.tables import Tables

    Row = tuple[object, ...]

LARGE_ROWS = 8_192
"""Rows in blocks from which sums and sorting go by the relational route."""
_Asked = tuple[str, str, int]
"""Why the relational route is taken, a text, and the state of the catalogue that it meets."""


class Queries:
    """Answers queries over the replica and the open batch."""

    def __init__(self, ground: Ground, plans: Plans) -> None:
        self._ground = ground
        self._plans = plans
        self._shortcuts: dict[str, Shortcut] = {}
        self._relationals: dict[_Asked, CompiledRelational] = {}

    def quick(self, text: str, params: Given) -> Result | None:
        """Return the answer to a query that one index answers, or None for the general way."""
        found = self._shortcuts.get(text)
        if found is None:
            return None
        state = self._ground.state
        replica, batch = state.replica, state.batch
        if found.state != replica.catalogue_state:
            del self._shortcuts[text]
            return None
        if state.settings.route == "relational":
            return None
        if batch is not None and (batch.failed or found.dataset in batch.tables):
            return None
        if found.is_point:
            key = found.key(params)
            if key is None:
                return None
            data = replica.first(key)
            rows = [] if data is None else [found.pick(found.values_of(data))]
        else:
            between = None if found.bounds is None else found.bounds.of(params)
            if between is None:
                return None
            down = found.index is not None and found.index.places[0][1]
            start, stop = span(found.prefix, between, descending=down)
            pick = found.pick
            with replica.reading() as reading:
                if found.state != replica.catalogue_state:
                    return None
                values = reading.values_between(found.manifest, found.index, start, stop)
                rows = self._gathered(map(pick, values))
        return Result(f"SELECT {len(rows)}", found.columns, rows, len(rows), found.documents)

    def _gathered(self, rows: Iterator[Row]) -> list[Row]:
        """Return rows as a list; a failure fails the open batch, as it does on the general way."""
        state = self._ground.state
        state.watch.start()
        try:
            return self._ground.allowance().gather(rows)
        except MfdbError:
            if state.batch is not None:
                state.batch.failed = True
            raise

    def _learn(self, text: str, bound: Any, known: Known, reading: Reading, state: int) -> None:
        make_room(self._shortcuts)
        found = shortcut(
            bound,
            known,
            reading.indexes(known),
            columns_of(bound.outputs),
            self._ground.state.me,
            state=state,
        )
        if found is not None and not state & 1:
            self._shortcuts[text] = found

    def _base(self, bound: BoundSelect, known: Known | None, reading: Reading) -> Known | None:
        """Return the dataset that is read: behind a view it is another one than is named."""
        if bound.source is None or known is None:
            return known
        base = reading.known(bound.source.table.dataset)
        if base is not known:
            demand(base.manifest, Action.SELECT, self._ground.state.me)
        return base

    def verify(self, query: st.Select | qu.Query, params: Given) -> None:
        """Return quietly if all that a query rests on is what was signed, and all of it is here.

        Raises:
            CorruptRecord: it is not.
        """
        for name in self._ground.behind(query):
            known = self._ground.lookup(name)
            if known is None:
                continue  # the binder says so, and points at the name
            report = self._ground.state.replica.check(
                known.manifest.dataset, self._checked(query, params, known)
            )
            if not report.is_good:
                raise CorruptRecord(
                    f"{report.problems[0]} ({report.wrong} are wrong)",
                    hint="CHECK DATABASE tells all; restore it from providers or a dump",
                )

    def _checked(self, query: st.Select | qu.Query, params: Given, known: Known) -> Scope | None:
        """Return which rows are enough to check; None where blocks may answer, or a ledger does."""
        by_blocks = self._ground.state.settings.route == "relational"
        if by_blocks or known.manifest.network == EMBEDDED:
            return None
        return self.scope(query, params, known)

    def scope(self, query: st.Select | qu.Query, params: Given, known: Known) -> Scope | None:
        """Return which rows of a dataset are the only ones that a query looks at.

        It names them by their primary key; None if it does not, reads a view, or nobody here can
        tell where they stand.

        Raises:
            MfdbError: the query has no answer.
        """
        manifest = known.manifest
        if not isinstance(query, st.Select) or not has_key(manifest):
            return None
        bound = self._ground.bound(query)
        if not isinstance(bound, BoundSelect) or bound.source is None:
            return None
        if bound.source.table.dataset != manifest.dataset:
            return None
        about = environment(bound.parameters, params, self._ground.context())
        access = CompiledSource(bound.source).access(about)
        keyring = self._ground.state.replica.keyring
        if isinstance(access, KeyLookup):
            return scope_of_keys(known, keyring, access.keys)
        if not isinstance(access, KeyRange) or not access.is_bounded:
            return None
        keys = few_keys(access, len(manifest.key_columns))
        if keys is not None and manifest.owner == self._ground.state.me:
            return scope_of_keys(known, keyring, keys)
        return scope_of_range(known, *bounds(access))

    def select(self, statement: st.Select | qu.Query, params: Given, text: str) -> Result:
        """Return the answer to a query.

        Raises:
            MfdbError: it has none.
        """
        state = self._ground.state.replica.catalogue_state
        with self._ground.state.replica.reading() as reading:
            context = self._ground.context()
            found = self._found(statement, params, text, reading, state, context)
            rows = context.allowance.gather(found.rows)
        return Result(
            tag=f"SELECT {len(rows)}", columns=columns_of(found.columns), rows=rows, count=len(rows)
        )

    def stream(self, statement: st.Select | qu.Query, params: Given, text: str) -> Stream:
        """Return the answer to a query, of which each row is computed when it is read.

        A query that reads what the open batch changes is answered whole: the batch may go on.

        Raises:
            MfdbError: it has none.
        """
        state = self._ground.state.replica.catalogue_state
        with ExitStack() as held:
            reading = held.enter_context(self._ground.state.replica.reading())
            context = self._ground.context()
            found = self._found(statement, params, text, reading, state, context)
            batch, rows = self._ground.state.batch, iter(found.rows)
            if batch and batch.tables:
                rows = iter(context.allowance.gather(rows))
            return Stream(columns_of(found.columns), rows, held.pop_all().close)

    def _found(
        self,
        statement: st.Select | qu.Query,
        params: Given,
        text: str,
        reading: Reading,
        state: int,
        context: ExecutionContext,
    ) -> Answer:
        """Return the answer over a reading; `state` is the catalogue's, taken before it."""
        catalogue = self._ground.catalogue(reading)
        known = None
        if isinstance(statement, st.Select) and statement.table is not None:
            known = catalogue.known(statement.table)
        if known is not None:
            demand(known.manifest, Action.SELECT, self._ground.state.me)
        route = self._ground.state.settings.route
        forced, asked = route == "relational", (route, text, state)
        compiled = None if forced else self._plans.find(text, known)
        if compiled is None:
            compiled = self._again(asked)
        if compiled is None:
            bound = self._ground.routed(statement, catalogue)
            if isinstance(bound, BoundRelational):
                compiled = self._keep(asked, bound, reading)
            else:
                compiled = self._plans.remember(text, known, CompiledSelect(bound))
                base = self._base(bound, known, reading)
                if base is not None:
                    self._learn(text, bound, base, reading, state)
        batch = self._ground.state.batch
        tables = self._ground.tables(reading, catalogue, batch)
        if isinstance(compiled, CompiledSelect) and is_large(compiled, tables, route):
            compiled = self._relational(statement, catalogue, reading, ("large", text, state))
        return compiled.run(tables, params, context)

    # ---- the relational route

    def _again(self, asked: _Asked) -> CompiledRelational | None:
        """Return what was bound for a text under the rules that stand still, on this route."""
        return self._relationals.get(asked)

    def _relational(
        self, statement: Any, catalogue: LocalCatalogue, reading: Reading, asked: _Asked
    ) -> CompiledRelational:
        """Return a query of one dataset for the relational route."""
        from mfdb.sql.relational.bind_query import bind_relational

        found = self._again(asked)
        return found or self._keep(asked, bind_relational(statement, catalogue), reading)

    def _keep(self, asked: _Asked, bound: BoundRelational, reading: Reading) -> CompiledRelational:
        """Return a bound query compiled, if all it names may be read, and remember it.

        Raises:
            AccessDenied: one of its datasets may not be read.
        """
        from mfdb.sql.relational.run import CompiledRelational

        self._ground.demand_all(bound, reading)
        compiled = CompiledRelational(bound, self._ground.engine)
        if not asked[2] & 1 and not any(table.told for table in bound.tables):
            make_room(self._relationals)
            self._relationals[asked] = compiled
        return compiled


def is_large(compiled: CompiledSelect, tables: Tables, route: str) -> bool:
    """Return whether the relational route is quicker, though the row route would do."""
    if route != "auto" or not compiled.wants_columns:
        return False
    scan = tables.columns(compiled.table)
    return scan is not None and scan.rows >= LARGE_ROWS
