"""Bytes from wherever they come, as text; and text to wherever it goes."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from mfdb.kernel.errors import BadCopyData, InterfaceError, OperationalError

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK_BYTES = 2**18
"""Read at a time."""


class ReadSource:
    """Text of a stream of bytes or text; `bytes_read` counts what has been taken."""

    def __init__(self, stream: Any, encoding: str) -> None:
        self._stream = stream
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._is_first = True
        self.bytes_read = 0

    def chunks(self) -> Iterator[str]:
        """Yield the text in pieces.

        Raises:
            BadCopyData: bytes spell no text in the encoding; the message says where.
        """
        while True:
            chunk = self._stream.read(CHUNK_BYTES)
            text = chunk if isinstance(chunk, str) else self._decoded(chunk)
            self.bytes_read += len(chunk)
            if self._is_first and text:
                self._is_first = False
                text = text.removeprefix("\ufeff")
            if text:
                yield text
            if not chunk:
                return

    def _decoded(self, chunk: bytes) -> str:
        waiting = len(self._decoder.getstate()[0])
        try:
            return self._decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            at = self.bytes_read - waiting + error.start
            wrong = error.object[error.start : error.start + 1].hex()
            raise BadCopyData(
                f"byte {at} (0x{wrong}) is no {self._encoding}",
                hint="say how the file is written: ENCODING 'latin-1'",
            ) from None


@contextlib.contextmanager
def opened_source(path: str | None, stream: Any) -> Iterator[IO[bytes]]:
    """Return a context that reads a file, or the stream that the caller gave.

    Raises:
        InterfaceError: STDIN without a stream.
        OperationalError: the file cannot be read.
    """
    if path is None:
        if stream is None:
            raise InterfaceError(
                "COPY FROM STDIN needs a stream", hint="pass one: connection.copy(text, stream)"
            )
        yield stream
        return
    try:
        file = Path(path).expanduser().open("rb")
    except OSError as error:
        raise OperationalError(f"cannot read {path}: {error.strerror}") from error
    with file:
        yield file


class Sink(Protocol):
    """Where bytes go."""

    def write(self, data: bytes, /) -> object:
        """Take bytes."""
        ...


@contextlib.contextmanager
def opened_sink(path: str | None, stream: Any) -> Iterator[Sink]:
    """Return a context that writes a file, which appears when all is written, or a stream.

    Raises:
        InterfaceError: STDOUT without a stream.
        OperationalError: the file cannot be written.
    """
    if path is None:
        if stream is None:
            raise InterfaceError(
                "COPY TO STDOUT needs a stream", hint="pass one: connection.copy(text, stream)"
            )
        yield _TextSink(stream) if isinstance(stream, io.TextIOBase) else stream
        return
    target = Path(path).expanduser()
    try:
        with replacing(target) as part, part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OperationalError(f"cannot write {path}: {error.strerror}") from error


@contextlib.contextmanager
def replacing(target: Path, *, mode: int | None = None) -> Iterator[Path]:
    """Return a context with a file beside the target, which takes its place if all goes well.

    `mode` says who may read it; None: whoever may read new files of this process.
    """
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        part.chmod(0o666 & ~_umask() if mode is None else mode)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _umask() -> int:
    found = os.umask(0)
    os.umask(found)
    return found


class _TextSink:
    """A stream of text that takes bytes."""

    def __init__(self, stream: io.TextIOBase) -> None:
        self._stream = stream

    def write(self, data: bytes) -> object:
        return self._stream.write(data.decode())
