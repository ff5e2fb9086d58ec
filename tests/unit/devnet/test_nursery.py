"""A nursery's processes are as separate as if they had been started one by one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from mfdb.devnet import processes
from mfdb.devnet.nursery import open_nursery
from mfdb.devnet.processes import Process
from mfdb.kernel.errors import DevnetFailed
from mfdb.node.system import SystemClock
from tests.fixtures.e2e_command import processes_under

if TYPE_CHECKING:
    from pathlib import Path

CLOCK = SystemClock()
SAYS = "import os, sys, time; print('ready', *sys.argv[1:], os.getsid(0), flush=True); "


def module(place: Path, name: str, program: str, *argv: str) -> Process:
    (place / f"{name}.py").write_text(program)
    command = (*processes.module_command(name), *argv)
    return Process(name=name, command=command, directory=place)


def test_its_processes_outlive_it_and_are_stopped_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    lasting = module(tmp_path, "lasting", SAYS + "time.sleep(60)", "with", "words")
    failing = module(tmp_path, "failing", "raise SystemExit('the disk is on fire')")

    async def story() -> None:
        async with open_nursery(tmp_path) as nursery:
            pid = await nursery.start(lasting)
            told = await processes.wait_ready(lasting, pid, CLOCK, timeout_s=60)
            assert told == f"with words {pid}", "in a session of its own"
            with pytest.raises(DevnetFailed, match="runs already"):
                await nursery.start(lasting)
            failed = await nursery.start(failing)
            with pytest.raises(DevnetFailed, match="the disk is on fire"):
                await processes.wait_ready(failing, failed, CLOCK, timeout_s=60)
        assert lasting.pid == pid
        await processes.stop([lasting], CLOCK)
        assert not lasting.pid_file.exists()
        assert processes_under(tmp_path) == {}

    asyncio.run(story())


def test_one_that_is_not_needed_after_all_is_gone_at_once(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_nursery(tmp_path) as nursery:
            pass
        with pytest.raises((DevnetFailed, ConnectionError)):
            await nursery.start(module(tmp_path, "late", "print()"))

    asyncio.run(story())
