"""Help: the commands of the shell, and the statements of SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shell.commands.registry import command, every_command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shell.commands.registry import Call
    from shell.session import Session

_KEYS = """\
Keys
  Enter            run, once the statement ends in ;    Alt-Enter   run at once
  Tab, Ctrl-Space  complete                             Right       take the grey rest of the line
  Up, Down         earlier statements                   Ctrl-R      search them
  Ctrl-C           clear the line, or cancel what runs; again within 2 s: stop waiting for it
  Ctrl-D           leave
  F1 this help   F2 completion   F3 several lines   F4 vi or emacs keys
"""


@command("\\?", "show this help", group="Help", alias=".help")
async def show_help(session: Session, _call: Call) -> None:
    """Write one line per command, by group."""
    await session.show(help_lines())


def help_lines() -> Iterator[str]:
    """Yield the help, line by line."""
    commands = every_command()
    for group in dict.fromkeys(one.group for one in commands):
        yield f"{group}\n"
        for one in commands:
            if one.group == group:
                yield f"  {one.usage:<28}{one.alias:<15}{one.meaning}\n"
    yield _KEYS
    yield "Everything else is SQL and ends in a semicolon; \\h lists its statements.\n"


@command(
    "\\h",
    "syntax and examples of a statement, or the list of them",
    group="Help",
    argument="[STATEMENT]",
    completes="statement",
)
async def show_sql_help(session: Session, call: Call) -> None:
    """Write the help of a statement.

    Raises:
        ProgrammingError: there is no such statement.
    """
    from shell.sql_help import listing, page_of

    await session.show(page_of(call.argument) if call.argument else listing())


@command("\\q", "leave", group="Help", alias=".quit")
async def leave(session: Session, _call: Call) -> None:
    """End the session after this command."""
    session.leaving = True


@command("\\errverbose", "all that is known of the last error", group="Help")
async def show_last_error(session: Session, _call: Call) -> None:
    """Write the last error with its name, SQLSTATE and cause."""
    session.write(session.last_failure() or "There was no error.\n")


@command(".exit", "leave", group="Help")
async def leave_too(session: Session, _call: Call) -> None:
    """End the session after this command, in the words of SQLite."""
    session.leaving = True
