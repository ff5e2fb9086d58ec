"""Which connections a transport has: one per pair of keys, however both sides dial.

When two nodes dial each other at once, the dial of the smaller key stands: its owner answers the
other dial with DUPLICATE, and who hears that waits for the connection to come in. A new connection
from a peer that has an old one replaces it, as the peer would not dial if the old one still stood.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING

from mfdb.kernel.errors import DeadlineExceeded, InterfaceError, PeerUnreachable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from mfdb.kernel.ids import TransportKey
    from mfdb.net.session import Session
    from mfdb.net.settings import NetSettings


class Verdict(IntEnum):
    """What the accepting side says to a proven key."""

    WELCOME = 0
    DUPLICATE = 1
    FULL = 2
    REFUSED = 3


class PeerTable:
    """The live connections of one transport."""

    def __init__(self, own: TransportKey, settings: NetSettings) -> None:
        self._own = own
        self._settings = settings
        self._open: dict[TransportKey, Session] = {}
        self._ending: dict[Session, None] = {}
        self._dialling: dict[TransportKey, int] = {}
        self._locks: dict[TransportKey, asyncio.Lock] = {}
        self._awaited: dict[TransportKey, list[asyncio.Future[Session]]] = {}
        self.closing = False

    def get(self, key: TransportKey) -> Session | None:
        """Return the open connection to a peer, if there is one."""
        return self._open.get(key)

    def sessions(self) -> list[Session]:
        """Return the open connections in the order they were made."""
        return list(self._open.values())

    async def connect(
        self,
        key: TransportKey,
        address: str,
        attempt: Callable[[TransportKey, str], Awaitable[Session]],
        *,
        timeout_s: float,
    ) -> Session:
        """Return the connection to a peer: the open one, or what `attempt` makes.

        Attempts for one key run one at a time, so that concurrent callers share a connection.

        Raises:
            InterfaceError: the transport is closed.
            PeerUnreachable: that is our own key, or what `attempt` raised.
            DeadlineExceeded: it took longer than `timeout_s`.
        """
        if self.closing:
            raise InterfaceError("the transport is closed")
        present = self._open.get(key)
        if present is not None:
            return present
        if key == self._own:
            raise PeerUnreachable("that is this node's own key")
        try:
            async with asyncio.timeout(timeout_s):
                with self._turn(key) as lock:
                    async with lock:
                        return self._open.get(key) or await attempt(key, address)
        except TimeoutError as error:
            raise DeadlineExceeded(f"no handshake with {address} within {timeout_s:g} s") from error

    @contextmanager
    def _turn(self, key: TransportKey) -> Iterator[asyncio.Lock]:
        lock = self._locks.setdefault(key, asyncio.Lock())
        self._dialling[key] = self._dialling.get(key, 0) + 1
        try:
            yield lock
        finally:
            self._dialling[key] -= 1
            if not self._dialling[key]:
                del self._dialling[key], self._locks[key]

    def judge(self, key: TransportKey) -> Verdict:
        """Return what to say to an incoming connection of a proven key."""
        if self.closing or key == self._own:
            return Verdict.REFUSED
        present = self._open.get(key)
        if self._own < key and (key in self._dialling or (present and self._is_fresh(present))):
            return Verdict.DUPLICATE
        if present is None and len(self._open) >= self._settings.connections:
            return Verdict.FULL
        return Verdict.WELCOME

    def add(self, session: Session) -> None:
        """Take a connection in, replacing an older one of the same peer."""
        old = self._open.get(session.key)
        if old is not None:
            old.abort("the peer made a new connection")
        self._open[session.key] = session
        self._ending[session] = None
        session.when_shut(self._remove)
        session.when_ended(self._forget)
        for waiter in self._awaited.pop(session.key, []):
            if not waiter.done():
                waiter.set_result(session)

    async def turned_away(self, key: TransportKey, address: str, verdict: Verdict) -> Session:
        """Return the peer's own connection if it said DUPLICATE; the caller sets the deadline.

        Raises:
            PeerUnreachable: the peer takes no connection from us.
        """
        if verdict is not Verdict.DUPLICATE:
            raise PeerUnreachable(
                f"the node at {address} takes no connection", hint=f"it said {verdict.name}"
            )
        present = self._open.get(key)
        if present is not None:
            return present
        waiter: asyncio.Future[Session] = asyncio.get_running_loop().create_future()
        waiters = self._awaited.setdefault(key, [])
        waiters.append(waiter)
        try:
            return await waiter
        finally:
            waiters.remove(waiter)
            if not waiters and self._awaited.get(key) is waiters:
                del self._awaited[key]

    async def close(self) -> None:
        """Close every connection and wait for the end of each, also of those ending already."""
        self.closing = True
        while self._ending:
            sessions = list(self._ending)
            await asyncio.gather(*(session.close() for session in sessions))

    def drop(self) -> None:
        """End every connection at once without a word to the handler, as a killed process does."""
        self.closing = True
        for session in list(self._ending):
            session.abort("this node was killed", tell=False)

    def _remove(self, session: Session) -> None:
        if self._open.get(session.key) is session:
            del self._open[session.key]

    def _forget(self, session: Session) -> None:
        del self._ending[session]

    def _is_fresh(self, session: Session) -> bool:
        """Whether a connection that we dialled is so new that the peer's dial crossed it."""
        age_s = asyncio.get_running_loop().time() - session.opened_at
        return session.dialled_here and age_s < self._settings.handshake_s
