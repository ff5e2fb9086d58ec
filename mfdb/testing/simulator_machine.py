"""The machines of a simulation: a disk and keys that outlive every process killed on them."""

from __future__ import annotations

import asyncio
import contextvars
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from mfdb.kernel.errors import ChainUnavailable, TransactionReverted
from mfdb.kernel.seed import Seed, new_words
from mfdb.node.client.node import start_client
from mfdb.node.ports import Ports
from mfdb.node.provider.node import ProviderNode
from mfdb.testing.memory_store import MemoryDisk, MemoryStore
from mfdb.testing.sim_chain import SimChain
from mfdb.testing.sim_clock import SeededEntropy, SimClock
from mfdb.testing.simulator_trace import RUNNING, Life

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from mfdb.chain.port import ChainCall, Mined
    from mfdb.dataset.replica import Replica
    from mfdb.kernel.account import Account
    from mfdb.kernel.ids import Address, TransportKey
    from mfdb.kernel.seed import IdentityKeys
    from mfdb.net.port import Handler, Peer, Transport
    from mfdb.node.accounts import Accounts
    from mfdb.node.client.remote import NodeRemote
    from mfdb.node.settings import ClientSettings, NodeSettings, ProviderSettings
    from mfdb.testing.memory_transport import MemoryNetwork
    from mfdb.testing.sim_chain import SimChainWorld
    from mfdb.testing.sim_clock import HasTime
    from mfdb.testing.simulator_liars import Liar

T = TypeVar("T")
R = TypeVar("R", bound="Replica")

FSYNC_S = 0.001
"""How long a commit takes; whatever arrives meanwhile is in the next group."""
TOLD_S = 0.0003
"""How long after a commit its process hears of it; killed between, it told nobody of what is kept.

A torn write is no other case: the store's contract makes a batch whole or absent.
"""
MINING_S = 0.2
"""How long a transaction takes to be mined, and again until its sender hears of it."""


@lru_cache(maxsize=64)
def keys_of(name: str) -> IdentityKeys:
    """Return the keys of a named machine, the same in every simulation."""
    return Seed.from_words(new_words(SeededEntropy(f"machine {name}"))).keys()


@dataclass(slots=True, kw_only=True)
class Weather:
    """How the chain treats transactions at present."""

    mining_s: float = MINING_S
    confirming_s: float = MINING_S
    """How long a sender waits until no other branch can take its transaction back."""
    reverts: float = 0.0
    """Chance that a transaction fails though nothing is wrong with it (it ran out of gas, say)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What all machines of a simulation share."""

    loop: HasTime
    network: MemoryNetwork
    chain: SimChainWorld
    entropy: SeededEntropy
    node: NodeSettings
    provider: ProviderSettings
    client: ClientSettings
    weather: Weather = field(default_factory=Weather)


class MachineChain(SimChain):
    """One process's way to the chain; a transaction takes time, and a dead process has no way."""

    def __init__(self, world: World, life: Life) -> None:
        super().__init__(world.chain)
        self._life = life
        self._weather = world.weather
        self._network = world.network

    @property
    def _world(self) -> SimChainWorld:
        if self._life.is_over:
            raise ChainUnavailable("this process was killed")
        return super()._world

    async def send(self, call: ChainCall, sender: Account, *, timeout_s: float = 60) -> Mined:
        """Mine a transaction; a process killed meanwhile never learns what became of it.

        Raises:
            TransactionReverted: a contract refused, on this branch of the chain or on another.
        """
        await asyncio.sleep(self._weather.mining_s)
        if self._network.chance(self._weather.reverts):
            raise TransactionReverted("the simulated chain ran out of gas")
        mined = await super().send(call, sender, timeout_s=timeout_s)
        await asyncio.sleep(self._weather.confirming_s)
        if not self._shared.is_mined(mined.transaction):
            raise TransactionReverted("another branch of the simulated chain refused it")
        return mined


class _Marked:
    """A handler whose work is marked as its process's, whoever's message began it.

    While its machine lies, what it answers is the liar's to change.
    """

    def __init__(self, handler: Handler, life: Life, machine: Machine) -> None:
        self._handler = handler
        self._life = life
        self._machine = machine

    async def on_request(self, peer: Peer, body: bytes) -> bytes:
        RUNNING.set(self._life)
        liar = self._machine.liar
        if liar is None:
            return await self._handler.on_request(peer, body)
        return await liar.answer(body, self._handler.on_request(peer, body))

    async def on_stream(self, peer: Peer, body: bytes) -> AsyncIterator[bytes]:
        RUNNING.set(self._life)
        async for item in self._handler.on_stream(peer, body):
            liar = self._machine.liar
            yield item if liar is None else await liar.item(item)

    async def on_closed(self, peer: Peer) -> None:
        RUNNING.set(self._life)
        await self._handler.on_closed(peer)


class Machine:
    """A computer with a name, keys, a clock of its own and a disk."""

    def __init__(self, name: str, world: World, *, skew_s: float = 0.0) -> None:
        self.name = name
        self.keys = keys_of(name)
        self.disk = MemoryDisk()
        self.clock = SimClock(world.loop, skew_s=skew_s)
        self.life = Life(f"{name}#0", is_over=True)
        self.down_since_s = 0.0
        self.lost_commits = 0
        """What its disk had acknowledged and a crash has lost."""
        self.slow_s = 0.0
        """How much longer than usual a commit takes."""
        self.liar: Liar | None = None
        """Who changes what this machine answers, if it lies."""
        self._world = world
        self._starts = 0
        self._tasks: dict[asyncio.Task[Any], None] = {}

    @property
    def address(self) -> Address:
        """Its identity."""
        return self.keys.address

    @property
    def key(self) -> TransportKey:
        """Its key on the network."""
        return self.keys.transport_key

    @property
    def is_up(self) -> bool:
        """Whether a process runs on it."""
        return not self.life.is_over

    def spawn(self, name: str, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a task of this machine's process; it dies with the process."""
        context = contextvars.copy_context()
        context.run(RUNNING.set, self.life)
        loop = asyncio.get_running_loop()
        task = loop.create_task(work, name=f"{self.name} {name}", context=context)
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))
        return task

    def boot(self) -> Ports:
        """Begin a new process on what the disk holds and return its ports."""
        self._starts += 1
        life = self.life = Life(f"{self.name}#{self._starts}")
        world = self._world

        def make_transport(seed: bytes, handler: Handler) -> Transport:
            return world.network.transport(seed, _Marked(handler, life, self))

        async def run_blocking(work: Callable[[], T]) -> T:
            await asyncio.sleep(FSYNC_S + self.slow_s)
            done = work()
            await asyncio.sleep(TOLD_S)
            return done

        return Ports(
            store=MemoryStore(self.disk),
            chain=MachineChain(world, life),
            clock=self.clock,
            entropy=world.entropy.fork(life.name),
            make_transport=make_transport,
            run_blocking=run_blocking,
        )

    def kill(self, *, power_loss: bool = False, surviving: int = 0) -> None:
        """End the process at once, as SIGKILL or a loss of power does; nothing more is written.

        Of what a lying disk never synced, the first `surviving` batches are kept.
        """
        self.life.is_over = True
        self.down_since_s = self._world.loop.time()
        self.lost_commits += max(0, self.disk.unsynced - surviving)
        self.disk.crash(surviving=surviving)
        self._world.network.kill(self.key, power_loss=power_loss)
        for task in self._running():
            task.cancel()

    def _running(self) -> list[asyncio.Task[Any]]:
        return list(self._tasks)


class ProviderMachine(Machine):
    """A machine that runs a provider."""

    node: ProviderNode | None = None
    bound = "127.0.0.1:0"

    async def start(self) -> None:
        """Run a provider; if that fails, the process ends as it would with an error.

        Raises:
            MfdbError: it did not start.
        """
        ports = self.boot()
        node = ProviderNode(self.keys, ports, node=self._world.node, settings=self._world.provider)
        self.node = node
        try:
            self.bound = await self.spawn("start", node.start(self.bound))
        except BaseException:
            if self.is_up:
                self.kill()
            raise

    def _running(self) -> list[asyncio.Task[Any]]:
        return super()._running() + _sorted(self.node._tasks._running if self.node else ())

    @property
    def accounts(self) -> Accounts | None:
        """The accounts of the running node."""
        return self.node._accounts if self.node is not None and self.is_up else None


class ClientMachine(Machine):
    """A machine that runs an identity's own node."""

    remote: NodeRemote

    async def start(self) -> None:
        """Run a client.

        Raises:
            MfdbError: it did not start.
        """
        ports = self._ports = self.boot()
        world = self._world
        try:
            self.remote = await self.spawn(
                "start", start_client(self.keys, ports, node=world.node, settings=world.client)
            )
        except BaseException:
            if self.is_up:
                self.kill()
            raise

    def make_replica(self, kind: type[R]) -> R:
        """Return a replica on this machine's disk."""
        return kind(
            self._ports.store,
            self.keys,
            clock=self.clock,
            entropy=self._ports.entropy,
            networks=[self._world.chain.network.id],
        )

    def _running(self) -> list[asyncio.Task[Any]]:
        remote = getattr(self, "remote", None)
        return super()._running() + _sorted(remote._context.tasks._running if remote else ())


def _sorted(tasks: Any) -> list[asyncio.Task[Any]]:
    """Return a node's tasks in an order that no memory address decides."""
    return sorted(tasks, key=lambda task: task.get_name())
