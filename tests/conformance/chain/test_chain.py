"""The chain port's suite over each adapter there is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

import pytest

from mfdb.chain.anvil import find_anvil
from mfdb.chain.deploy import Deployment, deploy
from mfdb.testing.suites.chain_suite import ChainSuite
from tests.fixtures.chain_worlds import TERMS, RpcWorld, SimWorld
from tests.fixtures.devchain import ACCOUNTS, anvil_process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfdb.testing.suites.chain_stage import ChainWorld
    from tests.fixtures.devchain import DevchainProcess

FAUCET = ACCOUNTS[0]


class TestWeb3ChainOnDevchain(ChainSuite):
    """The real adapter on the real process."""

    deployment: ClassVar[Deployment]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def contracts(cls, devchain: DevchainProcess) -> None:
        """Deploy once for all tests."""
        cls.deployment = asyncio.run(deploy(devchain.url, FAUCET, TERMS))

    async def open_world(self) -> ChainWorld:
        return await RpcWorld.open(self.deployment, FAUCET)


@pytest.mark.skipif(find_anvil() is None, reason="anvil is not installed (PATH or MFDB_ANVIL)")
class TestWeb3ChainOnAnvil(ChainSuite):
    """The real adapter on anvil, where it is installed."""

    deployment: ClassVar[Deployment]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def contracts(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        """Start anvil and deploy once for all tests."""
        with anvil_process(tmp_path_factory.mktemp("anvil")) as url:
            cls.deployment = asyncio.run(deploy(url, FAUCET, TERMS))
            yield

    async def open_world(self) -> ChainWorld:
        return await RpcWorld.open(self.deployment, FAUCET)


class TestSimChain(ChainSuite):
    """The simulated twin."""

    async def open_world(self) -> ChainWorld:
        return SimWorld()
