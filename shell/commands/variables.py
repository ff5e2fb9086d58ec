"""Variables of the shell, and words of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.kernel.errors import ProgrammingError
from shell.commands.registry import command
from shell.values import exact, safe
from shell.variables import expanded, is_variable

if TYPE_CHECKING:
    from shell.commands.registry import Call
    from shell.session import Session

_GROUP = "Variables"


@command(
    "\\set",
    "set a variable, for :NAME, :'NAME' (a text) and :\"NAME\" (a name); list all",
    group=_GROUP,
    argument="[NAME [VALUE]]",
    completes="variable",
)
async def set_variable(session: Session, call: Call) -> None:
    """Set a variable, or list all.

    Raises:
        ProgrammingError: the name is none.
    """
    if not call.argument:
        for name, value in sorted(session.variables.items()):
            session.write(f"{name} = {safe(value)}\n")
        return
    name, *values = call.words(1, 1_000, "\\set NAME VALUE")
    if not is_variable(name):
        raise ProgrammingError(
            f"{name[:40]!r} is no name of a variable", hint="letters, digits and _, no digit first"
        )
    session.variables[name] = " ".join(values)


@command("\\unset", "forget a variable", group=_GROUP, argument="NAME", completes="variable")
async def unset_variable(session: Session, call: Call) -> None:
    """Forget a variable; one that was never set is no error."""
    (name,) = call.words(1, 1, "\\unset NAME")
    session.variables.pop(name, None)


@command(
    "\\gset",
    "run the statement and keep the columns of its one row as variables",
    group=_GROUP,
    argument="[PREFIX]",
)
async def keep_result(session: Session, call: Call) -> None:
    """Set a variable for each column of the one row that the statement gives.

    Raises:
        ProgrammingError: it gives no row, or several.
    """
    result = await session.ask(session.statement(call.query))
    if len(result.rows) != 1:
        raise ProgrammingError(
            f"the statement gave {len(result.rows)} rows", hint="\\gset wants exactly one"
        )
    for column, value in zip(result.columns, result.rows[0], strict=True):
        name = call.argument + column.name
        if not is_variable(name):
            raise ProgrammingError(
                f"{name[:40]!r} is no name of a variable", hint="name the column: ... AS name"
            )
        if value is None:
            session.variables.pop(name, None)
        else:
            session.variables[name] = exact(value)


@command("\\echo", "write words to the screen", group=_GROUP, alias=".print", argument="[TEXT]")
async def echo(session: Session, call: Call) -> None:
    """Write words, with variables in place, to standard output."""
    session.say(_words(session, call))


@command("\\qecho", "write words to where results go", group=_GROUP, argument="[TEXT]")
async def echo_with_results(session: Session, call: Call) -> None:
    """Write words, with variables in place, where results go."""
    session.write(_words(session, call))


def _words(session: Session, call: Call) -> str:
    """Return the words with variables in place; `-n` leaves the line open."""
    text, end = call.argument, "\n"
    if text == "-n" or text.startswith("-n "):
        text, end = text[2:].lstrip(), ""
    if text[:1] in ("'", '"') and text[-1:] == text[:1] and len(text) > 1:
        text = text[1:-1]
    return expanded(text, session.variables) + end
