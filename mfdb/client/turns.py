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

_inside: ContextVar[tuple[object, ...]] = ContextVar("mfdb_transactions", default=())


class _Line:
    """First come, first served; those who share go in together if they stand side by side."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[bool, asyncio.Future[None]]] = deque()
        self._sharers = 0
        self._is_taken = False

    @asynccontextmanager
    async def turn(self, *, shared: bool) -> AsyncIterator[None]:
        """Be inside: alone, or with others who share."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((shared, turn))
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave(shared=shared)
            self._admit()
            raise
        try:
            yield
        finally:
            self._leave(shared=shared)

    def _leave(self, *, shared: bool) -> None:
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

    @asynccontextmanager
    async def statement(self, *, shared: bool = False) -> AsyncIterator[None]:
        """Have the connection for one statement; `shared`, beside others that share it."""
        if self.is_inside:
            async with self._statement:
                yield
            return
        async with self._free.turn(shared=shared):
            yield

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
