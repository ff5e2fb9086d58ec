"""The Python Database API 2.0 (PEP 249), a thin face of the same session.

Statements that need no network run on the caller's thread; the others are awaited on one background
event-loop thread per connection. Changes are one batch until `commit()`, unless `autocommit` is on;
definitions commit the open batch first, because changesets hold rows only.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from mfdb.client import types as api_types
from mfdb.client.loop_thread import LoopThread
from mfdb.client.opening import Home, Passphrase, open_home
from mfdb.client.results import Result
from mfdb.kernel import errors
from mfdb.kernel.errors import (
    BatchFailed,
    InterfaceError,
    NotSupportedError,
    ProgrammingError,
)
from mfdb.kernel.ids import show
from mfdb.sql import statement as st
from mfdb.sql.parse import parse

if TYPE_CHECKING:
    import os
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

    from mfdb.client.results import Change, Column
    from mfdb.client.session import Session
    from mfdb.sql.parameters import Given

apilevel = "2.0"
threadsafety = 2
paramstyle = "qmark"

Description = tuple[str, api_types.TypeCode, None, None, None, None, None]
_CHANGES = st.Insert | st.Update | st.Delete
_DEFINITIONS = (
    st.CreateDataset | st.DropDataset | st.AlterOptions | st.SealDataset | st.Grant | st.Revoke
)


def connect(
    data: str | os.PathLike[str] | None = None,
    *,
    identity: str | None = None,
    network: str | os.PathLike[str] | None = None,
    passphrase: Passphrase = None,
    autocommit: bool = False,
) -> Connection:
    """Return a connection to a data directory, and to a network if one is named.

    `data` None is the user's own directory, ":memory:" a temporary one. `network` is the path of a
    network file (`mfdb devnet up` writes one).

    Raises:
        UnknownIdentity, WrongPassphrase: the identity is not there or does not open.
        StoreLocked: another process works on the directory.
        NetworkError, ChainError: the network is in the way.
    """
    if network is None:
        home = open_home(data, identity=identity, passphrase=passphrase)
        return Connection(home.session(None), home, None, autocommit=autocommit)
    from mfdb.client import aio

    loop = LoopThread()
    try:
        opened = loop.run(
            aio.connect(data, identity=identity, network=network, passphrase=passphrase)
        )
    except BaseException:
        loop.close()
        raise
    session, home = opened.parts()
    return Connection(session, home, loop, autocommit=autocommit)


class Connection:
    """An open database of one identity. Threads may share it; their statements take turns."""

    Warning = Warning
    Error = errors.MfdbError
    InterfaceError = errors.InterfaceError
    DatabaseError = errors.DatabaseError
    DataError = errors.DataError
    OperationalError = errors.OperationalError
    IntegrityError = errors.IntegrityError
    InternalError = errors.InternalError
    ProgrammingError = errors.ProgrammingError
    NotSupportedError = errors.NotSupportedError

    def __init__(
        self, session: Session, home: Home, loop: LoopThread | None, *, autocommit: bool
    ) -> None:
        self._session = session
        self._home = home
        self._loop = loop
        self._lock = threading.RLock()
        self._closed = False
        self.autocommit = autocommit

    @property
    def identity(self) -> str:
        """The identity's address, as text."""
        return show(self._home.keys.address)

    @property
    def notices(self) -> list[str]:
        """What the person should be told; whoever tells it empties the list."""
        return self._home.notices

    def cursor(self) -> Cursor:
        """Return a new cursor.

        Raises:
            InterfaceError: the connection is closed.
        """
        self._need_open()
        return Cursor(self)

    def execute(self, operation: str, parameters: Given = ()) -> Cursor:
        """Return a new cursor that has carried out one statement."""
        return self.cursor().execute(operation, parameters)

    def interrupt(self) -> None:
        """Stop the query that runs now on the relational route; call it from another thread."""
        self._session.interrupt()

    def commit(self) -> None:
        """Make the changes since the last commit durable, as one changeset per dataset.

        Raises:
            MfdbError: they could not be; nothing was kept (but see QuorumNotReached).
        """
        self._need_open()
        self._end("COMMIT")

    def rollback(self) -> None:
        """Give the changes since the last commit up."""
        self._need_open()
        self._end("ROLLBACK")

    @contextmanager
    def transaction(self) -> Iterator[Self]:
        """Make the changes inside atomic: committed at the end, rolled back by an exception."""
        with self._lock:
            self.perform(lambda: self._session.start("BEGIN"))
            try:
                yield self
            except BaseException:
                self._end("ROLLBACK")
                raise
            self._end("COMMIT")

    def subscribe(
        self, operation: str, parameters: Given = (), since: str | None = None
    ) -> Iterator[Change]:
        """Yield the rows there are (or what changed since a cursor), then changes as they come.

        Raises:
            AccessDenied: this identity may not subscribe.
        """
        self._need_open()
        with self._lock:
            if self._loop is None:
                self._loop = LoopThread()
        return self._loop.iterate(lambda: self._session.subscribe(operation, parameters, since))

    def close(self) -> None:
        """Give everything back, uncommitted changes too; closing twice is no error."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            try:
                if self._loop is None:
                    asyncio.run(self._session.close())
                else:
                    self._loop.run(self._session.close())
            finally:
                if self._loop is not None:
                    self._loop.close()
                self._home.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if not self._closed:
                self._end("COMMIT" if kind is None else "ROLLBACK")
        finally:
            self.close()

    # ---- for cursors

    def perform(self, start: Callable[[], Result | Awaitable[Result]]) -> Result:
        """Return what a statement gives, waiting for the network if it must."""
        self._need_open()
        with self._lock:
            started = start()
            if isinstance(started, Result):
                return started
            assert self._loop is not None, "only a connection with a network gives awaitables"
            return self._loop.run(started)

    def run(self, operation: str, many: Sequence[Given] | None, parameters: Given) -> Result:
        """Carry out a statement inside the right batch."""
        with self._lock:
            self._need_open()
            if many is None:
                found = self._session.quick(operation, parameters)
                if found is not None:
                    return found
            statement = parse(operation)
            if isinstance(statement, _DEFINITIONS):
                self._end("COMMIT")
            elif isinstance(statement, _CHANGES) and not self.autocommit:
                self._begin()
            if many is not None:
                return self.perform(lambda: self._session.start_many(operation, many))
            return self.perform(lambda: self._session.start(operation, parameters))

    def _begin(self) -> None:
        if not self._session.in_batch:
            self.perform(lambda: self._session.start("BEGIN"))

    def _end(self, how: str) -> None:
        with self._lock:
            if not self._session.in_batch:
                return
            if self.perform(lambda: self._session.start(how)).tag != how:
                raise BatchFailed(
                    "a statement of the batch failed, so nothing of it was kept",
                    hint="call rollback() after an error, then repeat the batch",
                )

    def _need_open(self) -> None:
        if self._closed:
            raise InterfaceError("the connection is closed")


class Cursor:
    """One statement at a time and its rows."""

    arraysize = 1
    lastrowid = None

    def __init__(self, connection: Connection) -> None:
        self._connection: Connection | None = connection
        self._rows: Sequence[tuple[object, ...]] | None = None
        self._next = 0
        self._columns: tuple[Column, ...] = ()
        self.rowcount = -1

    @property
    def connection(self) -> Connection:
        """The connection that made this cursor."""
        return self._open()

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

    def fetchone(self) -> tuple[object, ...] | None:
        """Return the next row, or None."""
        rows, at = self._rows, self._next
        if rows is None or self._connection is None:
            rows = self._result()
        if at >= len(rows):
            return None
        self._next = at + 1
        return rows[at]

    def fetchmany(self, size: int | None = None) -> list[tuple[object, ...]]:
        """Return the next rows, at most `size` (or `arraysize`)."""
        rows = self._result()
        count = self.arraysize if size is None else size
        found = list(rows[self._next : self._next + count])
        self._next += len(found)
        return found

    def fetchall(self) -> list[tuple[object, ...]]:
        """Return all rows that are left."""
        rows = self._result()
        return self.fetchmany(len(rows) - self._next)

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

    def __iter__(self) -> Iterator[tuple[object, ...]]:
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
        return self

    def _result(self) -> Sequence[tuple[object, ...]]:
        self._open()
        if self._rows is None:
            raise ProgrammingError("there are no rows to fetch", hint="execute a query first")
        return self._rows

    def _open(self) -> Connection:
        if self._connection is None:
            raise InterfaceError("the cursor is closed")
        return self._connection
