"""How results look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.kernel.errors import ProgrammingError
from mfdb.kernel.nearest import nearest_hint
from shell.commands.registry import command
from shell.options import NAMES, Refused, meaning_of, read_as
from shell.settings import Expanded, Format

if TYPE_CHECKING:
    from shell.commands.registry import Call
    from shell.session import Session

_GROUP = "Display"
_DISPLAYED = ("format", "expanded", "null", "column_width", "timing")


@command(
    "\\x",
    "one line per column instead of one per row",
    group=_GROUP,
    alias=".expanded",
    argument="[on|off|auto]",
    completes="expanded",
)
async def choose_expanded(session: Session, call: Call) -> None:
    """Turn the expanded display on, off, or to automatic."""
    now = session.display.expanded
    if call.argument.lower() == "auto":
        session.display.expanded = Expanded.AUTO
    else:
        is_on = call.switch(now is Expanded.ON)
        session.display.expanded = Expanded.ON if is_on else Expanded.OFF
    how = {Expanded.AUTO: "used where rows are wider than the screen"}
    session.inform(
        f"Expanded display is {how.get(session.display.expanded, session.display.expanded)}.\n"
    )


@command(
    "\\timing",
    "show how long each statement takes",
    group=_GROUP,
    alias=".timer",
    argument="[on|off]",
    completes="switch",
)
async def choose_timing(session: Session, call: Call) -> None:
    """Turn the timing on or off."""
    session.display.timing = call.switch(session.display.timing)
    session.inform(f"Timing is {_on_off(on=session.display.timing)}.\n")


@command(
    "\\format",
    "show or choose how results are written",
    group=_GROUP,
    alias=".mode",
    argument="[FORMAT]",
    completes="format",
)
async def choose_format(session: Session, call: Call) -> None:
    """Set the output format.

    Raises:
        ProgrammingError: there is no such format.
    """
    if call.argument:
        wanted = {"line": "vertical", "list": "csv", "column": "table"}.get(
            call.argument.lower(), call.argument.lower()
        )
        try:
            session.display.format = Format(wanted)
        except ValueError as error:
            raise ProgrammingError(
                f"no output format {call.argument[:40]!r}",
                hint=f"{nearest_hint(wanted, Format)} there are {', '.join(Format)}".lstrip(),
            ) from error
    session.inform(f"Output format is {session.display.format}.\n")


@command(
    "\\t",
    "rows only, without heads and counts",
    group=_GROUP,
    argument="[on|off]",
    completes="switch",
)
async def choose_tuples_only(session: Session, call: Call) -> None:
    """Turn heads and footers off or on."""
    session.display.tuples_only = call.switch(session.display.tuples_only)
    session.inform(f"Rows only is {_on_off(on=session.display.tuples_only)}.\n")


@command(".headers", "heads of columns", group=_GROUP, argument="[on|off]", completes="switch")
async def choose_headers(session: Session, call: Call) -> None:
    """Turn heads and footers on or off, in the words of SQLite."""
    session.display.tuples_only = not call.switch(not session.display.tuples_only)
    session.inform(f"Rows only is {_on_off(on=session.display.tuples_only)}.\n")


@command(
    "\\pset",
    "show or set format, expanded, null, column_width, timing",
    group=_GROUP,
    argument="[NAME [VALUE]]",
    completes="option",
)
async def set_display(session: Session, call: Call) -> None:
    """Set one property of the display, or list all.

    Raises:
        ProgrammingError: there is no such property or value.
    """
    name, _, value = call.argument.partition(" ")
    display = session.display
    if not name:
        for one in _DISPLAYED:
            session.write(f"{one:<14}{_shown(getattr(display, one)):<10}{meaning_of(one)}\n")
        return
    if name not in _DISPLAYED:
        elsewhere = f"{name} is set in the configuration: mfdb config" if name in NAMES else ""
        raise ProgrammingError(
            f"no display property {name[:40]!r}",
            hint=nearest_hint(name, _DISPLAYED, elsewhere or ", ".join(_DISPLAYED)),
        )
    try:
        made = read_as(name, value.strip().strip("'\""))
    except Refused as wanted:
        raise ProgrammingError(
            f"{name} is not {value[:40]!r}", hint=f"{name} takes {wanted}"
        ) from wanted
    kinds = {"format": Format, "expanded": Expanded}
    setattr(display, name, kinds[name](str(made)) if name in kinds else made)
    session.inform(f"{name} is {_shown(made)}.\n")


@command("\\clear", "clear the screen", group=_GROUP)
async def clear(session: Session, _call: Call) -> None:
    """Clear the terminal; nothing happens where there is none."""
    if session.interactive:
        session.write("\x1b[H\x1b[2J")


def _on_off(*, on: bool) -> str:
    return "on" if on else "off"


def _shown(value: object) -> str:
    return _on_off(on=value) if isinstance(value, bool) else str(value)
