"""What happens next in a simulation: seeded steps of work and of faults, within what is promised.

The promises of DESIGN 13 hold for a bounded number of failures, so the schedule keeps the bounds:
at most m providers are down at once and nobody for longer than `OUTAGE_S`, one provider deletes
one shard at most, the chain is away for less than an answer window.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mfdb.kernel.errors import MfdbError
from mfdb.node.provider import shelf
from mfdb.testing.memory_store import MemorySnapshot
from mfdb.testing.memory_transport import LinkFaults

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mfdb.kernel.ids import SegmentId
    from mfdb.testing.simulator import Simulation
    from mfdb.testing.simulator_machine import ProviderMachine

MOST_DOWN = 2
CHAIN_AWAY_S = 20.0
OUTAGE_S = 40.0
PAUSES_S = (0.0, 0.002, 0.01, 0.3, 3.0, 12.0)
"""Short ones let a fault strike in the middle of what was begun, long ones let it finish."""


class Schedule:
    """The hand that a seed deals to a simulation."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._random = simulation.random
        self._network = simulation.world.network
        self._trace = simulation.trace
        self._chain_back_s: float | None = None
        self._is_noisy = False
        self._steps: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (30, self._write),
            (8, self._seal),
            (10, self._kill),
            (8, self._restart),
            (4, self._restart_client),
            (5, self._noise),
            (5, self._partition),
            (6, self._end_network_faults),
            (3, self._chain_away),
            (3, self._fill_disk),
            (3, self.lose_shard),
            (2, self._snoop),
            (1, self._replace_owner),
        ]

    def _now_s(self) -> float:
        return self._simulation.world.loop.time()

    async def step(self) -> None:
        """Let one thing happen, and some time pass."""
        await self._overdue()
        weights = [weight for weight, _ in self._steps]
        _, action = self._random.choices(self._steps, weights)[0]
        await action()
        await asyncio.sleep(self._random.choice(PAUSES_S) * self._random.random())

    async def _overdue(self) -> None:
        """End what has lasted as long as it may."""
        for machine in self._simulation.providers:
            if not machine.is_up and self._now_s() > machine.down_since_s + OUTAGE_S - 15:
                self._start(machine)
        if self._chain_back_s is not None and self._now_s() > self._chain_back_s:
            self._chain_back()

    # ---- work

    async def _write(self) -> None:
        writer = self._random.choice(self._simulation.writers)
        count = self._random.randint(1, 4)
        if writer.machine.is_up:
            self._trace.add(f"{writer.machine.name} writes {count} rows")
            writer.machine.spawn("writes", writer.write(self._random, count))

    async def _seal(self) -> None:
        owner = self._simulation.owner
        if owner.machine.is_up:
            self._trace.add("bob has his mailbox sealed")
            owner.machine.spawn("seals", owner.seal())

    async def _snoop(self) -> None:
        writer = self._random.choice(self._simulation.writers)
        if writer.machine.is_up:
            self._trace.add(f"{writer.machine.name} snoops")
            writer.machine.spawn("snoops", writer.snoop())

    async def _replace_owner(self) -> None:
        """Bob's machine is stolen; he restores on another, unless more failed than may."""
        if self._is_calm() and len(self._down()) <= 1 and not self._simulation.lost:
            self._trace.add("bob's machine is stolen")
            await self._simulation.replace_owner()

    # ---- machines

    def _down(self) -> list[ProviderMachine]:
        return [machine for machine in self._simulation.providers if not machine.is_up]

    async def _kill(self) -> None:
        up = [machine for machine in self._simulation.providers if machine.is_up]
        if len(self._down()) < MOST_DOWN:
            machine = self._random.choice(up)
            power_loss = self._random.random() < 0.3
            self._trace.add(f"{machine.name} is killed{' by a loss of power' * power_loss}")
            machine.kill(power_loss=power_loss)

    async def _restart(self) -> None:
        down = self._down()
        if down:
            self._start(self._random.choice(down))

    def _start(self, machine: ProviderMachine) -> None:
        self._trace.add(f"{machine.name} starts")
        if self._random.random() < 0.3:
            machine.bound = "127.0.0.1:0"
        asyncio.get_running_loop().create_task(self._started(machine), name="operator")

    async def _started(self, machine: ProviderMachine) -> None:
        if machine.is_up:
            return
        try:
            await machine.start()
        except MfdbError as error:
            self._trace.add(f"{machine.name} does not start: {type(error).__name__}: {error}")
        except asyncio.CancelledError:
            self._trace.add(f"{machine.name} was killed while it started")

    async def _restart_client(self) -> None:
        writer = self._random.choice(self._simulation.writers)
        if self._random.random() < 0.4:
            await self._restart_owner()
            return
        self._trace.add(f"{writer.machine.name} is killed and starts again")
        if writer.machine.is_up:
            writer.machine.kill()
        await writer.machine.start()
        writer.begin()

    async def _restart_owner(self) -> None:
        self._trace.add("bob is killed and starts again")
        if self._simulation.owner.machine.is_up:
            self._simulation.owner.machine.kill()
        await self._simulation.start_owner()

    # ---- the network

    async def _noise(self) -> None:
        self._trace.add("the network loses, repeats and reorders")
        self._is_noisy = True
        chance = self._random.random
        self._network.set_faults(
            LinkFaults(
                min_delay_s=0.001,
                max_delay_s=self._random.choice((0.005, 0.1)),
                loss=0.1 * chance(),
                breaks=0.3,
                duplicate=0.1 * chance(),
                reorder=0.3 * chance(),
            )
        )

    async def _partition(self) -> None:
        one, other = self._random.sample(self._simulation.machines(), 2)
        one_way = self._random.random() < 0.3
        self._trace.add(f"{one.name} {'->' if one_way else '|'} {other.name} is cut")
        self._is_noisy = True
        self._network.partition(one.key, other.key, one_way=one_way)

    async def _end_network_faults(self) -> None:
        if self._is_noisy:
            self._trace.add("the network works again")
            self._is_noisy = False
            self._network.set_faults(LinkFaults())
            self._network.heal()

    # ---- chain and disks

    async def _chain_away(self) -> None:
        if self._chain_back_s is None:
            self._trace.add("the chain is away")
            self._simulation.world.chain.available = False
            self._chain_back_s = self._now_s() + CHAIN_AWAY_S * self._random.random()

    def _chain_back(self) -> None:
        self._trace.add("the chain is back")
        self._simulation.world.chain.available = True
        self._chain_back_s = None

    async def _fill_disk(self) -> None:
        machine = self._random.choice(self._simulation.providers)
        machine.disk.full = not machine.disk.full
        self._trace.add(f"{machine.name}'s disk is {'full' if machine.disk.full else 'free again'}")

    async def lose_shard(self) -> None:
        """A provider deletes a shard that it has promised to keep."""
        simulation = self._simulation
        if simulation.lost:
            return
        bundles = simulation.checkers.scene.bundles().values()
        whole = [b for found in bundles for b in found if len(b.receipts) == b.certificate.n]
        if not whole:
            return
        segment = whole[0].certificate.segment
        holding = [(m, slot) for m in simulation.providers for slot in _slots(m, segment)]
        machine, slot = self._random.choice(holding)
        self._trace.add(f"{machine.name} deletes shard {slot} of {segment.hex()[:8]}")
        machine.disk.write([(shelf.shard_key(segment, slot), None)], shared=True)
        simulation.lost[machine.address] = (segment, slot)

    def _is_calm(self) -> bool:
        return not self._is_noisy and self._simulation.world.chain.available

    async def heal(self) -> None:
        """End every fault and start every machine."""
        self._trace.add("all faults stop")
        if self._chain_back_s is not None:
            self._chain_back()
        self._is_noisy = False
        self._network.set_faults(LinkFaults())
        self._network.heal()
        for machine in self._simulation.providers:
            machine.disk.full = False
            if not machine.is_up:
                self._start(machine)


def _slots(machine: ProviderMachine, segment: SegmentId) -> tuple[int, ...]:
    return shelf.my_shards(MemorySnapshot(machine.disk.state), segment)
