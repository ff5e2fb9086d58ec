"""Files and the system: scripts, results, directories, other commands."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mfdb.kernel.errors import OperationalError, SqlSyntax
from shell import exit_codes
from shell.commands.registry import command
from shell.paths import here, typed_path
from shell.sink import open_sink

if TYPE_CHECKING:
    from shell.commands.registry import Call
    from shell.session import Session

_GROUP = "Files"
SCRIPTS_DEEP = 20
"""A script that reads scripts that read scripts ends here: it most likely reads itself."""


@command(
    "\\i",
    "run the statements of a file",
    group=_GROUP,
    alias=".read",
    argument="FILE",
    completes="file",
)
async def run_file(session: Session, call: Call) -> bool:
    """Run a script in this session; it stops at its first failure.

    Raises:
        OperationalError: the file cannot be read.
    """
    (name,) = call.words(1, 1, "\\i FILE")
    return await _run(session, typed_path(name))


@command(
    "\\ir",
    "as \\i, from where the script itself is",
    group=_GROUP,
    argument="FILE",
    completes="file",
)
async def run_file_beside(session: Session, call: Call) -> bool:
    """Run a script whose path is relative to the script that names it; raises as `run_file`."""
    (name,) = call.words(1, 1, "\\ir FILE")
    place = session.scripts[-1].parent if session.scripts else Path()
    return await _run(session, place / typed_path(name))


async def _run(session: Session, path: Path) -> bool:
    from shell.batch import run_file as run  # batch runs meta commands, so it imports this file

    if len(session.scripts) >= SCRIPTS_DEEP:
        raise OperationalError(
            f"scripts read scripts {SCRIPTS_DEEP} deep", hint=f"does {path.name[:80]} read itself?"
        )
    return await run(session, path, keep_going=False) == exit_codes.OK


@command(
    "\\o",
    "send results to a file or |COMMAND, or back to the screen",
    group=_GROUP,
    alias=".output",
    argument="[FILE]",
    completes="file",
)
async def redirect(session: Session, call: Call) -> None:
    """Redirect the results.

    Raises:
        OperationalError: the file cannot be written.
    """
    session.redirect(open_sink(call.argument))


@command(
    "\\cd", "change the working directory", group=_GROUP, argument="[DIRECTORY]", completes="file"
)
async def change_directory(session: Session, call: Call) -> None:
    """Change the working directory; without an argument to the home directory.

    Raises:
        OperationalError: there is no such directory.
    """
    words = call.words(0, 1, "\\cd DIRECTORY")
    try:
        os.chdir(typed_path(words[0] if words else "~"))
    except OSError as error:
        raise OperationalError(f"cannot go to {call.argument[:200]}: {error.strerror}") from error
    session.inform(f"{here()}\n")


@command("\\!", "run a command of the system", group=_GROUP, alias=".shell", argument="COMMAND")
async def run_system(session: Session, call: Call) -> None:
    """Run a command of the system and wait for it.

    Raises:
        SqlSyntax: none is named.
        OperationalError: it failed.
    """
    if not call.argument:
        raise SqlSyntax("a command is missing", hint="for example \\! ls")
    session.flush()
    sys.stderr.flush()
    process = await asyncio.create_subprocess_shell(call.argument)
    try:
        code = await process.wait()
    except asyncio.CancelledError:
        if process.returncode is None:
            process.terminate()
        raise
    if code:
        raise OperationalError(f"the command ended with {code}")
