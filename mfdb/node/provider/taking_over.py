"""Taking the shards of a convicted provider over, under the owner's repair mandate.

    agreement under the mandate, kept -> registered on chain -> placement entry -> k shards fetched
    -> shard rebuilt and receipted -> bundle handed round -> escrow settles (DESIGN 8)

Neither the owner nor any key is needed. What is begun is kept before the chain hears of it: the
escrow lets one agreement replace a convicted one, so whoever registered it must see it through,
over restarts and absent sources alike.

Where the log that stands leaves nothing to take - somebody was convicted twice and another spare
was first, or the owner has moved the shards - a take-over is given up and the spare free for the
next loss. What it promised until then it keeps; its deposit is free when that agreement ends.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from mfdb.chain.port import CaseStatus, RegisterByMandate, SettleRepair
from mfdb.kernel.errors import (
    AccessDenied,
    BadProof,
    MfdbError,
    StripeLost,
    TransactionReverted,
    UnknownDataset,
)
from mfdb.kernel.ids import Hash
from mfdb.node.answers import DatasetState, Done
from mfdb.node.placement_log import hand_over
from mfdb.node.provider import agreements, sealed_shelf, shelf, take_overs
from mfdb.node.provider.completing import fetch_shards
from mfdb.node.provider.duties import is_fresh
from mfdb.node.provider.take_overs import TakeOverJob
from mfdb.node.requests import PutManifest, PutPlacement, TakeOver
from mfdb.node.terms import storage_terms
from mfdb.node.whereabouts import is_full, verify_state, whole_history
from mfdb.rules.evidence import Agreement, StoreReceipt
from mfdb.rules.placement import (
    Assignment,
    PlacementEntry,
    Role,
    SignedAgreement,
    SignedPlacement,
)
from mfdb.rules.signing import sign
from mfdb.rules.units import unit_count
from replication.codec import Codec
from replication.segment import SealedSegment, SignedStoreReceipt, is_shard

if TYPE_CHECKING:
    from mfdb.chain.port import CaseState
    from mfdb.kernel.ids import Address, CaseId, DatasetId
    from mfdb.node.answers import A
    from mfdb.node.commit import Transaction
    from mfdb.node.provider.context import Context
    from mfdb.node.provider.duties import Duties
    from mfdb.node.provider.sealing import Sealing
    from mfdb.node.requests import Request
    from mfdb.node.whereabouts import Whereabouts
    from mfdb.rules.placement import Placement

log = logging.getLogger(__name__)
ROUNDS = 8
"""How many other take-overs one may have to follow before it waits for its next turn."""


class TakingOver:
    """The service of a spare provider that replaces a convicted one."""

    def __init__(self, context: Context, duties: Duties, sealing: Sealing) -> None:
        self._context = context
        self._duties = duties
        self._sealing = sealing
        self._working: dict[CaseId, asyncio.Lock] = {}

    async def on_take_over(self, request: TakeOver, caller: Address) -> Done:
        """Take over the shards of a convicted provider.

        Raises:
            AccessDenied: the caller is no provider of the dataset, there is no conviction, or this
                provider holds something of the dataset already.
            StripeLost: fewer than k shards could be fetched; it is tried again later.
            MfdbError: the agreement under the mandate was refused by the chain.
        """
        request = await self._whole(request, caller)
        found = self._verified(request)
        if caller not in found.placement.providers:
            raise AccessDenied("only a provider of the dataset may ask for a take-over")
        if all(b.certificate.segment != request.segment for b in found.segments):
            raise BadProof("a take-over comes with the segment that was lost")
        await self._begin(request, found, await self._conviction(request.case))
        await self._see_through(request.case)
        return Done()

    async def _conviction(self, id_: CaseId) -> CaseState:
        case = await self._context.chain.case(id_)
        if case is None or case.status is not CaseStatus.GUILTY:
            raise AccessDenied("there is no conviction to answer with a take-over")
        return case

    async def _whole(self, request: TakeOver, caller: Address) -> TakeOver:
        """Return a request with the whole history, of which one frame may hold a page only."""
        state = request.state
        if not is_full(state.manifests) and not is_full(state.placements):
            return request
        await self._conviction(request.case)
        dataset = self._verified(request).manifest.dataset
        history = await whole_history(await self._context.directory.reach(caller), dataset, state)
        whole = msgspec.structs.replace(
            state, manifests=history.manifests, placements=history.placements
        )
        return msgspec.structs.replace(request, state=whole)

    async def look(self) -> None:
        """Go on with what was begun and could not be finished, or no longer stands."""
        await self._tell_outranked()
        await self._revive()
        with self._context.store.snapshot() as view:
            begun = take_overs.all_begun(view)
        for job in begun:
            try:
                await self._see_through(job.request.case)
            except MfdbError as error:
                log.warning("take-over not finished case=0x%s %s", job.request.case.hex(), error)

    async def _tell_outranked(self) -> None:
        """Let those whose take-over no longer stands know what does, so that they follow it."""
        with self._context.store.snapshot() as view:
            untold = take_overs.outranked(view)
        for dataset, provider in untold:
            with self._context.sparing(dataset):
                await self._tell(dataset, provider)

    async def _tell(self, dataset: DatasetId, provider: Address) -> None:
        with self._context.store.snapshot() as view:
            entries = shelf.placements(view, dataset)
        if await self._has_heard(provider, dataset, entries):
            told = partial(take_overs.drop_outranked, dataset=dataset, provider=provider)
            await self._context.committer.submit(told)

    async def _has_heard(
        self, provider: Address, dataset: DatasetId, entries: tuple[SignedPlacement, ...]
    ) -> bool:
        """Tell somebody what stands; whoever gave up and forgot the dataset need not hear."""
        try:
            await hand_over(await self._context.directory.reach(provider), dataset, entries)
        except UnknownDataset:
            return True
        except MfdbError as error:
            log.warning("not told provider=0x%s %s", provider.hex(), error)
            return False
        return True

    async def _revive(self) -> None:
        """Begin again what was finished and then outranked; forget what has ended."""
        with self._context.store.snapshot() as view:
            finished = take_overs.all_finished(view)
        for job in finished:
            with self._context.sparing(job.dataset):
                await self._revive_one(job)

    async def _revive_one(self, job: TakeOverJob) -> None:
        made = job.agreement.agreement
        with self._context.store.snapshot() as view:
            is_outranked = _is_outranked(view, job)
        if made.end + made.tail_s < self._context.clock.now_s():
            await self._forget(job.request.case)
        elif is_outranked:
            await self._context.committer.submit(partial(take_overs.put_begun, job=job))

    def _verified(self, request: TakeOver) -> Whereabouts:
        if not request.state.manifests:
            raise BadProof("a take-over names a dataset")
        dataset = request.state.manifests[0].manifest.dataset
        return verify_state(request.state, dataset, self._context.network)

    # ---- the agreement

    async def _begin(self, request: TakeOver, found: Whereabouts, case: CaseState) -> None:
        """Keep what is to be done, with the agreement it is done under, if it is not kept yet.

        Raises:
            AccessDenied: this provider has, or is about to have, a part in the dataset: each loss
                is to be one loss, also when two are convicted at once and each one's survivors
                choose the same spare, or when the owner does. Or others hold what was lost by now.
        """
        agreement = await self._agreement(found, case)
        job = TakeOverJob(request=request, agreement=agreement)
        newest = self._newest(found).placement

        def change(transaction: Transaction) -> None:
            if take_overs.of_case(transaction, request.case) is not None:
                return
            if self._context.me in newest.agreements or take_overs.of_subject(
                transaction, agreement.agreement.subject
            ):
                raise AccessDenied("this provider holds a part of the dataset already")
            if self._has_signed(transaction, found):
                raise AccessDenied("this provider is about to hold a part of it for the owner")
            if not _left(newest, case):
                raise AccessDenied("nothing is left to take over: others hold it by now")
            take_overs.put_begun(transaction, job)

        await self._context.committer.submit(change)

    def _has_signed(self, view: shelf.View, found: Whereabouts) -> bool:
        """Return whether the owner has a promise of ours that it may still place."""
        named = (found.manifest.subject, found.manifest.owner)
        made = agreements.proposed_agreement(view, *named)
        return made is not None and is_fresh(made.agreement, self._context.clock.now_s())

    async def _agreement(self, found: Whereabouts, case: CaseState) -> SignedAgreement:
        mandate = found.placement.mandate
        lost = _lost_agreement(found, case)
        if mandate is None:
            raise AccessDenied("the owner gave no mandate to repair")
        offer = self._duties.offer()
        if lost.capacity_bytes > offer.free_bytes:
            raise AccessDenied(f"only {offer.free_bytes} bytes are free here")
        terms = storage_terms(offer, lost.capacity_bytes, mandate.mandate.min_deposit)
        agreement = Agreement(
            subject=lost.subject,
            client=lost.client,
            provider=self._context.me,
            capacity_bytes=lost.capacity_bytes,
            fee_per_epoch=terms.fee,
            epoch_s=lost.epoch_s,
            start=(await self._context.chain.head()).time_s,
            end=lost.end,
            tail_s=lost.tail_s,
            deposit=terms.deposit,
            answer_window_s=lost.answer_window_s,
            mandate=mandate.mandate.struct_hash(),
            nonce=Hash(self._context.entropy.token(32)),
        )
        signature = self._context.keys.signer.sign(self._context.network.digest(agreement))
        return SignedAgreement(
            agreement=agreement, client_signature=b"", provider_signature=signature
        )

    async def _register(self, job: TakeOverJob, found: Whereabouts) -> None:
        """Register the agreement; one that the chain refuses is given up.

        Raises:
            TransactionReverted: the chain refused it.
        """
        mandate = found.placement.mandate
        if mandate is None or await self._context.chain.agreement(job.agreement.agreement.id):
            return
        call = RegisterByMandate(
            agreement=job.agreement.agreement,
            provider_signature=job.agreement.provider_signature,
            mandate=mandate.mandate,
            owner_signature=mandate.signature,
            case=job.request.case,
        )
        try:
            await self._context.chain.send(call, self._context.keys.account)
        except TransactionReverted:
            await self._forget(job.request.case)
            raise

    async def _forget(self, case: CaseId) -> None:
        await self._context.committer.submit(lambda transaction: take_overs.drop(transaction, case))

    # ---- the work

    async def _see_through(self, case_id: CaseId) -> None:
        """Do what is left of a take-over; doing any of it twice does no harm.

        Raises:
            AccessDenied: nothing is left of it: others hold it by now. It is given up.
        """
        async with self._working.setdefault(case_id, asyncio.Lock()):
            with self._context.store.snapshot() as view:
                job = take_overs.begun(view, case_id)
            case = await self._context.chain.case(case_id)
            if job is None or case is None:
                return
            found = self._newest(self._verified(job.request))
            await self._register(job, found)
            found, entry = await self._placed(job, case)
            if entry is None:
                await self._context.committer.submit(partial(self._give_up, job=job))
                raise AccessDenied("nothing is left to take over: others hold it by now")
            await self._settle(case, await self._restore_lost(job.request, found, entry))
            for bundle in found.segments:
                await self._restore(found, entry, bundle)
            await self._context.committer.submit(partial(take_overs.finish, job=job))

    def _give_up(self, transaction: Transaction, job: TakeOverJob) -> None:
        """Forget a take-over, and its dataset unless something of it is placed or promised here."""
        take_overs.drop(transaction, job.request.case)
        placement = shelf.placement(transaction, job.dataset, self._context.network)
        has_part = self._context.me in placement.agreements
        if not has_part and not sealed_shelf.has_shards(transaction, job.dataset):
            sealed_shelf.forget(transaction, job.dataset)

    async def _placed(
        self, job: TakeOverJob, case: CaseState
    ) -> tuple[Whereabouts, SignedPlacement | None]:
        """Return where the dataset stands once everybody who answers agrees, and our entry in it.

        Whoever was away when it was told first would not let us read its shard, so that all are
        told every time. Another entry may outrank ours: then ours follows it, or there is none
        because nothing is left to take. Only what all agree on may be given up: were ours still
        the one that stands for somebody, we would owe it the shards.

        Raises:
            BadProof: others keep changing it; it is tried again later.
        """
        for _ in range(ROUNDS):
            found = self._newest(self._verified(job.request))
            entry = self._known_entry(found, job.agreement)
            if entry is None and self._may_take(found.placement, case):
                entry = self._entry(found, case, job.agreement)
                await self._adopt(found, entry, job.agreement)
            elif await self._agreed(found):
                return found, entry
        raise BadProof("other take-overs keep changing the placement", hint="it is tried again")

    def _may_take(self, placement: Placement, case: CaseState) -> bool:
        """Return whether something is left to take, and we hold nothing yet: each loss is one."""
        return self._context.me not in placement.providers and bool(_left(placement, case))

    async def _agreed(self, found: Whereabouts) -> bool:
        """Tell everybody of the placement; False if somebody knows of one that outranks it."""
        dataset = found.manifest.dataset
        for provider in self._others(found):
            stands = await self._stands_at(provider, dataset, found.placements)
            if stands is not None and stands != found.placements:
                await self._learn(dataset, stands)
        with self._context.store.snapshot() as view:
            return shelf.placements(view, dataset) == found.placements

    async def _learn(self, dataset: DatasetId, entries: tuple[SignedPlacement, ...]) -> None:
        try:
            await self._duties.on_put_placement(PutPlacement(dataset=dataset, entries=entries))
        except MfdbError as error:
            log.warning("a placement log that was told is not good: %s", error)

    def _newest(self, told: Whereabouts) -> Whereabouts:
        """Return what is known here of the dataset, or what was told if that is nothing yet."""
        dataset = told.manifest.dataset
        with self._context.store.snapshot() as view:
            state = DatasetState(
                manifests=shelf.manifests(view, dataset),
                placements=shelf.placements(view, dataset),
                segments=sealed_shelf.segments(view, dataset) or told.segments,
            )
        if not state.placements:
            return told
        return verify_state(state, dataset, self._context.network)

    def _known_entry(self, found: Whereabouts, made: SignedAgreement) -> SignedPlacement | None:
        return next((s for s in found.placements if made in s.entry.agreements), None)

    def _entry(
        self, found: Whereabouts, case: CaseState, agreement: SignedAgreement
    ) -> SignedPlacement:
        entry = PlacementEntry(
            network=self._context.network.id,
            dataset=found.manifest.dataset,
            number=found.placement.number + 1,
            previous=found.placement.head,
            assignments=tuple(
                Assignment(role=Role.SHARD, slot=slot, provider=self._context.me)
                for slot in _left(found.placement, case)
            ),
            agreements=(agreement,),
            mandate=None,
            case=case.id,
        )
        return SignedPlacement(entry=entry, signature=sign(entry, self._context.keys.account))

    async def _adopt(
        self, found: Whereabouts, entry: SignedPlacement, agreement: SignedAgreement
    ) -> None:
        """Keep rules and placement here."""
        await self._duties.remember(agreement)
        for signed in found.manifests:
            await self._duties.on_put_manifest(PutManifest(signed=signed))
        entries = (*found.placements, entry)
        await self._duties.on_put_placement(
            PutPlacement(dataset=found.manifest.dataset, entries=entries)
        )

    def _others(self, found: Whereabouts) -> list[Address]:
        return [one for one in found.placement.providers if one != self._context.me]

    async def _ask(self, provider: Address, message: Request, kind: type[A]) -> A | None:
        """Return what a provider answers, or None if it does not."""
        try:
            correspondent = await self._context.directory.reach(provider)
            return await correspondent.ask(message, kind)
        except MfdbError as error:
            log.warning("not told provider=0x%s %s", provider.hex(), error)
            return None

    async def _stands_at(
        self, provider: Address, dataset: DatasetId, entries: tuple[SignedPlacement, ...]
    ) -> tuple[SignedPlacement, ...] | None:
        """Tell a provider of a placement log; return what stands there then, if it answers."""
        try:
            correspondent = await self._context.directory.reach(provider)
            stands = await hand_over(correspondent, dataset, entries)
        except MfdbError as error:
            log.warning("not told provider=0x%s %s", provider.hex(), error)
            return None
        return stands

    async def _settle(self, case: CaseState, restored: SignedStoreReceipt) -> None:
        if case.compensation == 0:
            return
        call = SettleRepair(case=case.id, receipt=restored.receipt, signature=restored.signature)
        await self._context.chain.send(call, self._context.keys.account)

    # ---- rebuilding

    async def _restore_lost(
        self, request: TakeOver, found: Whereabouts, entry: SignedPlacement
    ) -> SignedStoreReceipt:
        """Restore what the conviction was about, before all else: the escrow's window runs.

        Raises:
            StripeLost: the segment is not known, or fewer than k of its shards can be had.
        """
        for bundle in found.segments:
            if bundle.certificate.segment == request.segment:
                return (await self._restore(found, entry, bundle))[0]
        raise StripeLost("the convicted segment could not be rebuilt")

    async def _restore(
        self, found: Whereabouts, entry: SignedPlacement, bundle: SealedSegment
    ) -> list[SignedStoreReceipt]:
        """Keep our shards of a segment and hand its bundle round; return our receipts for them.

        What was promised before is not rebuilt again, but told again.
        """
        agreement = entry.entry.agreements[0].agreement
        kept = {s.receipt.shard: s for s in bundle.receipts if s.receipt.agreement == agreement.id}
        dataset = found.manifest.dataset
        for slot in (assignment.slot for assignment in entry.entry.assignments):
            if slot not in kept:
                shard = await self._rebuild(found, bundle, slot)
                kept[slot] = await self._store(dataset, bundle, slot, shard, agreement)
        others = (signed for signed in bundle.receipts if signed.receipt.shard not in kept)
        after = msgspec.structs.replace(bundle, receipts=(*others, *kept.values()))
        await self._sealing.hand_round(dataset, after, found.placement)
        return list(kept.values())

    async def _rebuild(self, found: Whereabouts, bundle: SealedSegment, lost: int) -> bytes:
        certificate, dataset = bundle.certificate, found.manifest.dataset
        shards = await fetch_shards(
            self._context, dataset, bundle, found.placement, without=frozenset({lost})
        )
        rebuilt = Codec(certificate.k, certificate.n).rebuild(shards, lost)
        if not is_shard(bundle, lost, rebuilt):
            raise BadProof("the rebuilt shard is not the certified one")
        return rebuilt

    async def _store(
        self,
        dataset: DatasetId,
        bundle: SealedSegment,
        slot: int,
        shard: bytes,
        agreement: Agreement,
    ) -> SignedStoreReceipt:
        receipt = StoreReceipt(
            agreement=agreement.id,
            segment=bundle.certificate.segment,
            shard=slot,
            root=bundle.shard_roots[slot],
            units=unit_count(len(shard)),
            expiry=agreement.end,
        )
        await self._context.committer.submit(
            lambda transaction: sealed_shelf.put_shard(
                transaction, dataset, bundle.certificate.segment, slot, shard
            )
        )
        signature = self._context.keys.signer.sign(self._context.network.digest(receipt))
        return SignedStoreReceipt(receipt=receipt, signature=signature)


def _is_outranked(view: shelf.View, job: TakeOverJob) -> bool:
    """Return whether the log that stands lacks a take-over; one that is not kept lacks nothing."""
    entries = shelf.placements(view, job.dataset)
    return entries != () and all(job.agreement not in s.entry.agreements for s in entries)


def _left(placement: Placement, case: CaseState) -> list[int]:
    """Return the slots that are still placed under the convicted agreement."""
    made = {signed.agreement.id: who for who, signed in placement.agreements.items()}
    convicted = made.get(case.agreement)
    return [slot for slot, holder in sorted(placement.shards.items()) if holder == convicted]


def _lost_agreement(found: Whereabouts, case: CaseState) -> Agreement:
    for signed in found.placement.agreements.values():
        if signed.agreement.id == case.agreement:
            return signed.agreement
    raise AccessDenied("the convicted agreement is not one of this dataset")
