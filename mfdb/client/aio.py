"""The asyncio API.

async with await mfdb.aio.connect(data) as db:
    await db.execute("INSERT INTO notes (body) VALUES (?)", ["hello"])
    async for change in db.subscribe("SUBSCRIBE TO notes"):
        ...
"""

from __future__ import annotations

import inspect
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Self

from mfdb.client.opening import Home, Passphrase, open_home
from mfdb.client.results import Change, Column, Result
from mfdb.kernel.ids import show

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Awaitable, Iterable

    from mfdb.client.remote import Remote
    from mfdb.client.session import Session
    from mfdb.sql.parameters import Given

__all__ = ["Change", "Column", "Connection", "Result", "connect"]


async def connect(
    data: str | os.PathLike[str] | None = None,
    *,
    identity: str | None = None,
    network: str | os.PathLike[str] | None = None,
    passphrase: Passphrase = None,
) -> Connection:
    """Return a connection to a data directory, and to a network if one is named.

    `data` None is the user's own directory, ":memory:" a temporary one. `network` is the path of a
    network file (`mfdb devnet up` writes one). On a fresh directory with a network, the identity's
    datasets are restored from it.

    Raises:
        UnknownIdentity, WrongPassphrase: the identity is not there or does not open.
        StoreLocked: another process works on the directory.
        NetworkError, ChainError: the network is in the way.
    """
    home = open_home(data, identity=identity, passphrase=passphrase)
    try:
        remote = None if network is None else await open_remote(home, network)
        session = home.session(remote)
        if remote is not None:
            await _restore_once(session, home)
    except BaseException:
        home.close()
        raise
    return Connection(session, home)


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
    """An open database of one identity. One statement at a time; subscriptions run beside it."""

    def __init__(self, session: Session, home: Home) -> None:
        self._session = session
        self._home = home
        self._closed = False

    @property
    def identity(self) -> str:
        """The identity's address, as text."""
        return show(self._home.keys.address)

    @property
    def notices(self) -> list[str]:
        """What the person should be told; whoever tells it empties the list."""
        return self._home.notices

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
        """Return the result of one statement.

        Raises:
            MfdbError: it failed; nothing of it was kept (but see QuorumNotReached).
        """
        return await _settled(self._session.start(text, params))

    async def executemany(self, text: str, many: Iterable[Given]) -> Result:
        """Carry out one change for each set of parameters, as one changeset.

        Raises:
            MfdbError: one failed; nothing of any was kept.
        """
        return await _settled(self._session.start_many(text, list(many)))

    async def fetch(self, text: str, params: Given = ()) -> list[tuple[object, ...]]:
        """Return the rows of a statement."""
        return list((await self.execute(text, params)).rows)

    async def fetchrow(self, text: str, params: Given = ()) -> tuple[object, ...] | None:
        """Return the first row of a statement, or None."""
        rows = (await self.execute(text, params)).rows
        return rows[0] if rows else None

    async def fetchval(self, text: str, params: Given = ()) -> object:
        """Return the first value of the first row of a statement, or None."""
        row = await self.fetchrow(text, params)
        return row[0] if row else None

    def subscribe(
        self, text: str, params: Given = (), since: str | None = None
    ) -> AsyncIterator[Change]:
        """Yield the rows there are (or what changed since a cursor), then changes as they come.

        Raises:
            AccessDenied: this identity may not subscribe.
        """
        return self._session.subscribe(text, params, since)

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
        """Make the changes inside atomic: committed at the end, rolled back by an exception."""
        await self.execute("BEGIN")
        try:
            yield self
        except BaseException:
            if self._session.in_batch:
                await self.execute("ROLLBACK")
            raise
        await self.execute("COMMIT")

    async def close(self) -> None:
        """Give everything back; closing twice is no error."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._session.close()
        finally:
            self._home.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def _settled(started: Result | Awaitable[Result]) -> Result:
    return await started if inspect.isawaitable(started) else started
