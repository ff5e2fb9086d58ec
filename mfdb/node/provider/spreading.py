"""Spreading a segment that was certified: a shard to each holder, then its bundle to everybody."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import msgspec

from mfdb.kernel.errors import MfdbError, QuorumNotReached
from mfdb.node.answers import Done, Stored
from mfdb.node.provider.bundles import Bundles
from mfdb.node.requests import PutSealed, PutShard
from mfdb.rules.evidence import check_signer
from replication.segment import SealedSegment, SignedStoreReceipt, check_receipt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.kernel.ids import Address, DatasetId
    from mfdb.rules.placement import Placement

log = logging.getLogger(__name__)


class Spreading(Bundles):
    """The part of the sealing service that hands out what was sealed."""

    async def spread(
        self,
        dataset: DatasetId,
        bundle: SealedSegment,
        shards: Sequence[bytes],
        placement: Placement,
    ) -> SealedSegment:
        """Return the bundle with the store receipts of all holders that took their shard."""
        stored = await asyncio.gather(
            *(
                self.store_at(
                    placement.shards[slot], dataset, bundle, slot, shards[slot], made_here=True
                )
                for slot in sorted(placement.shards)
                if slot < bundle.certificate.n
            )
        )
        receipts = tuple(signed for signed in stored if signed is not None)
        if len(receipts) < bundle.certificate.k:
            raise QuorumNotReached("fewer than k shard holders could be reached")
        return msgspec.structs.replace(bundle, receipts=receipts)

    async def store_at(
        self,
        holder: Address,
        dataset: DatasetId,
        bundle: SealedSegment,
        slot: int,
        shard: bytes,
        *,
        made_here: bool = False,
    ) -> SignedStoreReceipt | None:
        """Return the receipt of a holder that took its shard, or None.

        `made_here` says that the shard's hashes were computed here for this very bundle.
        """
        request = PutShard(dataset=dataset, bundle=bundle, shard=slot, data=shard)
        try:
            if holder == self._context.me:
                keep = self.put_own_shard if made_here else self.on_put_shard
                stored = await keep(request)
            else:
                correspondent = await self._context.directory.reach(holder)
                stored = await correspondent.ask(request, Stored)
                record = await self._context.directory.record(holder)
                check_receipt(bundle, stored.receipt)
                check_signer(self._context.network, stored.receipt, stored.signature, record.signer)
        except MfdbError as error:
            log.warning("shard not stored holder=0x%s %s", holder.hex(), error)
            return None
        return SignedStoreReceipt(receipt=stored.receipt, signature=stored.signature)

    async def hand_round(
        self, dataset: DatasetId, bundle: SealedSegment, placement: Placement
    ) -> None:
        """Give a bundle with its receipts to every provider of the dataset."""
        request = PutSealed(dataset=dataset, bundle=bundle)
        others = [who for who in placement.providers if who != self._context.me]
        handing = (self._hand(request, provider) for provider in others)
        await asyncio.gather(self.on_put_sealed(request), *handing)

    async def _hand(self, request: PutSealed, provider: Address) -> None:
        try:
            correspondent = await self._context.directory.reach(provider)
            await correspondent.ask(request, Done)
        except MfdbError as error:
            log.warning("bundle not handed over to=0x%s %s", provider.hex(), error)
