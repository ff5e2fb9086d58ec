r"""Meta commands: `\name` with a dot name as alias, for what concerns the shell and not the data.

To add one, write a function here under `@command`; help and completion follow from the registry.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mfdb.kernel.errors import OperationalError, ProgrammingError, SqlSyntax
from shell.settings import Format

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shell.session import Session

    Handler = Callable[[Session, str], Awaitable[None]]


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """A meta command: its names, what it takes, what it does."""

    name: str
    alias: str
    argument: str
    meaning: str
    run: Handler


REGISTRY: dict[str, Command] = {}
"""Every meta command by its backslash name."""

_BARE = {"exit": "\\q", "quit": "\\q", "help": "\\?"}


def command(
    name: str, alias: str, meaning: str, *, argument: str = ""
) -> Callable[[Handler], Handler]:
    """Register a function as a meta command."""

    def register(run: Handler) -> Handler:
        REGISTRY[name] = Command(
            name=name, alias=alias, argument=argument, meaning=meaning, run=run
        )
        return run

    return register


def find(text: str) -> tuple[Command, str]:
    """Return the command that a text calls, and its argument.

    Raises:
        SqlSyntax: there is no such command; the hint names the nearest.
    """
    word, _, argument = text.strip().partition(" ")
    word = word.rstrip(";")
    name = _BARE.get(word.lower(), word)
    aliases = {found.alias: found for found in REGISTRY.values()}
    chosen = REGISTRY.get(name) or aliases.get(name)
    if chosen is None:
        near = difflib.get_close_matches(word, [*REGISTRY, *aliases], n=2, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "\\? lists the commands"
        raise SqlSyntax(f"no meta command {word[:40]}", hint=hint, position=0)
    return chosen, argument.strip().removesuffix(";").strip()


async def run_command(session: Session, text: str) -> None:
    """Run the meta command that a text calls.

    Raises:
        MfdbError: there is no such command, or it failed.
    """
    chosen, argument = find(text)
    if argument and not chosen.argument:
        raise SqlSyntax(f"{chosen.name} takes no argument", hint="\\? lists the commands")
    await chosen.run(session, argument)


@command("\\?", ".help", "show this help")
async def show_help(session: Session, _argument: str) -> None:
    """Write one line per command."""
    rows = [(f"{c.name} {c.argument}".strip(), c.alias, c.meaning) for c in REGISTRY.values()]
    await session.show(f"{name:<18}{alias:<18}{meaning}\n" for name, alias, meaning in rows)
    session.write("Everything else is SQL and ends in a semicolon. Ctrl-D leaves.\n")


@command("\\q", ".quit", "leave")
async def leave(session: Session, _argument: str) -> None:
    """End the session after this command."""
    session.leaving = True


@command("\\d", ".schema", "describe a dataset, or list all", argument="[NAME]")
async def describe(session: Session, argument: str) -> None:
    """Run DESCRIBE or SHOW DATASETS."""
    await session.run(f"DESCRIBE {argument}" if argument else "SHOW DATASETS")


@command("\\dt", ".tables", "list the datasets")
async def list_datasets(session: Session, _argument: str) -> None:
    """Run SHOW DATASETS."""
    await session.run("SHOW DATASETS")


@command("\\x", ".expanded", "one line per column instead of one per row, on or off")
async def toggle_expanded(session: Session, _argument: str) -> None:
    """Turn the expanded display on or off."""
    session.display.expanded = not session.display.expanded
    session.write(f"Expanded display is {_on_off(on=session.display.expanded)}.\n")


@command("\\timing", ".timer", "show how long each statement takes, on or off")
async def toggle_timing(session: Session, _argument: str) -> None:
    """Turn the timing on or off."""
    session.display.timing = not session.display.timing
    session.write(f"Timing is {_on_off(on=session.display.timing)}.\n")


@command("\\format", ".mode", "show or choose the output format", argument="[FORMAT]")
async def choose_format(session: Session, argument: str) -> None:
    """Set the output format.

    Raises:
        ProgrammingError: there is no such format.
    """
    if argument:
        try:
            session.display.format = Format(argument.lower())
        except ValueError as error:
            raise ProgrammingError(
                f"no output format {argument[:40]!r}", hint=f"there are {', '.join(Format)}"
            ) from error
    session.write(f"Output format is {session.display.format}.\n")


@command("\\i", ".read", "run the statements of a file", argument="FILE")
async def run_file(session: Session, argument: str) -> None:
    """Run a script in this session; it stops at its first failure.

    Raises:
        OperationalError: the file cannot be read.
    """
    from shell.batch import run_file as run  # batch runs meta commands, so it imports this file

    await run(session, Path(_needed(argument, "FILE")), keep_going=False)


@command("\\o", ".output", "send results to a file, or back to the screen", argument="[FILE]")
async def redirect(session: Session, argument: str) -> None:
    """Redirect the results.

    Raises:
        OperationalError: the file cannot be written.
    """
    try:
        session.redirect(Path(argument) if argument else None)
    except OSError as error:
        raise OperationalError(f"cannot write {argument[:200]}: {error.strerror}") from error


@command("\\notifications", ".notifications", "show the changes that were held back")
async def show_notifications(session: Session, _argument: str) -> None:
    """Write the held changes and forget them."""
    lines = session.feed.take() or ["No changes were held back."]
    await session.show(line + "\n" for line in lines)


@command("\\identity", ".identity", "show who you are here")
async def show_identity(session: Session, _argument: str) -> None:
    """Write the identity of the connection."""
    session.write(f"{session.connection.identity}\n")


def _on_off(*, on: bool) -> str:
    return "on" if on else "off"


def _needed(argument: str, what: str) -> str:
    if not argument:
        raise SqlSyntax(f"{what} is missing", hint="\\? shows what each command takes")
    return argument
