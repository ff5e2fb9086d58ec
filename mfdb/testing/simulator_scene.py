"""Everything that checkers look at: disks, chain, people and what these were promised."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from mfdb.node.provider import sealed_shelf, shelf
from mfdb.testing.memory_store import MemorySnapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence, Set

    from mfdb.kernel.ids import Address, AgreementId, DatasetId, SegmentId
    from mfdb.node.provider.shelf import View
    from mfdb.rules.placement import Placement
    from mfdb.testing.sim_chain import SimChainWorld
    from mfdb.testing.simulator_machine import ClientMachine, ProviderMachine
    from mfdb.testing.workload import Owner, Promises, Writer
    from replication.segment import SealedSegment

T = TypeVar("T")
LOST_BY_ROT = frozenset((b"X", b"K", b"D"))
"""What counts as lost while it rots: changesets, what opens them, and shards. All else a provider
tells by its checksum and mends; checkers read it as it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Everything that checkers may look at."""

    dataset: DatasetId
    providers: Sequence[ProviderMachine]
    owner: Owner
    writers: Sequence[Writer]
    chain: SimChainWorld
    promises: Promises
    lost: Mapping[Address, tuple[SegmentId, int]]
    """Who deleted which shard on purpose."""
    damaged: Set[Address] = frozenset()
    """Whose disk lost acknowledged bytes, or who lies: W - 1 at most; the court may convict it."""
    gone: Set[Address] = frozenset()
    """Who left with all that it held and will not come back."""
    moves: bool = False
    """Whether the owner brings the dataset to other providers, or into another code."""
    clock_error_s: float = 0.0
    """How far a provider's clock may be ahead."""
    _found: dict[str, tuple[object, Any]] = field(default_factory=dict, repr=False)

    @property
    def clients(self) -> list[ClientMachine]:
        """The machines of the people."""
        return [self.owner.machine, *(writer.machine for writer in self.writers)]

    def disks(self) -> Iterator[tuple[ProviderMachine, View]]:
        """Yield the disk of every provider that has not left, whether a process runs on it now."""
        for machine in self.providers:
            if machine.address not in self.gone:
                yield machine, MemorySnapshot(machine.disk.before_rot(except_tables=LOST_BY_ROT))

    def while_same(self, what: str, find: Callable[[], T]) -> T:
        """Return what is found on the disks, or was when nothing on them was different.

        Checkers ask for the same again and again; looking costs more than the rest of a checker.
        """
        now = [(m.address, m.disk.version) for m in self.providers if m.address not in self.gone]
        before = self._found.get(what)
        if before is None or before[0] != now:
            before = self._found[what] = (now, find())
        found: T = before[1]
        return found

    def keepers(self) -> list[tuple[ProviderMachine, View]]:
        """Return the disks that hold the dataset's rules."""
        return self.while_same("keepers", self._keepers)

    def _keepers(self) -> list[tuple[ProviderMachine, View]]:
        return [one for one in self.disks() if shelf.manifests(one[1], self.dataset)]

    def placement(self) -> Placement:
        """Return the newest placement on any disk."""
        return self.while_same("placement", self._placement)

    def _placement(self) -> Placement:
        network = self.chain.network
        found = [shelf.placement(view, self.dataset, network) for _, view in self.keepers()]
        return max(found, key=lambda placement: placement.number)

    def agreements_of(self, provider: Address) -> frozenset[AgreementId]:
        """Return every agreement that was ever placed of a provider."""
        return frozenset(
            made.agreement.id
            for _, view in self.keepers()
            for signed in shelf.placements(view, self.dataset)
            for made in signed.entry.agreements
            if made.agreement.provider == provider
        )

    def bundles(self) -> dict[SegmentId, list[SealedSegment]]:
        """Return every bundle on any disk, by segment."""
        return self.while_same("bundles", self._bundles)

    def _bundles(self) -> dict[SegmentId, list[SealedSegment]]:
        found: dict[SegmentId, list[SealedSegment]] = {}
        for _, view in self.disks():
            for bundle in sealed_shelf.segments(view, self.dataset):
                found.setdefault(bundle.certificate.segment, []).append(bundle)
        return found

    def digest(self) -> str:
        """Return a hash of all providers' disks and of the chain's events.

        Envelopes are left out: libsodium draws their keys from the operating system.
        """
        hashed = hashlib.sha256()
        for _, view in self.disks():
            for key, value in view.scan(b""):
                if not key.startswith(b"K"):
                    hashed.update(key + value)
        hashed.update(repr(self.chain.seen(0)).encode())
        return hashed.hexdigest()

    def signer_of(self, provider: Address) -> Address:
        """Return the key that a provider signs with."""
        return next(m.keys.signer.address for m in self.providers if m.address == provider)
