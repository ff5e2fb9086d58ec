"""Every option of the shell: its kind, default and meaning.

The command line, the variable `MFDB_<NAME>` and the key of the configuration file follow from it,
in this order of precedence; `mfdb config` shows them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from shell.settings import Expanded, Format

if TYPE_CHECKING:
    from collections.abc import Callable

    Reader = Callable[[object], object]

PREFIX = "MFDB_"
_TRUTHS = {"on": True, "true": True, "yes": True, "1": True} | dict.fromkeys(
    ("off", "false", "no", "0"), False
)


class Refused(Exception):
    """A value that an option does not take; the text says what it takes."""


def _truth(value: object) -> bool:
    if isinstance(value, bool):
        return value
    found = _TRUTHS.get(str(value).strip().lower())
    if found is None:
        raise Refused("on or off")
    return found


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise Refused("a text in quotes")
    return value


def _path(value: object) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        raise Refused("a path in quotes")
    return Path(value).expanduser()


def _one_of(*words: str) -> Reader:
    def read(value: object) -> str:
        text = str(value).strip().lower()
        if isinstance(value, bool):
            text = "on" if value else "off"
        if text not in words:
            raise Refused(", ".join(words[:-1]) + f" or {words[-1]}")
        return text

    return read


def _whole(least: int, most: int) -> Reader:
    def read(value: object) -> int:
        text = str(value).strip()
        if isinstance(value, bool) or not text.isdecimal() or not least <= int(text) <= most:
            raise Refused(f"a whole number from {least} to {most}")
        return int(text)

    return read


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the shell can be told; the defaults are those of a person at a terminal."""

    data: Path | None = None
    identity: str = ""
    network: Path | None = None
    format: str = "table"
    expanded: str = "auto"
    null: str = "NULL"
    column_width: int = 500
    timing: bool = False
    colour: str = "auto"
    paging: str = "auto"
    pager: str = "less -SRXF"
    editor: str = "vi"
    editing: str = "emacs"
    completion: str = "typing"
    keyword_case: str = "auto"
    suggestions: bool = True
    multi_line: bool = True
    history_size: int = 10_000
    prompt: str = "%i@mf%o%b> "
    toolbar: bool = True
    greeting: bool = True
    warn: bool = True
    progress: bool = True
    notifications: int = 10


class Declared(NamedTuple):
    """How an option is read and what it is for; `also` are other programs' variables for it."""

    read: Reader
    meaning: str
    also: tuple[str, ...] = ()


DECLARED: dict[str, Declared] = {
    "data": Declared(_path, "data directory (default: your own)"),
    "identity": Declared(_text, "who to be: petname or address (default: the first made)"),
    "network": Declared(_path, "network.json of a network (default: none)"),
    "format": Declared(_one_of(*Format), "how results are written"),
    "expanded": Declared(
        _one_of(*Expanded), "one line per column; auto: if too wide for the screen"
    ),
    "null": Declared(_text, "what stands for NULL in tables"),
    "column_width": Declared(_whole(0, 100_000), "cut wider cells on a terminal; 0 cuts nothing"),
    "timing": Declared(_truth, "show how long each statement takes"),
    "colour": Declared(_one_of("auto", "always", "never"), "colours and highlighting"),
    "paging": Declared(
        _one_of("auto", "always", "never"), "results through the pager; auto: long ones"
    ),
    "pager": Declared(_text, "the pager and its options", ("PAGER",)),
    "editor": Declared(_text, "the editor that \\e opens", ("VISUAL", "EDITOR")),
    "editing": Declared(_one_of("emacs", "vi"), "keys of the prompt (F4 changes it)"),
    "completion": Declared(
        _one_of("typing", "tab", "off"), "when names and words are offered (F2)"
    ),
    "keyword_case": Declared(
        _one_of("auto", "upper", "lower"), "completed keywords; auto: as you write them"
    ),
    "suggestions": Declared(_truth, "show the rest of an earlier statement in grey"),
    "multi_line": Declared(_truth, "Enter starts a new line until a `;`; off: Enter runs (F3)"),
    "history_size": Declared(_whole(0, 1_000_000), "statements kept in the history; 0 keeps none"),
    "prompt": Declared(_text, "%i identity, %d directory, %n network, %o owner in use, %b batch"),
    "toolbar": Declared(_truth, "the line at the bottom"),
    "greeting": Declared(_truth, "the words of welcome"),
    "warn": Declared(_truth, "ask before DROP, ALTER and changes without WHERE"),
    "progress": Declared(_truth, "a bar on standard error for what takes over a second"),
    "notifications": Declared(
        _whole(0, 1_000), "changes printed above the prompt in one second; others are held"
    ),
}
NAMES = Options.__struct_fields__
_DEFAULTS = Options()


def variable_of(name: str) -> str:
    """Return the environment variable of an option."""
    return PREFIX + name.upper()


def read_as(name: str, value: object) -> object:
    """Return a value in the form that an option has.

    Raises:
        Refused: the option does not take it.
    """
    return DECLARED[name].read(value)


def meaning_of(name: str) -> str:
    """Return what an option is for."""
    return DECLARED[name].meaning


def default_of(name: str) -> object:
    """Return the default of an option."""
    found: object = getattr(_DEFAULTS, name)
    return found
