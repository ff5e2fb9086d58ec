"""`mfdb devnet up|status|fund|down|reset`."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from mfdb.devnet.devnet import Devnet
from mfdb.devnet.parameters import MIN_PROVIDERS
from mfdb.kernel.errors import DevnetFailed
from mfdb.kernel.ids import MFT, Wei, parse_address
from mfdb.node.system import SystemClock

if TYPE_CHECKING:
    import argparse

BASE_PORT = 28_545
_DOWN = "stopped; the data stays, `mfdb devnet up` goes on with it"
PERSON_MFT = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `mfdb devnet`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    up = actions.add_parser("up", help="start it and wait until it is ready")
    up.add_argument(
        "--providers", type=int, metavar="N", help=f"at least so many (first {MIN_PROVIDERS})"
    )
    up.add_argument(
        "--chain",
        metavar="devchain|anvil|URL",
        help="which chain to use, chosen on first start (default devchain)",
    )
    up.add_argument(
        "--base-port",
        type=int,
        default=BASE_PORT,
        metavar="PORT",
        help=f"first of the ports to use on first start (default {BASE_PORT}); 0 for any",
    )
    status = actions.add_parser("status", help="which processes run, and where")
    down = actions.add_parser("down", help="stop every process; data stays")
    reset = actions.add_parser("reset", help="stop it and remove all its data")
    reset.add_argument("-y", "--yes", action="store_true", help="do not ask")
    fund = actions.add_parser("fund", help="give identities MFT and coin for gas")
    fund.add_argument("accounts", nargs="+", metavar="ADDRESS", help="0x and 40 hex digits")
    fund.add_argument("--mft", type=int, default=PERSON_MFT, help=f"default {PERSON_MFT}")
    for action in (up, status, down, reset, fund):
        action.add_argument("--directory", type=Path, metavar="DIR", help="where the devnet lives")


def default_directory() -> Path:
    """Return where the devnet of this user lives."""
    return Path(platformdirs.user_data_dir("mfdb")) / "devnet"


def run(arguments: argparse.Namespace) -> int:
    """Carry out `mfdb devnet` and return the exit code."""
    data = getattr(arguments, "data", None)
    directory = arguments.directory or (data / "devnet" if data else default_directory())
    devnet = Devnet(directory, SystemClock(), say=_say)
    match arguments.action:
        case "up":
            return asyncio.run(_up(devnet, arguments))
        case "down":
            asyncio.run(devnet.down())
            _say(_DOWN if devnet.exists() else f"there is no devnet in {devnet.directory}")
        case "fund":
            accounts = [parse_address(account) for account in arguments.accounts]
            asyncio.run(devnet.fund(accounts, Wei(arguments.mft * MFT)))
            _say(f"gave {arguments.mft} MFT and coin for gas to {', '.join(arguments.accounts)}")
        case "reset":
            return _reset(devnet, yes=arguments.yes)
        case _:
            return _status(devnet, as_json=arguments.json)
    return 0


async def _up(devnet: Devnet, arguments: argparse.Namespace) -> int:
    base = arguments.base_port or None
    wanted: int | None = arguments.providers
    if wanted is None:
        wanted = 1 if devnet.exists() else MIN_PROVIDERS
    await devnet.up(providers=wanted, chain=arguments.chain, base_port=base)
    _say(f"use it with: mfdb --network {devnet.network_file}")
    return 0


def _reset(devnet: Devnet, *, yes: bool) -> int:
    if not yes and not sys.stdin.isatty():
        raise DevnetFailed("reset removes all data of the devnet", hint="say so with --yes")
    if not yes:
        sys.stderr.write(f"remove {devnet.directory} with all its data? [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            _say("nothing was removed")
            return 1
    asyncio.run(devnet.reset())
    _say("removed")
    return 0


def _status(devnet: Devnet, *, as_json: bool) -> int:
    parts = devnet.parts()
    running = sum(part.pid is not None for part in parts)
    if as_json:
        found = [{"name": p.name, "pid": p.pid, "address": p.address} for p in parts]
        document = {
            "directory": str(devnet.directory),
            "network": str(devnet.network_file),
            "running": running,
            "parts": found,
        }
        sys.stdout.write(json.dumps(document) + "\n")
    else:
        for part in parts:
            state = f"pid {part.pid}" if part.pid is not None else "stopped"
            sys.stdout.write(f"{part.name:<6} {state:<12} {part.address}\n")
    return 0 if running == len(parts) else 1


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
