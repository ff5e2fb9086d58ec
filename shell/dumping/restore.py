"""`mfdb restore FILE...`: the datasets of a dump, or of a chain of dumps, on this machine."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mfdb.client.dumps import restore_dumps
from mfdb.client.opening import open_home
from mfdb.kernel.ids import show
from shell import exit_codes
from shell.dumping.told import progressing, write_json
from shell.passphrase import PassphraseSource
from shell.values import safe

if TYPE_CHECKING:
    import argparse

    from mfdb.client.dumps import Restored


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
    moved = asyncio.run(_on_network(args, done, source)) if args.network else []
    if args.json:
        write_json(
            {
                "identity": show(done.identity),
                "datasets": done.names,
                "changesets": done.check.changesets,
                "rows": done.check.rows,
                "moved": dict(moved),
            }
        )
    else:
        named = ", ".join(map(safe, done.names)) or "none"
        sys.stdout.write(
            f"restored {len(done.names)} datasets of {show(done.identity)}, {done.check.rows} "
            f"rows: {named}\n"
        )
        for name, joined in moved:
            if joined:
                sys.stdout.write(f"{safe(name)} is kept by {joined} other providers now\n")
    return exit_codes.OK


async def _on_network(
    args: argparse.Namespace, done: Restored, source: PassphraseSource
) -> list[tuple[str, int]]:
    """Bring what its providers have lost onto others; return how many joined for each dataset."""
    from mfdb.client.dumps_network import bring_back_all

    home = open_home(args.data, identity=show(done.identity), passphrase=source)
    try:
        brought = await bring_back_all(home, args.network)
    finally:
        home.close()
    return [(name, moved.joined) for name, moved in brought]
