from __future__ import annotations

import asyncio

import pytest

from mfdb.net.gate import Gate
from mfdb.testing.virtual_loop import run_virtual


def test_a_gate_keeps_both_bounds_and_the_order() -> None:
    async def main() -> None:
        gate = Gate(count=3, size_bytes=100)
        inside: list[int] = []
        order: list[int] = []

        async def pass_through(n: int) -> None:
            size = (n * 37) % 90
            await gate.enter(size)
            inside.append(size)
            order.append(n)
            assert len(inside) <= 3
            assert sum(inside) <= 100
            await asyncio.sleep(1 + n % 3)
            inside.remove(size)
            gate.leave(size)

        await asyncio.gather(*(pass_through(n) for n in range(50)))
        assert order == list(range(50))

    run_virtual(main())


def test_one_that_is_too_large_enters_alone() -> None:
    async def main() -> None:
        gate = Gate(count=3, size_bytes=100)
        assert gate.try_enter(1000)
        assert not gate.try_enter(1)
        gate.leave(1000)
        assert gate.try_enter(1)

    run_virtual(main())


def test_one_that_gave_up_takes_no_place() -> None:
    async def main() -> None:
        gate = Gate(count=1, size_bytes=100)
        assert gate.try_enter(1)
        waiting = [asyncio.create_task(gate.enter(1)) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        gate.leave(1)  # admits the cancelled one, which has not run yet
        with pytest.raises(asyncio.CancelledError):
            await waiting[0]
        await waiting[1]
        waiting[2].cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting[2]
        gate.leave(1)
        assert gate.try_enter(1)

    run_virtual(main())
