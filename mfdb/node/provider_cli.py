"""`mfdb provider`: run a provider, and see what it staked, earned and stands accused of.

`--data`, `--network` and `--json` are options of every `mfdb` command; the shell declares them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mfdb.kernel.errors import InterfaceError
from mfdb.kernel.ids import show, show_mft
from mfdb.net import loops
from mfdb.node.keystore import Keystore, read_passphrase_file
from mfdb.node.log_format import FORMATS, set_up_log
from mfdb.node.network_file import NetworkFile
from mfdb.node.system import SystemEntropy

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator

    from mfdb.kernel.seed import IdentityKeys
    from mfdb.node.provider.node import ProviderNode

log = logging.getLogger(__name__)

IDENTITY = "provider"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `mfdb provider`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    run_ = actions.add_parser("run", help="serve until interrupted")
    run_.add_argument("--listen", default="127.0.0.1:0", metavar="HOST:PORT")
    run_.add_argument(
        "--announce",
        metavar="HOST:PORT",
        help="the address that others reach it at, if that is not the one it listens on",
    )
    run_.add_argument(
        "--metrics",
        metavar="127.0.0.1:PORT",
        help="serve figures for Prometheus there, under /metrics (default: nowhere)",
    )
    run_.add_argument(
        "--log-format", choices=FORMATS, default="text", help="how the log looks (default text)"
    )
    show_ = actions.add_parser("show", help="deposit, earnings and cases")
    drain = actions.add_parser(
        "drain", help="take nothing new; be let go of everything; then the deposit is free"
    )
    drain.add_argument("--cancel", action="store_true", help="take new agreements again")
    drain.add_argument("--wait", action="store_true", help="wait until nothing is kept any more")
    drain.add_argument(
        "--notice",
        action="store_true",
        help="also leave datasets whose owners are not there: spares take the shards over, which "
        "costs the smallest shard's part of the deposit; the rest is free when the agreement ends",
    )
    withdraw = actions.add_parser("withdraw", help="take back deposit that backs nothing")
    withdraw.add_argument("amount", nargs="?", metavar="MFT", help="how much (default: all)")
    for action in (run_, show_, drain, withdraw):
        action.add_argument("--passphrase-file", type=Path, metavar="FILE")


def run(arguments: argparse.Namespace) -> int:
    """Carry out `mfdb provider` and return the exit code.

    Raises:
        InterfaceError: `--data` or `--network` is not given.
    """
    if arguments.data is None or arguments.network is None:
        raise InterfaceError(
            "a provider needs --data DIR and --network FILE",
            hint="its own directory, and the network.json of the network that it serves",
        )
    if arguments.action == "run":
        set_up_log(arguments.log_format)
        loops.run(_serve(arguments))
        return 0
    if arguments.action == "drain":
        from mfdb.node.provider_drain import drain

        return asyncio.run(drain(arguments))
    if arguments.action == "withdraw":
        from mfdb.node.provider_drain import withdraw

        return asyncio.run(withdraw(arguments))
    figures = asyncio.run(_figures(arguments))
    if arguments.json:
        sys.stdout.write(json.dumps(figures) + "\n")
    else:
        width = max(map(len, figures))
        for name, value in figures.items():
            sys.stdout.write(f"{name:<{width}}  {value}\n")
    return 0


def provider_keys(directory: Path, passphrase_file: Path | None = None) -> IdentityKeys:
    """Return the keys of the provider in a directory, made on first use."""
    keystore = Keystore(directory / "keystore", SystemEntropy())
    passphrase = read_passphrase_file(passphrase_file) if passphrase_file else None
    if not keystore.list():
        keystore.create(IDENTITY, passphrase)
    return keystore.unlock(IDENTITY, passphrase)


async def _serve(arguments: argparse.Namespace) -> None:
    from mfdb.node.provider_drain import follow_wish
    from mfdb.node.wiring import build_provider
    from mfdb.store.lmdb_store import LmdbStore

    keys = provider_keys(arguments.data, arguments.passphrase_file)
    store = LmdbStore(arguments.data / "store")
    with contextlib.closing(store):
        node = await build_provider(NetworkFile.load(arguments.network), keys, store)
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        try:
            bound = await node.start(arguments.listen, announce=arguments.announce)
            loops.settle_garbage()
            async with contextlib.AsyncExitStack() as stack:
                if arguments.metrics is not None:
                    await stack.enter_async_context(_metrics(arguments.metrics, node))
                sys.stdout.write(f"ready {show(keys.address)} {bound}\n")
                sys.stdout.flush()
                watch = asyncio.create_task(follow_wish(arguments.data, node))
                await asyncio.wait(
                    {watch, asyncio.create_task(stop.wait())},
                    return_when=asyncio.FIRST_COMPLETED,
                )
                watch.cancel()
                if watch.done() and not watch.cancelled():
                    watch.result()  # it ends by an error only
        finally:
            await node.close()


@contextlib.asynccontextmanager
async def _metrics(address: str, node: ProviderNode) -> AsyncIterator[None]:
    from mfdb.node.provider.metrics import serving_metrics

    async with serving_metrics(address, node.figures) as bound:
        log.info("metrics served address=%s", bound)
        yield


async def _figures(arguments: argparse.Namespace) -> dict[str, object]:
    from mfdb.chain.port import CaseClosed, CaseOpened, ChequeCashed
    from mfdb.chain.web3_chain import Web3Chain

    me = provider_keys(arguments.data, arguments.passphrase_file).address
    chain = await Web3Chain.connect(NetworkFile.load(arguments.network).deployment)
    try:
        deposit = await chain.deposit(me)
        events = [seen.event for seen in await chain.events()]
        accused = [e.case for e in events if isinstance(e, CaseOpened) and e.provider == me]
        closed = {e.case: e.status for e in events if isinstance(e, CaseClosed)}
        cashes = [e for e in events if isinstance(e, ChequeCashed) and e.beneficiary == me]
        return {
            "provider": show(me),
            "balance": show_mft(await chain.balance(me)),
            "deposit": show_mft(deposit.total),
            "earmarked": show_mft(deposit.earmarked),
            "cheques cashed": show_mft(sum(cash.amount for cash in cashes)),
            "cases against it": len(accused),
            "convictions": sum(1 for case in accused if closed.get(case, 0) == 2),
        }
    finally:
        await chain.close()
