"""A line on standard error for what takes over a second: how long, and how far where that is known.

Drawn by a thread of its own, because a statement of this machine keeps the thread it runs on.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

AFTER_S = 1.0
EVERY_S = 0.2
_WIDTH = 30
_ERASE = "\r\x1b[K"


class Progress:
    """Shows that something is being worked on, from one second after `with` until its end.

    `fraction` tells how much is done, 0 to 1, or None where nobody knows; `doing` in words.
    """

    def __init__(
        self,
        now: Callable[[], float],
        *,
        fraction: Callable[[], float | None] = lambda: None,
        doing: Callable[[], str] = lambda: "",
        stream: TextIO | None = None,
        is_shown: Callable[[], bool] = lambda: True,
        after_s: float = AFTER_S,
    ) -> None:
        self._now = now
        self._fraction = fraction
        self._doing = doing
        self._stream = stream or sys.stderr
        self._is_shown = is_shown
        self._after_s = after_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._draw, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._started_s = self._now()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _draw(self) -> None:
        if self._ended.wait(self._after_s):
            return
        while True:
            if self._is_shown():
                line = line_of(self._now() - self._started_s, self._fraction(), self._doing())
                self._stream.write(_ERASE + line)
                self._stream.flush()
            if self._ended.wait(EVERY_S):
                break
        self._stream.write(_ERASE)
        self._stream.flush()


def line_of(taken_s: float, fraction: float | None, doing: str = "") -> str:
    """Return the line.

    >>> line_of(3.2, None)
    'running 3 s (Ctrl-C cancels)'
    >>> line_of(3.2, None, "3 of 12 segments are coded once more")
    'running 3 s: 3 of 12 segments are coded once more (Ctrl-C cancels)'
    >>> line_of(10, 0.25)
    '[#######                       ]  25 % 10 s, 30 s left'
    """
    if fraction is None:
        said = f": {doing}" if doing else ""
        return f"running {taken_s:.0f} s{said} (Ctrl-C cancels)"
    done = min(max(fraction, 0.0), 1.0)
    bar = "#" * int(done * _WIDTH)
    left = f", {taken_s / done - taken_s:.0f} s left" if done > 0 else ""
    return f"[{bar:<{_WIDTH}}] {done * 100:3.0f} % {taken_s:.0f} s{left}"
