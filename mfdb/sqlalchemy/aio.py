"""`mfdb+aio://`: the same connections, whose statements are computed on threads beside the loop."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import pool
from sqlalchemy.util.concurrency import await_only, in_greenlet

from mfdb.client.dbapi import Connection
from mfdb.client.dbcursor import Cursor
from mfdb.sqlalchemy.dialect import MfdbDialect

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mfdb.client.results import Result
    from mfdb.sql.parameters import Given

_T = TypeVar("_T")
_AGAIN_S = 0.05
"""How long a cancelled statement may take to notice before it is told again."""


class AioCursor(Cursor):
    """A cursor for SQLAlchemy's asyncio engine: its rows are here, so closing awaits nothing."""

    server_side = False

    async def _async_soft_close(self) -> None:
        return


class AioConnection(Connection):
    """A DB-API connection that lets the event loop go on while it works."""

    cursor_class = AioCursor

    def run(self, operation: str, many: Sequence[Given] | None, parameters: Given) -> Result:
        """Carry out a statement."""
        return self._beside(partial(super().run, operation, many, parameters))

    def commit(self) -> None:
        """Make the changes durable."""
        self._beside(super().commit)

    def rollback(self) -> None:
        """Give the changes up."""
        self._beside(super().rollback)

    def close(self) -> None:
        """Give everything back."""
        self._beside(super().close)

    def _beside(self, work: Callable[[], _T]) -> _T:
        """Return what some work gives on another thread; outside an engine's task, on this one."""
        if not in_greenlet():
            return work()
        found: _T = await_only(self._awaited(work))
        return found

    async def _awaited(self, work: Callable[[], _T]) -> _T:
        future = asyncio.get_running_loop().run_in_executor(None, work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            while not future.done():
                self.interrupt()
                await asyncio.wait((future,), timeout=_AGAIN_S)
            if not future.cancelled():
                future.exception()  # nobody else will look at it
            raise


class MfdbAioDialect(MfdbDialect):
    """`mfdb+aio://` for `create_async_engine`."""

    driver = "aio"
    is_async = True
    supports_statement_cache = True

    @classmethod
    def get_pool_class(cls, url: Any) -> Any:
        """Return the pool for tasks."""
        return pool.AsyncAdaptedQueuePool

    def get_driver_connection(self, connection: Any) -> Any:
        """Return the connection itself, which nothing wraps."""
        return connection

    def _connected(self, *args: Any, **options: Any) -> Any:
        return super()._connected(*args, **options, factory=AioConnection)


dialect = MfdbAioDialect
