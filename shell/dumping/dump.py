"""`mfdb dump FILE`: everything of one identity into a file that anybody can verify."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mfdb.client.dumps import DumpOptions, dump
from mfdb.client.opening import open_home
from shell import exit_codes
from shell.dumping.told import progressing, told_size, write_json
from shell.passphrase import PassphraseSource
from shell.values import safe

if TYPE_CHECKING:
    import argparse

    from mfdb.client.opening import Home


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", type=Path, metavar="FILE", help="where to; must not be there yet")
    parser.add_argument("datasets", nargs="*", metavar="DATASET", help="only these (default: all)")
    parser.add_argument(
        "--since", type=Path, metavar="FORMER", help="only what is new since this dump"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it is there")


def run(args: argparse.Namespace) -> int:
    """Write the dump and return the exit code.

    Raises:
        MfdbError: the identity does not open, the former dump is no good, the disk is full.
    """
    options = DumpOptions(since=args.since, names=tuple(args.datasets), overwrite=args.overwrite)
    source = PassphraseSource(os.environ, terminal=sys.stdin.isatty())
    home = open_home(args.data, identity=args.identity, passphrase=source)
    try:
        if args.network:
            asyncio.run(_synced(home, args.network))
        with progressing(args) as tell:
            taken = dump(home, args.file, options, tell)
    finally:
        home.close()
    if args.json:
        write_json(
            {
                "file": str(args.file),
                "dump": "0x" + taken.id.hex(),
                "number": taken.number,
                "datasets": taken.datasets,
                "changesets": taken.new_changesets,
                "bytes": taken.length_bytes,
            }
        )
    else:
        kind = "full dump" if taken.number == 0 else f"dump {taken.number} of its chain"
        sys.stdout.write(
            f"{args.file}: {kind}, {taken.datasets} datasets, {taken.new_changesets} new "
            f"changesets, {told_size(taken.length_bytes)}\n"
        )
    return exit_codes.OK


async def _synced(home: Home, network: str) -> None:
    """Bring every dataset of the network up to date first."""
    from mfdb.client.dumps_network import sync_all

    for name in await sync_all(home, network):
        sys.stderr.write(f"note: {safe(name)} is dumped as far as it is here: not readable\n")
