"""What happens next in a simulation: seeded steps of work and of faults, within what is promised.

The promises of DESIGN 13 hold for a bounded number of failures, so the schedule keeps the bounds:
at most m providers are down at once and nobody for longer than `OUTAGE_S`, one provider deletes
one shard at most. Faults of network, chain, disks and clocks and lying providers are dealt by
`simulator_faults`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mfdb.kernel.errors import MfdbError
from mfdb.node.provider import sealed_shelf
from mfdb.testing.memory_store import MemorySnapshot
from mfdb.testing.simulator_faults import Faults
from mfdb.testing.simulator_wide import Wide, Widening, start_person

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mfdb.kernel.ids import SegmentId
    from mfdb.testing.simulator import Simulation
    from mfdb.testing.simulator_machine import ProviderMachine

MOST_DOWN = 2
MOST_PROVIDERS = 9
OUTAGE_S = 40.0
PAUSES_S = (0.0, 0.002, 0.01, 0.3, 3.0, 12.0)
"""Short ones let a fault strike in the middle of what was begun, long ones let it finish."""


class Schedule:
    """The hand that a seed deals to a simulation."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._random = simulation.random
        self._trace = simulation.trace
        self.faults = Faults(simulation)
        self._widening = Widening(simulation, self.faults)
        self._steps: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (30, self._write),
            (4, self._delete),
            (8, self._seal),
            (10, self._kill),
            (8, self._restart),
            (4, self._restart_client),
            (3, self.lose_shard),
            (2, self._snoop),
            (1, self._replace_owner),
            (2, self._join),
            (2, self._leave),
            *self.faults.steps,
            *self._widening.steps,
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
        self.faults.end_overdue()
        await self._widening.start_people()

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

    async def _delete(self) -> None:
        owner = self._simulation.owner
        if owner.machine.is_up:
            owner.machine.spawn("deletes", owner.delete(self._random))

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
        await start_person(self._simulation, writer)

    async def _restart_owner(self) -> None:
        self._trace.add("bob is killed and starts again")
        if self._simulation.owner.machine.is_up:
            self._simulation.owner.machine.kill()
        await start_person(self._simulation, self._simulation.owner)

    # ---- churn

    async def _join(self) -> None:
        """Somebody new offers storage."""
        if len(self._simulation.providers) < MOST_PROVIDERS:
            machine = self._simulation.add_provider()
            self._trace.add(f"{machine.name} joins")
            self._start(machine)

    async def _leave(self) -> None:
        """A provider that keeps nothing for anybody is never seen again; one spare stays."""
        if self._simulation.lost or self._simulation.damaged or Wide.MOVES in self._simulation.wide:
            return  # a spare may be about to take over, or to be moved onto
        placed = self._simulation.checkers.scene.placement().providers
        spare = [m for m in self._simulation.providers if m.address not in placed]
        if len(spare) > 1:
            machine = self._random.choice(spare)
            self._trace.add(f"{machine.name} leaves")
            if machine.is_up:
                machine.kill()
            self._simulation.providers.remove(machine)

    # ---- broken promises

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
        shards = simulation.checkers.scene.placement().shards
        holding = [
            (m, slot)
            for m in simulation.providers
            for slot in _slots(m, segment)
            if shards.get(slot) == m.address
        ]
        if not holding:
            return
        machine, slot = self._random.choice(holding)
        key = sealed_shelf.shard_key(segment, slot)
        if self._random.random() < 0.3:
            self._trace.add(f"shard {slot} of {segment.hex()[:8]} rots at {machine.name}")
            machine.disk.flip_bit(
                key, self._random.randrange(8 * len(machine.disk.state.values[key]))
            )
        else:
            self._trace.add(f"{machine.name} deletes shard {slot} of {segment.hex()[:8]}")
            machine.disk.lose(key)
        simulation.lost[machine.address] = (segment, slot)

    async def trial(self) -> None:
        """Somebody breaks a promise: by losing a shard, or by leaving with all that it holds."""
        if self._random.random() < 0.7:
            await self.lose_shard()
            return
        simulation = self._simulation
        placement = simulation.checkers.scene.placement()
        bundles = [found[0] for found in simulation.checkers.scene.bundles().values()]
        if not bundles:
            return
        slot, leaving = self._random.choice(sorted(placement.shards.items()))
        machine = next(m for m in simulation.providers if m.address == leaving)
        self._trace.add(f"{machine.name} leaves with all that it promised to keep")
        machine.kill(power_loss=True)
        simulation.gone.add(machine.address)
        simulation.lost[machine.address] = (bundles[0].certificate.segment, slot)

    def _is_calm(self) -> bool:
        return self.faults.are_over and self._simulation.world.chain.available

    async def heal(self) -> None:
        """End every fault and start every machine, with a spare for each that may be convicted."""
        self._trace.add("all faults stop")
        self.faults.end()
        simulation = self._simulation
        needed = len(simulation.damaged | simulation.lost.keys() | self._widening.draining) + 1
        engaged = simulation.checkers.scene.placement().agreements
        spares = sum(machine.address not in engaged for machine in simulation.providers)
        for _ in range(needed + self._widening.wanted - spares):
            simulation.add_provider()
        for machine in self._simulation.providers:
            if not machine.is_up:
                self._start(machine)
        await self._widening.start_people()


def _slots(machine: ProviderMachine, segment: SegmentId) -> tuple[int, ...]:
    return sealed_shelf.my_shards(MemorySnapshot(machine.disk.state), segment)
