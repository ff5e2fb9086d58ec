"""Lines of a script without blocking the event loop: a pipe may be silent for hours."""

from __future__ import annotations

import asyncio
import os
import stat
from typing import TYPE_CHECKING

from mfdb.kernel.errors import DataError, ValueTooLarge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import BinaryIO

LINE_BYTES = 64 * 2**20
"""Longest line that is read."""


async def lines_of(stream: BinaryIO) -> AsyncIterator[str]:
    """Yield the lines of a file or pipe, each with its line break.

    Raises:
        DataError: a line is not UTF-8.
        ValueTooLarge: a line is over `LINE_BYTES`.
    """
    number = 0
    async for raw in _raw_lines(stream):
        number += 1
        if len(raw) > LINE_BYTES:
            raise ValueTooLarge(f"line {number} is longer than {LINE_BYTES} bytes")
        try:
            yield raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"line {number} is not UTF-8 (byte {error.start})", hint="save the script as UTF-8"
            ) from error


async def _raw_lines(stream: BinaryIO) -> AsyncIterator[bytes]:
    reader = await _pipe_reader(stream)
    if reader is None:
        while line := stream.readline(LINE_BYTES + 1):
            yield line
        return
    while line := await _line(reader):
        yield line


async def _pipe_reader(stream: BinaryIO) -> asyncio.StreamReader | None:
    """Return a reader over a pipe, socket or terminal; None for what never makes us wait."""
    if not _may_wait(stream):
        return None
    reader = asyncio.StreamReader(limit=LINE_BYTES)
    protocol = asyncio.StreamReaderProtocol(reader)
    copy = os.fdopen(os.dup(stream.fileno()), "rb")
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, copy)
    return reader


def _may_wait(stream: BinaryIO) -> bool:
    try:
        mode = os.fstat(stream.fileno()).st_mode
    except OSError:
        return False  # in memory
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stream.isatty()


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readline()
    except ValueError as error:
        raise ValueTooLarge(f"a line is longer than {LINE_BYTES} bytes") from error
