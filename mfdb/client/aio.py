"""The asyncio API.

async with await mfdb.aio.connect(data) as db:
    await db.execute("INSERT INTO notes (body) VALUES (?)", ["hello"])
    async for row in db.cursor("SELECT * FROM notes"):
        ...
    async for change in db.subscribe("SUBSCRIBE TO notes"):
        ...

What this machine answers alone is computed on a thread beside the loop, one statement at a time, so
that the loop goes on and a task that is cancelled takes its statement with it.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self, TypeVar

from mfdb.client.channels import Notification
from mfdb.client.opening import Home, Passphrase, open_home
from mfdb.client.results import Change, Column, Result
from mfdb.client.rows import JsonReader, RowFactory, maker
from mfdb.client.transactions import bounds as transaction_bounds
from mfdb.client.turns import Turns
from mfdb.client.url import Location, locate
from mfdb.kernel.errors import BatchFailed, InterfaceError, StatementCancelled
from mfdb.kernel.ids import show

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from mfdb.client.copying.load import Progress
    from mfdb.client.remote import Remote
    from mfdb.client.session import Session
    from mfdb.client.streams import Stream
    from mfdb.sql.parameters import Given

_T = TypeVar("_T")
_AGAIN_S = 0.05
"""How long a cancelled statement may take to notice before it is told again."""

__all__ = ["Change", "Column", "Connection", "Notification", "Result", "connect"]


async def connect(
    data: str | os.PathLike[str] | None = None,
    *,
    identity: str | None = None,
    network: str | os.PathLike[str] | None = None,
    passphrase: Passphrase = None,
    row_factory: RowFactory | None = None,
) -> Connection:
    """Return a connection to a data directory, and to a network if one is named.

    `data` is a directory or a connection string (`mfdb.client.url`); None is the user's own
    directory, ":memory:" a temporary one. `network` is the path of a network file (`mfdb devnet up`
    writes one). `row_factory` makes the rows of `fetch`, `fetchrow` and `cursor`. On a fresh
    directory with a network, the identity's datasets are restored from it.

    Raises:
        UnknownIdentity, WrongPassphrase: the identity is not there or does not open.
        StoreLocked: another process works on the directory.
        NetworkError, ChainError: the network is in the way.
    """
    said = locate(data) if isinstance(data, str) else Location()
    network = network or said.network
    home = open_home(
        said.data if isinstance(data, str) else data,
        identity=identity or said.identity,
        passphrase=passphrase,
    )
    session = await open_session(home, network)
    connection = Connection(session, home, network, passphrase)
    connection.row_factory = row_factory
    connection.timeout_s = said.timeout_s
    return connection


async def open_session(home: Home, network: str | os.PathLike[str] | None) -> Session:
    """Return a session of an open directory, which is given back if that fails.

    Raises:
        NetworkError, ChainError: the network is in the way.
    """
    try:
        remote = None if network is None else await open_remote(home, network)
        session = home.session(remote)
        if remote is not None:
            await _restore_once(session, home)
    except BaseException:
        home.close()
        raise
    return session


async def open_remote(home: Home, network: str | os.PathLike[str]) -> Remote:
    """Return the identity's node on a network.

    Raises:
        NetworkError, ChainError: the network is in the way.
    """
    from pathlib import Path

    from mfdb.node.wiring import build_remote

    return await build_remote(Path(network), home.keys, home.open_node_store())


async def _restore_once(session: Session, home: Home) -> None:
    """A directory that knows no dataset of the network asks for them."""
    network = session.networks
    if any(known.manifest.network in network for known in session.datasets()):
        return
    try:
        restored = await session.restore()
    except BaseException:
        await session.close()
        raise
    home.notices.extend(f"restored {name} from the network" for name in restored)


class Connection:
    """An open database of one identity, which tasks may share: their statements take turns.

    A transaction has the connection to itself, with the tasks that are started inside it. A task
    that is cancelled takes its statement with it. Subscriptions run beside statements.
    """

    def __init__(
        self,
        session: Session,
        home: Home,
        network: str | os.PathLike[str] | None = None,
        passphrase: Passphrase = None,
    ) -> None:
        self._session = session
        self._home = home
        self._network = network
        self._passphrase = passphrase
        self._closed = False
        self._turns = Turns()
        self._worker: ThreadPoolExecutor | None = None
        self._depth = 0
        self.row_factory: RowFactory | None = None
        """What makes rows (`mfdb.client.rows`); None: tuples."""
        self.json_loads: JsonReader | None = json.loads
        """What makes an object of a JSON value; None: it stays a text, as in `execute`."""
        self.timeout_s: float | None = None
        """Seconds after which a statement is cancelled; None: never."""

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
    def doing(self) -> str:
        """What a long statement is at just now, empty where nobody says so."""
        return self._session.state.doing

    def parts(self) -> tuple[Session, Home]:
        """Return what stands behind the connection, for another face of it (`dbapi`)."""
        return self._session, self._home

    @property
    def in_batch(self) -> bool:
        """Whether a batch is open."""
        return self._session.in_batch

    @property
    def batch_failed(self) -> bool:
        """Whether a statement of the open batch has failed, so that nothing of it will be kept."""
        batch = self._session.state.batch
        return batch is not None and batch.failed

    def interrupt(self) -> None:
        """Stop the query that this machine computes now, if any; it raises StatementCancelled.

        It may come from any thread and from a signal handler.
        """
        self._session.interrupt()

    async def execute(self, text: str, params: Given = ()) -> Result:
        """Return the result of one statement; its rows are tuples, and hold JSON as text.

        Raises:
            MfdbError: it failed; nothing of it was kept (but see QuorumNotReached).
        """
        async with self._turns.statement(shared=self._session.is_shared(text)):
            rows = None if self.timeout_s else self._session.known_rows(text, params)
            if rows is not None:
                return await rows.write()
            found = self._session.quick(text, params)
            if found is not None:
                return found
            result = await self._carried_out(lambda: self._session.start(text, params))
            identity = self._session.becomes()
            if identity is not None:
                await self._become(identity)
            return result

    async def executemany(self, text: str, many: Iterable[Given]) -> Result:
        """Carry out one change for each set of parameters, as one changeset.

        Raises:
            MfdbError: one failed; nothing of any was kept.
        """
        given = list(many)
        async with self._turns.statement(shared=self._session.is_shared(text)):
            return await self._carried_out(lambda: self._session.start_many(text, given))

    async def copy(
        self,
        text: str,
        stream: Any = None,
        params: Given = (),
        *,
        progress: Progress | None = None,
    ) -> Result:
        """Carry out a COPY: STDIN and STDOUT are `stream`, read and written on another thread.

        `progress` is called now and then with the rows and bytes so far.

        Raises:
            MfdbError: it failed; nothing of a load was kept, and no file was written.
        """
        async with self._turns.statement():
            return await self._carried_out(
                lambda: self._session.copy(text, stream, params=params, progress=progress)
            )

    async def fetch(self, text: str, params: Given = ()) -> list[Any]:
        """Return the rows of a statement."""
        found = await self.execute(text, params)
        make = maker(self.row_factory, found.columns, self.json_loads)
        return list(found.rows) if make is None else [make(row) for row in found.rows]

    async def fetchrow(self, text: str, params: Given = ()) -> Any:
        """Return the first row of a statement, or None."""
        rows = await self.fetch(text, params)
        return rows[0] if rows else None

    async def fetchval(self, text: str, params: Given = ()) -> Any:
        """Return the first value of the first row of a statement, or None."""
        found = await self.execute(text, params)
        make = maker(None, found.columns, self.json_loads)
        first = found.rows[:1] if make is None else list(map(make, found.rows[:1]))
        return first[0][0] if first else None

    async def cursor(
        self, text: str, params: Given = (), *, prefetch: int = 100
    ) -> AsyncIterator[Any]:
        """Yield the rows of a query, computed page by page over the state of the beginning.

        Raises:
            MfdbError: it failed; what fails at a later row is raised there.
        """
        async with self._turns.statement():
            stream = await self._off_loop(lambda: self._session.stream(text, params))
        if stream is None:
            for row in await self.fetch(text, params):
                yield row
            return
        make = maker(self.row_factory, stream.columns, self.json_loads)
        try:
            while page := await self._page(stream, prefetch):
                for row in page:
                    yield row if make is None else make(row)
        finally:
            stream.close()

    async def _page(self, stream: Stream, size: int) -> list[tuple[Any, ...]]:
        async with self._turns.statement():
            return await self._off_loop(lambda: self._session.pull(stream, size))

    def subscribe(
        self, text: str, params: Given = (), since: str | None = None
    ) -> AsyncIterator[Change]:
        """Yield the rows there are (or what changed since a cursor), then changes as they come.

        Raises:
            AccessDenied: this identity may not subscribe.
        """
        return self._session.subscribe(text, params, since)

    async def notifies(
        self, *, timeout_s: float | None = None, stop_after: int | None = None
    ) -> AsyncIterator[Notification]:
        """Yield the notifications that LISTEN asked for, as they come, none inside a transaction.

        It ends when none came for `timeout_s` seconds (0: with those that are there), when it has
        given `stop_after` of them, or when the connection closes.

        Raises:
            NotificationsLost: more came than may wait while nobody looked.
        """
        arrived, loop, given = asyncio.Event(), asyncio.get_running_loop(), 0

        def wake() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(arrived.set)

        forget = self._session.on_notification(wake)
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
                async with asyncio.timeout(timeout_s):
                    await arrived.wait()
        except TimeoutError:
            return
        finally:
            forget()

    async def challenge(self, dataset: str, shard: int) -> bytes:
        """Accuse the holder of a shard of an own dataset on chain; return the case's id.

        It must show the unit that is drawn or loses its deposit; if it does, our bond is lost.

        Raises:
            NotSupportedError: the connection is not to a network.
            UnknownDataset, ChainError: there is nothing to accuse anybody of.
        """
        return await self._session.challenge(dataset, shard)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Self]:
        """Make the changes inside atomic: committed at the end, rolled back by an exception.

        Inside another transaction it is a savepoint: an exception gives up what came since.
        """
        async with self._turns.transaction():
            begin, end, give_up = transaction_bounds(self._depth + self._session.in_batch)
            self._depth += 1
            try:
                await self.execute(begin)
                try:
                    yield self
                except BaseException:
                    if self._session.in_batch:
                        for text in give_up:
                            await self.execute(text)
                    raise
                if (await self.execute(end)).tag == "ROLLBACK":
                    raise BatchFailed("a statement of the batch failed, so nothing of it was kept")
            finally:
                self._depth -= 1

    async def close(self) -> None:
        """Give everything back; closing twice is no error."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._session.close()
        finally:
            if self._worker is not None:
                self._worker.shutdown()
            self._home.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # ---- inside

    async def _become(self, identity: str) -> None:
        """Go on as another identity of the directory; what belongs to the session is over."""
        home = self._home.become(identity, self._passphrase)
        session = await open_session(home, self._network)
        before, self._session = self._session, session
        left, self._home = self._home, home
        try:
            await before.close()
        finally:
            left.leave_to(home)

    async def _carried_out(self, start: Callable[[], Result | Awaitable[Result]]) -> Result:
        """Return what a statement gives, within the time that it may take."""
        if self.timeout_s is None:
            return await self._result(start)
        try:
            async with asyncio.timeout(self.timeout_s):
                return await self._result(start)
        except TimeoutError as error:
            limit = f"the statement took longer than {self.timeout_s} s"
            raise StatementCancelled(limit) from error

    async def _result(self, start: Callable[[], Result | Awaitable[Result]]) -> Result:
        """Return what a statement gives: over the network on the loop, else beside it."""
        if self._session.networks:
            started = start()
            return await started if inspect.isawaitable(started) else started
        found = await self._off_loop(start)
        assert isinstance(found, Result), "only a session on a network gives awaitables"
        return found

    async def _off_loop(self, work: Callable[[], _T]) -> _T:
        """Return what a computation on the worker thread gives; cancelling stops it there first."""
        if self._closed:
            raise InterfaceError("the connection is closed")
        if self._worker is None:
            self._worker = ThreadPoolExecutor(1, thread_name_prefix="mfdb statement")
        future = asyncio.get_running_loop().run_in_executor(self._worker, work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            while not future.done():
                self._session.interrupt()
                await asyncio.wait((future,), timeout=_AGAIN_S)
            if not future.cancelled():
                future.exception()  # nobody else will look at it
            raise
