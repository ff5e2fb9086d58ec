"""Where results go: the screen, a file, or another command's standard input."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

from mfdb.kernel.errors import OperationalError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Sink:
    """A place for text. The screen is looked up at each writing, because a prompt may wrap it."""

    def __init__(
        self, stream: IO[str] | None = None, process: subprocess.Popen[str] | None = None
    ) -> None:
        self._stream = stream
        self._process = process

    @property
    def is_screen(self) -> bool:
        """Whether this is standard output."""
        return self._stream is None

    def write(self, text: str) -> None:
        """Write text.

        Raises:
            OperationalError: the file, command or standard output takes no more.
        """
        if self._stream is None:
            with _written(is_screen=True):
                sys.stdout.write(text)
            return
        with contextlib.suppress(BrokenPipeError), _written():  # the command has seen enough
            self._stream.write(text)

    def write_bytes(self, data: bytes) -> None:
        """Write bytes, behind the text written so far; raises as `write`."""
        stream = self._stream or sys.stdout
        below: IO[bytes] | None = getattr(stream, "buffer", None)
        if below is None:  # a stream that takes text only
            self.write(data.decode("utf-8", "replace"))
            return
        with contextlib.suppress(BrokenPipeError), _written(is_screen=self.is_screen):
            stream.flush()
            below.write(data)
            below.flush()

    def flush(self) -> None:
        """Hand on what is written; raises as `write`."""
        with _written(is_screen=self.is_screen):
            (self._stream or sys.stdout).flush()

    def close(self) -> None:
        """Finish; waits for the command to end."""
        if self._stream is None:
            return
        with contextlib.suppress(BrokenPipeError), _written():  # as above
            self._stream.close()
        if self._process is not None:
            self._process.wait()


@contextlib.contextmanager
def _written(*, is_screen: bool = False) -> Iterator[None]:
    """Let a full disk be an error of ours; standard output has no second try at the end then."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if is_screen:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OperationalError(
            f"cannot write: {error.strerror}", hint="make room, or write elsewhere"
        ) from error


def open_sink(name: str) -> Sink:
    """Return the sink that a name means: `|command`, a path, or (empty) the screen.

    Raises:
        OperationalError: it cannot be opened.
    """
    if not name:
        return Sink()
    if name.startswith("|"):
        sys.stdout.flush()
        process = subprocess.Popen(
            name[1:], shell=True, stdin=subprocess.PIPE, text=True, encoding="utf-8"
        )
        return Sink(process.stdin, process)
    path = Path(name).expanduser()
    try:
        return Sink(path.open("w", encoding="utf-8"))
    except OSError as error:
        raise OperationalError(
            f"cannot write {name[:200]}: {error.strerror}", hint="name a file, or |command"
        ) from error
