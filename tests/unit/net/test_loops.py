"""The loop that programs run on."""

from __future__ import annotations

import asyncio
import importlib.util
import sys

import pytest

from mfdb.net import loops


async def kind() -> str:
    await asyncio.sleep(0)
    return type(asyncio.get_running_loop()).__module__


def test_without_uvloop_python_s_own_loop_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert loops.run(kind()).startswith("asyncio")


@pytest.mark.skipif(importlib.util.find_spec("uvloop") is None, reason="uvloop is not installed")
def test_uvloop_is_used_where_it_is_installed() -> None:
    assert loops.run(kind()).startswith("uvloop")
