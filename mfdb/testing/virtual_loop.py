"""An asyncio event loop whose time is virtual: when nothing is ready it jumps to the next timer.

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())

Hours of timers pass in milliseconds, and the order of everything depends on the program alone.
No sockets and no threads: `run_in_executor` (and so `asyncio.to_thread`) runs its function at once
on the loop's own thread. When nothing is ready and no timer is set, `Deadlock` tells who waits.
"""

from __future__ import annotations

import asyncio
import heapq
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Coroutine
    from contextvars import Context

T = TypeVar("T")

_RESOLUTION_S = 1e-6
"""Timers this close together fire in one turn; far below every delay, far above rounding."""
_SHOWN_TASKS = 12


class Deadlock(RuntimeError):
    """Every task waits for another one; in real time the program would hang for ever."""


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop in virtual time, which begins at 0.

    It turns without the selector and with timers that compare in C, because a simulation is mostly
    turns of this loop: a seed of the simulator takes 60,000.
    """

    _ready: deque[asyncio.Handle]
    _stopping: bool

    def __init__(self) -> None:
        super().__init__()
        self._virtual_s = 0.0
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._timers_ever = 0

    def time(self) -> float:
        """Return the virtual seconds since the loop was made."""
        return self._virtual_s

    def call_at(  # type: ignore[override] # typeshed wants *Ts; the values pass unchanged
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call back at a virtual time; of two timers for one time the older is the first."""
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._timers_ever += 1
        heapq.heappush(self._timers, (when, self._timers_ever, handle))
        return handle

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

    # ---- what asyncio calls of every loop

    def _run_once(self) -> None:
        """Take one turn: what is ready now, or else what is due next."""
        ready, timers = self._ready, self._timers
        while timers and timers[0][2].cancelled():
            heapq.heappop(timers)
        if not ready and not self._stopping:
            self._jump()
        due_s = self._virtual_s + _RESOLUTION_S
        while timers and timers[0][0] < due_s:
            ready.append(heapq.heappop(timers)[2])
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()  # noqa: SLF001,RUF100 - handles are a loop's own to run

    def _jump(self) -> None:
        """Let time pass until the next timer is due."""
        if not self._timers:
            waiting = self.waiting()
            shown = "; ".join(waiting[:_SHOWN_TASKS])
            raise Deadlock(
                f"at {self._virtual_s:.3f} s nothing is ready and no timer is set; "
                f"{len(waiting)} tasks wait: {shown}"
            )
        self._virtual_s = max(self._virtual_s, self._timers[0][0])

    def _write_to_self(self) -> None:
        """Nobody has to be woken up: this loop never sleeps."""


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
