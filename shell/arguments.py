"""The command line of `mfdb`, declared without importing what it starts."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from shell.settings import Format

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAMS = {
    "identity": ("shell.identity", "make, list, show, restore and protect identities"),
    "config": ("shell.config_command", "every option: its value, where from, what for"),
    "devnet": ("mfdb.devnet.cli", "a real network on this machine: up, status, fund, down, reset"),
    "demo": ("mfdb.devnet.demo_cli", "the mailbox story on a devnet, from staking to verdict"),
    "dump": ("shell.dumping.dump", "everything of an identity into a file; --since: what is new"),
    "verify": ("shell.dumping.verify", "every signature and hash of dumps, without keys"),
    "restore": ("shell.dumping.restore", "the datasets of dumps onto this machine"),
    "provider": ("mfdb.node.provider_cli", "serve other people's rows for MFT"),
}
"""Sub-commands: the module that declares (`add_arguments`) and runs (`run`) each, and its help."""

_EPILOG = """\
Without a sub-command: an interactive shell, or the statements of -c, -f and standard input.
mfdb DIR opens the database in a directory, mfdb NAME an alias of the configuration
first steps: mfdb, then \\? for help; docs/shell.md is a tutorial
exit codes: 0 ok, 1 a statement failed, 2 usage or no connection, 3 a script stopped, 130 Ctrl-C
"""


class Work(NamedTuple):
    """What -c or -f asks for."""

    is_file: bool
    text: str


class _Parser(argparse.ArgumentParser):
    """Tells those who write `mfdb DIR SQL` how that is said."""

    def error(self, message: str) -> NoReturn:
        """Leave with code 2, the usage and what is wrong."""
        if message.startswith("argument COMMAND: invalid choice"):
            message += "\nmfdb: SQL is run by -c SQL, a script by -f FILE"
        super().error(message)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Return what the command line says; leaves with code 2 if it says nothing sensible."""
    parser = _Parser(
        prog="mfdb",
        description="A database without a host: signed rows, paid providers, a court.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_globals(parser, top=True)
    programs = parser.add_subparsers(prog="mfdb", dest="program", metavar="COMMAND")
    for name, (module, meaning) in PROGRAMS.items():
        program = programs.add_parser(name, help=meaning, description=meaning, allow_abbrev=False)
        if name in argv:  # declaring a program may cost its imports, so only the one that is asked
            importlib.import_module(module).add_arguments(program)
            _add_globals_everywhere(program)
    return parser.parse_args(_with_database(argv, parser))


def _with_database(argv: Sequence[str], parser: argparse.ArgumentParser) -> Sequence[str]:
    """Return the arguments with a first word that is no sub-command named as the database."""
    if any(word.partition("=")[0] in ("--dsn", "--data") for word in argv):
        return argv
    values = 0
    for place, word in enumerate(argv):
        if word == "--" or word in PROGRAMS:
            return argv
        if values:
            values -= 1
        elif word.startswith("-") and word != "-":
            action = parser._option_string_actions.get(word)
            values = int(action is not None and action.nargs is None)
        else:
            return [*argv[:place], "--dsn", *argv[place:]]
    return argv


def _add_globals_everywhere(parser: argparse.ArgumentParser) -> None:
    """Let global options stand after the sub-command too, where it does not use the same name."""
    _add_globals(parser, top=False)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                _add_globals_everywhere(child)


def _add_globals(parser: argparse.ArgumentParser, *, top: bool) -> None:
    taken = parser._option_string_actions

    def add(*names: str, default: object = None, **options: object) -> None:
        if not any(name in taken for name in names):
            shown = options if top else {**options, "help": argparse.SUPPRESS}
            parser.add_argument(*names, default=default if top else argparse.SUPPRESS, **shown)  # type: ignore[arg-type]

    add("--data", type=Path, metavar="DIR", help="data directory (MFDB_DATA)")
    add("--identity", metavar="NAME", help="petname or address (default: the first made)")
    add("--network", type=Path, metavar="FILE", help="network.json of a network (MFDB_NETWORK)")
    add("--json", action="store_true", default=False, help="results and errors as JSON")
    add("--config", type=Path, metavar="FILE", help="configuration file (MFDB_CONFIG)")
    add("-X", "--no-config", action="store_true", default=False, help="read no configuration file")
    if top:
        _add_batch_options(parser)
        _add_display_options(parser)


def _add_batch_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "-c",
        dest="work",
        action="append",
        type=lambda text: Work(is_file=False, text=text),
        default=[],
        metavar="SQL",
        help="run this; repeatable, in order with -f",
    )
    add(
        "-f",
        dest="work",
        action="append",
        type=lambda text: Work(is_file=True, text=text),
        metavar="FILE",
        help="run a script; - is standard input",
    )
    add("--dsn", metavar="NAME", help="an alias, mfdb:///DIR?identity=..., or a directory")
    add("-v", dest="variables", action="append", default=[], metavar="NAME=VALUE",
        help="set a variable, for :NAME and :'NAME'")  # fmt: skip
    add("-1", "--single-transaction", action="store_true", help="all of it in one batch")
    add("-o", dest="output", metavar="FILE", help="write results to a file, or |COMMAND")
    add("-q", "--quiet", action="store_true", help="results only: no tags, no notices")
    add("-y", "--yes", action="store_true", help="never ask before a statement that destroys")
    add("--keep-going", action="store_true", help="go on after a statement that failed")
    add("--version", action="store_true", help="print the version and leave")


def _add_display_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--format", type=Format, choices=list(Format), metavar="FORMAT", help=", ".join(Format))
    add("-t", "--tuples-only", action="store_true", help="rows only, without heads and counts")
    add("--timing", action="store_true", default=None, help="show how long each statement takes")
    add("--null", metavar="TEXT", help="what stands for NULL in tables")
    add("-P", dest="options", action="append", default=[], metavar="NAME=VALUE",
        help="any option that `mfdb config` lists")  # fmt: skip
