"""`mfdb config`: every option with its value, where that comes from, and what it is for."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NamedTuple

from shell import exit_codes
from shell.config import default_path, load
from shell.options import NAMES, default_of, meaning_of, variable_of
from shell.output import written
from shell.settings import Format, Look
from shell.values import json_text

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from shell.config import Config


class _Column(NamedTuple):
    name: str


class _Listing(NamedTuple):
    columns: Sequence[_Column]
    rows: Sequence[tuple[object, ...]]
    tag: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--explain", action="store_true", help="value, source and meaning of each (the default)"
    )
    what.add_argument("--path", action="store_true", help="where the configuration file is")
    what.add_argument("--example", action="store_true", help="a file that says what holds anyway")


def run(args: argparse.Namespace) -> int:
    """Show the configuration and return the exit code.

    Raises:
        MfdbError: the configuration is wrong.
    """
    path = args.config or default_path(os.environ)
    if args.path:
        sys.stdout.write(f"{path}\n")
        return exit_codes.OK
    if args.example:
        sys.stdout.writelines(example())
        return exit_codes.OK
    flags = {name: getattr(args, name, None) for name in NAMES}
    shown = load(
        {name: None if value is None else str(value) for name, value in flags.items()},
        os.environ,
        None if args.no_config else path,
        must_be=args.config is not None,
    )
    sys.stdout.writelines(_json(shown) if args.json else _table(shown))
    return exit_codes.OK


def example() -> Iterator[str]:
    """Yield a configuration file in which every option stands as a comment."""
    yield "# Options of the mfdb shell; take the # away from what you change.\n"
    for name in NAMES:
        value = default_of(name)
        yield f"\n# {meaning_of(name)} (or {variable_of(name)})\n"
        yield f"# {name} = {_toml('' if value is None else value)}\n"
    yield "\n# [aliases]\n"
    yield '# work = "mfdb:////srv/work?identity=alice"\n'


def _toml(value: object) -> str:
    return json_text(value)  # TOML's texts, numbers and truths are JSON's


def _table(config: Config) -> Iterator[str]:
    rows = [
        (name, _shown(value), source, meaning) for name, value, source, meaning in config.rows()
    ]
    heads = tuple(map(_Column, ("option", "value", "source", "meaning")))
    yield from written(_Listing(heads, rows), Format.TABLE, Look(tuples_only=False))
    yield f"file: {config.path or 'none is read'}\n"
    for name, meant in config.aliases.items():
        yield f"alias: {name} = {meant}\n"


def _json(config: Config) -> Iterator[str]:
    listed = [
        {"option": name, "value": _shown(value), "source": source, "meaning": meaning}
        for name, value, source, meaning in config.rows()
    ]
    path = None if config.path is None else str(config.path)
    yield json_text({"file": path, "aliases": dict(config.aliases), "options": listed}) + "\n"


def _shown(value: object) -> object:
    if isinstance(value, bool):
        return "on" if value else "off"
    return value if value is None or isinstance(value, int) else str(value)
