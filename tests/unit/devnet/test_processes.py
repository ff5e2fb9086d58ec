"""Processes are found again by pid and start time, awaited with a bound, and stopped for good."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING

import pytest

from mfdb.devnet import processes
from mfdb.devnet.processes import Process
from mfdb.kernel.errors import DevnetFailed
from mfdb.node.system import SystemClock

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

CLOCK = SystemClock()
READY = "import time; print('ready now', flush=True); time.sleep(60)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "print('ready', 'now', flush=True); time.sleep(60)"
)


def python(program: str, place: Path) -> Process:
    return Process(name="one", command=[sys.executable, "-c", program], directory=place)


def pid_of(process: Process) -> int | None:
    return process.pid


async def ready(process: Process, timeout_s: float = 20) -> subprocess.Popen[bytes]:
    child = processes.start(process)
    try:
        told = await processes.wait_ready(process, child.pid, CLOCK, timeout_s=timeout_s)
    except DevnetFailed:
        child.kill()
        child.wait()
        raise
    assert told == "now"
    return child


def test_a_process_announces_itself_and_is_stopped(tmp_path: Path) -> None:
    async def story() -> None:
        process = python(READY, tmp_path)
        child = await ready(process)
        assert pid_of(process) == child.pid
        with pytest.raises(DevnetFailed, match="runs already"):
            processes.start(process)
        await processes.stop([process], CLOCK)
        child.wait()
        assert pid_of(process) is None
        assert not process.pid_file.exists()

    asyncio.run(story())


def test_what_a_process_said_outlives_its_next_start(tmp_path: Path) -> None:
    async def story() -> None:
        process = python(READY, tmp_path)
        for _ in range(3):
            child = await ready(process)
            await processes.stop([process], CLOCK)
            child.wait()
        assert process.log.read_text() == "ready now\n"
        assert process.former_log.read_text() == "ready now\n" * 2

    asyncio.run(story())


def test_what_does_not_listen_is_ended_by_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "STOP_S", 0.2)

    async def story() -> None:
        process = python(STUBBORN, tmp_path)
        child = await ready(process)
        await processes.stop([process], CLOCK)
        child.wait()
        assert process.pid is None

    asyncio.run(story())


def test_one_that_ends_early_gives_its_last_words(tmp_path: Path) -> None:
    process = python("print('first'); raise SystemExit('the disk is on fire')", tmp_path)
    with pytest.raises(DevnetFailed, match=r"ended before .*the disk is on fire") as failure:
        asyncio.run(ready(process))
    assert str(process.log) in failure.value.hint


def test_one_that_is_never_ready_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    process = python("import time; time.sleep(60)", tmp_path)
    with pytest.raises(DevnetFailed, match="not ready within"):
        asyncio.run(ready(process, timeout_s=0.2))


def test_a_crash_can_be_had(tmp_path: Path) -> None:
    process = python(READY, tmp_path)
    child = asyncio.run(ready(process))
    processes.kill(process)
    child.wait()
    with pytest.raises(DevnetFailed, match="does not run"):
        processes.kill(process)


def test_a_pid_that_was_given_to_somebody_else_is_not_ours(tmp_path: Path) -> None:
    process = python(READY, tmp_path)
    kept = json.dumps({"pid": os.getpid(), "started": "long ago"})
    process.pid_file.write_text(kept)
    assert process.pid is None
    asyncio.run(processes.stop([process], CLOCK))  # and we are still here


@pytest.mark.parametrize("content", ["", "no json", "{}", "[]", '{"pid": "x", "started": ""}'])
def test_a_damaged_pid_file_names_nobody(tmp_path: Path, content: str) -> None:
    process = python(READY, tmp_path)
    process.pid_file.write_text(content)
    assert process.pid is None
