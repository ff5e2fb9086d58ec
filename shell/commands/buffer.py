r"""The statement at hand: `\g` and its kin run it, again or elsewhere, `\e` edits it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mfdb.kernel.errors import ProgrammingError, SqlSyntax
from shell.commands.registry import command
from shell.settings import Expanded
from shell.sink import open_sink

if TYPE_CHECKING:
    from shell.commands.registry import Call
    from shell.session import Session

_GROUP = "Statement"
_EVERY_S = 2.0


@command(
    "\\g",
    "run it again, into a file or |COMMAND",
    group=_GROUP,
    argument="[FILE]",
    completes="file",
)
async def go(session: Session, call: Call) -> None:
    """Run the statement once, its result where the argument says.

    Raises:
        MfdbError: there is none, or it failed.
    """
    text = session.statement(call.query)
    if not call.argument:
        await session.run(text)
        return
    with session.sent_to(open_sink(call.argument)):
        await session.run(text)


@command(
    "\\gx", "run it again, one line per column", group=_GROUP, argument="[FILE]", completes="file"
)
async def go_expanded(session: Session, call: Call) -> None:
    """Run the statement once with the expanded display; raises as `go`."""
    before = session.display.expanded
    session.display.expanded = Expanded.ON
    try:
        await go(session, call)
    finally:
        session.display.expanded = before


@command(
    "\\watch",
    "run it every so many seconds (2) until Ctrl-C",
    group=_GROUP,
    argument="[SECONDS]",
)
async def watch(session: Session, call: Call) -> None:
    """Run the statement again and again.

    Raises:
        SqlSyntax: the number of seconds is none.
        MfdbError: the statement failed.
    """
    every_s = _seconds(call.argument)
    text = session.statement(call.query)
    try:
        while True:
            session.write(f"{session.now_text()} (every {every_s:g} s)\n\n")
            await session.run(text)
            session.flush()
            await asyncio.sleep(every_s)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if not session.interactive or task is None:
            raise
        task.uncancel()  # Ctrl-C is how a person ends this: no failure
        session.write("\n")


def _seconds(text: str) -> float:
    try:
        every_s = float(text) if text else _EVERY_S
    except ValueError:
        every_s = -1
    if not 0 < every_s <= 86_400:
        raise SqlSyntax(
            f"not a number of seconds: {text[:40]!r}", hint="\\watch 5 runs it every 5 seconds"
        )
    return every_s


@command("\\p", "show it", group=_GROUP)
async def print_statement(session: Session, call: Call) -> None:
    """Write the statement at hand."""
    session.write((call.query or session.buffer or "There is no statement yet.") + "\n")


@command("\\r", "forget it", group=_GROUP)
async def reset(session: Session, _call: Call) -> None:
    """Forget the statement at hand."""
    session.buffer = ""
    session.inform("The statement at hand is forgotten.\n")


@command("\\w", "write it to a file", group=_GROUP, argument="FILE", completes="file")
async def write_statement(session: Session, call: Call) -> None:
    """Write the statement at hand to a file.

    Raises:
        OperationalError: the file cannot be written.
    """
    (name,) = call.words(1, 1, "\\w FILE")
    sink = open_sink(name)
    try:
        sink.write(session.statement(call.query) + ";\n")
    finally:
        sink.close()


@command(
    "\\e",
    "edit it, or a file, and take the text to the prompt",
    group=_GROUP,
    alias=".edit",
    argument="[FILE]",
    completes="file",
)
async def edit(session: Session, call: Call) -> None:
    """Open the editor; what it leaves stands at the next prompt, for Enter to run.

    Raises:
        ProgrammingError: there is no terminal.
        OperationalError: the editor cannot be started.
    """
    if not session.interactive:
        raise ProgrammingError("\\e needs a terminal", hint="use \\i FILE in scripts")
    from shell.editor import edited

    text = call.query or session.buffer
    shown = text + ";" if text else ""
    session.prefill = edited(shown, call.argument, session.options.editor)


@command(
    "\\s",
    "show the history, or write it to a file",
    group=_GROUP,
    argument="[FILE]",
    completes="file",
)
async def history(session: Session, call: Call) -> None:
    """Write the history of statements.

    Raises:
        OperationalError: the file cannot be written.
    """
    lines = [text + "\n" for text in session.past]
    if not call.argument:
        await session.show(lines or ["The history is empty.\n"])
        return
    sink = open_sink(call.argument)
    try:
        for line in lines:
            sink.write(line)
    finally:
        sink.close()
