"""The `mfdb` command: finds out what is asked for and hands it to the file that does it.

mfdb                      -> shell.repl      (a person at a terminal)
mfdb -c, -f, < script     -> shell.batch
mfdb identity|devnet|...  -> the module that shell.arguments.PROGRAMS names
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from mfdb.kernel.errors import MfdbError
from shell import exit_codes

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    from shell.arguments import parse

    args = parse(sys.argv[1:] if argv is None else argv)
    if args.version:
        sys.stdout.write(f"mfdb {_version()}\n")
        return exit_codes.OK
    try:
        return _dispatch(args)
    except MfdbError as error:
        from shell import report

        sys.stderr.write(report.error_json(error) if args.json else report.error_text(error))
        return exit_codes.FAILED
    except KeyboardInterrupt:
        return exit_codes.INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has seen enough. Python would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exit_codes.OK


def _dispatch(args: argparse.Namespace) -> int:
    from shell.settings import default_data, default_network

    args.data = args.data or default_data(os.environ)
    args.network = args.network or default_network(os.environ)
    if args.program:
        import importlib

        from shell.arguments import PROGRAMS

        code: int = importlib.import_module(PROGRAMS[args.program][0]).run(args)
        return code
    from shell.start import run

    return run(args)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("mfdb")
    except PackageNotFoundError:
        return "from a checkout, not installed"


if __name__ == "__main__":
    sys.exit(main())
