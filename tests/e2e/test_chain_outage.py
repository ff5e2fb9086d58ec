"""A network on a chain that somebody else runs, and that goes away and comes back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import mfdb.aio
from mfdb.kernel.errors import ChainUnavailable
from tests.fixtures.devchain import DevchainProcess
from tests.fixtures.e2e_command import mfdb as command
from tests.fixtures.e2e_command import processes_under
from tests.fixtures.e2e_network import SMALL, LiveNetwork

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fixtures.e2e_command import User

pytestmark = pytest.mark.e2e

TEST_S = 90


def test_a_chain_of_others_that_restarts(own: LiveNetwork, tmp_path: Path) -> None:
    chain = DevchainProcess(tmp_path / "others")
    own.up("--providers", "3", "--chain", chain.url)
    status = own.status()
    assert status["parts"][0]["address"] == chain.url
    assert sum(part["pid"] is not None for part in status["parts"]) == 3, "not ours to start"
    bob = own.newcomer("bob", tmp_path)
    back = asyncio.run(asyncio.wait_for(through_an_outage(bob, chain), TEST_S))
    assert bob.rows("SELECT count(*) AS n FROM inbox") == [{"n": 2}]

    refused = own.devnet("up", "--chain", "devchain")
    assert refused.error["code"] == "DevnetFailed"
    assert own.devnet("down").code == 0
    assert processes_under(own.directory) == {}
    assert back.rpc("eth_chainId"), "down stops nobody else's chain"
    assert back.stop() == 0


async def through_an_outage(bob: User, chain: DevchainProcess) -> DevchainProcess:
    """Lose the chain under a connection; return it as it came back."""
    async with await mfdb.aio.connect(bob.data, network=bob.network) as db:
        await db.execute(f"CREATE MAILBOX inbox (body TEXT) {SMALL}")
        await db.execute("INSERT INTO inbox VALUES ('before')")
        chain.kill()
        with pytest.raises(ChainUnavailable) as lost:
            await db.execute("SHOW BALANCES")
        assert lost.value.retryable
        assert lost.value.hint
        await db.execute("SET freshness = cached")
        assert await db.fetchval("SELECT count(*) FROM inbox") == 1, "what is here needs no chain"
        await db.execute("SET freshness = latest")
        refused = command(*bob.arguments[:2], "--data", bob.data / "x", "--json", "-c", "SELECT 1")
        assert refused.code == 2
        assert refused.error["code"] == "ChainUnavailable"
        back = DevchainProcess(chain.directory, port=chain.port)
        await db.execute("SHOW BALANCES")
        await db.execute("INSERT INTO inbox VALUES ('after')")
        assert await db.fetchval("SELECT count(*) FROM inbox") == 2
        return back
