from __future__ import annotations

import asyncio
import importlib.util
from typing import TYPE_CHECKING, Any

import pytest

from mfdb.net import loops
from mfdb.net.tls_transport import TlsTransport
from mfdb.testing.memory_transport import MemoryNetwork, MemoryTransport
from mfdb.testing.sim_clock import SeededEntropy
from mfdb.testing.suites.transport_suite import TransportSuite
from mfdb.testing.virtual_loop import run_virtual

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from mfdb.net.port import Handler, Transport
    from mfdb.net.settings import NetSettings


class TestTlsTransport(TransportSuite):
    def run(self, main: Coroutine[Any, Any, None]) -> None:
        asyncio.run(main)

    def make(self, seed: bytes, handler: Handler, settings: NetSettings) -> Transport:
        return TlsTransport(seed, handler, entropy=SeededEntropy(seed), settings=settings)

    async def kill(self, transport: Transport) -> None:
        assert isinstance(transport, TlsTransport)
        transport._table.drop()
        await transport.close()


@pytest.mark.skipif(importlib.util.find_spec("uvloop") is None, reason="uvloop is not installed")
class TestTlsTransportOnUvloop(TestTlsTransport):
    def run(self, main: Coroutine[Any, Any, None]) -> None:
        loops.run(main)


class TestMemoryTransport(TransportSuite):
    @pytest.fixture(autouse=True)
    def _network(self) -> None:
        self.network = MemoryNetwork(seed=7)

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        run_virtual(main)

    def make(self, seed: bytes, handler: Handler, settings: NetSettings) -> Transport:
        return self.network.transport(seed, handler, settings=settings)

    async def kill(self, transport: Transport) -> None:
        assert isinstance(transport, MemoryTransport)
        self.network.kill(transport.key)
        await transport.close()
