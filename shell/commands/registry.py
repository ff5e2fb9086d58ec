"""One table of meta commands, filled by the files of this package."""

from __future__ import annotations

import importlib
import re
import shlex
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from mfdb.kernel.errors import SqlSyntax
from mfdb.kernel.nearest import nearest_hint

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shell.session import Session

    Handler = Callable[[Session, "Call"], Awaitable[bool | None]]

_MODULES = ("help", "buffer", "files", "copying", "describe", "display", "variables", "database")
_FORM = re.compile(r"(\\(?:[A-Za-z]+|[!?])|\.[a-z]+)(\+?)(.*)", re.DOTALL)
_BARE = {"exit": "\\q", "quit": "\\q", "help": "\\?", "?": "\\?", "clear": "\\clear"} | {
    "cls": "\\clear"
}


class Call(NamedTuple):
    """How a command was called: its argument, whether with `+`, the statement before it."""

    argument: str
    plus: bool = False
    query: str = ""

    def words(self, least: int, most: int, usage: str) -> list[str]:
        """Return the argument's words; quotes hold one together.

        Raises:
            SqlSyntax: they are too few or too many, or a quote is open.
        """
        try:
            words = shlex.split(self.argument)
        except ValueError as error:
            raise SqlSyntax(
                f"the argument cannot be read: {error}", hint=f"usage: {usage}"
            ) from error
        if not least <= len(words) <= most:
            what = "an argument is missing" if len(words) < least else "too many arguments"
            raise SqlSyntax(what, hint=f"usage: {usage}")
        return words

    def switch(self, now: bool) -> bool:  # noqa: FBT001 - the value itself
        """Return what `on`, `off` or nothing (the other one) makes of a value.

        Raises:
            SqlSyntax: it is something else.
        """
        word = self.argument.lower()
        if word not in ("", "on", "off", "true", "false", "1", "0"):
            raise SqlSyntax(f"on or off, not {word[:40]!r}", hint="without either it changes over")
        return not now if not word else word in ("on", "true", "1")


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """A meta command: its names, what it takes, what it does, how its argument is completed."""

    name: str
    alias: str
    argument: str
    meaning: str
    group: str
    completes: str
    run: Handler

    @property
    def usage(self) -> str:
        """Name and argument."""
        return f"{self.name} {self.argument}".strip()


_REGISTRY: dict[str, Command] = {}


def command(
    name: str, meaning: str, *, group: str, alias: str = "", argument: str = "", completes: str = ""
) -> Callable[[Handler], Handler]:
    """Register a function as a meta command."""

    def register(run: Handler) -> Handler:
        _REGISTRY[name] = Command(
            name=name,
            alias=alias,
            argument=argument,
            meaning=meaning,
            group=group,
            completes=completes,
            run=run,
        )
        return run

    return register


@cache
def _load() -> dict[str, Command]:
    for module in _MODULES:
        importlib.import_module(f"shell.commands.{module}")
    aliases = {one.alias: one for one in _REGISTRY.values() if one.alias}
    return {**aliases, **_REGISTRY}


def every_command() -> list[Command]:
    """Return every command once, by group."""
    _load()
    return list(_REGISTRY.values())


def find_command(name: str) -> Command | None:
    """Return the command of a name or alias."""
    return _load().get(name)


def find(text: str) -> tuple[Command, Call]:
    """Return the command that a text calls, and how.

    Raises:
        SqlSyntax: there is no such command; the hint names the nearest.
    """
    stripped = text.strip()
    word = stripped.split(maxsplit=1)[0].rstrip(";").lower() if stripped.rstrip(";") else ""
    if word == "help" and stripped.rstrip("; \t").lower() != "help":
        stripped = "\\h" + stripped[4:]
    elif word in _BARE:
        stripped = _BARE[word]
    form = _FORM.match(stripped)
    name, plus, rest = form.groups() if form is not None else (stripped, "", "")
    chosen = find_command(name)
    if chosen is None or (rest and not rest[0].isspace() and rest[0] not in ";|" and name != "\\!"):
        raise _unknown(stripped.split(maxsplit=1)[0])
    argument = rest.strip()
    if name != "\\!":
        argument = argument.removesuffix(";").strip()
    return chosen, Call(argument, plus=bool(plus))


def _unknown(word: str) -> SqlSyntax:
    hint = nearest_hint(word, _load(), "\\? lists the commands", most=2, cutoff=0.5)
    return SqlSyntax(f"no meta command {word[:40]}", hint=hint)


async def run_command(session: Session, text: str, query: str = "") -> bool:
    """Run the meta command that a text calls; `query` is the statement that stood before it.

    Returns False if something failed that has been reported already (a script stopped).

    Raises:
        MfdbError: there is no such command, or it failed.
    """
    chosen, call = find(text)
    if call.argument and not chosen.argument:
        raise SqlSyntax(f"{chosen.name} takes no argument", hint="\\? lists the commands")
    return await chosen.run(session, call._replace(query=query)) is not False
