"""Keeping what is sealed: bundles with their receipts, the shards placed here, and letting go.

A replica drops hot copies only when n shards are promised, a holder drops shards only when the
dataset's owner has released it from them.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from mfdb.kernel.errors import AccessDenied, BadProof, BadSignature
from mfdb.node.answers import Done, Stored
from mfdb.node.provider import hot_index, sealed_shelf, shelf
from mfdb.node.provider.records import DamagedRecord
from mfdb.node.requests import PutSealed, PutShard
from mfdb.rules.evidence import StoreReceipt, check_signer
from mfdb.rules.manifest import certifying_quorum
from mfdb.rules.units import unit_count
from replication.seal import may_release
from replication.segment import (
    SealedSegment,
    SignedStoreReceipt,
    is_shard,
    stored_shards,
    verify_sealed,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mfdb.kernel.ids import Address, AgreementId, ChangesetId, DatasetId, SegmentId
    from mfdb.node.commit import Transaction
    from mfdb.node.provider.context import Context
    from mfdb.rules.evidence import Network
    from mfdb.rules.placement import Placement, SignedAgreement

log = logging.getLogger(__name__)


class Bundles:
    """The part of the sealing service that keeps what came of sealings."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.own: tuple[SegmentId, Mapping[int, bytes]] | None = None
        """The shards of the last segment made here that are to lie here."""

    async def on_put_shard(self, request: PutShard) -> Stored:
        """Keep a shard of a certified segment and promise it until the agreement ends.

        Raises:
            BadProof, BadSignature: bundle or shard are not good.
            AccessDenied: this provider is not to hold that shard.
        """
        await self._verify(request.dataset, request.bundle)
        agreement = self._placed(request)
        if not self._was_made(request) and not is_shard(
            request.bundle, request.shard, request.data
        ):
            raise BadProof("the bytes are not those of the certified shard")
        return await self._promise(request, agreement)

    def _was_made(self, request: PutShard) -> bool:
        """Return whether these very bytes were made, and hashed, here a moment ago."""
        segment, shards = self.own or (None, {})
        if segment != request.bundle.certificate.segment:
            return False
        self.own = None
        return shards.get(request.shard) == request.data

    async def put_own_shard(self, request: PutShard) -> Stored:
        """Keep and promise a shard that this replica made itself, whose hashes it knows.

        Raises:
            AccessDenied: this provider is not to hold that shard.
        """
        self.own = None
        return await self._promise(request, self._placed(request))

    def _placed(self, request: PutShard) -> SignedAgreement:
        placement = self._context.placement(request.dataset)
        agreement = placement.agreements.get(self._context.me)
        with self._context.store.snapshot() as view:
            if sealed_shelf.is_dropped(view, request.dataset, request.bundle.certificate.segment):
                raise AccessDenied("the owner has released everybody from that segment")
        if agreement is None or placement.shards.get(request.shard) != self._context.me:
            raise AccessDenied(f"shard {request.shard} is not placed on this provider")
        return agreement

    async def _promise(self, request: PutShard, agreement: SignedAgreement) -> Stored:
        receipt = StoreReceipt(
            agreement=agreement.agreement.id,
            segment=request.bundle.certificate.segment,
            shard=request.shard,
            root=request.bundle.shard_roots[request.shard],
            units=unit_count(len(request.data)),
            expiry=agreement.agreement.end,
        )
        await self._context.committer.submit(lambda transaction: _keep_shard(transaction, request))
        signature = self._context.keys.signer.sign(self._context.network.digest(receipt))
        return Stored(receipt=receipt, signature=signature)

    async def on_put_sealed(self, request: PutSealed) -> Done:
        """Keep a bundle with its receipts; a replica then drops what the shards took over.

        Raises:
            BadProof, BadSignature: the bundle is not good.
        """
        await self._verify(request.dataset, request.bundle)
        signers = await self._shard_signers(request.dataset)
        bundle = self._with_good_receipts(request.bundle, signers)
        await self._context.committer.submit(
            lambda transaction: self._keep_sealed(transaction, request.dataset, bundle, signers)
        )
        return Done()

    def _with_good_receipts(
        self, bundle: SealedSegment, signers: Mapping[AgreementId, Address]
    ) -> SealedSegment:
        """Leave out what no holder signed: a forged receipt would take the place of a real one."""
        receipts = tuple(
            signed
            for signed in bundle.receipts
            if _is_signed(self._context.network, signed, signers.get(signed.receipt.agreement))
        )
        return msgspec.structs.replace(bundle, receipts=receipts)

    def _keep_sealed(
        self,
        transaction: Transaction,
        dataset: DatasetId,
        bundle: SealedSegment,
        signers: Mapping[AgreementId, Address],
    ) -> None:
        """Keep a bundle, and drop in the same commit what it takes over."""
        if sealed_shelf.is_dropped(transaction, dataset, bundle.certificate.segment):
            return
        known = _kept(transaction, dataset, bundle)
        if known is not None:
            placement = shelf.placement(transaction, dataset, self._context.network)
            bundle = _merged(known, bundle, placement)
        sealed_shelf.put_segment(transaction, dataset, bundle)
        self._release(transaction, dataset, bundle, self._stored(bundle, signers))

    async def release(self, dataset: DatasetId) -> None:
        """Drop what sealed segments took over and what came here only since."""
        with self._context.store.snapshot() as view:
            held = frozenset(one.changeset for one in hot_index.entries(view, dataset))
            if not held:
                return
            due = [
                b for b in sealed_shelf.segments(view, dataset) if not held.isdisjoint(b.changesets)
            ]
        if not due:
            return
        signers = await self._shard_signers(dataset)
        stored = [(bundle, self._stored(bundle, signers)) for bundle in due]

        def release(transaction: Transaction) -> None:
            for bundle, shards in stored:
                self._release(transaction, dataset, bundle, shards)

        await self._context.committer.submit(release)

    def _stored(
        self, bundle: SealedSegment, signers: Mapping[AgreementId, Address]
    ) -> frozenset[int]:
        until = int(self._context.clock.now_s())
        return stored_shards(bundle, self._context.network, signers, until=until)

    def _release(
        self,
        transaction: Transaction,
        dataset: DatasetId,
        bundle: SealedSegment,
        stored: frozenset[int],
    ) -> None:
        held = frozenset(one.changeset for one in hot_index.entries(transaction, dataset))
        if held.isdisjoint(bundle.changesets):
            return
        marked = sealed_shelf.mark(transaction, dataset, bundle.certificate.number)
        left_out = marked.difference(bundle.changesets)
        if left_out:  # it is held on here, or was another certificate's
            left_out &= held | sealed_ids(transaction, dataset)
        for id_ in may_release(marked - left_out, bundle, stored).changesets:
            shelf.release(transaction, dataset, id_)

    async def _verify(self, dataset: DatasetId, bundle: SealedSegment) -> None:
        with self._context.store.snapshot() as view:
            subject = shelf.manifest(view, dataset).subject
            quorum = certifying_quorum(signed.manifest for signed in shelf.manifests(view, dataset))
        if bundle.certificate.subject != subject:
            raise BadProof("the segment is of another dataset")
        signers = await self.replica_signers(dataset)
        verify_sealed(bundle, self._context.network, signers, quorum)

    async def _shard_signers(self, dataset: DatasetId) -> Mapping[AgreementId, Address]:
        placement = self._context.placement(dataset)
        signers = {}
        for provider, signed in placement.agreements.items():
            record = await self._context.directory.record(provider)
            signers[signed.agreement.id] = record.signer
        return signers

    async def catch_up(self, dataset: DatasetId, bundles: Sequence[SealedSegment]) -> None:
        """Take over segments, or receipts for their shards, that we have not heard of.

        Raises:
            BadProof, BadSignature: one is not good.
        """
        placement = self._context.placement(dataset)
        for bundle in bundles:
            with self._context.store.snapshot() as view:
                known = _kept(view, dataset, bundle)
                if sealed_shelf.is_dropped(view, dataset, bundle.certificate.segment):
                    continue
            if known is None or _merged(known, bundle, placement) != known:
                await self.on_put_sealed(PutSealed(dataset=dataset, bundle=bundle))

    async def replica_signers(self, dataset: DatasetId) -> set[Address]:
        """Return whose signature under a certificate counts: present and former replicas."""
        certifiers = sorted(self._context.placement(dataset).certifiers)
        records = [await self._context.directory.record(one) for one in certifiers]
        return {record.signer for record in records}


def _is_signed(network: Network, signed: SignedStoreReceipt, signer: Address | None) -> bool:
    """Return whether a store receipt was signed by this hot key."""
    if signer is None:
        return False
    try:
        check_signer(network, signed.receipt, signed.signature, signer)
    except BadSignature:
        return False  # the answer asked for: this receipt does not count
    return True


def sealed_ids(view: shelf.View, dataset: DatasetId) -> frozenset[ChangesetId]:
    """Return the changesets that segments list."""
    return frozenset(id_ for b in sealed_shelf.segments(view, dataset) for id_ in b.changesets)


def _kept(view: shelf.View, dataset: DatasetId, bundle: SealedSegment) -> SealedSegment | None:
    """Return what is kept of a segment; a damaged bundle makes way for the verified one."""
    try:
        return sealed_shelf.segment(view, dataset, bundle.certificate.segment)
    except DamagedRecord as error:
        log.warning("%s dataset=0x%s", error, dataset.hex())
        return None


def _keep_shard(transaction: Transaction, request: PutShard) -> None:
    segment = request.bundle.certificate.segment
    sealed_shelf.put_shard(transaction, request.dataset, segment, request.shard, request.data)
    if _kept(transaction, request.dataset, request.bundle) is None:
        bare = msgspec.structs.replace(request.bundle, receipts=())
        sealed_shelf.put_segment(transaction, request.dataset, bare)


def _merged(known: SealedSegment, new: SealedSegment, placement: Placement) -> SealedSegment:
    """Return the bundle with one receipt per shard, that of its present holder if there is one."""
    receipts = {signed.receipt.shard: signed for signed in new.receipts}
    for signed in known.receipts:
        shard = signed.receipt.shard
        holder = placement.shards.get(shard)
        due = placement.agreement_of(holder) if holder is not None else None
        if shard not in receipts or signed.receipt.agreement == due:
            receipts[shard] = signed
    ordered = tuple(receipts[shard] for shard in sorted(receipts))
    return msgspec.structs.replace(known, receipts=ordered)
