"""Whose turn it is on one asyncio connection: one statement at a time, transactions apart.

A transaction has the connection to itself: statements of other tasks wait until it is over. Tasks
that are started inside it belong to it, so that a task group in a transaction does not wait for
itself. Changes on a network share their turns: what waits for receipts at the same time goes out as
one changeset (`mfdb.client.lane`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

_inside: ContextVar[tuple[object, ...]] = ContextVar("mfdb_transactions", default=())


class _Line:
    """First come, first served; those who share go in together if they stand side by side."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[bool, asyncio.Future[None]]] = deque()
        self._sharers = 0
        self._is_taken = False

    def turn(self, *, shared: bool) -> _Turn:
        """Return a context that is inside: alone, or with others who share."""
        return _Turn(self, shared=shared)

    def enter(self, *, shared: bool) -> asyncio.Future[None] | None:
        """Go in, or return what to wait for."""
        if not self._waiting and not self._is_taken and (shared or not self._sharers):
            self._sharers += shared
            self._is_taken = not shared
            return None
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((shared, turn))
        self._admit()
        return turn

    def give_up(self, turn: asyncio.Future[None], *, shared: bool) -> None:
        """Leave the line, after the wait was cancelled."""
        if turn.done() and not turn.cancelled():
            self.leave(shared=shared)
        self._admit()

    def leave(self, *, shared: bool) -> None:
        """Go out."""
        if shared:
            self._sharers -= 1
        else:
            self._is_taken = False
        self._admit()

    def _admit(self) -> None:
        while self._waiting:
            shared, turn = self._waiting[0]
            if not turn.cancelled():
                if self._is_taken or (self._sharers and not shared):
                    return
                self._sharers += shared
                self._is_taken = not shared
                turn.set_result(None)
            self._waiting.popleft()


class _Turn:
    """One turn, as a context; no generator, as a statement over the network takes one each."""

    __slots__ = ("_line", "_shared")

    def __init__(self, line: _Line, *, shared: bool) -> None:
        self._line = line
        self._shared = shared

    async def __aenter__(self) -> None:
        turn = self._line.enter(shared=self._shared)
        if turn is None:
            return
        try:
            await turn
        except asyncio.CancelledError:
            self._line.give_up(turn, shared=self._shared)
            raise

    async def __aexit__(self, *_: object) -> None:
        self._line.leave(shared=self._shared)


class Turns:
    """Takes turns on one connection."""

    def __init__(self) -> None:
        self._free = _Line()
        self._statement = asyncio.Lock()
        self._transaction: object | None = None

    @property
    def is_inside(self) -> bool:
        """Whether the present task is part of the open transaction."""
        return self._transaction is not None and self._transaction in _inside.get()

    def statement(self, *, shared: bool = False) -> AbstractAsyncContextManager[None]:
        """Have the connection for one statement; `shared`, beside others that share it."""
        return self._statement if self.is_inside else self._free.turn(shared=shared)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Have the connection for several statements; inside a transaction that is so already."""
        if self.is_inside:
            yield
            return
        async with self._free.turn(shared=False):
            mine = self._transaction = object()
            before = _inside.set((*_inside.get(), mine))
            try:
                yield
            finally:
                self._transaction = None
                _inside.reset(before)
