"""Every option of the shell, declared once: its kind, default and meaning.

The command line, the variable `MFDB_<NAME>` and the key of the configuration file follow from it,
in this order of precedence; `mfdb config` shows them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


def _option(read: Reader, default: Any, meaning: str, *, also: tuple[str, ...] = ()) -> Any:
    """Declare an option; `also` are variables of other programs that decide before the default."""
    return field(default=default, metadata={"read": read, "meaning": meaning, "also": also})


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the shell can be told; the defaults are those of a person at a terminal."""

    data: Path | None = _option(_path, None, "data directory (default: your own)")
    identity: str = _option(_text, "", "who to be: petname or address (default: the first made)")
    network: Path | None = _option(_path, None, "network.json of a network (default: none)")
    format: str = _option(_one_of(*Format), "table", "how results are written")
    expanded: str = _option(_one_of(*Expanded), "off", "one line per column; auto: if too wide")
    null: str = _option(_text, "NULL", "what stands for NULL in tables")
    column_width: int = _option(
        _whole(0, 100_000), 500, "cut wider cells on a terminal; 0 cuts nothing"
    )
    timing: bool = _option(_truth, False, "show how long each statement takes")
    colour: str = _option(_one_of("auto", "always", "never"), "auto", "colours and highlighting")
    paging: str = _option(
        _one_of("auto", "always", "never"), "auto", "results through the pager; auto: long ones"
    )
    pager: str = _option(_text, "less -SRXF", "the pager and its options", also=("PAGER",))
    editor: str = _option(
        _text, "vi", "the editor that \\e opens", also=("VISUAL", "EDITOR")
    )
    editing: str = _option(_one_of("emacs", "vi"), "emacs", "keys of the prompt (F4 changes it)")
    completion: str = _option(
        _one_of("typing", "tab", "off"), "typing", "when names and words are offered (F2)"
    )
    keyword_case: str = _option(
        _one_of("auto", "upper", "lower"), "auto", "completed keywords; auto: as you write them"
    )
    suggestions: bool = _option(_truth, True, "show the rest of an earlier statement in grey")
    multi_line: bool = _option(
        _truth, True, "Enter starts a new line until a `;`; off: Enter runs (F3)"
    )
    history_size: int = _option(
        _whole(0, 1_000_000), 10_000, "statements kept in the history; 0 keeps none"
    )
    prompt: str = _option(
        _text, "%i@mf%b> ", "%i identity, %d directory, %n network, %b batch, %% percent"
    )
    toolbar: bool = _option(_truth, True, "the line at the bottom")
    greeting: bool = _option(_truth, True, "the words of welcome")
    warn: bool = _option(_truth, True, "ask before DROP, ALTER and changes without WHERE")
    progress: bool = _option(_truth, True, "a bar on standard error for what takes over a second")
    notifications: int = _option(
        _whole(0, 1_000), 10, "changes printed above the prompt in one second; others are held"
    )


NAMES = tuple(item.name for item in fields(Options))


def variable_of(name: str) -> str:
    """Return the environment variable of an option."""
    return PREFIX + name.upper()


def read_as(name: str, value: object) -> object:
    """Return a value in the form that an option has.

    Raises:
        Refused: the option does not take it.
    """
    return metadata(name)["read"](value)


def meaning_of(name: str) -> str:
    """Return what an option is for."""
    text: str = metadata(name)["meaning"]
    return text


def metadata(name: str) -> Any:
    """Return the declaration of an option."""
    return Options.__dataclass_fields__[name].metadata


def default_of(name: str) -> object:
    """Return the default of an option."""
    return Options.__dataclass_fields__[name].default
