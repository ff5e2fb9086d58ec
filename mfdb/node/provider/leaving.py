"""Leaving: draining this provider, and letting go of what owners released it from.

    drains -> nothing new is agreed to, the node record says so, owners' nodes move what is here
    released from a segment   -> shards and bundle are forgotten, the release is kept for the court
    released from an agreement -> it is terminated on chain, the deposit is free, all is forgotten

Until its owner has let it go, a provider keeps and serves what it promised.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from mfdb.chain.port import TerminateAgreement
from mfdb.kernel.errors import AccessDenied, BadProof, TransactionReverted
from mfdb.kernel.ids import ZERO_HASH, SegmentId
from mfdb.node.answers import Done, SealedReport, SealReport
from mfdb.node.provider import releases, sealed_shelf, shelf, take_overs
from mfdb.rules.evidence import check_signer
from mfdb.rules.manifest import Action
from replication.moving import to_recode

if TYPE_CHECKING:
    from mfdb.kernel.ids import Address, DatasetId
    from mfdb.node.commit import Transaction
    from mfdb.node.provider.context import Context
    from mfdb.node.provider.sealing import Sealing
    from mfdb.node.requests import PutCopies, PutReleases, Recode
    from mfdb.rules.evidence import SignedRelease
    from replication.segment import SealedSegment

log = logging.getLogger(__name__)
_ALL = SegmentId(ZERO_HASH)
"""The segment that a release from all of an agreement names."""


class Leaving:
    """The service that lets go of what others took over."""

    def __init__(self, context: Context, sealing: Sealing) -> None:
        self._context = context
        self._sealing = sealing

    @property
    def kept(self) -> list[DatasetId]:
        """The datasets of which something is placed here."""
        placed = []
        for dataset in self._context.kept():
            with self._context.sparing(dataset):
                if self._context.me in self._context.placement(dataset).providers:
                    placed.append(dataset)
        return placed

    async def on_put_releases(self, request: PutReleases, caller: Address) -> Done:
        """Take an owner's releases; a released segment is forgotten at once.

        Raises:
            AccessDenied: the caller is not the owner.
            BadProof, BadSignature: a release is of another dataset, or not signed by its owner.
        """
        self._demand_owner(request.dataset, caller)
        placement = self._context.placement(request.dataset)
        agreed = {made.agreement.id for made in placement.agreements.values()}
        for signed in request.releases:
            if signed.release.agreement not in agreed:
                raise BadProof("a release is from an agreement of another dataset")
            check_signer(self._context.network, signed.release, signed.signature, caller)
        await self._context.committer.submit(
            lambda transaction: _keep(transaction, request.dataset, request.releases)
        )
        await self.look()
        return Done()

    async def on_recode(self, request: Recode, caller: Address) -> SealedReport:
        """Seal once more what is sealed in another code than the profile names.

        Raises:
            AccessDenied: the caller is not the owner.
            QuorumNotReached, StripeLost: it cannot be done at present.
        """
        self._demand_owner(request.dataset, caller)
        segments = changesets = size_bytes = receipts = 0
        for bundle in self._to_recode(request.dataset)[: max(0, request.at_most)]:
            report = await self._sealing.reseal(request.dataset, bundle)
            segments += report.segments
            changesets += report.changesets
            size_bytes += report.bytes
            receipts += report.receipts
        done = SealReport(
            segments=segments, changesets=changesets, bytes=size_bytes, receipts=receipts
        )
        return SealedReport(report=done)

    async def on_put_copies(self, request: PutCopies, caller: Address) -> Done:
        """Take changesets that the owner brings back, or that another reader saw and we lack.

        Of others only what some provider acknowledged when it was fresh: a receipt shows that.

        Raises:
            AccessDenied: the caller may not read the dataset, or this is no replica of it.
        """
        dataset, copies = request.dataset, self._sealing.copies
        with self._context.store.snapshot() as view:
            owner = shelf.manifest(view, dataset).owner
        if caller == owner:
            await copies.take_all(dataset, request.items)
            return Done()
        self._context.demand(Action.SELECT, dataset, caller)
        await copies.take_all(dataset, await copies.acknowledged(dataset, request.items))
        return Done()

    def _to_recode(self, dataset: DatasetId) -> list[SealedSegment]:
        with self._context.store.snapshot() as view:
            profile = shelf.manifest(view, dataset).profile
            return to_recode(sealed_shelf.segments(view, dataset), profile.k, profile.n)

    def _demand_owner(self, dataset: DatasetId, caller: Address) -> None:
        with self._context.store.snapshot() as view:
            owner = shelf.manifest(view, dataset).owner
        if caller != owner:
            raise AccessDenied("only the dataset's owner may do that")

    # ---- agreements that are over

    async def look(self) -> None:
        """Terminate the agreements from which clients released us, and forget their datasets."""
        for dataset in self._context.kept():
            with self._context.sparing(dataset):
                await self._leave(dataset)

    async def _leave(self, dataset: DatasetId) -> None:
        placement = self._context.placement(dataset)
        made = placement.agreements.get(self._context.me)
        if made is None or self._context.me in placement.providers:
            return
        with self._context.store.snapshot() as view:
            release = releases.release_of(view, made.agreement.id, _ALL)
        if release is not None and await self._terminated(release):
            await self._context.committer.submit(partial(_forget, dataset=dataset))
            log.info("left dataset=0x%s", dataset.hex())

    async def _terminated(self, release: SignedRelease) -> bool:
        """Return whether an agreement is over on chain, ending it if it is not."""
        agreement = release.release.agreement
        state = await self._context.chain.agreement(agreement)
        if state is None or not state.earmarked:
            return True
        call = TerminateAgreement(agreement=agreement, client_signature=release.signature)
        try:
            await self._context.chain.send(call, self._context.keys.account)
        except TransactionReverted as error:
            log.warning("not terminated agreement=0x%s %s", agreement.hex(), error)
            return False
        return True


def _forget(transaction: Transaction, dataset: DatasetId) -> None:
    sealed_shelf.forget(transaction, dataset)
    take_overs.drop_of(transaction, dataset)


def _keep(transaction: Transaction, dataset: DatasetId, given: tuple[SignedRelease, ...]) -> None:
    for signed in given:
        releases.put_release(transaction, signed)
        if signed.release.segment != _ALL:
            sealed_shelf.drop_segment(transaction, dataset, signed.release.segment)
