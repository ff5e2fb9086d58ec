"""`mfdb restore FILE...`: the datasets of a dump, or of a chain of dumps, on this machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mfdb.client.dumps import restore_dumps
from mfdb.kernel.ids import show
from shell import exit_codes
from shell.dumping.told import progressing, write_json
from shell.passphrase import PassphraseSource
from shell.values import safe

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "files", type=Path, nargs="+", metavar="FILE", help="a full dump and those --since it"
    )


def run(args: argparse.Namespace) -> int:
    """Restore and return the exit code.

    Raises:
        MfdbError: the files do not verify, their identity is not here, or has datasets already.
    """
    source = PassphraseSource(os.environ, terminal=sys.stdin.isatty())
    with progressing(args) as tell:
        done = restore_dumps(args.files, Path(args.data), passphrase=source, tell=tell)
    if args.json:
        write_json(
            {
                "identity": show(done.identity),
                "datasets": done.names,
                "changesets": done.check.changesets,
                "rows": done.check.rows,
            }
        )
    else:
        named = ", ".join(map(safe, done.names)) or "none"
        sys.stdout.write(
            f"restored {len(done.names)} datasets of {show(done.identity)}, {done.check.rows} "
            f"rows: {named}\n"
        )
    return exit_codes.OK
