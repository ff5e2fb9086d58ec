"""What goes wrong in a simulation: networks, chain, disks and clocks, and providers that lie.

Bounds: the chain is away or slow for less than an answer window; of one provider's disk at most
acknowledged bytes are lost (W - 1 of them, DESIGN 13 rule 1), and a liar counts as that one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.node.provider import shelf
from mfdb.testing.memory_store import MemorySnapshot
from mfdb.testing.memory_transport import LinkFaults
from mfdb.testing.simulator_liars import KINDS, Liar
from mfdb.testing.simulator_machine import MINING_S

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from mfdb.testing.simulator import Simulation
    from mfdb.testing.simulator_machine import ProviderMachine

CHAIN_AWAY_S = 20.0
LYING_S = 90.0
SLOWEST_S = 1.5
PROVIDER_JUMP_S = 12.0
"""How far a provider's clock may be off; `Scene.clock_error_s` allows for it."""
CLIENT_JUMPS_S = (-300.0, -60.0, 20.0, 45.0, 120.0)
REVERTS = 0.3
TABLES_THAT_ROT = tuple(b"%c" % table for table in b"XhKRrHSPMV")
"""What a provider can tell rotten from sound (`mfdb.node.provider.shelf` says what they hold)."""


class Faults:
    """The faults of one simulation, begun step by step and ended when their time is over."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._random = simulation.random
        self._network = simulation.world.network
        self._chain = simulation.world.chain
        self._weather = simulation.world.weather
        self._trace = simulation.trace
        self._chain_back_s: float | None = None
        self._is_noisy = False
        self._liar: tuple[ProviderMachine, float] | None = None
        self._unsynced: ProviderMachine | None = None
        self.steps: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (5, self._noise),
            (5, self._partition),
            (6, self._end_network_faults),
            (3, self._chain_away),
            (2, self._chain_troubled),
            (3, self._reorganise),
            (3, self._fill_disk),
            (3, self._slow_disk),
            (2, self._lose_syncs),
            (4, self._crash_unsynced),
            (2, self._rot),
            (4, self._jump_clock),
            (3, self._lie),
        ]

    @property
    def are_over(self) -> bool:
        """Whether nobody notices any fault now."""
        slow = any(machine.slow_s for machine in self._simulation.providers)
        return not (self._is_noisy or self._liar or slow or self._weather.reverts)

    def end_overdue(self) -> None:
        """End what has lasted as long as it may."""
        now_s = self._now_s()
        if self._chain_back_s is not None and now_s > self._chain_back_s:
            self._chain_back()
        if self._liar is not None and now_s > self._liar[1]:
            self._be_honest()

    def end(self) -> None:
        """End everything; what a lying disk did not sync by now it syncs."""
        if self._chain_back_s is not None:
            self._chain_back()
        if self._liar is not None:
            self._be_honest()
        self._calm_network()
        for machine in self._simulation.machines():
            machine.disk.full = machine.disk.lying = False
            machine.disk.sync()
            machine.slow_s = 0.0
            machine.clock.skew_s = self._random.uniform(-3, 3)

    def _now_s(self) -> float:
        return self._simulation.world.loop.time()

    # ---- the network

    async def _noise(self) -> None:
        self._trace.add("the network loses, repeats and reorders")
        self._is_noisy = True
        chance = self._random.random
        self._network.set_faults(
            LinkFaults(
                min_delay_s=0.001,
                max_delay_s=self._random.choice((0.005, 0.1, 1.0)),
                loss=0.1 * chance(),
                breaks=0.3,
                duplicate=0.1 * chance(),
                reorder=0.3 * chance(),
            )
        )

    async def _partition(self) -> None:
        """Cut two machines, or one group off from all others; one way or both."""
        machines = self._simulation.machines()
        size = self._random.choice((1, 1, 1, 2, 3))
        shuffled = self._random.sample(machines, len(machines))
        group = shuffled[:size]
        others = shuffled[size:] if self._random.random() < 0.3 else shuffled[size : size + 1]
        one_way = self._random.random() < 0.3
        sides = [" ".join(machine.name for machine in side) for side in (group, others)]
        self._trace.add(f"{sides[0]} {'->' if one_way else '|'} {sides[1]} is cut")
        self._is_noisy = True
        for one in group:
            for other in others:
                self._network.partition(one.key, other.key, one_way=one_way)

    async def _end_network_faults(self) -> None:
        if self._is_noisy:
            self._trace.add("the network works again")
            self._calm_network()

    def _calm_network(self) -> None:
        self._is_noisy = False
        self._network.set_faults(LinkFaults())
        self._network.heal()

    # ---- the chain

    async def _chain_away(self) -> None:
        if self._chain_back_s is None:
            self._trace.add("the chain is away")
            self._chain.available = False
            self._chain_back_s = self._now_s() + CHAIN_AWAY_S * self._random.random()

    async def _chain_troubled(self) -> None:
        """For a while transactions are mined late, or fail for no fault of theirs."""
        if self._chain_back_s is None:
            self._weather.mining_s = self._random.choice((MINING_S, 2.0, 8.0))
            self._weather.reverts = self._random.choice((0.0, REVERTS))
            self._trace.add(
                f"the chain takes {self._weather.mining_s} s and fails {self._weather.reverts:.0%}"
            )
            self._chain_back_s = self._now_s() + CHAIN_AWAY_S * self._random.random()

    def _chain_back(self) -> None:
        self._trace.add("the chain works again")
        self._chain.available = True
        self._weather.mining_s, self._weather.reverts = MINING_S, 0.0
        self._chain_back_s = None

    async def _reorganise(self) -> None:
        """Another branch wins; only where senders wait until none can."""
        if self._weather.confirming_s > MINING_S:
            taken = self._chain.reorganise(self._random.randint(1, 4))
            self._trace.add(f"the chain takes {taken} transactions back")

    # ---- disks

    async def _fill_disk(self) -> None:
        machine = self._random.choice(self._simulation.providers)
        machine.disk.full = not machine.disk.full
        self._trace.add(f"{machine.name}'s disk is {'full' if machine.disk.full else 'free again'}")

    async def _slow_disk(self) -> None:
        machine = self._random.choice(self._simulation.providers)
        machine.slow_s = 0.0 if machine.slow_s else SLOWEST_S * self._random.random()
        self._trace.add(f"{machine.name} takes {machine.slow_s:.3f} s more to commit")

    async def _lose_syncs(self) -> None:
        """From now on a disk acknowledges what it does not sync."""
        machine = self._may_fail()
        if machine is not None and self._unsynced is None:
            self._trace.add(f"{machine.name}'s disk lies about its syncs")
            machine.disk.lying = True
            self._unsynced = machine

    async def _crash_unsynced(self) -> None:
        """The power goes where a disk lied: all that is left is a beginning of what it took."""
        machine = self._unsynced
        if machine is None or not machine.is_up or not machine.disk.unsynced:
            return
        surviving = self._random.randrange(machine.disk.unsynced)
        lost = machine.disk.unsynced - surviving
        self._trace.add(f"{machine.name} loses its power and {lost} commits that it took")
        machine.disk.lying = False
        machine.kill(power_loss=True, surviving=surviving)
        self._unsynced = None

    async def _rot(self) -> None:
        """One bit of a changeset turns at one replica."""
        machine = self._may_fail()
        if machine is not None:
            dataset = self._simulation.owner.dataset
            ids = shelf.unsealed(MemorySnapshot(machine.disk.state), dataset)
            self._turn_bit(machine, [b"X" + dataset + id_ for id_ in ids])

    async def rot_anywhere(self) -> None:
        """One bit of a changeset, or of a record about it or its dataset, turns at one replica."""
        machine = self._may_fail()
        if machine is not None:
            prefix = self._random.choice(TABLES_THAT_ROT) + self._simulation.owner.dataset
            view = MemorySnapshot(machine.disk.state)
            self._turn_bit(machine, [key for key, _ in view.scan(prefix)])

    def _turn_bit(self, machine: ProviderMachine, keys: Sequence[bytes]) -> None:
        if not keys:
            return
        key = self._random.choice(keys)
        size = len(machine.disk.state.values[key])
        what = "changeset" if key.startswith(b"X") else f"record {key[:1].decode()}"
        self._trace.add(f"{what} {key[33:].hex()[:12]} rots at {machine.name}")
        machine.disk.flip_bit(key, self._random.randrange(8 * size))

    def _may_fail(self) -> ProviderMachine | None:
        """Return the one provider whose disk may fail, or who may lie, chosen on first use."""
        simulation = self._simulation
        replicas = simulation.checkers.scene.placement().replica_set
        known = [m for m in simulation.providers if m.address in simulation.damaged]
        if not known:
            placed = [m for m in simulation.providers if m.address in replicas]
            known = [self._random.choice(placed)]
            simulation.damaged.add(known[0].address)
        return known[0]

    # ---- clocks and liars

    async def _jump_clock(self) -> None:
        machine = self._random.choice(self._simulation.machines())
        if machine in self._simulation.providers:
            machine.clock.skew_s = self._random.uniform(-PROVIDER_JUMP_S, PROVIDER_JUMP_S)
        else:
            machine.clock.skew_s = self._random.choice(CLIENT_JUMPS_S)
        self._trace.add(f"{machine.name}'s clock is set {machine.clock.skew_s:+.0f} s off")

    async def _lie(self) -> None:
        machine = self._may_fail()
        if machine is None or self._liar is not None:
            return
        kind = self._random.choice(KINDS)
        network = self._simulation.world.chain.network
        self._trace.add(f"{machine.name} {kind}")
        machine.liar = Liar(kind, machine, network, self._random)
        self._liar = (machine, self._now_s() + LYING_S * self._random.random())

    def _be_honest(self) -> None:
        if self._liar is not None:
            machine, _ = self._liar
            self._trace.add(f"{machine.name} is honest again")
            machine.liar = None
            self._liar = None
