"""Which roles change hands when providers of a dataset join or leave, or its profile changes.

As little as possible moves: whoever stays keeps its slots. Who joins comes first, who leaves goes
last, so that in between there is more redundancy than before, never less.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mfdb.kernel.ids import ZERO_ADDRESS
from mfdb.rules.placement import SLOTS, Assignment, Role

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mfdb.kernel.ids import Address
    from mfdb.rules.placement import Placement
    from replication.segment import SealedSegment


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Who holds what when all is done."""

    replicas: tuple[Address, ...]
    shards: Mapping[int, Address]

    @property
    def holders(self) -> frozenset[Address]:
        """Everybody who holds something."""
        return frozenset(self.replicas) | frozenset(self.shards.values())


def target_of(
    placement: Placement, holders: Sequence[Address], *, replicas: int, shards: int
) -> Target:
    """Return what `holders` hold in the end: as many as there are shards, those who stay first.

    Whoever holds a shard takes no second one, not even until it lets go of the first: each loss is
    to be one loss throughout. Where nobody else is left, who leaves keeps his shard in this target,
    and the next one, for the placement that comes of it, takes it from him.
    """
    allowed = frozenset(holders)
    staying = [one for one in placement.replica_set if one in allowed]
    joining = [one for one in holders if one not in staying]
    kept: dict[int, Address] = {}
    for slot, who in sorted(placement.shards.items()):
        if slot < shards and who in allowed and who not in kept.values():
            kept[slot] = who
    spare = [one for one in holders if one not in placement.shards.values()]
    empty = [slot for slot in range(shards) if slot not in kept]
    kept.update(zip(empty, spare, strict=False))
    for slot in empty[len(spare) :]:
        if slot in placement.shards:
            kept[slot] = placement.shards[slot]
    return Target(replicas=tuple((staying + joining)[:replicas]), shards=kept)


def joining(placement: Placement, target: Target) -> tuple[Assignment, ...]:
    """Return the assignments by which newcomers take their roles; nobody loses a replica's role."""
    taken = set(placement.replicas)
    free = (slot for slot in range(SLOTS) if slot not in taken)
    new = [one for one in target.replicas if one not in placement.replica_set]
    return (
        *(Assignment(Role.REPLICA, slot, who) for slot, who in zip(free, new, strict=False)),
        *(
            Assignment(Role.SHARD, slot, who)
            for slot, who in sorted(target.shards.items())
            if placement.shards.get(slot) != who
        ),
    )


def leaving(placement: Placement, target: Target) -> tuple[Assignment, ...]:
    """Return the assignments that take from a placement what the target does not have."""
    return (
        *(
            Assignment(Role.REPLICA, slot, ZERO_ADDRESS)
            for slot, who in sorted(placement.replicas.items())
            if who not in target.replicas
        ),
        *(
            Assignment(Role.SHARD, slot, ZERO_ADDRESS)
            for slot in sorted(placement.shards)
            if slot not in target.shards
        ),
    )


def to_recode(segments: Sequence[SealedSegment], k: int, n: int) -> list[SealedSegment]:
    """Return the segments of another code that hold what no segment of this code has."""
    done = {
        id_ for bundle in segments if not is_other_code(bundle, k, n) for id_ in bundle.changesets
    }
    return [bundle for bundle in segments if not done.issuperset(bundle.changesets)]


def is_other_code(bundle: SealedSegment, k: int, n: int) -> bool:
    """Return whether a segment is of another code."""
    return (bundle.certificate.k, bundle.certificate.n) != (k, n)
