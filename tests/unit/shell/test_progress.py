"""The line for long work: drawn, erased, never for short work."""

from __future__ import annotations

import io
import threading

from shell.progress import Progress, line_of


class Drawn(io.StringIO):
    """Tells when something was drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.lines = threading.Event()

    def write(self, text: str) -> int:
        if text.strip("\r\x1b[K"):
            self.lines.set()
        return super().write(text)


def test_long_work_is_shown_and_the_line_erased() -> None:
    stream = Drawn()
    with Progress(lambda: 3.0, fraction=lambda: 0.5, stream=stream, after_s=0):
        assert stream.lines.wait(20)
    assert " 50 %" in stream.getvalue()
    assert stream.getvalue().endswith("\r\x1b[K")


def test_short_work_is_not() -> None:
    stream = Drawn()
    with Progress(lambda: 0.0, stream=stream, after_s=600):
        pass
    assert stream.getvalue() == ""


def test_nothing_is_drawn_while_something_else_owns_the_screen() -> None:
    stream = Drawn()
    asked = threading.Event()

    def is_shown() -> bool:
        asked.set()
        return False

    with Progress(lambda: 0.0, stream=stream, after_s=0, is_shown=is_shown):
        assert asked.wait(20)
    assert not stream.lines.is_set()


def test_the_line() -> None:
    assert line_of(12.4, None) == "running 12 s (Ctrl-C cancels)"
    assert line_of(0, 0) == "[" + " " * 30 + "]   0 % 0 s"
    assert line_of(9, 1.7) == "[" + "#" * 30 + "] 100 % 9 s, 0 s left"
