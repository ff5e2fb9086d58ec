"""What seeds go through besides where `--wide` asks for it: rules, moves, people's disks, rot.

Which of these a seed has it draws from a source of its own, so that all that it draws without them
stays as it was. Not every wide seed holds yet: overlapping moves can wait for ever for shards that
only those who left have, and the checker of feeds does not know what changing rights may repeat.
"""

from __future__ import annotations

import asyncio
import random
from enum import Enum
from typing import TYPE_CHECKING

from mfdb.kernel.errors import MfdbError
from mfdb.node.provider import releases
from mfdb.testing.decisions import PROFILES
from mfdb.testing.memory_store import MemorySnapshot
from mfdb.testing.workload import Owner

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mfdb.kernel.ids import Address
    from mfdb.testing.decisions import Decisions
    from mfdb.testing.simulator import Simulation
    from mfdb.testing.simulator_faults import Faults
    from mfdb.testing.simulator_machine import ClientMachine, ProviderMachine
    from mfdb.testing.workload import Writer

MOST_DRAINING = 2
MOST_LEFT = 1
DRAIN_S = 5.0


class Wide(Enum):
    """What a seed may have more than others."""

    RULES = "rules"
    """Who may insert changes under load."""
    MOVES = "moves"
    """Providers drain or are left, and the code and the number of replicas change."""
    DISKS = "disks"
    """The disks of the people fill up, or lie about their syncs."""
    ROT = "rot"
    """The one provider's disk that may fail rots, again and again."""


def wide_of(seed: int) -> frozenset[Wide]:
    """Return what a wide seed has more than it would have otherwise."""
    source = random.Random(f"mfdb wide simulation {seed}")
    return frozenset(source.sample(list(Wide), source.randint(1, len(Wide))))


class Widening:
    """The steps that a wide seed has more."""

    def __init__(self, simulation: Simulation, faults: Faults) -> None:
        self._simulation = simulation
        self._random = simulation.random
        self._trace = simulation.trace
        self._permitted: dict[str, bool] = {}
        steps: dict[Wide, list[tuple[int, Callable[[], Awaitable[None]]]]] = {
            Wide.RULES: [(10, self._rule)],
            Wide.MOVES: [(5, self._drain), (4, self._leave), (5, self._recode)],
            Wide.DISKS: [(5, self._fill_disk), (4, self._lose_syncs), (5, self._crash_unsynced)],
            Wide.ROT: [(12, faults.rot_anywhere)],
        }
        self.steps = [step for kind in Wide if kind in simulation.wide for step in steps[kind]]

    @property
    def draining(self) -> frozenset[Address]:
        """Who asked to be let go."""
        decisions = self._simulation.owner.decisions
        return frozenset(decisions.draining) if decisions is not None else frozenset()

    @property
    def wanted(self) -> int:
        """How many spares more Bob may need for what he has decided."""
        return MOST_LEFT if Wide.MOVES in self._simulation.wide else 0

    @property
    def _people(self) -> list[Owner | Writer]:
        return [self._simulation.owner, *self._simulation.writers]

    @property
    def _decisions(self) -> Decisions:
        decisions = self._simulation.owner.decisions
        assert decisions is not None, "whoever has these steps has decisions"
        return decisions

    # ---- what Bob decides

    async def _rule(self) -> None:
        """Carol, and nobody else, loses the right to write and gets it back."""
        machine = self._simulation.writers[-1].machine
        permits = not self._permitted.get(machine.name, True)
        self._permitted[machine.name] = permits
        self._trace.add(f"bob {'admits' if permits else 'excludes'} {machine.name}")
        self._decisions.permit(machine.address, machine.name, permits=permits)

    async def _recode(self) -> None:
        profile = self._random.choice(PROFILES)
        self._trace.add(f"bob wants {profile}")
        self._decisions.recode(profile)

    async def _leave(self) -> None:
        machine = self._random.choice(self._placed())
        self._trace.add(f"bob wants to leave {machine.name}")
        self._decisions.leave(machine.address)

    async def _drain(self) -> None:
        """A provider asks to be let go."""
        up = [machine for machine in self._placed() if machine.is_up]
        if up and len(self._decisions.draining) < MOST_DRAINING:
            machine = self._random.choice(up)
            self._trace.add(f"{machine.name} drains")
            self._decisions.let_go(machine.address)
            asyncio.get_running_loop().create_task(self._keep_draining(machine), name="operator")

    async def _keep_draining(self, machine: ProviderMachine) -> None:
        """See to it that a provider drains, though it fails at first, or its disk forgets it."""
        is_told = False
        while True:
            drains = releases.is_draining(MemorySnapshot(machine.disk.state))
            if machine.is_up and machine.node is not None and not (drains and is_told):
                task = machine.spawn("drains", machine.node.drain())
                await asyncio.wait([task])
                is_told = not task.cancelled() and task.exception() is None
                if not is_told:
                    self._trace.add(f"{machine.name} does not drain yet")
            await asyncio.sleep(DRAIN_S)

    def _placed(self) -> list[ProviderMachine]:
        placed = self._simulation.checkers.scene.placement().providers
        return [machine for machine in self._simulation.providers if machine.address in placed]

    # ---- people's disks

    def _machine(self) -> ClientMachine:
        return self._random.choice(self._people).machine

    async def _fill_disk(self) -> None:
        machine = self._machine()
        machine.disk.full = not machine.disk.full
        self._trace.add(f"{machine.name}'s disk is {'full' if machine.disk.full else 'free again'}")

    async def _lose_syncs(self) -> None:
        machine = self._machine()
        machine.disk.lying = True
        self._trace.add(f"{machine.name}'s disk lies about its syncs")

    async def _crash_unsynced(self) -> None:
        """The power goes: all that is left is a beginning of what the disk took."""
        machine = self._machine()
        if not machine.is_up:
            return
        unsynced = machine.disk.unsynced
        surviving = self._random.randrange(unsynced) if unsynced else 0
        self._trace.add(f"{machine.name} loses its power and {unsynced - surviving} commits")
        machine.disk.lying = False
        machine.kill(power_loss=True, surviving=surviving)

    async def start_people(self) -> None:
        """Start again whoever is down; a disk that is too full for that is tried again later."""
        for person in self._people:
            if not person.machine.is_up:
                self._trace.add(f"{person.machine.name} starts")
                await start_person(self._simulation, person)


async def start_person(simulation: Simulation, person: Owner | Writer) -> None:
    """Start somebody's own machine, unless it cannot be started now."""
    machine = person.machine
    try:
        await machine.start()
        if isinstance(person, Owner):
            person.begin(simulation.manifest)
        else:
            person.begin()
    except MfdbError as error:
        simulation.trace.add(f"{machine.name} does not start: {type(error).__name__}: {error}")
        if machine.is_up:
            machine.kill()
