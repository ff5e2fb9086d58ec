"""Sealing: replicas agree on a segment's content, certify it, spread its shards, then let go.

    mark -> union -> fetch what is lacking -> certify -> W signatures -> n shards stored
    -> bundle with n store receipts to everybody -> release (DESIGN 8; `replication.seal`)

Any replica may lead; the content follows from the id list alone. What a replica signed for a
segment number is durable before the signature leaves.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from mfdb.kernel.account import recover
from mfdb.kernel.clock import Hlc, hlc_seconds
from mfdb.kernel.errors import AccessDenied, MfdbError, QuorumNotReached
from mfdb.kernel.ids import ChangesetId
from mfdb.node.answers import Done, HotList, SealedReport, SealReport, Signed
from mfdb.node.provider import hot_index, sealed_shelf, shelf
from mfdb.node.provider.bundles import sealed_ids
from mfdb.node.provider.completing import fetch_shards
from mfdb.node.provider.copy_desk import CopyDesk
from mfdb.node.provider.spreading import Spreading
from mfdb.node.requests import ListHot, PrepareSeal, ProposeSeal
from mfdb.rules.evidence import check_signer
from replication.seal import (
    HotLog,
    Proposal,
    SealTerms,
    SealView,
    check_before_signing,
    missing,
    seal_reason,
    union,
)
from replication.segment import (
    SealedSegment,
    build_segment,
    certify,
    read_segment,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Mapping, Sequence

    from mfdb.kernel.ids import Address, DatasetId, Hash
    from mfdb.node.commit import Transaction
    from mfdb.node.provider.context import Context
    from mfdb.node.provider.intake import Intake
    from mfdb.node.requests import SealNow
    from mfdb.rules.evidence import SealCertificate
    from mfdb.rules.placement import Placement
    from replication.seal import HotEntry

    _Segment = tuple[SealCertificate, tuple[bytes, ...], tuple[Hash, ...]]
    """A certificate, the n shards and their roots."""
    _Made = tuple[_Segment, tuple[ChangesetId, ...]]
    """What changesets make, and which they are."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A sealing under way: of what, which replicas have signed its list before, how many must."""

    dataset: DatasetId
    number: int
    begun: set[Address]
    quorum: int


class Sealing(Spreading):
    """The service that leads, checks and signs sealings."""

    def __init__(self, context: Context, intake: Intake) -> None:
        super().__init__(context)
        self.copies = CopyDesk(context, intake)
        """The changesets that are held here unsealed, and who has what is lacking."""
        self._made: dict[DatasetId, SealCertificate] = {}
        """The certificate that this replica made last of a dataset, leading its sealing."""
        self._leading: dict[DatasetId, asyncio.Lock] = {}

    # ---- leading

    async def on_seal_now(self, request: SealNow, caller: Address) -> SealedReport:
        """Seal what is unsealed, for the dataset's owner.

        Raises:
            AccessDenied: the caller is not the owner.
            QuorumNotReached: too few replicas or shard holders could be reached.
        """
        with self._context.store.snapshot() as view:
            owner = shelf.manifest(view, request.dataset).owner
        if caller != owner:
            raise AccessDenied("only the dataset's owner may have it sealed on command")
        return SealedReport(report=await self.lead(request.dataset))

    async def lead(self, dataset: DatasetId) -> SealReport:
        """Return what one sealing did; nothing if there was nothing to seal."""
        lock = self._leading.setdefault(dataset, asyncio.Lock())
        async with lock:
            return await self._lead(dataset)

    async def _lead(self, dataset: DatasetId) -> SealReport:
        with self._context.store.snapshot() as view:
            manifest = shelf.manifest(view, dataset)
            number = sealed_shelf.next_segment(view, dataset)
            held_here = union([self._entries(view, dataset)])
        placement, quorum = self._context.placement(dataset), manifest.profile.write_quorum
        hot, ahead = await asyncio.gather(
            self._hot_lists(dataset, number, placement, quorum),
            self._make_ahead(PrepareSeal(dataset, number, held_here), placement, quorum),
        )
        ids = _begun(hot) or union(listed.entries for listed in hot.values())
        begun = {who for who, listed in hot.items() if listed.signed and listed.signed == ids}
        attempt = _Attempt(dataset, number, begun, quorum)
        if ahead is not None and ahead[1] == ids:
            return await self._finish(attempt, ahead, placement)
        return await self._seal(attempt, ids, self._shown(dataset, ids, hot))

    async def _make_ahead(
        self, request: PrepareSeal, placement: Placement, quorum: int
    ) -> _Made | None:
        """Compute, and have computed, what replicas will list if they hold what is held here.

        They nearly always do, and so nothing waits for their lists.
        """
        if not request.changesets:
            return None
        held = self.copies.held(request.dataset, request.changesets)
        if len(held) < len(request.changesets):
            return None
        signers = self._signing_order(placement, set())[:quorum]
        made, _ = await asyncio.gather(
            self._make(request.dataset, request.number, held),
            self._have_prepared(request, signers),
        )
        return made, request.changesets

    async def _shown(
        self, dataset: DatasetId, ids: tuple[ChangesetId, ...], hot: Mapping[Address, HotList]
    ) -> dict[ChangesetId, bytes]:
        """Return what can be sealed: lists are hearsay, so an id without bytes is left out.

        Raises:
            QuorumNotReached: it was begun, and bytes of it cannot be had at present.
        """
        others = [who for who in hot if who != self._context.me]
        held = await self.copies.fetch(dataset, ids, others)
        if _begun(hot):  # perhaps an attempt to code once more what is sealed
            held |= await self.unpacked(dataset, missing(ids, held.keys()))
            if lacking := missing(ids, held.keys()):
                raise QuorumNotReached(
                    f"{len(lacking)} changesets of a sealing begun cannot be had"
                )
        return held

    async def reseal(self, dataset: DatasetId, bundle: SealedSegment) -> SealReport:
        """Seal the changesets of a segment once more, under the code that the profile names now.

        Raises:
            QuorumNotReached: too few replicas or shard holders could be reached.
            StripeLost: the segment cannot be read at present.
        """
        async with self._leading.setdefault(dataset, asyncio.Lock()):
            await self._lead(dataset)  # what came since goes into a segment of its own
            with self._context.store.snapshot() as view:
                number = sealed_shelf.next_segment(view, dataset)
                quorum = shelf.manifest(view, dataset).profile.write_quorum
            ids, attempt = bundle.changesets, _Attempt(dataset, number, set(), quorum)
            return await self._seal(attempt, ids, self.unpacked(dataset, ids))

    async def _seal(
        self,
        attempt: _Attempt,
        listed: tuple[ChangesetId, ...],
        fetching: Awaitable[Mapping[ChangesetId, bytes]],
    ) -> SealReport:
        """Certify listed changesets as a segment, as far as they can be fetched, and spread it.

        Those who will sign compute while the bytes are fetched and computed with here.
        """
        placement = self._context.placement(attempt.dataset)
        request = PrepareSeal(attempt.dataset, attempt.number, listed)
        order = self._signing_order(placement, attempt.begun)
        made, _ = await asyncio.gather(
            self._make_of(attempt, fetching),
            self._have_prepared(request, order[: attempt.quorum] if listed else []),
        )
        if made is None:
            return SealReport(segments=0, changesets=0, bytes=0, receipts=0)
        return await self._finish(attempt, made, placement)

    async def _finish(self, attempt: _Attempt, made: _Made, placement: Placement) -> SealReport:
        """Have a segment that was made here signed, kept by its holders and released."""
        (certificate, shards, roots), ids = made
        dataset = attempt.dataset
        proposal = ProposeSeal(
            dataset=dataset, certificate=certificate, changesets=ids, shard_roots=roots, begun=b""
        )
        signatures = await self._signatures(proposal, placement, attempt)
        bundle = SealedSegment(certificate, ids, roots, signatures, ())
        bundle = await self.spread(dataset, bundle, shards, placement)
        await self.hand_round(dataset, bundle, placement)
        return SealReport(
            segments=1,
            changesets=len(ids),
            bytes=certificate.length_bytes,
            receipts=len(bundle.receipts),
        )

    def _signing_order(self, placement: Placement, begun: set[Address]) -> list[Address]:
        me = self._context.me
        return sorted(placement.replica_set, key=lambda who: (who not in begun, who != me))

    async def _have_prepared(self, request: PrepareSeal, replicas: Sequence[Address]) -> None:
        """Let replicas compute what they will be asked to sign; else they do so when asked."""
        others = [who for who in replicas if who != self._context.me]
        await asyncio.gather(*(self._prepare(request, who) for who in others))

    async def _prepare(self, request: PrepareSeal, replica: Address) -> None:
        try:
            correspondent = await self._context.directory.reach(replica)
            await correspondent.ask(request, Done)
        except MfdbError as error:
            log.info("no segment prepared replica=0x%s %s", replica.hex(), error)

    async def _make_of(
        self, attempt: _Attempt, fetching: Awaitable[Mapping[ChangesetId, bytes]]
    ) -> _Made | None:
        """Return what the changesets that can be fetched make, and their ids; None if none can."""
        held = await fetching
        if not held:
            return None
        made = await self._make(attempt.dataset, attempt.number, held)
        return made, tuple(sorted(held))

    async def _make(
        self, dataset: DatasetId, number: int, held: Mapping[ChangesetId, bytes]
    ) -> _Segment:
        """Return the certificate that changesets make, its shards and their roots.

        Computed beside the loop and the store: it takes long, and writes go on.
        """
        with self._context.store.snapshot() as view:
            manifest = shelf.manifest(view, dataset)
        profile, ids = manifest.profile, sorted(held)
        nodes = self.copies.nodes(held)

        def make() -> _Segment:
            segment = build_segment(number, held.items())
            return certify(
                manifest.subject, number, ids, segment, k=profile.k, n=profile.n, nodes=nodes
            )

        made = await self._context.run_blocking(make)
        self._made[dataset] = made[0]
        self._keep_own(dataset, made)
        return made

    def _keep_own(self, dataset: DatasetId, made: _Segment) -> None:
        """Remember the shards that will be placed here, of the last segment only."""
        certificate, shards, _ = made
        placed = self._context.placement(dataset).shards
        own = {
            at: shards[at]
            for at, who in placed.items()
            if who == self._context.me and at < len(shards)
        }
        self.own = (certificate.segment, own)

    async def _hot_lists(
        self, dataset: DatasetId, number: int, placement: Placement, quorum: int
    ) -> dict[Address, HotList]:
        request = ListHot(dataset=dataset, number=number)
        asked = placement.replica_set
        found = await asyncio.gather(*(self._hot_list(request, replica) for replica in asked))
        lists = {who: one for who, one in zip(asked, found, strict=True) if one is not None}
        if len(lists) < quorum:
            raise QuorumNotReached(f"{quorum} replicas must take part, {len(lists)} do")
        return lists

    async def _hot_list(self, request: ListHot, replica: Address) -> HotList | None:
        try:
            if replica == self._context.me:
                return await self.hot(request)
            correspondent = await self._context.directory.reach(replica)
            return await correspondent.ask(request, HotList)
        except MfdbError as error:
            log.warning("no hot list replica=0x%s %s", replica.hex(), error)
            return None

    async def _signatures(
        self, proposal: ProposeSeal, placement: Placement, attempt: _Attempt
    ) -> tuple[bytes, ...]:
        """Return a quorum of signatures; nobody else need compute the certificate.

        Those are asked first who have begun; theirs shows the others that nothing else can come.
        """
        begun, quorum = attempt.begun, attempt.quorum
        left = self._signing_order(placement, begun)
        signatures: list[bytes] = []
        while left and len(signatures) < quorum:
            count = 1 if begun else quorum - len(signatures)
            asked, left = left[:count], left[count:]
            found = await asyncio.gather(*(self._signed(proposal, who) for who in asked))
            signatures += [signature for signature in found if signature is not None]
            if begun and signatures:
                proposal = msgspec.structs.replace(proposal, begun=signatures[-1])
        if len(signatures) < quorum:
            raise QuorumNotReached(f"{quorum} replicas must sign, {len(signatures)} did")
        return tuple(signatures)

    async def _signed(self, proposal: ProposeSeal, replica: Address) -> bytes | None:
        try:
            return await self._signature(proposal, replica)
        except MfdbError as error:
            log.warning("no seal signature replica=0x%s %s", replica.hex(), error)
            return None

    async def _signature(self, proposal: ProposeSeal, replica: Address) -> bytes:
        """Return a replica's good signature over a certificate."""
        if replica == self._context.me:
            return await self.certify(proposal, {})
        correspondent = await self._context.directory.reach(replica)
        signature = (await correspondent.ask(proposal, Signed)).signature
        signer = correspondent.record.signer
        check_signer(self._context.network, proposal.certificate, signature, signer)
        return signature

    # ---- taking part

    async def on_list_hot(self, request: ListHot, caller: Address) -> HotList:
        """Return what is held unsealed here, and remember it as the mark of that segment."""
        self._demand_replica(request.dataset, caller)
        return await self.hot(request)

    async def hot(self, request: ListHot) -> HotList:
        """Return the unsealed changesets and mark them for the segment, durably.

        The mark of a segment for which a certificate is signed already stands: that certificate
        is all that can still come of the number, and what came later goes into the next.
        """
        return await self._context.committer.submit(
            lambda transaction: self._mark(transaction, request)
        )

    def _mark(self, transaction: Transaction, request: ListHot) -> HotList:
        entries = tuple(self._entries(transaction, request.dataset))
        signed = sealed_shelf.signed_changesets(transaction, request.dataset, request.number)
        is_next = request.number == sealed_shelf.next_segment(transaction, request.dataset)
        if is_next and not signed:
            ids = tuple(entry.changeset for entry in entries)
            sealed_shelf.put_mark(transaction, request.dataset, request.number, ids)
        return HotList(entries=entries, signed=signed)

    def _entries(self, view: shelf.View, dataset: DatasetId) -> Iterable[HotEntry]:
        entries = tuple(hot_index.entries(view, dataset))
        sealed = sealed_ids(view, dataset) if entries else frozenset()
        return (one for one in entries if one.changeset not in sealed)

    async def on_propose_seal(self, request: ProposeSeal, caller: Address) -> Signed:
        """Sign a certificate once this replica has made the same itself.

        Raises:
            AccessDenied, BadProof: it may not be signed.
        """
        self._demand_replica(request.dataset, caller)
        dataset, certificate = request.dataset, request.certificate
        held: Mapping[ChangesetId, bytes] = {}
        if self._made.get(dataset) != certificate:
            held = await self._had(dataset, request.changesets, caller)
            await self._make_own(dataset, certificate.number, held, request.changesets)
        return Signed(signature=await self.certify(request, held))

    async def on_prepare_seal(self, request: PrepareSeal, caller: Address) -> Done:
        """Compute a segment that will be proposed, so that nobody waits for it then.

        Raises:
            AccessDenied: the caller is no replica of the dataset.
        """
        self._demand_replica(request.dataset, caller)
        held = await self._had(request.dataset, request.changesets, caller)
        await self._make_own(request.dataset, request.number, held, request.changesets)
        return Done()

    async def _had(
        self, dataset: DatasetId, ids: tuple[ChangesetId, ...], source: Address
    ) -> dict[ChangesetId, bytes]:
        """Return the listed changesets, as far as they can be had."""
        held = await self.copies.fetch(dataset, ids, [source])
        return held | await self.unpacked(dataset, missing(ids, held.keys()))

    async def _make_own(
        self,
        dataset: DatasetId,
        number: int,
        held: Mapping[ChangesetId, bytes],
        ids: tuple[ChangesetId, ...],
    ) -> None:
        """Make the certificate of the next segment, if all of it is here."""
        with self._context.store.snapshot() as view:
            is_next = number == sealed_shelf.next_segment(view, dataset)
        if is_next and held.keys() >= set(ids):
            await self._make(dataset, number, held)

    async def unpacked(
        self, dataset: DatasetId, ids: Iterable[ChangesetId]
    ) -> dict[ChangesetId, bytes]:
        """Return the bytes of changesets that lie in sealed segments only, as far as can be had."""
        wanted, found = set(ids), dict[ChangesetId, bytes]()
        if not wanted:
            return found
        with self._context.store.snapshot() as view:
            bundles = sealed_shelf.segments(view, dataset)
        placement = self._context.placement(dataset)
        for bundle in bundles:
            if wanted.isdisjoint(bundle.changesets):
                continue
            shards = await fetch_shards(self._context, dataset, bundle, placement)
            found.update((id_, d) for id_, d in read_segment(bundle, shards) if id_ in wanted)
            wanted.difference_update(found)
        return found

    async def certify(self, request: ProposeSeal, held: Mapping[ChangesetId, bytes]) -> bytes:
        """Return this replica's signature over a certificate, stored before it is returned.

        `held` has the changesets that are held here, good ones only; none are needed for a
        certificate that was made here of such.
        """
        is_begun = await self._is_begun(request)
        return await self._context.committer.submit(
            lambda transaction: self._certify(transaction, request, held, is_begun=is_begun)
        )

    async def _is_begun(self, request: ProposeSeal) -> bool:
        """Return whether a replica has signed this before; it can sign nothing else any more.

        A leader that lies about it only puts off what it leaves out: that stays held, and listed
        for the next segment.
        """
        if not request.begun:
            return False
        signer = recover(self._context.network.digest(request.certificate), request.begun)
        return signer in await self.replica_signers(request.dataset)

    def _certify(
        self,
        transaction: Transaction,
        request: ProposeSeal,
        held: Mapping[ChangesetId, bytes],
        *,
        is_begun: bool,
    ) -> bytes:
        dataset, certificate = request.dataset, request.certificate
        manifest = shelf.manifest(transaction, dataset)
        number = sealed_shelf.next_segment(transaction, dataset)
        unlisted = sealed_shelf.mark(transaction, dataset, number).difference(request.changesets)
        if unlisted:
            unlisted -= sealed_ids(transaction, dataset)
        view = SealView(
            subject=manifest.subject,
            number=number,
            k=manifest.profile.k,
            n=manifest.profile.n,
            # What came since an attempt was begun goes into the next segment.
            receipted=frozenset() if is_begun else unlisted,
            signed=sealed_shelf.signed_segment(transaction, dataset, number),
            made=self._made.get(dataset),
        )
        proposal = Proposal(
            certificate=certificate,
            changesets=request.changesets,
            shard_roots=request.shard_roots,
        )
        check_before_signing(proposal, held, view)
        sealed_shelf.put_signed_segment(
            transaction, dataset, number, certificate.segment, request.changesets
        )
        return self._context.keys.signer.sign(self._context.network.digest(certificate))

    # ---- what both do

    def _demand_replica(self, dataset: DatasetId, caller: Address) -> None:
        if caller not in self._context.placement(dataset).replica_set:
            raise AccessDenied("only a replica of the dataset may ask that")

    def is_due(self, dataset: DatasetId) -> bool:
        """Return whether the hot log has reached the size or age at which it is sealed."""
        terms = SealTerms(age_s=self._context.settings.seal_age_s)
        with self._context.store.snapshot() as view:
            entries = tuple(self._entries(view, dataset))
            for entry in entries:  # so that a damaged header is noticed before it is needed
                shelf.header(view, dataset, entry.changeset)
        if not entries:
            return False
        hot = HotLog(
            count=len(entries),
            size_bytes=sum(entry.length_bytes for entry in entries),
            oldest_s=min(hlc_seconds(Hlc(entry.hlc)) for entry in entries),
        )
        return seal_reason(hot, self._context.clock.now_s(), terms) is not None


def _begun(hot: Mapping[Address, HotList]) -> tuple[ChangesetId, ...]:
    """Return what most replicas have signed for this number in an attempt that was not finished.

    They can sign nothing else any more, so that attempt is taken up again.
    """
    votes = Counter(listed.signed for listed in hot.values() if listed.signed)
    return max(votes, key=lambda ids: (votes[ids], ids), default=())
