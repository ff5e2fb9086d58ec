"""The Python Database API 2.0 (PEP 249), a thin face of the same session.

Statements that need no network run on the caller's thread; the others are awaited on one background
event-loop thread per connection. Changes are one batch until `commit()`, unless `autocommit` is on;
definitions commit the open batch first, because changesets hold rows only.
"""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Self

import msgspec

from mfdb.client.dbcursor import Cursor, StreamingCursor
from mfdb.client.opening import Home, Passphrase, open_home
from mfdb.client.results import Result
from mfdb.client.transactions import bounds, ends, opens
from mfdb.client.url import Location, locate
from mfdb.kernel import errors
from mfdb.kernel.errors import BatchFailed, InterfaceError, NotSupportedError
from mfdb.kernel.ids import show
from mfdb.sql.parse import parse

if TYPE_CHECKING:
    import os
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

    from mfdb.client.channels import Notification
    from mfdb.client.copying.load import Progress
    from mfdb.client.inspection import TableInfo
    from mfdb.client.loop_thread import LoopThread
    from mfdb.client.results import Change
    from mfdb.client.rows import JsonReader, RowFactory
    from mfdb.client.session import Session
    from mfdb.client.streams import Stream
    from mfdb.sql.parameters import Given

apilevel = "2.0"
threadsafety = 2
paramstyle = "qmark"


def connect(
    data: str | os.PathLike[str] | None = None,
    *,
    identity: str | None = None,
    network: str | os.PathLike[str] | None = None,
    passphrase: Passphrase = None,
    autocommit: bool | None = None,
    timeout_s: float | None = None,
    row_factory: RowFactory | None = None,
    factory: type[Connection] | None = None,
) -> Connection:
    """Return a connection to a data directory, and to a network if one is named.

    `data` is a directory or a connection string (`mfdb.client.url`); None is the user's own
    directory, ":memory:" a temporary one. `network` is the path of a network file (`mfdb devnet up`
    writes one). A statement that takes longer than `timeout_s` seconds is cancelled. `factory` is
    the class of the connection. What is given here goes before what the connection string says.

    Raises:
        InterfaceError, NotSupportedError: the connection string is none.
        UnknownIdentity, WrongPassphrase: the identity is not there or does not open.
        StoreLocked: another process works on the directory.
        NetworkError, ChainError: the network is in the way.
    """
    said = locate(data) if isinstance(data, str) else Location()
    directory = said.data if isinstance(data, str) else data
    identity, network = identity or said.identity, network or said.network
    settings = Settings(
        autocommit=bool(said.autocommit if autocommit is None else autocommit),
        timeout_s=said.timeout_s if timeout_s is None else timeout_s,
        row_factory=row_factory,
        network=network,
        passphrase=passphrase,
    )
    kind = factory or Connection
    if network is None:
        home = open_home(directory, identity=identity, passphrase=passphrase)
        return kind(home.session(None), home, None, settings)
    from mfdb.client import aio
    from mfdb.client.loop_thread import LoopThread

    loop = LoopThread()
    try:
        opened = loop.run(
            aio.connect(directory, identity=identity, network=network, passphrase=passphrase)
        )
    except BaseException:
        loop.close()
        raise
    session, home = opened.parts()
    return kind(session, home, loop, settings)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How a connection behaves from its start; its attributes of these names may be changed."""

    autocommit: bool
    timeout_s: float | None
    row_factory: RowFactory | None
    network: str | os.PathLike[str] | None = None
    passphrase: Passphrase = None


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
    cursor_class: ClassVar[type[Cursor]] = Cursor

    def __init__(
        self,
        session: Session,
        home: Home,
        loop: LoopThread | None,
        settings: Settings,
    ) -> None:
        self._session = session
        self._home = home
        self._loop = loop
        self._lock = threading.RLock()
        self._settings = settings
        self._closed = False
        self._depth = 0
        self._opens_batches = False
        """Whether the batch under way is ours, for want of autocommit, and not the user's own."""
        self.autocommit = settings.autocommit
        """Whether each change is durable at once; may be set while no changes wait."""
        self.timeout_s = settings.timeout_s
        """Seconds after which a statement is cancelled; None: never."""
        self.row_factory = settings.row_factory
        """What makes the rows of new cursors; None: tuples."""
        self.json_loads: JsonReader | None = json.loads
        """What makes an object of a JSON value; None: it stays a text."""

    @property
    def identity(self) -> str:
        """The identity's address, as text."""
        return show(self._home.keys.address)

    @property
    def owner(self) -> str:
        """Whose datasets names without an owner mean, as USE said; empty: our own."""
        return self._session.state.settings.owner

    @property
    def notices(self) -> list[str]:
        """What the person should be told; whoever tells it empties the list."""
        return self._home.notices

    @property
    def in_transaction(self) -> bool:
        """Whether changes wait for `commit`."""
        return self._session.in_batch

    @property
    def closed(self) -> bool:
        """Whether `close` has been called."""
        return self._closed

    def another(self) -> Self:
        """Return a further connection to the same open directory, with transactions of its own.

        It sees what is committed. Where two change the same row, the second to commit fails with
        StaleWrite, which is worth another try.

        Raises:
            NotSupportedError: the connection is to a network.
        """
        self._need_open()
        if self._session.networks:
            raise NotSupportedError(
                "a connection to a network is the only one of its directory",
                hint="share it between threads: their statements take turns",
            )
        settings = Settings(
            autocommit=self.autocommit,
            timeout_s=self.timeout_s,
            row_factory=self.row_factory,
            passphrase=self._settings.passphrase,
        )
        made = type(self)(self._home.share(), self._home, None, settings)
        made.json_loads = self.json_loads
        return made

    def inspect(self, name: str, *, owner: str | None = None) -> TableInfo | None:
        """Return what a dataset or view is, None if this machine knows none of that name."""
        self._need_open()
        return self._session.inspect(name, owner)

    def inspect_names(self, kind: str = "dataset", *, owner: str | None = None) -> list[str]:
        """Return the names of an identity's datasets (`kind` "view": views); None: our own."""
        self._need_open()
        return self._session.inspect_names(kind, owner)

    def cursor(self, *, row_factory: RowFactory | None = None, stream: bool = False) -> Cursor:
        """Return a new cursor; with `stream` one that computes rows as they are fetched.

        Raises:
            InterfaceError: the connection is closed.
        """
        self._need_open()
        kind = StreamingCursor if stream else self.cursor_class
        return kind(self, self.row_factory if row_factory is None else row_factory)

    def execute(self, operation: str, parameters: Given = ()) -> Cursor:
        """Return a new cursor that has carried out one statement."""
        return self.cursor().execute(operation, parameters)

    def copy(
        self,
        operation: str,
        stream: Any = None,
        parameters: Given = (),
        *,
        progress: Progress | None = None,
    ) -> Cursor:
        """Carry out a COPY and return its cursor; STDIN and STDOUT are `stream`, bytes or text.

        `progress` is called now and then with the rows and bytes so far. A load is one durable
        commit, or part of the open batch.

        Raises:
            MfdbError: it failed; nothing of a load was kept, and no file was written.
        """
        return self.cursor().copy(operation, stream, parameters, progress=progress)

    def executemany(self, operation: str, seq_of_parameters: Iterable[Given]) -> Cursor:
        """Return a new cursor that has carried out one change for each set of parameters."""
        return self.cursor().executemany(operation, seq_of_parameters)

    def interrupt(self) -> None:
        """Cancel the statement that runs now, if any; call it from another thread.

        That statement raises StatementCancelled, and the connection stays usable.
        """
        self._session.interrupt()
        loop = self._loop
        if loop is not None:
            loop.interrupt()

    cancel = interrupt

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
        """Make the changes inside atomic: committed at the end, rolled back by an exception.

        Inside another transaction it is a savepoint: an exception gives up what came since, and
        what came before stays. Other threads wait until the outermost one is over.
        """
        with self._lock:
            begin, end, give_up = bounds(self._depth + self._session.in_batch)
            self._depth += 1
            outside, self._opens_batches = self._opens_batches, False
            try:
                self._say(begin)
                try:
                    yield self
                except BaseException:
                    for text in give_up:
                        self._say(text)
                    raise
                if begin == "BEGIN":
                    self._end("COMMIT")
                else:
                    self._say(end)
            finally:
                self._depth -= 1
                self._opens_batches = outside

    def subscribe(
        self, operation: str, parameters: Given = (), since: str | None = None
    ) -> Iterator[Change]:
        """Yield the rows there are (or what changed since a cursor), then changes as they come.

        Raises:
            AccessDenied: this identity may not subscribe.
        """
        from mfdb.client.loop_thread import LoopThread

        self._need_open()
        with self._lock:
            if self._loop is None:
                self._loop = LoopThread()
        return self._loop.iterate(lambda: self._session.subscribe(operation, parameters, since))

    def notifies(
        self, *, timeout_s: float | None = None, stop_after: int | None = None
    ) -> Iterator[Notification]:
        """Yield the notifications that LISTEN asked for, as they come, none inside a transaction.

        It ends when none came for `timeout_s` seconds (0: with those that are there), when it has
        given `stop_after` of them, or when the connection closes.

        Raises:
            NotificationsLost: more came than may wait while nobody looked.
        """
        self._need_open()
        arrived, given = threading.Event(), 0
        forget = self._session.on_notification(arrived.set)
        try:
            while self._session.is_open:
                arrived.clear()
                while (stop_after is None or given < stop_after) and (
                    found := self._session.notification()
                ):
                    given += 1
                    yield found
                if given == stop_after:
                    return
                if not arrived.wait(timeout_s):
                    return
        finally:
            forget()

    def close(self) -> None:
        """Give everything back, uncommitted changes too; closing twice is no error."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            try:
                self._close_session()
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
        with self._lock, self._deadline():
            started = start()
            if isinstance(started, Result):
                return started
            assert self._loop is not None, "only a connection with a network gives awaitables"
            return self._loop.run(started)

    def run(self, operation: str, many: Sequence[Given] | None, parameters: Given) -> Result:
        """Carry out a statement inside the right batch."""
        with self._lock:
            self._need_open()
            if not self._session.in_batch:
                self._opens_batches = not self.autocommit
            if many is None:
                found = self._session.quick(operation, parameters)
                if found is None:
                    opens_batch = not self.autocommit
                    found = self._session.quick_change(operation, parameters, opens=opens_batch)
                if found is not None:
                    return found
            statement = self._session.read(operation, parameters if many is None else (None,))
            if ends(statement) and self._opens_batches:
                self._end("COMMIT")
            elif not self._session.in_batch:
                self._opens_batches &= opens(statement)
                if self._opens_batches:
                    self._say("BEGIN")
            if many is not None:
                return self.perform(lambda: self._session.start_many(operation, many))
            result = self.perform(lambda: self._session.start(operation, parameters))
            identity = self._session.becomes()
            if identity is not None:
                self._become(identity)
            return result

    def run_copy(
        self, operation: str, stream: Any, parameters: Given, progress: Progress | None
    ) -> Result:
        """Carry out a COPY inside the right batch."""
        with self._lock:
            self._need_open()
            loads = opens(parse(operation))
            if loads and not self.autocommit and not self._session.in_batch:
                self._say("BEGIN")
            return self.perform(
                lambda: self._session.copy(operation, stream, params=parameters, progress=progress)
            )

    def stream(self, operation: str, parameters: Given) -> Stream | None:
        """Return the answer to a query, to be read bit by bit, or None for any other statement."""
        with self._lock:
            self._need_open()
            return self._session.stream(operation, parameters)

    def pull(self, stream: Stream, size: int) -> list[tuple[Any, ...]]:
        """Return the next rows of a stream, at most so many."""
        with self._lock, self._deadline():
            self._need_open()
            return self._session.pull(stream, size)

    # ---- inside

    def _become(self, identity: str) -> None:
        """Go on as another identity of the directory; what belongs to the session is over."""
        home = self._home.become(identity, self._settings.passphrase)
        before, left = self._session, self._home
        if self._loop is None or not before.networks:
            self._session, self._home = home.session(None), home
            close = before.close_local
        else:
            from mfdb.client import aio

            loop = self._loop
            self._session = loop.run(aio.open_session(home, self._settings.network))
            self._home = home

            def close() -> None:
                loop.run(before.close())

        try:
            close()
        finally:
            left.leave_to(home)

    def _say(self, text: str) -> Result:
        return self.perform(lambda: self._session.start(text))

    def _end(self, how: str) -> None:
        with self._lock:
            if not self._session.in_batch:
                return
            if how == "COMMIT" and self._session.commit():
                return
            if self._say(how).tag != how:
                raise BatchFailed(
                    "a statement of the batch failed, so nothing of it was kept",
                    hint="call rollback() after an error, then repeat the batch",
                )

    @contextmanager
    def _deadline(self) -> Iterator[None]:
        if self.timeout_s is None:
            yield
            return
        timer = threading.Timer(self.timeout_s, self.interrupt)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _close_session(self) -> None:
        if self._loop is not None:
            self._loop.run(self._session.close())
        else:
            self._session.close_local()

    def _need_open(self) -> None:
        if self._closed:
            raise InterfaceError("the connection is closed")
