r"""Completion of meta commands: their names, then what each takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from shell.commands.registry import every_command, find_command
from shell.completion.ranking import Candidate
from shell.literals import quoted_name
from shell.options import NAMES, meaning_of
from shell.settings import Expanded, Format

if TYPE_CHECKING:
    from collections.abc import Callable

    from shell.completion.catalogue import Catalogue

_LISTED = 500
"""Most files of a directory that are looked at."""


def meta_candidates(text: str, catalogue: Catalogue) -> tuple[list[Candidate], str]:
    """Return what may follow in a meta command, and the part of it that is being typed."""
    word, space, argument = text.partition(" ")
    if not space:
        names = [
            Candidate(name, "command", one.meaning)
            for one in every_command()
            for name in (one.name, one.alias)
            if name and name.startswith(text[0])
        ]
        return names, text
    command = find_command(word.rstrip("+"))
    if command is None or command.completes not in _ARGUMENTS:
        return [], ""
    if command.completes == "file":
        return path_candidates(argument.lstrip()), argument.lstrip()
    partial = argument.rpartition(" ")[2]
    if command.completes == "copy" and argument.count(" ") != 0:
        return _copy(argument, partial)
    return _ARGUMENTS[command.completes](catalogue), partial


def _copy(argument: str, partial: str) -> tuple[list[Candidate], str]:
    words = argument.split()
    last = words[-1 if argument.endswith(" ") else -2].upper()
    if last in ("FROM", "TO"):
        return path_candidates(partial.lstrip("'")), partial.lstrip("'")
    return [Candidate(word, "keyword") for word in ("FROM", "TO", "WITH")], partial


def path_candidates(typed: str) -> list[Candidate]:
    """Return the files and directories that a path may go on with."""
    typed = typed.lstrip("'\"")
    head, slash, stem = typed.rpartition("/")
    directory = Path(head + slash).expanduser() if head or slash else Path()
    try:
        listed = sorted(directory.iterdir())[:_LISTED]
        named = [(path.name, path.is_dir()) for path in listed]
    except OSError:
        return []
    return [
        Candidate(
            head + slash + name + ("/" if is_directory else ""),
            "directory" if is_directory else "file",
        )
        for name, is_directory in named
        if name.lower().startswith(stem.lower()) and (stem or not name.startswith("."))
    ]


def _datasets(catalogue: Catalogue) -> list[Candidate]:
    return [Candidate(quoted_name(name), one.kind) for name, one in catalogue.datasets.items()]


def _statements(_catalogue: Catalogue) -> list[Candidate]:
    from shell.sql_help import topics

    return [Candidate(topic, "statement") for topic in topics()]


def _databases(catalogue: Catalogue) -> list[Candidate]:
    return [Candidate(name, "alias") for name in catalogue.aliases]


def _plainly(*words: str) -> Callable[[Catalogue], list[Candidate]]:
    return lambda _catalogue: [Candidate(word, "word") for word in words]


_ARGUMENTS: dict[str, Callable[[Catalogue], list[Candidate]]] = {
    "dataset": _datasets,
    "copy": _datasets,
    "file": _datasets,
    "statement": _statements,
    "database": _databases,
    "format": _plainly(*Format),
    "expanded": _plainly(*Expanded),
    "switch": _plainly("on", "off"),
    "variable": lambda catalogue: [Candidate(name, "variable") for name in catalogue.variables],
    "option": lambda _catalogue: [Candidate(name, "option", meaning_of(name)) for name in NAMES],
}
