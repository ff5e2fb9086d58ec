"""EXPLAIN: how a statement would be carried out; ANALYZE carries it out and says what it took."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mfdb.client.measured import Counted
from mfdb.client.queries import is_large
from mfdb.client.results import Result, table
from mfdb.client.state import Batch
from mfdb.kernel.errors import NotSupportedError
from mfdb.rules.evidence import EMBEDDED
from mfdb.sql import query as qu
from mfdb.sql import statement as st
from mfdb.sql.bound import BoundSelect
from mfdb.sql.execute import CompiledSelect
from mfdb.sql.explain import explain
from mfdb.sql.query import tables_named

if TYPE_CHECKING:
    from mfdb.client.changes import Changes
    from mfdb.client.ground import Ground
    from mfdb.client.names import LocalCatalogue
    from mfdb.client.queries import Queries
    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.reading import Reading
    from mfdb.sql.parameters import Given
    from mfdb.sql.tables import Tables


class Explaining:
    """Explains queries and changes."""

    def __init__(self, ground: Ground, changes: Changes, queries: Queries) -> None:
        self._ground = ground
        self._changes = changes
        self._queries = queries

    def run(self, node: st.Explain, params: Given, text: str) -> Result:
        """Return the plan of a statement, a line a row, or all of it as one JSON object.

        Raises:
            NotSupportedError: ANALYZE of a change to a dataset on a network.
            MfdbError: the statement means nothing, or ANALYZE carried it out and it failed.
        """
        plan, known = self._plan(node.statement)
        lines = [*plan, *dict.fromkeys(map(_where, known))]
        if node.analyse:
            lines += self._measured(node.statement, params, text, known)
        if node.json:
            shown = msgspec.json.encode({"plan": [_step(line) for line in lines]}).decode()
            rows: list[tuple[object, ...]] = [(shown,)]
            made = table("EXPLAIN", {"plan": "JSON"}, rows)
        else:
            rows = [(line,) for line in lines]
            made = table("EXPLAIN", {"plan": "TEXT"}, rows)
        return Result(tag="EXPLAIN", columns=made.columns, rows=rows, count=len(rows))

    def _plan(self, statement: Any) -> tuple[list[str], list[Known]]:
        with self._ground.state.replica.reading() as reading:
            catalogue = self._ground.catalogue(reading)
            tables = self._ground.tables(reading, catalogue, None)
            lines = explain(self._preferred(statement, catalogue, tables))
            named = [catalogue.known(name) for name in tables_named(statement)]
            found = [known for known in named if known is not None]
            if any(line.endswith("full scan") for line in lines):
                lines += [told for known in found for told in _blocks(reading, known)]
        return lines, found

    def _preferred(self, statement: st.Statement, catalogue: LocalCatalogue, tables: Tables) -> Any:
        """Return a statement bound for the route that it would take now."""
        bound = self._ground.routed(statement, catalogue)
        if isinstance(bound, BoundSelect) and bound.source is not None:
            route = self._ground.state.settings.route
            if is_large(CompiledSelect(bound), tables, route):
                from mfdb.sql.relational.bind_query import bind_relational

                return bind_relational(statement, catalogue)  # type: ignore[arg-type] # a query
        return bound

    def _measured(self, statement: Any, params: Given, text: str, known: list[Known]) -> list[str]:
        clock = self._ground.state.clock
        counted = self._ground.counted = Counted()
        start = clock.monotonic_s()
        try:
            if isinstance(statement, st.Select | qu.Query):
                result = self._queries.select(statement, params, f"\0{text}")
                size = f"answer: {_size(result.rows)} bytes"
            else:
                result, size = self._changed(statement, params, text, known)
        finally:
            self._ground.counted = None
        spent_ms = (clock.monotonic_s() - start) * 1_000
        blocks = f", {counted.in_blocks} in blocks" if counted.in_blocks else ""
        return [
            f"looked at: {counted.rows} rows{blocks}",
            f"rows: {result.count}",
            size,
            f"time: {spent_ms:.3f} ms",
        ]

    def _changed(
        self, statement: Any, params: Given, text: str, known: list[Known]
    ) -> tuple[Result, str]:
        if any(one.manifest.network != EMBEDDED for one in known):
            raise NotSupportedError(
                "a change to a dataset on a network is not analysed",
                hint="EXPLAIN alone tells the plan",
                position=statement.position,
            )
        open_batch = self._ground.state.batch
        batch = Batch() if open_batch is None else open_batch
        before = _written(batch)
        result = self._changes.plan(statement, [params], f"\0{text}", batch)
        size = _written(batch) - before
        if open_batch is None:
            self._changes.commit(batch)
        return result, f"written: {size} bytes of values"


def _written(batch: Batch) -> int:
    return sum(_size(pending.changes.after.values()) for pending in batch.tables.values())


def _size(rows: Any) -> int:
    """Return the bytes of rows, without what signing and storing adds."""
    return sum(len(msgspec.msgpack.encode(row)) for row in rows if row is not None)


def _step(line: str) -> dict[str, str]:
    step, _, detail = line.partition(": ")
    return {"step": step, "detail": detail}


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
