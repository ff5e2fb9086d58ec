"""Statements from -c, -f and standard input: no prompt, no pager, stop at the first failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.kernel.errors import MfdbError, OperationalError
from mfdb.sql.scanner import split
from shell import exit_codes
from shell.commands import run_command
from shell.lines import lines_of
from shell.script import Entry, ScriptReader, is_meta

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path
    from typing import BinaryIO

    from shell.session import Session


async def run_commands(session: Session, texts: Iterable[str], *, keep_going: bool) -> int:
    """Run the statements of every -c and return the exit code: 0, or 1 if one failed."""
    code = exit_codes.OK
    for text in texts:
        for entry in _entries_of(text):
            if not await run_entry(session, entry):
                code = exit_codes.FAILED
                if not keep_going:
                    return code
            if session.leaving:
                return code
    return code


async def run_file(session: Session, path: Path, *, keep_going: bool) -> int:
    """Run a script file; returns as `run_script`.

    Raises:
        OperationalError: the file cannot be read.
    """
    try:
        stream = path.open("rb")
    except OSError as error:
        raise OperationalError(
            f"cannot read {path}: {error.strerror}", hint="give the path of a SQL script"
        ) from error
    with stream:
        return await run_script(session, stream, name=path.name, keep_going=keep_going)


async def run_script(session: Session, stream: BinaryIO, *, name: str, keep_going: bool) -> int:
    """Run a script and return the exit code: 0, 3 if it stopped, 1 if it went on after a failure.

    The script is read as it is run, so that a pipe is answered statement by statement.
    """
    code = exit_codes.OK
    async for entry in _script_entries(stream):
        if not await run_entry(session, entry, name=name):
            code = exit_codes.FAILED
            if not keep_going:
                return exit_codes.STOPPED
        if session.leaving:
            break
    return code


async def run_entry(session: Session, entry: Entry, *, name: str = "") -> bool:
    """Run one entry; report its failure and return False if it failed."""
    try:
        if is_meta(entry.text):
            await run_command(session, entry.text)
        else:
            await session.run(entry.text)
    except MfdbError as error:
        place = f"{name}:{entry.line}" if name else ""
        session.show_error(error, entry.text, place=place)
        return False
    return True


async def _script_entries(stream: BinaryIO) -> AsyncIterator[Entry]:
    """Yield the entries of a script, each as soon as it is complete."""
    reader = ScriptReader()
    async for line in lines_of(stream):
        for entry in reader.feed(line):
            yield entry
    for entry in reader.finish():
        yield entry


def _entries_of(text: str) -> list[Entry]:
    if is_meta(text):
        return [Entry(text.strip(), 1)]
    return [Entry(piece.text, 1) for piece in split(text)]
