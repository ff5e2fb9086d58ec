"""A request that is given up leaves the endpoint as good as it was."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from mfdb.chain.rpc import Endpoint

if TYPE_CHECKING:
    from tests.fixtures.devchain import DevchainProcess

ROUNDS = 10
AT_ONCE = 6
ANSWER_S = 10


@pytest.mark.parametrize("steps", range(5))
def test_cancelled_requests_block_no_later_one(devchain: DevchainProcess, steps: int) -> None:
    """web3's lock stays taken if a request is cancelled while it waits for it (async_lock)."""

    async def story() -> None:
        endpoint = await Endpoint.open(devchain.url)
        try:
            for _ in range(ROUNDS):
                given_up = [asyncio.create_task(endpoint.height()) for _ in range(AT_ONCE)]
                for _ in range(steps):
                    await asyncio.sleep(0)
                for task in given_up:
                    task.cancel()
                ends = await asyncio.gather(*given_up, return_exceptions=True)
                assert all(isinstance(end, int | asyncio.CancelledError) for end in ends)
                assert await asyncio.wait_for(endpoint.height(), ANSWER_S) >= 0
        finally:
            await endpoint.close()

    asyncio.run(story())
