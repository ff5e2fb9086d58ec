"""Repair after a conviction: a spare provider takes the shards over under the owner's mandate.

    conviction -> a surviving provider leads -> asks the best spare to take over
    spare: agreement under the mandate, registered on chain -> placement entry -> k shards fetched
           -> shard rebuilt and receipted -> bundle handed round -> escrow settles (DESIGN 8)

Neither the owner nor any key is needed. Survivors lead in rendezvous order, each later one only
if the placement has not changed by then.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import msgspec

from mfdb.chain.port import CaseStatus, RegisterByMandate, SettleRepair
from mfdb.kernel.errors import AccessDenied, BadProof, MfdbError, StripeLost
from mfdb.kernel.ids import Hash, Wei
from mfdb.node.messages import (
    DatasetState,
    Done,
    GetShard,
    PutManifest,
    PutPlacement,
    PutSealed,
    Shard,
    TakeOver,
)
from mfdb.node.provider import shelf
from mfdb.node.whereabouts import verify_state
from mfdb.rules.evidence import Agreement, StoreReceipt
from mfdb.rules.merkle import unit_count
from mfdb.rules.placement import (
    Assignment,
    PlacementEntry,
    Role,
    SignedAgreement,
    SignedPlacement,
)
from mfdb.rules.signing import sign
from replication.codec import Codec
from replication.placement import Candidate, rank
from replication.segment import SealedSegment, SignedStoreReceipt, is_shard

if TYPE_CHECKING:
    from collections.abc import Collection

    from mfdb.chain.port import CaseClosed, CaseOpened, CaseState
    from mfdb.kernel.ids import Address, DatasetId
    from mfdb.node.provider.context import Context
    from mfdb.node.provider.court import Court
    from mfdb.node.provider.duties import Duties
    from mfdb.node.provider.sealing import Sealing
    from mfdb.node.whereabouts import Whereabouts

log = logging.getLogger(__name__)
STEP_S = 10.0
"""How long the next survivor in line waits for the one before it."""


class Repairing:
    """The service that leads repairs and takes shards over."""

    def __init__(self, context: Context, court: Court, duties: Duties, sealing: Sealing) -> None:
        self._context = context
        self._court = court
        self._duties = duties
        self._sealing = sealing

    # ---- leading

    async def look(self) -> None:
        """Lead the repair of what was convicted, if it is this provider's turn."""
        convicted, self._court.convicted = self._court.convicted, []
        for opened, closed in ((c.opened, c.closed) for c in convicted):
            found = self._dataset_of(opened)
            if found is None:
                continue
            dataset, survivors = found
            ranked = rank((Candidate(provider=p) for p in survivors), opened.case)
            place = [candidate.provider for candidate in ranked].index(self._context.me)
            await asyncio.sleep(place * STEP_S)
            if self._still_placed(dataset, opened):
                await self._lead(dataset, opened, closed)

    def _dataset_of(self, opened: CaseOpened) -> tuple[DatasetId, list[Address]] | None:
        """Return the dataset that a case is about and its surviving providers, if we are one."""
        with self._context.store.snapshot() as view:
            for dataset in shelf.datasets(view):
                placement = shelf.placement(view, dataset, self._context.network)
                if placement.agreement_of(opened.provider) == opened.agreement:
                    survivors = [p for p in placement.providers if p != opened.provider]
                    return (dataset, survivors) if self._context.me in survivors else None
        return None

    def _still_placed(self, dataset: DatasetId, opened: CaseOpened) -> bool:
        return opened.provider in self._context.placement(dataset).shards.values()

    async def _lead(self, dataset: DatasetId, opened: CaseOpened, closed: CaseClosed) -> None:
        placement = self._context.placement(dataset)
        mandate = placement.mandate
        if mandate is None:
            log.error("no mandate to repair under dataset=0x%s", dataset.hex())
            return
        candidates = await self._candidates(
            placement.agreements, mandate.mandate.min_deposit, closed.case
        )
        with self._context.store.snapshot() as view:
            state = DatasetState(
                manifests=shelf.manifests(view, dataset),
                placements=shelf.placements(view, dataset),
                segments=shelf.segments(view, dataset),
            )
        request = TakeOver(
            case=closed.case,
            agreement=opened.agreement,
            segment=opened.receipt.segment,
            state=state,
        )
        for candidate in candidates:
            try:
                correspondent = await self._context.directory.reach(candidate.provider)
                await correspondent.ask(request, Done, timeout_s=120)
            except MfdbError as error:
                log.warning("take-over failed by=0x%s %s", candidate.provider.hex(), error)
            else:
                return
        log.error("nobody takes over case=0x%s", closed.case.hex())

    async def _candidates(
        self, holding: Collection[Address], min_deposit: Wei, seed: bytes
    ) -> list[Candidate]:
        offers = []
        for provider in await self._context.directory.providers():
            if provider in holding:
                continue
            deposit = await self._context.chain.deposit(provider)
            if deposit.total - deposit.earmarked >= min_deposit:
                offers.append(Candidate(provider=provider))
        return rank(offers, seed)

    # ---- taking over

    async def on_take_over(self, request: TakeOver, caller: Address) -> Done:
        """Take over the shards of a convicted provider.

        Raises:
            AccessDenied: the caller is no provider of the dataset, or there is no conviction.
            StripeLost: fewer than k shards could be fetched.
            MfdbError: the agreement under the mandate was refused by the chain.
        """
        dataset = request.state.manifests[0].manifest.dataset if request.state.manifests else None
        if dataset is None:
            raise BadProof("a take-over names a dataset")
        found = verify_state(request.state, dataset, self._context.network)
        if caller not in found.placement.providers:
            raise AccessDenied("only a provider of the dataset may ask for a take-over")
        case = await self._context.chain.case(request.case)
        if case is None or case.status is not CaseStatus.GUILTY:
            raise AccessDenied("there is no conviction to answer with a take-over")
        agreement = await self._agree(found, case)
        entry = self._entry(found, case, agreement)
        await self._adopt(found, entry, agreement)
        receipts = await self._rebuild_all(dataset, found, entry)
        lost = next((r for r in receipts if r.receipt.segment == request.segment), None)
        if lost is None:
            raise StripeLost("the convicted segment could not be rebuilt")
        await self._context.chain.send(
            SettleRepair(case=case.id, receipt=lost.receipt, signature=lost.signature),
            self._context.keys.account,
        )
        return Done()

    async def _agree(self, found: Whereabouts, case: CaseState) -> SignedAgreement:
        mandate = found.placement.mandate
        lost = _lost_agreement(found, case)
        if mandate is None:
            raise AccessDenied("the owner gave no mandate to repair")
        offer = self._duties.offer()
        mib = -(-lost.capacity_bytes // 2**20)
        agreement = Agreement(
            subject=lost.subject,
            client=lost.client,
            provider=self._context.me,
            capacity_bytes=lost.capacity_bytes,
            fee_per_epoch=Wei(mib * offer.fee_per_mib_epoch),
            epoch_s=lost.epoch_s,
            start=(await self._context.chain.head()).time_s,
            end=lost.end,
            tail_s=lost.tail_s,
            deposit=Wei(mib * offer.deposit_per_mib),
            answer_window_s=lost.answer_window_s,
            mandate=mandate.mandate.struct_hash(),
            nonce=Hash(self._context.entropy.token(32)),
        )
        signature = self._context.keys.signer.sign(self._context.network.digest(agreement))
        await self._context.chain.send(
            RegisterByMandate(
                agreement=agreement,
                provider_signature=signature,
                mandate=mandate.mandate,
                owner_signature=mandate.signature,
                case=case.id,
            ),
            self._context.keys.account,
        )
        return SignedAgreement(
            agreement=agreement, client_signature=b"", provider_signature=signature
        )

    def _entry(
        self, found: Whereabouts, case: CaseState, agreement: SignedAgreement
    ) -> SignedPlacement:
        convicted = _lost_agreement(found, case).provider
        slots = [s for s, holder in sorted(found.placement.shards.items()) if holder == convicted]
        entry = PlacementEntry(
            network=self._context.network.id,
            dataset=found.manifest.dataset,
            number=found.placement.number + 1,
            previous=found.placement.head,
            assignments=tuple(
                Assignment(role=Role.SHARD, slot=slot, provider=self._context.me) for slot in slots
            ),
            agreements=(agreement,),
            mandate=None,
            case=case.id,
        )
        return SignedPlacement(entry=entry, signature=sign(entry, self._context.keys.account))

    async def _adopt(
        self, found: Whereabouts, entry: SignedPlacement, agreement: SignedAgreement
    ) -> None:
        """Keep rules and placement here, then tell every other provider."""
        await self._duties.remember(agreement)
        for signed in found.manifests:
            await self._duties.on_put_manifest(PutManifest(signed=signed))
        placements = PutPlacement(
            dataset=found.manifest.dataset, entries=(*found.placements, entry)
        )
        await self._duties.on_put_placement(placements)
        await self._tell(found, placements)

    async def _tell(self, found: Whereabouts, message: PutPlacement | PutSealed) -> None:
        for provider in found.placement.providers:
            try:
                correspondent = await self._context.directory.reach(provider)
                await correspondent.ask(message, Done)
            except MfdbError as error:
                log.warning("not told provider=0x%s %s", provider.hex(), error)

    # ---- rebuilding

    async def _rebuild_all(
        self, dataset: DatasetId, found: Whereabouts, entry: SignedPlacement
    ) -> list[SignedStoreReceipt]:
        receipts = []
        agreement = entry.entry.agreements[0].agreement
        for bundle in found.segments:
            for assignment in entry.entry.assignments:
                shard = await self._rebuild(dataset, found, bundle, assignment.slot)
                signed = await self._store(bundle, assignment.slot, shard, agreement)
                receipts.append(signed)
                others = tuple(s for s in bundle.receipts if s.receipt.shard != assignment.slot)
                after = msgspec.structs.replace(bundle, receipts=(*others, signed))
                message = PutSealed(dataset=dataset, bundle=after)
                await self._sealing.on_put_sealed(message)
                await self._tell(found, message)
        return receipts

    async def _rebuild(
        self, dataset: DatasetId, found: Whereabouts, bundle: SealedSegment, lost: int
    ) -> bytes:
        certificate = bundle.certificate
        shards: dict[int, bytes] = {}
        for slot, holder in sorted(found.placement.shards.items()):
            if slot == lost or len(shards) == certificate.k:
                continue
            request = GetShard(dataset=dataset, segment=certificate.segment, shard=slot)
            try:
                correspondent = await self._context.directory.reach(holder)
                data = (await correspondent.ask(request, Shard)).data
            except MfdbError as error:
                log.warning("shard not fetched from=0x%s %s", holder.hex(), error)
                continue
            if is_shard(bundle, slot, data):
                shards[slot] = data
        rebuilt = Codec(certificate.k, certificate.n).rebuild(shards, lost)
        if not is_shard(bundle, lost, rebuilt):
            raise BadProof("the rebuilt shard is not the certified one")
        return rebuilt

    async def _store(
        self, bundle: SealedSegment, slot: int, shard: bytes, agreement: Agreement
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
            lambda transaction: shelf.put_shard(
                transaction, bundle.certificate.segment, slot, shard
            )
        )
        signature = self._context.keys.signer.sign(self._context.network.digest(receipt))
        return SignedStoreReceipt(receipt=receipt, signature=signature)


def _lost_agreement(found: Whereabouts, case: CaseState) -> Agreement:
    for signed in found.placement.agreements.values():
        if signed.agreement.id == case.agreement:
            return signed.agreement
    raise AccessDenied("the convicted agreement is not one of this dataset")
