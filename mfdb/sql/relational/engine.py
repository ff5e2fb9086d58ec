"""The locked-down DuckDB of a session: no files, no network, no extensions, bounded memory.

Nothing imports duckdb before the first statement of the relational route runs.
"""

from __future__ import annotations

import re
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Any

from mfdb.kernel.errors import (
    DivisionByZero,
    MfdbError,
    NotSupportedError,
    NumberOutOfRange,
    StatementCancelled,
    TooManyRows,
)
from mfdb.sql.allowance import out_of_memory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.sql.allowance import Allowance
    from mfdb.sql.relational.relation import Relation
    from mfdb.sql.relational.udf import Functions

_SETTINGS = (
    ("temp_directory", "''"),
    ("python_enable_replacements", "false"),
    ("autoinstall_known_extensions", "false"),
    ("autoload_known_extensions", "false"),
    ("allow_community_extensions", "false"),
    ("disabled_optimizers", "'build_side_probe_side'"),
    ("enable_external_access", "false"),
    ("lock_configuration", "true"),
)
"""In this order: each of the last ones forbids what comes before it.

DuckDB does not know how many rows an Arrow table has and would build hash tables of the greater
side; `QueryEmitter` knows, and puts the smaller one last.
"""
_FETCHED_ROWS = 10_000
REGISTERED = 8
"""Relations that stay known to DuckDB for the next statement."""


class Engine:
    """Runs emitted SQL, one statement at a time; `interrupt` may come from any thread."""

    def __init__(self) -> None:
        self._connection: Any = None
        self._limit_bytes = 0
        self._busy = Lock()
        self._known: dict[str, Relation] = {}

    def run(
        self,
        sql: str,
        values: Sequence[Any],
        relations: Sequence[Relation],
        functions: Functions,
        allowance: Allowance,
    ) -> list[tuple[Any, ...]]:
        """Return the rows of a statement over Arrow tables, in physical form.

        Raises:
            DataError: a value cannot be computed.
            OutOfMemory, StatementCancelled: it was stopped.
        """
        import duckdb

        with self._busy:
            connection = self._open(allowance.limit_bytes)
            registered: list[str] = []
            try:
                for function in functions.found.values():
                    connection.create_function(
                        function.name,
                        function.call,
                        [duckdb.sqltype(kind) for kind in function.takes],
                        duckdb.sqltype(function.gives),
                        null_handling="special",
                    )
                    registered.append(function.name)
                for relation in relations:
                    if relation.name not in self._known:
                        connection.register(relation.name, relation.table)
                        self._known[relation.name] = relation
                allowance.look()  # somebody may have asked to stop before there was a query
                rows = _fetched(connection.execute(sql, list(values)), allowance)
            except duckdb.Error as error:
                raise _translated(error, functions, allowance) from error
            finally:
                self._forget(connection, relations)
                for name in registered:
                    connection.remove_function(name)
            return rows

    def interrupt(self) -> None:
        """Stop the statement that runs now, if any; it raises StatementCancelled."""
        connection = self._connection
        if connection is None:
            return
        import duckdb

        with suppress(duckdb.ConnectionException):  # it was closed just now
            connection.interrupt()

    def close(self) -> None:
        """Give the memory back."""
        with self._busy:
            self._close()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._known.clear()

    def _forget(self, connection: Any, used: Sequence[Relation]) -> None:
        """Keep the relations that were just used, and few of those before."""
        for relation in used:
            if self._known.pop(relation.name, None) is not None:
                self._known[relation.name] = relation
        for name in list(self._known)[: -max(REGISTERED, len(used))]:
            connection.unregister(name)
            del self._known[name]

    def _open(self, limit_bytes: int) -> Any:
        """Return a connection with this limit, which is locked like everything else."""
        if self._limit_bytes != limit_bytes:
            self._close()
        if self._connection is None:
            import duckdb

            connection = duckdb.connect(":memory:")
            connection.execute(f"SET memory_limit = '{limit_bytes}B'")
            self._limit_bytes = limit_bytes
            for name, value in _SETTINGS:
                connection.execute(f"SET {name} = {value}")
            self._connection = connection
        return self._connection


def _fetched(answer: Any, allowance: Allowance) -> list[tuple[Any, ...]]:
    """Return all rows of an answer, which DuckDB computes as they are taken.

    Raises:
        OutOfMemory: they would fill more memory than a query may use.
        StatementCancelled: somebody asked for that.
    """
    rows: list[tuple[Any, ...]] = []
    try:
        while page := answer.fetchmany(_FETCHED_ROWS):
            allowance.hold(page)
            rows += page
    except MfdbError:
        answer.abort()  # with an answer that nobody takes, the connection does nothing more
        raise
    return rows


def _translated(error: Exception, functions: Functions, allowance: Allowance) -> MfdbError:
    """Return our error for one of DuckDB's."""
    import duckdb

    if functions.errors:
        return functions.errors[-1]
    text = str(error)
    if isinstance(error, duckdb.InterruptException):
        return StatementCancelled("the statement was cancelled")
    if isinstance(error, duckdb.OutOfMemoryException) or "Lists larger than" in text:
        return out_of_memory(allowance.limit_bytes)
    if "ivision by zero" in text:
        return DivisionByZero("division by zero")
    if "More than one row returned by a subquery" in text:
        return TooManyRows("a subquery that stands for one value gave several rows")
    if isinstance(error, duckdb.OutOfRangeException | duckdb.ConversionException) or (
        text.endswith("22003")
    ):
        return NumberOutOfRange("the result is out of the range of its type")
    first = re.sub(r"\s+", " ", text.split("\n", 1)[0])[:200]
    return NotSupportedError(f"the relational route cannot run this: {first}")
