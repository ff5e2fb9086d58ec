"""The cursor of PEP 249: one statement at a time and its rows, in the form that is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from mfdb.client import types as api_types
from mfdb.client.rows import maker
from mfdb.kernel.errors import InterfaceError, NotSupportedError, ProgrammingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mfdb.client.copying.load import Progress
    from mfdb.client.dbapi import Connection
    from mfdb.client.results import Column, Result
    from mfdb.client.rows import RowFactory, RowMaker
    from mfdb.client.streams import Stream
    from mfdb.sql.parameters import Given

Description = tuple[str, api_types.TypeCode, None, None, None, None, None]


class Cursor:
    """One statement at a time and its rows. A cursor is for one thread; connections are shared."""

    arraysize = 1
    lastrowid = None

    def __init__(self, connection: Connection, row_factory: RowFactory | None = None) -> None:
        self._connection: Connection | None = connection
        self._rows: Sequence[tuple[Any, ...]] | None = None
        self._next = 0
        self._columns: tuple[Column, ...] = ()
        self._make: RowMaker | None = None
        self.rowcount = -1
        self.row_factory = row_factory
        """What makes rows of the next result (`mfdb.client.rows`); None: tuples."""

    @property
    def connection(self) -> Connection:
        """The connection that made this cursor."""
        return self._open()

    @property
    def columns(self) -> tuple[Column, ...]:
        """Name and SQL type of each result column; none if the statement gives no rows."""
        return self._columns

    @property
    def description(self) -> tuple[Description, ...] | None:
        """Name and type of each result column; None if the statement gives no rows."""
        if not self._columns:
            return None
        return tuple(
            (column.name, api_types.type_code(column.type), None, None, None, None, None)
            for column in self._columns
        )

    @property
    def rownumber(self) -> int | None:
        """The 0-based number of the row that comes next, None without a result."""
        return None if self._rows is None else self._next

    def execute(self, operation: str, parameters: Given = ()) -> Self:
        """Carry out one statement and return this cursor.

        Raises:
            MfdbError: it failed.
        """
        connection = self._connection
        if connection is None:
            connection = self._open()
        return self._take(connection.run(operation, None, parameters))

    def executemany(self, operation: str, seq_of_parameters: Iterable[Given]) -> Self:
        """Carry out one change for each set of parameters, all in one changeset.

        Raises:
            MfdbError: one failed; nothing of any was kept.
        """
        return self._take(self._open().run(operation, list(seq_of_parameters), ()))

    def copy(
        self,
        operation: str,
        stream: Any = None,
        parameters: Given = (),
        *,
        progress: Progress | None = None,
    ) -> Self:
        """Carry out a COPY; see `Connection.copy`. `rowcount` is the number of rows copied.

        Raises:
            MfdbError: it failed; nothing of a load was kept, and no file was written.
        """
        return self._take(self._open().run_copy(operation, stream, parameters, progress))

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        rows, at = self._rows, self._next
        if rows is None or self._connection is None:
            rows = self._result()
        if at >= len(rows):
            return None
        self._next = at + 1
        return rows[at] if self._make is None else self._make(rows[at])

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """Return the next rows, at most `size` (or `arraysize`)."""
        rows = self._result()
        count = self.arraysize if size is None else size
        found = list(rows[self._next : self._next + count])
        self._next += len(found)
        return found if self._make is None else [self._make(row) for row in found]

    def fetchall(self) -> list[Any]:
        """Return all rows that are left."""
        rows = self._result()
        return self.fetchmany(len(rows) - self._next)

    def to_arrow(self) -> Any:
        """Return the rows that are left as an Arrow table.

        It is a `pyarrow.Table` where pyarrow is installed, else an `arro3.core.Table`; both have
        the Arrow PyCapsule interface, which polars, pandas, DuckDB and others read.
        """
        from mfdb.client.frames import to_arrow

        return to_arrow(self._columns, self._left())

    def to_pandas(self) -> Any:
        """Return the rows that are left as a `pandas.DataFrame`.

        Raises:
            NotSupportedError: pandas is not installed.
        """
        from mfdb.client.frames import to_pandas

        opened = maker(None, self._columns, self._open().json_loads)
        rows = self._left()
        return to_pandas(self._columns, rows if opened is None else [opened(row) for row in rows])

    def to_polars(self) -> Any:
        """Return the rows that are left as a `polars.DataFrame`.

        Raises:
            NotSupportedError: polars is not installed.
        """
        from mfdb.client.frames import to_polars

        return to_polars(self._columns, self._left())

    def setinputsizes(self, sizes: Sequence[object]) -> None:
        """Do nothing, as PEP 249 allows."""

    def setoutputsize(self, size: int, column: int | None = None) -> None:
        """Do nothing, as PEP 249 allows."""

    def nextset(self) -> None:
        """Refuse: a statement gives one result.

        Raises:
            NotSupportedError: always.
        """
        self._open()
        raise NotSupportedError("a statement gives one result")

    def close(self) -> None:
        """Forget the rows; the cursor cannot be used again."""
        self._connection = None
        self._rows = None

    def __iter__(self) -> Iterator[Any]:
        return iter(self.fetchone, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self, result: Result) -> Self:
        self._rows = result.rows if result.columns else None
        self._next = 0
        self.rowcount = result.count
        self._columns = result.columns
        self._make = None
        if self.row_factory is not None or result.documents != ():
            self._make = self._maker(result.columns)
        return self

    def _maker(self, columns: Sequence[Column]) -> RowMaker | None:
        loads = None if self._connection is None else self._connection.json_loads
        return maker(self.row_factory, columns, loads)

    def _left(self) -> Sequence[tuple[Any, ...]]:
        rows = self._result()
        found = rows[self._next :]
        self._next = len(rows)
        return found

    def _result(self) -> Sequence[tuple[Any, ...]]:
        self._open()
        if self._rows is None:
            raise ProgrammingError("there are no rows to fetch", hint="execute a query first")
        return self._rows

    def _open(self) -> Connection:
        if self._connection is None:
            raise InterfaceError("the cursor is closed")
        return self._connection


class StreamingCursor(Cursor):
    """A cursor that leaves the rows of a query where they are until they are fetched.

    It reads the state of the moment of `execute`, whatever is written meanwhile, and holds that
    state until the last row, the next statement or `close`. `rowcount` is -1: nobody has counted.
    """

    _stream: Stream | None = None

    def execute(self, operation: str, parameters: Given = ()) -> Self:
        """Begin a query and return this cursor; other statements are carried out as ever.

        Raises:
            MfdbError: it failed; what fails at a later row is raised when that is fetched.
        """
        self._end()
        found = self._open().stream(operation, parameters)
        if found is None:
            return super().execute(operation, parameters)
        self._stream = found
        self._columns, self.rowcount, self._rows, self._next = found.columns, -1, (), 0
        self._make = self._maker(found.columns)
        return self

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        if self._stream is None:
            return super().fetchone()
        return next(iter(self.fetchmany(1)), None)

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """Return the next rows, at most `size` (or `arraysize`)."""
        if self._stream is None:
            return super().fetchmany(size)
        found = self._open().pull(self._stream, self.arraysize if size is None else size)
        self._next += len(found)
        return found if self._make is None else [self._make(row) for row in found]

    def fetchall(self) -> list[Any]:
        """Return all rows that are left."""
        return super().fetchall() if self._stream is None else list(self)

    def executemany(self, operation: str, seq_of_parameters: Iterable[Given]) -> Self:
        """Carry out changes as `Cursor.executemany` does."""
        self._end()
        return super().executemany(operation, seq_of_parameters)

    def close(self) -> None:
        """Let the state go; the cursor cannot be used again."""
        self._end()
        super().close()

    def _left(self) -> Sequence[tuple[Any, ...]]:
        if self._stream is None:
            return super()._left()
        found: list[tuple[Any, ...]] = []
        while page := self._open().pull(self._stream, 10_000):
            found += page
        return found

    def _end(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None
