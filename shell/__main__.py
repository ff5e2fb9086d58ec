"""The `mfdb` command: finds out what is asked for and hands it to the file that does it.

mfdb                      -> shell.prompt    (a person at a terminal)
mfdb -c, -f, < script     -> shell.batch
mfdb identity|config|...  -> the module that shell.arguments.PROGRAMS names
"""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING

from mfdb.kernel.errors import MfdbError
from shell import exit_codes

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Without `argv` it is a process of its own. That is over sooner if the collector neither looks
    through what is loaded at the start (`shell.start` lets it work then) nor, at the end, through
    what goes anyway: together a fifth of `mfdb -c 'SELECT 1'`.
    """
    if argv is not None:
        return _run(argv)
    gc.disable()
    try:
        return _run(sys.argv[1:])
    finally:
        gc.freeze()


def _run(argv: Sequence[str]) -> int:
    from shell.arguments import parse

    args = parse(argv)
    if args.version:
        from shell.version import version

        sys.stdout.write(f"mfdb {version()}\n")
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
    if not args.program:
        from shell.start import run

        return run(args)
    import importlib

    from shell.arguments import PROGRAMS

    gc.enable()

    if args.program != "config":  # which tells where each of these comes from
        from shell.settings import default_data
        from shell.start import configured

        options = configured(args).options
        args.data = options.data or default_data()
        args.network = options.network
    code: int = importlib.import_module(PROGRAMS[args.program][0]).run(args)
    return code


if __name__ == "__main__":
    sys.exit(main())
