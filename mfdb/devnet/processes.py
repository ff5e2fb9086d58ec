"""Processes of a network on this machine: started, awaited until ready, found again, stopped.

A process announces itself by one line `ready ...` on its standard output, which goes to its log
file. Its pid file names process id and start time, so that a pid that was given to somebody else
since is never signalled.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import mfdb
from mfdb.kernel.errors import DevnetFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.kernel.clock import Clock

POLL_S = 0.05
READY = "ready "
STOP_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process by name: what to run, and where its pid file and log lie."""

    name: str
    command: Sequence[str]
    directory: Path

    @property
    def log(self) -> Path:
        """Its standard output and error."""
        return self.directory / f"{self.name}.log"

    @property
    def former_log(self) -> Path:
        """Where the logs of its earlier runs are, one after another."""
        return self.directory / f"{self.name}.former.log"

    @property
    def pid_file(self) -> Path:
        """Where its process id is kept while it runs."""
        return self.directory / f"{self.name}.pid"

    @property
    def pid(self) -> int | None:
        """Return the process id, or None if it does not run."""
        try:
            kept = json.loads(self.pid_file.read_text())
            pid = int(kept["pid"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        return pid if _started_at(pid) == kept["started"] != "" else None


def module_command(module: str) -> tuple[str, ...]:
    """Return how this very Python runs a module; arguments follow."""
    return (sys.executable, "-P", "-m", module)


def environment() -> dict[str, str]:
    """Return an environment in which Python finds this very mfdb, wherever it is started."""
    ours = str(Path(mfdb.__file__).parents[1])
    path = [ours, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


def start(process: Process) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, so that Ctrl-C reaches us only.

    Raises:
        DevnetFailed: it runs already.
    """
    demand_stopped(process)
    with process.log.open("wb") as log:
        child = subprocess.Popen(
            list(process.command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=environment(),
        )
    keep(process, child.pid)
    return child


def demand_stopped(process: Process) -> None:
    """Make the directory of a process that is about to start, and an empty log in it.

    What it said before it was killed or stopped is moved to the end of its former log.

    Raises:
        DevnetFailed: it runs already.
    """
    if process.pid is not None:
        raise DevnetFailed(f"{process.name} runs already", hint="`mfdb devnet down` stops it")
    process.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if process.log.exists():
        with process.former_log.open("ab") as former:
            former.write(process.log.read_bytes())
    process.log.write_bytes(b"")


def keep(process: Process, pid: int) -> None:
    """Note the id of a process that was just started, so that later commands find it."""
    process.pid_file.write_text(json.dumps({"pid": pid, "started": _started_at(pid)}))


async def wait_ready(process: Process, pid: int, clock: Clock, *, timeout_s: float) -> str:
    """Return what a process said of itself once it is ready.

    Raises:
        DevnetFailed: it ended before, or took longer than `timeout_s`; with the end of its log.
    """
    deadline_s = clock.monotonic_s() + timeout_s
    while clock.monotonic_s() < deadline_s:
        for line in process.log.read_text(errors="replace").splitlines():
            if line.startswith(READY):
                return line.removeprefix(READY)
        if not _is_running(pid):
            raise DevnetFailed(
                f"{process.name} ended before it was ready: {last_words(process)}",
                hint=f"its log is {process.log}",
            )
        await asyncio.sleep(POLL_S)
    raise DevnetFailed(
        f"{process.name} was not ready within {timeout_s:.0f} s", hint=f"its log is {process.log}"
    )


async def stop(processes: Sequence[Process], clock: Clock) -> None:
    """End processes: politely, then by force; returns when none is left."""
    pids = {process.name: process.pid for process in processes}
    running = {name: pid for name, pid in pids.items() if pid is not None}
    for pid in running.values():
        _signal(pid, signal.SIGTERM)
    deadline_s = clock.monotonic_s() + STOP_S
    forced = False
    while any(_is_running(pid) for pid in running.values()):
        if not forced and clock.monotonic_s() > deadline_s:
            forced = True
            for pid in running.values():
                _signal(pid, signal.SIGKILL)
        await asyncio.sleep(POLL_S)
    for process in processes:
        process.pid_file.unlink(missing_ok=True)


def kill(process: Process) -> None:
    """End a process at once, as a crash would.

    Raises:
        DevnetFailed: it does not run.
    """
    pid = process.pid
    if pid is None:
        raise DevnetFailed(f"{process.name} does not run")
    _signal(pid, signal.SIGKILL)
    _wait_end(pid)
    process.pid_file.unlink(missing_ok=True)


def last_words(process: Process) -> str:
    """Return the last line of a process's log."""
    lines = process.log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _wait_end(pid: int) -> None:
    """Return once a killed process has let go of its files; it need not be a child of ours."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
        return
    if not hasattr(os, "pidfd_open"):
        return  # only Linux has something to wait on
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            select.select([handle], [], [], STOP_S)
        finally:
            os.close(handle)


def _is_running(pid: int) -> bool:
    """Return whether a process runs; a child of ours that has ended is reaped on the way."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    return _started_at(pid) != ""


def _started_at(pid: int) -> str:
    """Return something that tells a process from a later one with its pid; empty if it is gone."""
    status = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return ""
        return "" if fields[0] == "Z" else fields[19]
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    return "running"
