"""What happened in a simulation, and in which process: the trace and the nodes' own log.

The trace is the run: two runs of one seed have the same one, line by line. A node's warnings are
part of it; its errors with a traceback (a task that died, a handler that failed) are faults of the
code, never of the simulated world, and end the run, unless the process was killed just then.
"""

from __future__ import annotations

import hashlib
import logging
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

_LOGGERS = ("mfdb", "asyncio")


@dataclass(slots=True, eq=False)
class Life:
    """One process of a machine, from its start to its end."""

    name: str
    is_over: bool = False


RUNNING: ContextVar[Life | None] = ContextVar("the process whose code runs", default=None)


class Trace:
    """The lines of a run, their hash, and the faults that the code itself reported."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._hash = hashlib.sha256()
        self.lines: list[str] = []
        self.faults: list[str] = []

    def add(self, event: str) -> None:
        """Note an event at the present virtual time."""
        line = f"{self._now_s():10.3f}  {event}"
        self._hash.update(line.encode() + b"\n")
        self.lines.append(line)

    def digest(self) -> str:
        """Return the hash of everything so far."""
        return self._hash.hexdigest()

    def last(self, count: int) -> list[str]:
        """Return the newest lines."""
        return self.lines[-count:]

    def on_loop_error(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Take what an event loop complains of."""
        life = RUNNING.get()
        if life is None or not life.is_over:
            self.faults.append(f"event loop: {context['message']} {context.get('exception')!r}")

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the nodes' log into the trace while the context lasts."""
        handler = _Listener(self)
        kept = []
        for name in _LOGGERS:
            logger = logging.getLogger(name)
            kept.append((logger, logger.propagate))
            logger.propagate = False
            logger.addHandler(handler)
        try:
            yield
        finally:
            for logger, propagate in kept:
                logger.removeHandler(handler)
                logger.propagate = propagate


class _Listener(logging.Handler):
    def __init__(self, trace: Trace) -> None:
        super().__init__(logging.WARNING)
        self._trace = trace

    def emit(self, record: logging.LogRecord) -> None:
        life = RUNNING.get()
        if life is not None and life.is_over:
            return
        who = life.name if life else "-"
        text = f"{who} {record.levelname.lower()}: {record.getMessage()}"
        if record.levelno >= logging.ERROR and record.exc_info:
            reason = repr(record.exc_info[1])
            self._trace.faults.append(f"{text}: {reason}")
            text = f"{text}: {reason}"
        self._trace.add(text)
