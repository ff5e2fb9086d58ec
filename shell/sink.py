"""Where results go: the screen, a file, or another command's standard input."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import IO

from mfdb.kernel.errors import OperationalError


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
            OperationalError: the file or command takes no more.
        """
        if self._stream is None:
            sys.stdout.write(text)
            return
        try:
            self._stream.write(text)
        except BrokenPipeError:
            pass  # the command has seen enough
        except OSError as error:
            raise OperationalError(f"cannot write: {error.strerror}") from error

    def write_bytes(self, data: bytes) -> None:
        """Write bytes, behind the text written so far; raises as `write`."""
        stream = self._stream or sys.stdout
        below: IO[bytes] | None = getattr(stream, "buffer", None)
        if below is None:  # a stream that takes text only
            self.write(data.decode("utf-8", "replace"))
            return
        stream.flush()
        with contextlib.suppress(BrokenPipeError):
            below.write(data)
            below.flush()

    def flush(self) -> None:
        """Hand on what is written."""
        (self._stream or sys.stdout).flush()

    def close(self) -> None:
        """Finish; waits for the command to end."""
        if self._stream is None:
            return
        with contextlib.suppress(BrokenPipeError):  # as above
            self._stream.close()
        if self._process is not None:
            self._process.wait()


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
