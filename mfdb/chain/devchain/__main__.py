"""`python -m mfdb.chain.devchain --dir DIR --port N`: the process.

Prints `ready <url>` once it serves; ends with 0 on SIGINT and SIGTERM, with 2 and one line of
explanation if it cannot start.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
import time
from pathlib import Path

from mfdb.chain.devchain.engine import Engine
from mfdb.chain.devchain.server import RpcServer
from mfdb.chain.devchain.storage import ChainStorage
from mfdb.kernel.errors import MfdbError, StoreFull

_LOG = logging.getLogger(__name__)

CHAIN_ID = 31337


class _WallClock:
    """The machine's clock; `mfdb.node.system` is above this room, and this a process of its own."""

    def now_s(self) -> float:
        return time.time()  # noqa: TID251 - see the class

    def monotonic_s(self) -> float:
        return time.monotonic()  # noqa: TID251 - see the class


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mfdb.chain.devchain", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="where the chain is kept")
    parser.add_argument("--port", type=int, required=True, help="port of 127.0.0.1; 0 for any")
    parser.add_argument("--chain-id", type=int, default=CHAIN_ID, help="31337 or 1337")
    parser.add_argument(
        "--block-time", type=float, default=1.0, help="seconds between empty blocks; 0 for none"
    )
    return parser


async def _tick(engine: Engine, block_time_s: float, stop: asyncio.Event) -> None:
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), block_time_s or None)
            return
        try:
            engine.tick()
        except StoreFull as error:  # serve what there is; perhaps somebody makes room
            _LOG.warning("no block: %s", error)


async def _serve(options: argparse.Namespace) -> None:
    storage = ChainStorage(options.dir)
    try:
        engine = Engine(storage, chain_id=options.chain_id, clock=_WallClock())
        server = RpcServer(engine)
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        url = await server.start(options.port)
        try:
            sys.stdout.write(f"ready {url}\n")
            sys.stdout.flush()
            await _tick(engine, options.block_time, stop)
        finally:
            await server.stop()
    finally:
        storage.close()


def main(arguments: list[str] | None = None) -> int:
    """Run the process and return its exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    # py-evm explains every failed call as a warning or an error; to a chain they are answers.
    logging.getLogger("eth").setLevel(logging.CRITICAL)
    try:
        asyncio.run(_serve(options))
    except MfdbError as error:
        hint = f" ({error.hint})" if error.hint else ""
        sys.stderr.write(f"{error.code}: {error.message}{hint}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
