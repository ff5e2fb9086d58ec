"""Statements that this machine answers alone, at once, on the caller's thread."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from mfdb.client import show
from mfdb.client.bulk import LEAST, BulkInsert
from mfdb.client.cursor import read_cursor
from mfdb.client.definer import Definer
from mfdb.client.names import LocalCatalogue
from mfdb.client.options import parse_options
from mfdb.client.quick import shortcut
from mfdb.client.results import Column, Result, table
from mfdb.client.state import EMBEDDED, Batch
from mfdb.client.subscription import Subscription, View, follow
from mfdb.client.tables import LocalTables, note
from mfdb.dataset.indexes import span
from mfdb.dataset.visibility import demand
from mfdb.kernel.errors import (
    DuplicateRow,
    InterfaceError,
    NetworkError,
    NotSupportedError,
    ProgrammingError,
    StaleWrite,
    UnknownDataset,
)
from mfdb.kernel.ids import show as show_id
from mfdb.rules.manifest import Action
from mfdb.sql import query as qu
from mfdb.sql import statement as st
from mfdb.sql.bind import bind, table_of
from mfdb.sql.bound import BoundCreate, BoundGrant, BoundInsert, BoundRevoke, BoundSubscribe
from mfdb.sql.compile import compile_expression
from mfdb.sql.dml import CompiledChange
from mfdb.sql.execute import CompiledSelect
from mfdb.sql.explain import explain
from mfdb.sql.parameters import ExecutionContext, environment
from mfdb.sql.query import tables_named
from mfdb.sql.relational.bind_query import bind_relational
from mfdb.sql.relational.engine import Engine
from mfdb.sql.relational.run import CompiledRelational
from mfdb.sql.relational.tree import BoundRelational

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from mfdb.client.quick import Shortcut
    from mfdb.client.remote import Remote
    from mfdb.client.results import Change
    from mfdb.client.state import SessionState
    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.reading import Reading
    from mfdb.sql.bound import BoundSelect, Output
    from mfdb.sql.parameters import Given

ATTEMPTS = 5
"""How often a statement is planned anew when another thread changed its rows meanwhile."""
PLANS = 256
CHANGES = (st.Insert, st.Update, st.Delete)
_ACTION = {st.Insert: Action.INSERT, st.Update: Action.UPDATE, st.Delete: Action.DELETE}
_CHANGE = st.Insert | st.Update | st.Delete


class Local:
    """Carries statements out over the replica."""

    def __init__(self, state: SessionState) -> None:
        self._state = state
        self.definer = Definer(state)
        self.engine = Engine()
        self._plans: dict[str, tuple[Known, Any]] = {}
        self._shortcuts: dict[str, Shortcut] = {}
        self._bulks: dict[str, BulkInsert] = {}

    def quick(self, text: str, params: Given) -> Result | None:
        """Return the answer to a query that one index answers, or None for the general way."""
        found = self._shortcuts.get(text)
        if found is None:
            return None
        state = self._state
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
            row = replica.first_row(key)
            rows = [] if row is None else [found.pick(row.values)]
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
                values = reading.values_between(found.dataset, found.index, start, stop)
                rows = [pick(each) for each in values]
        return Result(f"SELECT {len(rows)}", found.columns, rows, len(rows))

    def _learn(self, text: str, bound: Any, known: Known, reading: Reading, state: int) -> None:
        if len(self._shortcuts) >= PLANS:
            del self._shortcuts[next(iter(self._shortcuts))]
        found = shortcut(
            bound,
            known,
            reading.indexes(known),
            _columns(bound.outputs),
            self._state.me,
            state=state,
        )
        if found is not None and not state & 1:
            self._shortcuts[text] = found

    def run(self, statement: st.Statement, params: Given, text: str) -> Result:
        """Return the result of one statement.

        Raises:
            MfdbError: it failed; nothing of it was kept.
        """
        match statement:
            case st.Select() | qu.Query():
                return self._select(statement, params, text)
            case st.Insert() | st.Update() | st.Delete():
                return self.run_many(statement, [params], text)
            case st.Show():
                return self._show(statement)
            case st.Describe() | st.Explain():
                return self._about(statement)
            case st.Begin() | st.Commit() | st.Rollback():
                return self._batch(statement)
            case st.SetOption():
                self._state.settings.set(statement)
                return Result(tag="SET")
            case st.CreateIdentity():
                return self._create_identity(statement)
            case st.Subscribe():
                raise InterfaceError("use subscribe() for SUBSCRIBE", hint="it gives a stream")
            case _:
                return self._define(statement)

    # ---- reading

    def _select(self, statement: st.Select | qu.Query, params: Given, text: str) -> Result:
        state = self._state.replica.catalogue_state
        with self._state.replica.reading() as reading:
            catalogue = self._catalogue(reading)
            known = None
            if isinstance(statement, st.Select) and statement.table is not None:
                known = catalogue.known(statement.table)
            if known is not None:
                demand(known.manifest, Action.SELECT, self._state.me)
            forced = self._state.settings.route == "relational"
            compiled = None if forced else self._compiled(text, known)
            if compiled is None:
                bound = self._routed(statement, catalogue)
                if isinstance(bound, BoundRelational):
                    self._demand_all(bound, reading)
                    compiled = CompiledRelational(bound, self.engine)
                else:
                    compiled = self._remember(text, known, CompiledSelect(bound))
                    if known is not None:
                        self._learn(text, bound, known, reading, state)
            batch = self._state.batch
            tables = LocalTables(reading, batch.tables if batch else {})
            found = compiled.run(tables, params, self.context())
            rows = list(found.rows)
        return Result(
            tag=f"SELECT {len(rows)}", columns=_columns(found.columns), rows=rows, count=len(rows)
        )

    def _routed(self, statement: Any, catalogue: LocalCatalogue) -> Any:
        """Return a statement bound for the route that the session wants.

        Raises:
            NotSupportedError: the row route is forced and cannot answer it.
        """
        route = self._state.settings.route
        if route == "relational" and isinstance(statement, st.Select):
            return bind_relational(statement, catalogue)
        bound = bind(statement, catalogue)
        if route == "row" and isinstance(bound, BoundRelational):
            raise NotSupportedError(
                "the row route answers queries of one dataset, without grouping",
                hint="SET route = auto",
            )
        return bound

    def _demand_all(self, bound: BoundRelational, reading: Reading) -> None:
        for read in bound.tables:
            demand(reading.known(read.dataset).manifest, Action.SELECT, self._state.me)

    def interrupt(self) -> None:
        """Stop the query that the relational route runs now, if any; from any thread."""
        self.engine.interrupt()

    def subscribe(
        self,
        statement: st.Statement,
        params: Given,
        since: str | None,
        remote: Remote | None = None,
    ) -> AsyncIterator[Change]:
        """Yield the changes of a standing query.

        Raises:
            AccessDenied: this identity may not subscribe.
            InvalidText: `since` is no cursor of that dataset.
        """
        if isinstance(statement, qu.Query):
            raise NotSupportedError("a subscription is to rows of one dataset, as they change")
        if isinstance(statement, st.Select):
            statement = st.Subscribe(position=0, query=statement)
        if not isinstance(statement, st.Subscribe):
            raise ProgrammingError("only SUBSCRIBE and SELECT give changes")
        with self._state.replica.reading() as reading:
            catalogue = self._catalogue(reading)
            bound = bind(statement, catalogue)
            assert isinstance(bound, BoundSubscribe)
            assert bound.query.source is not None
            known = reading.known(bound.query.source.table.dataset)
        for action in (Action.SELECT, Action.SUBSCRIBE):
            demand(known.manifest, action, self._state.me)
        text = self._since(bound, params) if since is None else since
        dataset = known.manifest.dataset
        cursor = read_cursor(text, dataset) if text else None
        view = View(bound.query, _given(bound.query, params), self.context())
        subscription = Subscription(self._state.replica, known, view, since=cursor)
        live = remote if known.manifest.network != EMBEDDED else None
        return follow(subscription, self._state.replica, live, self._state.subscriptions)

    def _since(self, bound: BoundSubscribe, params: Given) -> str | None:
        if bound.since is None:
            return None
        about = environment(bound.parameters, params, self.context())
        value = compile_expression(bound.since)((), about)
        return None if value is None else str(value)

    # ---- changing

    def _learn_bulk(self, text: str, bound: Any, known: Known | None) -> None:
        if len(self._bulks) >= PLANS:
            del self._bulks[next(iter(self._bulks))]
        self._bulks.pop(text, None)
        found = None if known is None else BulkInsert.of(bound, known, self._state.replica.keyring)
        if found is not None:
            self._bulks[text] = found

    def run_many(self, statement: st.Statement, many: Sequence[Given], text: str) -> Result:
        """Return the result of one change, carried out for each set of parameters at once.

        Raises:
            MfdbError: one failed; nothing of any was kept.
        """
        if not isinstance(statement, CHANGES):
            raise ProgrammingError("only INSERT, UPDATE and DELETE run over many parameters")
        if self._state.batch is not None:
            return self.plan(statement, many, text, self._state.batch)
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

    def plan(self, statement: _CHANGE, many: Sequence[Given], text: str, batch: Batch) -> Result:
        """Note what a statement changes in a batch, and return its result.

        Raises:
            MfdbError: it may not be.
        """
        count = 0
        rows: list[tuple[object, ...]] = []
        columns: tuple[Column, ...] = ()
        with self._state.replica.reading() as reading:
            catalogue = self._catalogue(reading)
            known = catalogue.known(statement.table)
            if known is not None:
                demand(known.manifest, _ACTION[type(statement)], self._state.me)
            compiled = self._compiled(text, known)
            if compiled is None:
                bound: Any = bind(statement, catalogue)
                compiled = CompiledChange(bound, self.engine)
                if isinstance(bound, BoundInsert) and bound.query is not None:
                    self._demand_all(bound.query, reading)
                else:
                    self._remember(text, known, compiled)
                    self._learn_bulk(text, bound, known)
            assert known is not None, "the binder knows every dataset it lets pass"
            bulk = self._bulks.get(text) if len(many) >= LEAST else None
            if bulk is not None and bulk.known is known:
                pending = batch.table(known.manifest.dataset)
                count = bulk.plan(many, reading, pending, self._state.replica.keyring)
                return Result(tag=f"INSERT {count}", count=count)
            tables = LocalTables(reading, batch.tables)
            context = self.context()
            for params in many:
                mutation = compiled.plan(tables, params, context)
                pending = batch.table(known.manifest.dataset)
                note(mutation, pending, known, self._state.replica.keyring)
                count += mutation.count
                rows += mutation.rows
                columns = _columns(mutation.columns)
        name = type(statement).__name__.upper()
        return Result(tag=f"{name} {count}", columns=columns, rows=rows, count=count)

    def commit(self, batch: Batch) -> None:
        """Make the changes of a batch durable: all or none.

        Raises:
            NetworkError: it changes a dataset that lives on a network.
            StaleWrite, DuplicateRow: a row changed, or came, meanwhile.
        """
        changes = {
            dataset: pending.changes.changes()
            for dataset, pending in batch.tables.items()
            if pending.changes.changes()
        }
        for dataset in changes:
            manifest = self._state.replica.known(dataset).manifest
            if manifest.network != EMBEDDED:
                raise NetworkError(
                    f"dataset {manifest.name} lives on a network, and none is open",
                    hint="connect with network=...",
                )
        if changes:
            self._state.replica.write(changes)

    def _batch(self, statement: st.Begin | st.Commit | st.Rollback) -> Result:
        if isinstance(statement, st.Begin):
            self._state.begin()
            return Result(tag="BEGIN")
        batch = self._state.end()
        if isinstance(statement, st.Rollback) or (batch is not None and batch.failed):
            return Result(tag="ROLLBACK")
        if batch is not None:
            self.commit(batch)
        return Result(tag="COMMIT")

    # ---- definitions

    def _define(self, statement: st.Statement) -> Result:
        self.refuse_in_batch()
        with self._state.replica.reading() as reading:
            bound = bind(statement, self._catalogue(reading))
        match bound:
            case BoundCreate():
                options = parse_options(bound.statement.options, creates=True)
                return self.created(bound, self.definer.create(bound, options, EMBEDDED))
            case BoundGrant():
                manifest = self._own(bound.statement.table).manifest
                signed = self.definer.grant(manifest, self.definer.grants(bound), ())
                self._take(signed)
                return Result(tag="GRANT")
            case BoundRevoke():
                manifest = self._own(bound.statement.table).manifest
                after = self.definer.revoke(manifest, bound)
                self._take(self.definer.sign(after) if after is not manifest else None)
                return Result(tag="REVOKE")
            case st.AlterOptions():
                self._take(self.definer.alter(self._own(bound.table).manifest, bound))
                return Result(tag="ALTER DATASET")
            case st.DropDataset():
                return self._drop(bound)
            case st.SealDataset():
                raise NotSupportedError(
                    f"dataset {self.known(bound.table).manifest.name} lives on this machine only",
                    hint="only datasets on a network are sealed",
                )
            case _:
                raise NotSupportedError(f"{type(statement).__name__} is not supported")

    def created(self, bound: BoundCreate, signed: object) -> Result:
        """Keep a new dataset's manifest and return the result of its CREATE."""
        self._take(signed)
        return Result(tag="CREATE MAILBOX" if bound.statement.mailbox else "CREATE DATASET")

    def _take(self, signed: Any) -> None:
        if signed is not None:
            self._state.replica.add_manifests([signed])

    def _own(self, name: st.TableName) -> Known:
        """Return a dataset whose rules are changed here; on a network that is not enough."""
        known = self.known(name)
        self.definer.own(known.manifest)
        if known.manifest.network != EMBEDDED:
            raise NetworkError(
                f"dataset {known.manifest.name} lives on a network, and none is open",
                hint="connect with network=...",
            )
        return known

    def _drop(self, statement: st.DropDataset) -> Result:
        try:
            known = self._own(statement.table)
        except UnknownDataset:
            if statement.if_exists:
                return Result(tag="DROP DATASET")
            raise
        self._state.replica.forget(known.manifest.dataset, reason="dropped")
        return Result(tag="DROP DATASET")

    def _create_identity(self, statement: st.CreateIdentity) -> Result:
        entry = self._state.identities.create(statement.name)
        rows: list[tuple[object, ...]] = [(entry.name, show_id(entry.address))]
        made = table("CREATE IDENTITY", {"name": "TEXT", "address": "IDENTITY"}, rows)
        return Result(tag="CREATE IDENTITY", columns=made.columns, rows=rows, count=1)

    def refuse_in_batch(self) -> None:
        """Return quietly if no batch is open.

        Raises:
            NotSupportedError: one is; definitions are not part of changesets.
        """
        if self._state.batch is not None:
            raise NotSupportedError(
                "definitions cannot be part of a batch", hint="COMMIT or ROLLBACK first"
            )

    # ---- telling

    def _show(self, statement: st.Show) -> Result:
        state = self._state
        with state.replica.reading() as reading:
            match statement.what:
                case "datasets" | "tables":
                    found = show.show_datasets(reading, state.me, EMBEDDED)
                case "identities":
                    found = show.show_identities(state.identities, state.me)
                case "settings" | "all":
                    found = show.show_settings(state.settings)
                case "columns":
                    found = show.show_columns(self._of(statement))
                case "grants":
                    found = show.show_grants(self._of(statement))
                case "create":
                    found = show.show_create(self._of(statement))
                case "conflicts":
                    named = [self._of(statement)] if statement.of else self._owned(reading)
                    found = show.show_conflicts(reading, named, state.me)
                case _:
                    raise _unknown_show(statement)
        return show.liked(found, statement.like)

    def _owned(self, reading: Reading) -> list[Known]:
        me = self._state.me
        return [known for known in reading.datasets() if known.manifest.owner == me]

    def _of(self, statement: st.Show) -> Known:
        if statement.of is None:
            raise ProgrammingError(
                f"SHOW {statement.what.upper()} of which dataset?",
                hint=f"SHOW {statement.what.upper()} FROM name",
                position=statement.position,
            )
        return self.known(statement.of)

    def _about(self, statement: st.Describe | st.Explain) -> Result:
        if isinstance(statement, st.Describe):
            return show.show_columns(self.known(statement.table))
        with self._state.replica.reading() as reading:
            catalogue = self._catalogue(reading)
            lines = explain(self._routed(statement.statement, catalogue))
            found = [catalogue.known(name) for name in tables_named(statement.statement)]
        lines += dict.fromkeys(_where(known) for known in found if known is not None)
        rows: list[tuple[object, ...]] = [(line,) for line in lines]
        made = table("EXPLAIN", {"plan": "TEXT"}, rows)
        return Result(tag="EXPLAIN", columns=made.columns, rows=rows, count=len(rows))

    # ---- shared with the network path

    def known(self, name: st.TableName) -> Known:
        """Return the dataset that a name means.

        Raises:
            UnknownDataset: none; the hint names the nearest.
        """
        with self._state.replica.reading() as reading:
            catalogue = self._catalogue(reading)
            return reading.known(table_of(name, catalogue).dataset)

    def lookup(self, name: st.TableName) -> Known | None:
        """Return the dataset that a name means, or None."""
        with self._state.replica.reading() as reading:
            return self._catalogue(reading).known(name)

    def bound(self, statement: st.Statement) -> Any:
        """Return a statement, bound to what is known here."""
        with self._state.replica.reading() as reading:
            return bind(statement, self._catalogue(reading))

    def context(self) -> ExecutionContext:
        """Return who runs statements here, and when."""
        now = datetime.datetime.fromtimestamp(self._state.clock.now_s(), datetime.UTC)
        return ExecutionContext(identity=self._state.me, now=now)

    def _catalogue(self, reading: Reading) -> LocalCatalogue:
        return LocalCatalogue(reading, self._state.me, self._state.identities)

    def _compiled(self, text: str, known: Known | None) -> Any:
        if known is None:
            return None
        plan = self._plans.get(text)
        if plan is None or plan[0] is not known:
            return None
        return plan[1]

    def _remember(self, text: str, known: Known | None, compiled: Any) -> Any:
        if known is not None:
            if len(self._plans) >= PLANS:
                del self._plans[next(iter(self._plans))]
            self._plans[text] = (known, compiled)
        return compiled


def _columns(outputs: Sequence[Output]) -> tuple[Column, ...]:
    return tuple(Column(output.name, str(output.type)) for output in outputs)


def _given(query: BoundSelect, params: Given) -> Given:
    """The parameters of the query itself; SINCE counts apart."""
    if isinstance(params, dict):
        return params
    return list(params)[: query.parameters.count]


def _where(known: Known) -> str:
    manifest = known.manifest
    if manifest.network == EMBEDDED:
        return "place: this machine only"
    profile = manifest.profile
    return (
        f"place: {profile.replicas} providers, a write waits for {profile.write_quorum}, "
        f"sealed {profile.k} of {profile.n}"
    )


def _unknown_show(statement: st.Show) -> Exception:
    from difflib import get_close_matches

    words = (*show.LOCAL, *show.OF_NETWORK)
    if statement.what in show.OF_NETWORK:
        return NetworkError(
            f"SHOW {statement.what.upper()} asks the network, and none is open",
            hint="connect with network=...",
        )
    near = get_close_matches(statement.what, words, n=1)
    hint = f"did you mean {near[0].upper()}?" if near else f"SHOW {', '.join(words).upper()}"
    return ProgrammingError(
        f"there is nothing called {statement.what} to show",
        hint=hint,
        position=statement.position,
    )
