"""An asyncio event loop whose time is virtual: when nothing is ready it jumps to the next timer.

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())

Hours of timers pass in milliseconds, and the order of everything depends on the program alone.
No sockets and no threads: `run_in_executor` (and so `asyncio.to_thread`) runs its function at once
on the loop's own thread. When nothing is ready and no timer is set, `Deadlock` tells who waits.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")

_RESOLUTION_S = 1e-6
_SHOWN_TASKS = 12


class Deadlock(RuntimeError):
    """Every task waits for another one; in real time the program would hang for ever."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time, which begins at 0."""

    def __init__(self) -> None:
        self._virtual_s = 0.0
        super().__init__(_Jump(self))
        # Timers this close together fire in one turn; far below every delay, far above rounding.
        self._clock_resolution = _RESOLUTION_S

    def time(self) -> float:
        """Return the virtual seconds since the loop was made."""
        return self._virtual_s

    def advance(self, seconds: float) -> None:
        """Let time pass (called by the selector when nothing is ready)."""
        self._virtual_s += seconds

    def run_in_executor(  # type: ignore[override] # typeshed wants *Ts; the values pass unchanged
        self, _executor: Any, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Run the function now, so that no thread's timing can decide anything."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001,RUF100 - it belongs to whoever awaits the future
            future.set_exception(error)
        return future

    def waiting(self) -> list[str]:
        """Return what each unfinished task is, oldest name first, for error messages."""
        tasks = [task for task in asyncio.all_tasks(self) if not task.done()]
        return sorted(_describe(task) for task in tasks)


class _Jump(selectors.SelectSelector):
    """Instead of waiting for descriptors, lets the loop's time pass."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            waiting = self._loop.waiting()
            shown = "; ".join(waiting[:_SHOWN_TASKS])
            raise Deadlock(
                f"at {self._loop.time():.3f} s nothing is ready and no timer is set; "
                f"{len(waiting)} tasks wait: {shown}"
            )
        self._loop.advance(max(0.0, timeout))
        return []


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in virtual time and return its result.

    Raises:
        Deadlock: it can never end.
    """
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def _describe(task: asyncio.Task[Any]) -> str:
    coroutine = task.get_coro()
    name = getattr(coroutine, "__qualname__", type(coroutine).__name__)
    frames = task.get_stack(limit=1)
    where = f" line {frames[0].f_lineno}" if frames else ""
    return f"{task.get_name()} in {name}{where}"
