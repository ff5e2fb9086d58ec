"""Bringing every shard of every segment to whoever it is placed on now.

A holder may have been away when its segment was sealed, or be one that took over since. The bytes
come from the hot copies here while there are any, else from k other shards, else from the hot
copies of other replicas and from other segments.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from mfdb.kernel.errors import MfdbError, StripeLost
from mfdb.node.answers import Shard
from mfdb.node.provider import sealed_shelf
from mfdb.node.requests import GetShard
from replication.codec import Codec
from replication.segment import SealedSegment, build_segment, is_shard, read_segment

if TYPE_CHECKING:
    from collections.abc import Sequence, Set

    from mfdb.kernel.ids import Address, ChangesetId, DatasetId
    from mfdb.node.provider.context import Context
    from mfdb.node.provider.sealing import Sealing
    from mfdb.rules.placement import Placement

log = logging.getLogger(__name__)


async def fetch_shards(
    context: Context,
    dataset: DatasetId,
    bundle: SealedSegment,
    placement: Placement,
    *,
    without: frozenset[int] = frozenset(),
) -> dict[int, bytes]:
    """Return k good shards of a segment by slot.

    Raises:
        StripeLost: fewer can be had at present.
    """
    certificate = bundle.certificate
    shards: dict[int, bytes] = {}
    for slot, holder in _keepers(placement, certificate.n):
        if len(shards) == certificate.k:
            break
        if slot in without or slot in shards:
            continue
        data = await _shard_at(context, holder, dataset, bundle, slot)
        if is_shard(bundle, slot, data):
            shards[slot] = data
    if len(shards) < certificate.k:
        raise StripeLost(f"{len(shards)} of {certificate.k} shards could be fetched")
    return shards


def _keepers(placement: Placement, n: int) -> list[tuple[int, Address]]:
    """Return who is to keep which shard, then who was before: a new holder may lack it yet."""
    present = [(slot, placement.shards[slot]) for slot in range(n) if slot in placement.shards]
    former = [(slot, who) for slot in range(n) for who in placement.former.get(slot, ())]
    return present + former


async def _shard_at(
    context: Context, holder: Address, dataset: DatasetId, bundle: SealedSegment, slot: int
) -> bytes:
    """Return what somebody gives for a shard, nothing if he does not."""
    segment = bundle.certificate.segment
    try:
        if holder == context.me:
            with context.store.snapshot() as view:
                return sealed_shelf.shard(view, segment, slot) or b""
        correspondent = await context.directory.reach(holder)
        request = GetShard(dataset=dataset, segment=segment, shard=slot)
        return (await correspondent.ask(request, Shard)).data
    except MfdbError as error:
        log.info("shard %d not fetched from=0x%s %s", slot, holder.hex(), error)
        return b""


class Completing:
    """The service that sees to it that all n shards of a segment are kept and promised."""

    def __init__(self, context: Context, sealing: Sealing) -> None:
        self._context = context
        self._sealing = sealing
        self.lacking: dict[DatasetId, int] = {}
        """How many segments of a dataset had not all their shards promised when last looked at."""

    async def look(self, dataset: DatasetId, *, leads: bool = False) -> None:
        """Complete the segments of a dataset, if this replica is the one to do so.

        `leads` says that it is, though it is not the first: who is may be lost.

        Raises:
            StripeLost: neither hot copies nor k shards of a segment can be had at present.
        """
        placement = self._context.placement(dataset)
        with self._context.store.snapshot() as view:
            bundles = sealed_shelf.segments(view, dataset)
        due = [(b, lacking) for b in bundles if (lacking := _lacking(b, placement))]
        self.lacking[dataset] = len(due)
        if not leads and placement.replica_set[0] != self._context.me:
            return
        lost: StripeLost | None = None
        for bundle, lacking in due:
            try:
                await self._complete(dataset, bundle, lacking, placement)
            except StripeLost as error:  # the others need not wait for it
                lost = error
        if lost is not None:
            raise lost

    async def _complete(
        self, dataset: DatasetId, bundle: SealedSegment, lacking: list[int], placement: Placement
    ) -> None:
        shards = await self._shards(dataset, bundle, placement)
        bare = msgspec.structs.replace(bundle, receipts=())
        found = [
            await self._sealing.store_at(placement.shards[slot], dataset, bare, slot, shards[slot])
            for slot in lacking
        ]
        new = {signed.receipt.shard: signed for signed in found if signed is not None}
        if new:
            kept = [signed for signed in bundle.receipts if signed.receipt.shard not in new]
            receipts = sorted([*kept, *new.values()], key=lambda signed: signed.receipt.shard)
            after = msgspec.structs.replace(bundle, receipts=tuple(receipts))
            await self._sealing.hand_round(dataset, after, placement)

    async def _shards(
        self, dataset: DatasetId, bundle: SealedSegment, placement: Placement
    ) -> Sequence[bytes]:
        certificate = bundle.certificate
        codec = Codec(certificate.k, certificate.n)
        held = self._sealing.copies.held(dataset, bundle.changesets)
        if len(held) == len(bundle.changesets):
            return codec.encode(build_segment(certificate.number, held.items()))
        try:
            shards = await fetch_shards(self._context, dataset, bundle, placement)
        except StripeLost:
            others = [who for who in placement.replica_set if who != self._context.me]
            held = await self._sealing.copies.fetch(dataset, bundle.changesets, others)
            held |= await self._elsewhere(dataset, bundle, placement, held.keys())
            if len(held) < len(bundle.changesets):
                raise
            return codec.encode(build_segment(certificate.number, held.items()))
        return codec.encode(codec.decode(shards, certificate.length_bytes))

    async def _elsewhere(
        self,
        dataset: DatasetId,
        bundle: SealedSegment,
        placement: Placement,
        held: Set[ChangesetId],
    ) -> dict[ChangesetId, bytes]:
        """Return what other segments hold of a segment that never came to have k shards."""
        wanted = frozenset(bundle.changesets) - held
        with self._context.store.snapshot() as view:
            others = [b for b in sealed_shelf.segments(view, dataset) if b != bundle]
        found: dict[ChangesetId, bytes] = {}
        for other in others:
            if not wanted.isdisjoint(other.changesets):
                try:
                    shards = await fetch_shards(self._context, dataset, other, placement)
                except StripeLost:
                    continue
                found.update((id_, d) for id_, d in read_segment(other, shards) if id_ in wanted)
        return found


def _lacking(bundle: SealedSegment, placement: Placement) -> list[int]:
    """Return the slots whose present holder has not promised its shard."""
    promised = {(signed.receipt.shard, signed.receipt.agreement) for signed in bundle.receipts}
    return [
        slot
        for slot, holder in sorted(placement.shards.items())
        if slot < bundle.certificate.n and (slot, placement.agreement_of(holder)) not in promised
    ]
