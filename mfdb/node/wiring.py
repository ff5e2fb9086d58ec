"""The only place that gives nodes their real ports: LMDB, TLS, web3, the machine's clock."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from mfdb.chain.web3_chain import Web3Chain
from mfdb.net import loops
from mfdb.net.tls_transport import TlsTransport
from mfdb.node.client.node import start_client
from mfdb.node.network_file import NetworkFile
from mfdb.node.ports import Ports
from mfdb.node.provider.node import ProviderNode
from mfdb.node.system import SystemClock, SystemEntropy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mfdb.kernel.clock import Clock
    from mfdb.kernel.entropy import Entropy
    from mfdb.kernel.seed import IdentityKeys
    from mfdb.net.port import Handler, Transport
    from mfdb.node.client.remote import NodeRemote
    from mfdb.store.port import Store

T = TypeVar("T")


async def run_in_thread(work: Callable[[], T]) -> T:
    """Return what blocking work returns, without holding up the event loop."""
    return await asyncio.to_thread(work)


BRIEF_S = 0.5e-3
"""What a thread's turn costs: less than this is done sooner without one."""


class Briefly:
    """Carries out blocking work at once while it takes a moment only, else on a thread.

    A sync takes 0.1 ms on one disk and 10 ms on another; the last ones tell what to expect.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._expected_s = BRIEF_S

    async def __call__(self, work: Callable[[], T]) -> T:
        """Return what `work` returns."""
        if self._expected_s < BRIEF_S:
            return self._timed(work)
        return await run_in_thread(lambda: self._timed(work))

    def _timed(self, work: Callable[[], T]) -> T:
        start_s = self._clock.monotonic_s()
        try:
            return work()
        finally:
            self._expected_s += (self._clock.monotonic_s() - start_s - self._expected_s) / 4


async def build_ports(network: NetworkFile, store: Store, clock: Clock, entropy: Entropy) -> Ports:
    """Return the real ports of a node on a network.

    Raises:
        ChainUnavailable: the chain does not answer.
        WrongChain: the endpoint serves another chain than the network's.
    """

    def make_transport(seed: bytes, handler: Handler) -> Transport:
        return TlsTransport(seed, handler, entropy=entropy)

    chain = await Web3Chain.connect(network.deployment, store=store)
    return Ports(
        store=store,
        chain=chain,
        clock=clock,
        entropy=entropy,
        make_transport=make_transport,
        run_blocking=run_in_thread,
        run_briefly=Briefly(clock),
    )


async def build_remote(
    network_file: Path | str,
    keys: IdentityKeys,
    store: Store,
    clock: Clock | None = None,
    entropy: Entropy | None = None,
) -> NodeRemote:
    """Return a client's node on the network that a file describes, ready to be used.

    Raises:
        DevnetFailed, WrongVersion, CorruptRecord: the file is missing or no good.
        ChainUnavailable, WrongChain, TransactionReverted: the chain is in the way.
    """
    network = NetworkFile.load(network_file)
    ports = await build_ports(network, store, clock or SystemClock(), entropy or SystemEntropy())
    loops.settle_garbage()
    return await start_client(keys, ports, node=network.node, settings=network.client)


async def build_provider(network: NetworkFile, keys: IdentityKeys, store: Store) -> ProviderNode:
    """Return a provider that is not started yet.

    Raises:
        ChainUnavailable, WrongChain: the chain is in the way.
    """
    ports = await build_ports(network, store, SystemClock(), SystemEntropy())
    return ProviderNode(keys, ports, node=network.node, settings=network.provider)
