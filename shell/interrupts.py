"""Ctrl-C while a statement runs: the first cancels it, a second within two seconds abandons it.

A statement may wait for the network (its task is cancelled), or compute on this very thread (the
connection is asked to interrupt it; Python calls signal handlers between its instructions, and the
relational engine looks for signals too). A second Ctrl-C takes effect wherever the code is.
"""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import FrameType

    from shell.session import Session

T = TypeVar("T")
AGAIN_S = 2.0
"""A second Ctrl-C counts as one within so many seconds."""


class Interrupted(Exception):
    """The work was cancelled by Ctrl-C; `abandoned` if it may still go on unseen."""

    def __init__(self, *, abandoned: bool) -> None:
        super().__init__(abandoned)
        self.abandoned = abandoned


class _Abandoned(BaseException):
    """Raised in the middle of a statement; nobody takes it for an error of his own."""


class _Watch(Generic[T]):
    """Hears of Ctrl-C on behalf of one piece of work."""

    def __init__(
        self, task: asyncio.Task[object], session: Session, now: Callable[[], float]
    ) -> None:
        self._task = task
        self._session = session
        self._now = now
        self._loop = asyncio.get_running_loop()
        self._last_s = float("-inf")
        self.given_up: asyncio.Future[None] = self._loop.create_future()
        self.count = 0

    def hear(self, _number: int, _frame: FrameType | None) -> None:
        """Cancel, or give up. Runs on the loop's own thread, perhaps amid the work."""
        if self._session.is_paging:
            return  # the pager owns the screen, and the key
        now_s = self._now()
        is_again, self._last_s = now_s - self._last_s < AGAIN_S, now_s
        self.count += 1
        is_amid = asyncio.current_task(self._loop) is self._task
        if is_again:
            if is_amid:
                raise _Abandoned
            self._loop.call_soon_threadsafe(self._give_up)
            return
        self._session.interrupt()
        self._loop.call_soon_threadsafe(self._task.cancel)  # no matter if it is done by then

    def _give_up(self) -> None:
        if not self.given_up.done():
            self.given_up.set_result(None)


async def interruptible(
    work: Coroutine[object, object, T], session: Session, now: Callable[[], float]
) -> T:
    """Return what the work returns.

    Raises:
        Interrupted: Ctrl-C ended it.
    """
    task = asyncio.ensure_future(work)
    watch: _Watch[T] = _Watch(task, session, now)
    before = signal.signal(signal.SIGINT, watch.hear)
    try:
        both: set[asyncio.Future[Any]] = {task, watch.given_up}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.add_done_callback(_look_away)
            raise Interrupted(abandoned=True)
        if task.exception() is None and watch.count and not session.interactive:
            raise Interrupted(abandoned=False)  # it failed as cancelled; a script ends here
        return task.result()
    except _Abandoned:
        raise Interrupted(abandoned=True) from None
    except asyncio.CancelledError:
        if not task.cancelled() or not watch.count:
            task.cancel()
            raise  # somebody cancels the whole shell
        raise Interrupted(abandoned=False) from None
    finally:
        watch.given_up.cancel()
        signal.signal(signal.SIGINT, before)


def _look_away(task: asyncio.Future[Any]) -> None:
    """Take the outcome of abandoned work, so that asyncio does not complain that nobody did."""
    if not task.cancelled():
        task.exception()
