"""Which event loop a program of ours runs on: uvloop's where it is installed, else Python's own.

Nodes spend a third of a small request in the transport, which uvloop writes in C.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import importlib.util
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")


@cache
def settle_garbage() -> None:
    """Have later collections leave alone what is loaded by now, once in a process.

    What a node loads (web3 alone brings 100,000 objects) stays to the end; to look through all of
    it takes 0.1 s each time, during which nothing is acknowledged.
    """
    gc.collect()
    gc.freeze()


def run(main: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine gives, as `asyncio.run` does, on the quickest loop there is."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(main)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes the quickest loop there is."""
    if importlib.util.find_spec("uvloop") is None:
        return asyncio.new_event_loop
    made: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("uvloop").new_event_loop
    return made
