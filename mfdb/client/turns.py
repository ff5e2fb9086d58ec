"""Whose turn it is on one asyncio connection: one statement at a time, transactions apart.

A transaction has the connection to itself: statements of other tasks wait until it is over. Tasks
that are started inside it belong to it, so that a task group in a transaction does not wait for
itself.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_inside: ContextVar[tuple[object, ...]] = ContextVar("mfdb_transactions", default=())


class Turns:
    """Takes turns on one connection."""

    def __init__(self) -> None:
        self._free = asyncio.Lock()
        self._statement = asyncio.Lock()
        self._transaction: object | None = None

    @property
    def is_inside(self) -> bool:
        """Whether the present task is part of the open transaction."""
        return self._transaction is not None and self._transaction in _inside.get()

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[None]:
        """Have the connection for one statement."""
        if self.is_inside:
            async with self._statement:
                yield
            return
        async with self._free, self._statement:
            yield

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Have the connection for several statements; inside a transaction that is so already."""
        if self.is_inside:
            yield
            return
        async with self._free:
            mine = self._transaction = object()
            before = _inside.set((*_inside.get(), mine))
            try:
                yield
            finally:
                self._transaction = None
                _inside.reset(before)
