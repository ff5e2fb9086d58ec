"""The prompt's text and the line at the bottom, made from what they show. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from shell.values import safe

if TYPE_CHECKING:
    from prompt_toolkit.formatted_text import StyleAndTextTuples

_MARKS = {"open": "*", "failed": "!"}
_WHO = 20
_WHERE = 40

Fragments: TypeAlias = "StyleAndTextTuples"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a person may like to know while they type."""

    who: str
    directory: str
    network: str = ""
    owner: str = ""
    batch: str = ""
    offline: bool = False
    held: int = 0
    subscriptions: int = 0
    taken_s: float | None = None
    editing: str = ""
    hint: str = ""


def prompt_text(form: str, state: State) -> Fragments:
    """Return the prompt.

    `%i` identity, `%d` directory, `%n` network, `%o` the owner that USE chose, `%b` batch,
    `%%` percent.
    """
    mark = ("~" if state.offline else "") + _MARKS.get(state.batch, "")
    parts = {
        "i": ("class:who", _short_who(state.who)),
        "d": ("class:where", short_end(state.directory, _WHERE)),
        "o": ("class:where", _using(state)),
        "n": ("class:where", state.network),
        "b": ("class:failed" if state.batch == "failed" else "class:batch", mark),
        "%": ("", "%"),
    }
    found: Fragments = []
    pieces = form.split("%")
    found.append(("", pieces[0]))
    rest = iter(pieces[1:])
    for piece in rest:
        if not piece:  # %%: what follows is plain
            found.append(("", "%" + next(rest, "")))
            continue
        found += [parts.get(piece[0], ("", "%" + piece[0])), ("", piece[1:])]
    return [(part[0], safe(part[1])) for part in found if part[1]]


def continuation(width: int, wrapped: int) -> str:
    """Return what stands before the further lines of a statement; a line may wrap to several."""
    return " " * width if wrapped else "-> ".rjust(width)


def toolbar_text(state: State) -> Fragments:
    """Return the line at the bottom, the more urgent the further left."""
    parts: Fragments = []
    if state.hint:
        parts.append(("class:hint", state.hint))
    if state.batch:
        how = "ROLLBACK ends it" if state.batch == "failed" else "COMMIT or ROLLBACK ends it"
        parts.append(("class:warning", f"batch {state.batch}: {how}"))
    if state.offline:
        parts.append(("class:warning", "offline"))
    if state.held:
        parts.append(("class:warning", f"{state.held:,} changes held, \\notifications shows them"))
    using = f" using {_short_who(state.owner)}" if state.owner else ""
    where = short_end(state.directory, _WHERE)
    parts.append(("", f"{_short_who(state.who)} in {where}{using}"))
    if state.network:
        parts.append(("", f"network {state.network}"))
    if state.subscriptions:
        parts.append(("", f"{state.subscriptions} subscribed"))
    if state.taken_s is not None:
        parts.append(("", duration(state.taken_s)))
    if state.editing:
        parts.append(("", state.editing))
    parts.append(("class:dim", "F1 help"))
    found: Fragments = [("", " ")]
    for index, part in enumerate(parts):
        found += [("", "  ")] if index else []
        found.append((part[0], safe(part[1])))
    return found


def duration(taken_s: float) -> str:
    """Return a duration in the unit that suits it.

    >>> duration(0.00123), duration(2.5), duration(75)
    ('1.2 ms', '2.5 s', '1 min 15 s')
    """
    if taken_s < 1:
        return f"{taken_s * 1000:.1f} ms"
    if taken_s < 60:
        return f"{taken_s:.1f} s"
    return f"{taken_s // 60:.0f} min {taken_s % 60:.0f} s"


def _using(state: State) -> str:
    return f"/{_short_who(state.owner)}" if state.owner else ""


def _short_who(who: str) -> str:
    return who[:10] if who.startswith("0x") else who[:_WHO]


def short_end(text: str, most: int) -> str:
    """Return a text, or its end after `…`: of a path the end tells more."""
    return text if len(text) <= most else "…" + text[1 - most :]
