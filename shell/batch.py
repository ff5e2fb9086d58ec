"""Statements from -c, -f and standard input: no prompt, no pager, stop at the first failure."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from mfdb.kernel.errors import MfdbError, OperationalError, UnknownDataset
from shell import exit_codes
from shell.lines import lines_of
from shell.script import Entry, ScriptReader, entries_of, is_meta

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator
    from pathlib import Path
    from typing import IO, BinaryIO

    from shell.session import Session

END_OF_ROWS = "\\."
"""The line that ends the rows of a COPY FROM STDIN, as in psql."""
ROWS_HELD_BYTES = 2**24
"""More rows than this wait in a temporary file."""


async def run_commands(session: Session, texts: Iterable[str], *, keep_going: bool) -> int:
    """Run the statements of every -c and return the exit code: 0, or 1 if one failed."""
    code = exit_codes.OK
    for text in texts:
        for entry in entries_of(text):
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
    with stream, _within(session, path):
        return await run_script(session, stream, name=path.name, keep_going=keep_going)


@contextlib.contextmanager
def _within(session: Session, path: Path) -> Iterator[None]:
    r"""Let `\ir` know which script it stands in."""
    session.scripts.append(path)
    try:
        yield
    finally:
        session.scripts.pop()


async def run_script(session: Session, stream: BinaryIO, *, name: str, keep_going: bool) -> int:
    """Run a script and return the exit code: 0, 3 if it stopped, 1 if it went on after a failure.

    The script is read as it is run, so that a pipe is answered statement by statement.
    """
    code = exit_codes.OK
    lines = lines_of(stream)
    before, session.rows_in = session.rows_in, lambda: _rows_of(lines)
    try:
        async for entry in _script_entries(lines):
            if not await run_entry(session, entry, name=name):
                code = exit_codes.FAILED
                if not keep_going:
                    return exit_codes.STOPPED
            if session.leaving:
                break
    finally:
        session.rows_in = before
    return code


async def run_entry(session: Session, entry: Entry, *, name: str = "") -> bool:
    """Run one entry; report its failure and return False if it failed."""
    try:
        if is_meta(entry.text):
            from shell.commands import run_command

            return await run_command(session, entry.text, entry.query)
        await session.run(entry.text)
    except MfdbError as error:
        place = f"{name}:{entry.line}" if name else ""
        return await _failed(session, error, entry.text, place)
    return True


async def _failed(session: Session, error: MfdbError, text: str, place: str) -> bool:
    """Report a failure; at a prompt, do what somebody meant who typed another shell's words."""
    from shell.habits import habit_of

    habit = habit_of(text) if error.sqlstate[:2] in ("42", "28") else None
    if habit is not None and habit.command and isinstance(error, UnknownDataset):
        habit = None  # understood, and there is no such dataset
    if habit is None:
        session.show_error(error, text, place=place)
        return False
    if habit.advice:
        error.hint = habit.advice
    elif not session.interactive:
        error.hint = f"here that is {habit.command}"
    else:
        session.inform(f"(here that is {habit.command})\n")
        return await run_entry(session, Entry(habit.command, 1))
    session.show_error(error, text, place=place)
    return False


async def _rows_of(lines: AsyncIterator[str]) -> IO[bytes]:
    r"""Return the lines that follow a COPY FROM STDIN in a script, up to a mere `\.`."""
    import tempfile

    held = tempfile.SpooledTemporaryFile(max_size=ROWS_HELD_BYTES)  # noqa: SIM115 - COPY reads it
    async for line in lines:
        if line.rstrip("\r\n") == END_OF_ROWS:
            break
        held.write(line.encode())
    held.seek(0)
    return held


async def _script_entries(lines: AsyncIterator[str]) -> AsyncIterator[Entry]:
    """Yield the entries of a script, each as soon as it is complete."""
    reader = ScriptReader()
    async for line in lines:
        for entry in reader.feed(line):
            yield entry
    for entry in reader.finish():
        yield entry
