"""SHOW, DESCRIBE and EXPLAIN, as far as this machine knows the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfdb.client import show
from mfdb.client.definitions import is_given_up
from mfdb.client.queries import is_large
from mfdb.client.results import Result, table
from mfdb.client.tables import LocalTables
from mfdb.client.upkeep import show_indexes
from mfdb.kernel.errors import NetworkError, ProgrammingError
from mfdb.rules.evidence import EMBEDDED
from mfdb.sql import statement as st
from mfdb.sql.bound import BoundSelect
from mfdb.sql.execute import CompiledSelect
from mfdb.sql.explain import explain
from mfdb.sql.query import tables_named

if TYPE_CHECKING:
    from mfdb.client.ground import Ground
    from mfdb.client.names import LocalCatalogue
    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.reading import Reading


class Telling:
    """Tells what is here, and how a statement would be carried out."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def show(self, statement: st.Show) -> Result:
        """Return what SHOW asks for.

        Raises:
            NetworkError: only the network knows, and none is open.
            ProgrammingError: there is no such thing.
        """
        state = self._ground.state
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
                case "indexes" | "index" | "keys":
                    found = show_indexes(reading, self._all(statement, reading))
                case "conflicts":
                    named = [self._of(statement)] if statement.of else self._owned(reading)
                    found = show.show_conflicts(reading, named, state.me)
                case _:
                    raise _unknown_show(statement)
        return show.liked(found, statement.like)

    def about(self, statement: st.Describe | st.Explain) -> Result:
        """Return the columns of a dataset, or how a statement would be carried out.

        Raises:
            ProgrammingError: the dataset is not known, or the statement means nothing.
        """
        if isinstance(statement, st.Describe):
            return show.show_columns(self._ground.known(statement.table))
        with self._ground.state.replica.reading() as reading:
            catalogue = self._ground.catalogue(reading)
            bound = self._preferred(statement.statement, catalogue, LocalTables(reading, {}))
            lines = explain(bound)
            found = [catalogue.known(name) for name in tables_named(statement.statement)]
            if any(line.endswith("full scan") for line in lines):
                lines += [told for known in found if known for told in _blocks(reading, known)]
        lines += dict.fromkeys(_where(known) for known in found if known is not None)
        rows: list[tuple[object, ...]] = [(line,) for line in lines]
        made = table("EXPLAIN", {"plan": "TEXT"}, rows)
        return Result(tag="EXPLAIN", columns=made.columns, rows=rows, count=len(rows))

    def _preferred(
        self, statement: st.Statement, catalogue: LocalCatalogue, tables: LocalTables
    ) -> Any:
        """Return a statement bound for the route that it would take now."""
        bound = self._ground.routed(statement, catalogue)
        if isinstance(bound, BoundSelect) and bound.source is not None:
            route = self._ground.state.settings.route
            if is_large(CompiledSelect(bound), tables, route):
                from mfdb.sql.relational.bind_query import bind_relational

                return bind_relational(statement, catalogue)  # type: ignore[arg-type] # a query
        return bound

    def _all(self, statement: st.Show, reading: Reading) -> list[Known]:
        """Return the one dataset that is named, else all that are known."""
        if statement.of is not None:
            return [self._of(statement)]
        return [known for known in reading.datasets() if not is_given_up(known.manifest)]

    def _owned(self, reading: Reading) -> list[Known]:
        me = self._ground.state.me
        return [known for known in reading.datasets() if known.manifest.owner == me]

    def _of(self, statement: st.Show) -> Known:
        if statement.of is None:
            raise ProgrammingError(
                f"SHOW {statement.what.upper()} of which dataset?",
                hint=f"SHOW {statement.what.upper()} FROM name",
                position=statement.position,
            )
        return self._ground.known(statement.of)


def _blocks(reading: Reading, known: Known) -> list[str]:
    scan = reading.columns(known)
    if scan is None:
        return []
    return [f"blocks: {scan.rows} rows by column, newer ones row by row"]


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
