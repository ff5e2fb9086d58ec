"""The bench of replicated writes leaves nothing behind, however it ends."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from bench import replicated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


def test_sigterm_takes_the_network_down_and_removes_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    @asynccontextmanager
    async def open_town(directory: Path, providers: int) -> AsyncIterator[None]:
        seen.append(f"{providers} providers up")
        (directory / "store").write_bytes(b"rows")
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            async with asyncio.timeout(20):
                await asyncio.Event().wait()
            yield
        finally:
            await asyncio.sleep(0)
            seen.append("down")

    monkeypatch.setattr(replicated, "open_town", open_town)
    monkeypatch.setattr("sys.argv", ["replicated", "--quick", "--directory", str(tmp_path)])
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a failure must not end pytest
    try:
        with pytest.raises(SystemExit) as caught:
            replicated.main()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert caught.value.code == 128 + signal.SIGTERM
    assert seen == ["3 providers up", "down"]
    assert list(tmp_path.iterdir()) == []
