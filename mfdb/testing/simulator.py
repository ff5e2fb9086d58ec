"""Providers, Bob, Alice and Carol in one process, on virtual time, all decided by one seed.

    Simulation(seed, Options()).run() -> Report

The nodes are the production nodes; only their ports are simulated. A seeded schedule writes,
seals, kills, cuts and lies (`simulator_schedule`); after every step the checkers of DESIGN 13 look
at disks, chain and promises; in the end all faults stop and everything must converge.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from mfdb.chain.port import CourtTerms, TransferMft
from mfdb.dataset.replica import Replica
from mfdb.kernel.errors import MfdbError
from mfdb.kernel.ids import MFT, Wei
from mfdb.node.settings import ClientSettings, NodeSettings, ProviderSettings
from mfdb.testing.checkers import Checkers, CheckFailed, check_reader
from mfdb.testing.decisions import Decisions
from mfdb.testing.memory_transport import MemoryNetwork
from mfdb.testing.sim_chain import REORG_S, SimChainWorld
from mfdb.testing.sim_clock import SeededEntropy, SimClock
from mfdb.testing.simulator_faults import PROVIDER_JUMP_S
from mfdb.testing.simulator_machine import (
    MINING_S,
    ClientMachine,
    ProviderMachine,
    Weather,
    World,
    keys_of,
)
from mfdb.testing.simulator_plants import planted
from mfdb.testing.simulator_scene import Scene
from mfdb.testing.simulator_schedule import Schedule
from mfdb.testing.simulator_trace import Trace
from mfdb.testing.simulator_wide import Wide, wide_of
from mfdb.testing.virtual_loop import VirtualLoop
from mfdb.testing.workload import Owner, Promises, Writer, mailbox, rows_of
from replication import reconcile

if TYPE_CHECKING:
    from mfdb.kernel.ids import Address, SegmentId
    from mfdb.testing.simulator_machine import Machine

PROVIDERS = 7
SPARES_FOR_MOVES = 2
EPOCH_S = 30
ANSWER_WINDOW_S = 100
"""Longer than any outage that a schedule brings about (DESIGN 13, rule 5)."""
LIVENESS_S = 600.0
"""Virtual time after which a network without faults must have converged."""
LOOK_S = 5.0
RECONCILING: tuple[dict[str, Any], ...] = (
    {"BUCKETS": reconcile.BUCKETS, "LIST_ITEMS": reconcile.LIST_ITEMS},
    {"BUCKETS": 2, "LIST_ITEMS": 2},
)
"""Below `LIST_ITEMS` replicas compare ids; a small number has a few changesets compared by sums."""
TRIAL_EVERY = 3
"""Of how many seeds one ends with a trial, if its schedule has not brought one about already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How hard a run is."""

    steps: int = 30
    wide: bool = False
    """Whether a seed has something of `simulator_wide` besides."""
    plant: str | None = None
    """A bug to plant, for the test of the checkers themselves; see `simulator_plants`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a run was; `failure` is None if every checker held."""

    seed: int
    failure: str | None
    digest: str
    virtual_s: float
    writes: int
    lines: list[str] = field(repr=False)


class Simulation:
    """One run."""

    def __init__(self, seed: int, options: Options | None = None) -> None:
        self.seed = seed
        self.options = options or Options()
        self.random = random.Random(f"mfdb simulation {seed}")
        self.wide = wide_of(seed) if self.options.wide else frozenset[Wide]()

    def run(self) -> Report:
        """Run to the end, or to the first thing that does not hold."""
        loop = VirtualLoop()
        self.trace = Trace(loop.time)
        loop.set_exception_handler(self.trace.on_loop_error)
        failure = None
        try:
            with (
                self.trace.listening(),
                planted(self.options.plant),
                patch.multiple(reconcile, **self.random.choice(RECONCILING)),
            ):
                self._build(loop)
                loop.run_until_complete(self._play())
        except Exception as error:
            failure = f"{type(error).__name__}: {error}"
            self.trace.add(failure)
        finally:
            _close(loop)
        return Report(
            seed=self.seed,
            failure=failure,
            digest=self.trace.digest(),
            virtual_s=loop.time(),
            writes=len(self.promises.writes),
            lines=self.trace.lines,
        )

    # ---- the world

    def _build(self, loop: VirtualLoop) -> None:
        clock = SimClock(loop)
        terms = CourtTerms(
            bond=Wei(MFT),
            draws=30,
            epoch_s=EPOCH_S,
            repair_window_s=int(LIVENESS_S),
            compensation_bp=7500,
            accuser_bp=500,
        )
        self.faucet = keys_of("faucet")
        self.world = World(
            loop=loop,
            network=MemoryNetwork(self.random.randrange(2**32)),
            chain=SimChainWorld(clock, self.seed, terms, self.faucet.address),
            entropy=SeededEntropy(self.seed),
            node=NodeSettings(poll_s=2.0),
            provider=self._provider_settings(),
            weather=Weather(confirming_s=self.random.choice((MINING_S, MINING_S, REORG_S + 1))),
            client=ClientSettings(
                capacity_bytes=2**20,
                term_s=10 * 24 * 3600,
                epoch_s=24 * 3600,
                tail_s=3600,
                answer_window_s=ANSWER_WINDOW_S,
                repair_fee=Wei(MFT // 10**5),
            ),
        )
        self.promises = Promises()
        self.lost: dict[Address, tuple[SegmentId, int]] = {}
        self.damaged: set[Address] = set()
        self.gone: set[Address] = set()
        self._providers_ever = PROVIDERS + SPARES_FOR_MOVES * (Wide.MOVES in self.wide)
        self.providers = [self._provider(number) for number in range(self._providers_ever)]
        self.owner = Owner(self._client("bob"), self.promises, self.trace)
        self.writers = [
            Writer(self._client(name), self.owner.machine.address, self.promises, self.trace)
            for name in ("alice", "carol")
        ]
        if self.wide & {Wide.RULES, Wide.MOVES}:
            self.owner.decisions = Decisions(self.owner, self.promises, self.trace)
        for writer in self.writers:
            writer.rules_change = Wide.RULES in self.wide
        self.checkers = Checkers(self._scene())

    def _provider_settings(self) -> ProviderSettings:
        threshold = self.random.choice((5 * 10**13, 10**14))
        return ProviderSettings(
            min_answer_window_s=int(ANSWER_WINDOW_S),
            audit_share=1.0,
            reconcile_s=10.0,
            seal_age_s=self.random.choice((60.0, 3600.0)),
            payment_threshold=Wei(threshold),
            cash_above=Wei(threshold // 4),
        )

    def _provider(self, number: int) -> ProviderMachine:
        return ProviderMachine(f"provider{number}", self.world, skew_s=self.random.uniform(-3, 3))

    def _client(self, name: str) -> ClientMachine:
        return ClientMachine(name, self.world, skew_s=self.random.uniform(-3, 3))

    def _scene(self) -> Scene:
        return Scene(
            dataset=self.owner.dataset,
            providers=self.providers,
            owner=self.owner,
            writers=self.writers,
            chain=self.world.chain,
            promises=self.promises,
            lost=self.lost,
            damaged=self.damaged,
            gone=self.gone,
            moves=Wide.MOVES in self.wide,
            clock_error_s=PROVIDER_JUMP_S,
        )

    # ---- the play

    async def _play(self) -> None:
        await self._begin()
        schedule = Schedule(self)
        for _ in range(self.options.steps):
            await schedule.step()
            self.check()
        await schedule.heal()
        await self._converge()
        if self.seed % TRIAL_EVERY == 0 and not self.lost:
            await schedule.trial()
            await self._converge()
        await self.replace_owner()
        self.check()
        self.checkers.at_end()
        self.trace.add(f"the disks are {self.checkers.scene.digest()}")

    def check(self) -> None:
        """Let every checker look.

        Raises:
            CheckFailed: something does not hold.
        """
        if self.trace.faults:
            raise CheckFailed(0, "; ".join(self.trace.faults))
        self.checkers.after_step()

    async def _begin(self) -> None:
        for machine in self.machines():
            self._fund(machine)
        await asyncio.gather(*(machine.start() for machine in self.providers))
        writers = [writer.machine.address for writer in self.writers if writer.rules_change]
        self.manifest = mailbox(self.owner.machine.keys, self.world.chain.network.id, writers)
        await self.owner.machine.start()
        await self.owner.machine.spawn("publishes", self.owner.publish(self.manifest))
        self.owner.begin(self.manifest)
        for writer in self.writers:
            await writer.machine.start()
            writer.begin()
        self.trace.add("the mailbox stands")

    def _fund(self, machine: Machine) -> None:
        funds = TransferMft(to=machine.address, amount=Wei(2000 * MFT))
        self.world.chain.transact(funds, self.faucet.address)

    def add_provider(self) -> ProviderMachine:
        """Return one more provider, with funds and not started yet."""
        self._providers_ever += 1
        machine = self._provider(self._providers_ever - 1)
        self._fund(machine)
        self.providers.append(machine)
        return machine

    def machines(self) -> list[Machine]:
        """Return all machines."""
        clients = [self.owner.machine, *(writer.machine for writer in self.writers)]
        return [*self.providers, *clients]

    async def _converge(self) -> None:
        """Wait until nothing is missing.

        Raises:
            CheckFailed: something still is after a long time without faults.
        """
        until_s = self.world.loop.time() + LIVENESS_S
        while missing := self.checkers.shortfall():
            if self.world.loop.time() > until_s:
                raise CheckFailed(7, f"after {LIVENESS_S:.0f} s: " + "; ".join(missing))
            await asyncio.sleep(LOOK_S)
            self.check()
        self.trace.add("everything has converged")

    async def replace_owner(self, *, within_s: float = 120.0) -> None:
        """Let Bob go on with a new machine that has nothing but his keys.

        Raises:
            CheckFailed: he cannot restore every acknowledged row in time.
        """
        due, deleted = self.promises.acknowledged_rows(), set(self.promises.deleted)
        self.owner.machine.kill()
        machine = self.owner.replace(self._client("bob"))
        until_s = self.world.loop.time() + within_s
        rows: dict[str, bytes] = {}
        reason = "no provider has them"
        while not rows or set(due) - set(rows):
            if self.world.loop.time() > until_s:
                lacking = len(set(due) - set(rows))
                raise CheckFailed(1, f"{lacking} rows cannot be restored: {reason}")
            try:
                if not machine.is_up:
                    await machine.start()
                replica = machine.make_replica(Replica)
                await machine.spawn("restores", machine.remote.restore(replica))
                rows = rows_of(replica, self.owner.dataset)
            except MfdbError as error:
                reason = f"{type(error).__name__}: {error}"
            if not due:
                break
            await asyncio.sleep(1.0)
        self.trace.add(f"bob restored {len(rows)} rows on an empty machine")
        check_reader(self.checkers.scene, rows, due=due, deleted=deleted)
        self.owner.begin(self.manifest)


def run_seed(seed: int, options: Options) -> Report:
    """Return what a seed's run was; its trace only if it failed, for thousands of them add up."""
    report = Simulation(seed, options).run()
    return report if report.failure is not None else replace(report, lines=[])


def _close(loop: VirtualLoop) -> None:
    """End what still runs; nothing of it matters any more."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks))
    loop.close()
