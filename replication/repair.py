"""Which shards are gone, who rebuilds which first, and from what.

Works on ciphertext: neither keys nor the owner are needed. A suspected holder costs nothing but
attention; a convicted, expired or long absent one starts the repair of its shards. The repairer is
the one that ranks first by rendezvous among those alive, so everybody names the same without a
vote; a second one starting for lack of news does double work and no harm.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from mfdb.kernel.errors import NoProviders, StripeLost
from replication.placement import Candidate, Terms, choose, rank

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence, Set

    from mfdb.kernel.ids import Address, SegmentId

SUSPECT_AFTER_S = 600.0
ABSENT_AFTER_S = 86_400.0


class Health(Enum):
    """What is known of a holder."""

    ALIVE = "alive"
    SUSPECT = "suspect"
    ABSENT = "absent"
    CONVICTED = "convicted"
    EXPIRED = "expired"


_LOST = frozenset({Health.ABSENT, Health.CONVICTED, Health.EXPIRED})


def health_of(
    last_seen_s: float, now_s: float, *, is_convicted: bool = False, is_expired: bool = False
) -> Health:
    """Return a holder's health: a verdict outweighs an expired agreement, that one silence.

    Times are seconds; silence of 10 minutes is suspicious, of a day an absence.
    """
    if is_convicted:
        return Health.CONVICTED
    if is_expired:
        return Health.EXPIRED
    silent_s = now_s - last_seen_s
    if silent_s >= ABSENT_AFTER_S:
        return Health.ABSENT
    return Health.SUSPECT if silent_s >= SUSPECT_AFTER_S else Health.ALIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentPlaces:
    """A sealed segment, its code and who holds which shard; a shard nobody holds is not listed."""

    segment: SegmentId
    k: int
    n: int
    holders: Mapping[int, Address]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Shards of a segment to rebuild. `spare` is how many more losses it survives as it stands."""

    places: SegmentPlaces
    lost: tuple[int, ...]
    intact: tuple[int, ...]

    @property
    def spare(self) -> int:
        """Intact shards beyond k; negative when the segment cannot be rebuilt now."""
        return len(self.intact) - self.places.k


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairPlan:
    """Rebuild one shard from k sources and give it to `target`."""

    segment: SegmentId
    shard: int
    sources: tuple[tuple[int, Address], ...]
    target: Address


def losses(
    segments: Iterable[SegmentPlaces],
    states: Mapping[Address, Health],
    damaged: Set[tuple[SegmentId, int]] = frozenset(),
) -> list[Loss]:
    """Return the segments that need repair, those nearest to loss first.

    `damaged` names shards that failed an audit though their holder is there. A holder without a
    known state counts as suspect: asked as a source, not yet replaced.
    """
    found = [_loss(places, states, damaged) for places in segments]
    return sorted((f for f in found if f.lost), key=lambda f: (f.spare, f.places.segment))


def _loss(
    places: SegmentPlaces,
    states: Mapping[Address, Health],
    damaged: Set[tuple[SegmentId, int]],
) -> Loss:
    lost, intact = [], []
    for shard in range(places.n):
        holder = places.holders.get(shard)
        state = states.get(holder, Health.SUSPECT) if holder is not None else Health.EXPIRED
        if state in _LOST or (places.segment, shard) in damaged:
            lost.append(shard)
        else:
            intact.append(shard)
    return Loss(places=places, lost=tuple(lost), intact=tuple(intact))


def elect(alive: Iterable[Address], seed: bytes) -> Address:
    """Return who repairs: the first by rendezvous under the seed (the segment's id, as a rule).

    Raises:
        NoProviders: nobody is alive.
    """
    ranked = rank((Candidate(provider=address) for address in set(alive)), seed)
    if not ranked:
        raise NoProviders("nobody is alive to repair", hint="wait until a provider is back")
    return ranked[0].provider


def plan(
    loss: Loss,
    states: Mapping[Address, Health],
    candidates: Sequence[Candidate],
    terms: Terms,
) -> list[RepairPlan]:
    """Return how to rebuild every lost shard of a segment, each on a new provider of its own.

    Sources are k intact shards, those of holders known to be alive first.

    Raises:
        StripeLost: fewer than k shards are intact.
        NoProviders: too few candidates satisfy the terms and hold nothing of this segment yet.
    """
    places = loss.places
    if loss.spare < 0:
        raise StripeLost(
            f"{places.k} shards are needed, {len(loss.intact)} are left",
            hint="a holder that comes back may still bring its shard",
        )
    alive_first = sorted(
        loss.intact, key=lambda at: (states.get(places.holders[at]) is not Health.ALIVE, at)
    )
    sources = tuple((at, places.holders[at]) for at in sorted(alive_first[: places.k]))
    holding = frozenset(places.holders.values())
    targets = choose(candidates, places.segment, len(loss.lost), exclude=holding, terms=terms)
    return [
        RepairPlan(segment=places.segment, shard=shard, sources=sources, target=target.provider)
        for shard, target in zip(loss.lost, targets, strict=True)
    ]
