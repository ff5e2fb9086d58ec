"""Starts the providers of a network out of one process that has loaded what each of them needs.

Loading web3 and what it brings takes 3.5 s of a core (measured), and seven providers that load it
themselves keep two cores busy for 13 s. The nursery loads it once, while the chain comes up, and
forks: a provider is a process of its own, in a session of its own, and does not depend on the
nursery, which ends when all are ready.

It reads one `Birth` a line from its standard input, keeps the new process's id where later commands
find it, and answers with the id.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import os
import runpy
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from mfdb.devnet import processes
from mfdb.devnet.processes import Process
from mfdb.kernel.errors import DevnetFailed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NEEDED = ("mfdb.node.provider_cli", "mfdb.node.provider.node", "web3", "eth_abi.abi")


class Birth(msgspec.Struct, frozen=True):
    """A process that is to be started: its command is one of `module_command`."""

    name: str
    command: tuple[str, ...]
    directory: str

    @classmethod
    def of(cls, process: Process) -> Birth:
        """Return what is sent for a process."""
        return cls(process.name, tuple(process.command), str(process.directory))

    @property
    def process(self) -> Process:
        """The process that is meant."""
        return Process(name=self.name, command=self.command, directory=Path(self.directory))


class Nursery:
    """The parent's end; use `open_nursery`."""

    def __init__(self, child: asyncio.subprocess.Process, log: Path) -> None:
        assert child.stdin is not None
        assert child.stdout is not None
        self._child, self._log = child, log
        self._orders, self._answers = child.stdin, child.stdout
        self._used = False

    async def start(self, process: Process) -> int:
        """Start a process and return its id.

        Raises:
            DevnetFailed: it runs already, or the nursery has ended.
        """
        processes.demand_stopped(process)
        self._used = True
        self._orders.write(msgspec.json.encode(Birth.of(process)) + b"\n")
        answer = await self._answers.readline()
        if not answer:
            raise DevnetFailed("the nursery has ended", hint=f"its log is {self._log}")
        return int(answer)

    async def end(self) -> None:
        """Return when it is gone; every process that it was asked for has its pid file then."""
        if not self._used:
            self._child.kill()  # it may still be loading
        self._orders.close()
        await self._child.wait()


@asynccontextmanager
async def open_nursery(directory: Path) -> AsyncIterator[Nursery]:
    """Run a nursery, which begins to load at once; its log lies in a directory."""
    log = directory / "nursery.log"
    with _fresh(log) as errors:
        child = await asyncio.create_subprocess_exec(
            *processes.module_command(__name__),
            str(directory),  # so that whoever lists processes sees whose children these are
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
            env=processes.environment(),
        )
    nursery = Nursery(child, log)
    try:
        yield nursery
    finally:
        await nursery.end()


def _fresh(log: Path) -> BinaryIO:
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return log.open("wb")


def main() -> None:
    """Serve births until the standard input ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody here waits for them
    for module in NEEDED:
        importlib.import_module(module)
    gc.freeze()  # what is loaded stays shared with the children
    for line in sys.stdin.buffer:
        process = msgspec.json.decode(line, type=Birth).process
        pid = os.fork()
        if pid == 0:
            _live(process)
            return
        processes.keep(process, pid)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


def _live(process: Process) -> None:
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(process.log, os.O_WRONLY)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for taken, given in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(taken, given)
    _, _, _, module, *argv = process.command
    sys.argv = [module, *argv]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
