"""One event loop on a thread of its own, for callers that do not await."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from mfdb.kernel.errors import InterfaceError, StatementCancelled
from mfdb.net import loops

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

T = TypeVar("T")


class LoopThread:
    """Runs what is given to it, until it is closed."""

    def __init__(self) -> None:
        self._loop = loops.loop_factory()()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="mfdb event loop", daemon=True
        )
        self._thread.start()
        self._waiting: set[concurrent.futures.Future[Any]] = set()

    def run(self, work: Awaitable[T]) -> T:
        """Return what an awaitable gives; Ctrl-C while waiting cancels it.

        Raises:
            InterfaceError: the thread was closed.
            StatementCancelled: `interrupt` was called meanwhile.
        """
        if self._loop.is_closed():
            raise InterfaceError("the connection is closed")
        future = asyncio.run_coroutine_threadsafe(_awaited(work), self._loop)
        self._waiting.add(future)
        try:
            return future.result()
        except concurrent.futures.CancelledError as error:
            raise StatementCancelled("the statement was cancelled") from error
        except BaseException:
            future.cancel()
            raise
        finally:
            self._waiting.discard(future)

    def interrupt(self) -> None:
        """Cancel what `run` waits for now, if anything; from any thread."""
        for future in tuple(self._waiting):
            future.cancel()

    def iterate(self, open_: Callable[[], AsyncIterator[T]]) -> Iterator[T]:
        """Yield what an asynchronous iterator yields; leaving the loop closes it there."""
        items = self.run(_called(open_))
        end = object()
        try:
            while True:
                item = self.run(_next(items, end))
                if item is end:
                    return
                yield item
        finally:
            if not self._loop.is_closed():
                self.run(_closed(items))

    def close(self) -> None:
        """Stop the loop and its thread; returns when both have ended."""
        if self._loop.is_closed():
            return
        self.run(_cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _awaited(work: Awaitable[T]) -> T:
    return await work


async def _called(work: Callable[[], T]) -> T:
    return work()


async def _next(items: AsyncIterator[T], end: Any) -> Any:
    return await anext(items, end)


async def _closed(items: AsyncIterator[Any]) -> None:
    close = getattr(items, "aclose", None)
    if close is not None:
        await close()


async def _cancel_all() -> None:
    mine = asyncio.current_task()
    others = [task for task in asyncio.all_tasks() if task is not mine]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
    await asyncio.get_running_loop().shutdown_default_executor()
