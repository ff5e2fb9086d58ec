"""Taking on duties: offers, agreements, and the rules and placement of the datasets kept."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from mfdb.kernel.errors import (
    AccessDenied,
    BadProof,
    DepositTooSmall,
    UnknownDataset,
)
from mfdb.kernel.ids import ZERO_HASH
from mfdb.node.answers import DatasetState, Done, History, PlacementLog, Segments, Signed
from mfdb.node.dues import Offer
from mfdb.node.provider import agreements, releases, sealed_shelf, shelf, take_overs
from mfdb.node.requests import PutManifest, PutPlacement
from mfdb.node.terms import most_deposit
from mfdb.node.whereabouts import check_on_chain, first_page
from mfdb.rules.authorise import Allowed, authorise
from mfdb.rules.manifest import Action, check_manifest, check_successor
from mfdb.rules.placement import SignedAgreement, common, fold, merged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.kernel.ids import Address, DatasetId
    from mfdb.node.commit import Transaction
    from mfdb.node.provider.context import Context
    from mfdb.node.provider.offering import Offering
    from mfdb.node.requests import GetDataset, GetHistory, GetSegments, ProposeAgreement
    from mfdb.rules.evidence import Agreement
    from mfdb.rules.manifest import Manifest
    from mfdb.rules.placement import Placement, SignedPlacement

MIB = 2**20
PROPOSAL_S = 600
"""How long an agreement that was signed may take to be registered and placed."""
START_SLACK_S = 3600


class Duties:
    """The service that decides what this provider keeps."""

    def __init__(self, context: Context, offering: Offering) -> None:
        self._context = context
        self._offering = offering

    def offer(self) -> Offer:
        """Return what this provider asks for storage and requests."""
        settings, now_s = self._context.settings, self._context.clock.now_s()
        with self._context.store.snapshot() as view:
            drains = releases.is_draining(view)
        record = self._offering.record
        free = record.free_bytes(self._used_bytes(now_s), now_s)
        return Offer(
            fee_per_mib_epoch=record.fee_per_mib(settings.epoch_s),
            deposit_per_mib=record.deposit_per_mib or settings.deposit_per_mib,
            free_bytes=0 if drains else free,
            price_per_request=settings.price_per_request,
            price_per_kib=settings.price_per_kib,
            payment_threshold=settings.payment_threshold,
        )

    def _used_bytes(self, now_s: float) -> int:
        """What is placed here until it ends, and what may be placed any moment.

        An agreement that was signed and never placed keeps its room for a while only, else
        anybody could fill us with promises that cost nothing.
        """
        note = self._context.damage.note
        with self._context.store.snapshot() as view:
            placed = [signed.agreement for signed in agreements.placed_agreements(view, note)]
            proposed = [signed.agreement for signed in agreements.proposed_agreements(view, note)]
        return sum(a.capacity_bytes for a in placed if a.end > now_s) + sum(
            a.capacity_bytes for a in proposed if is_fresh(a, now_s)
        )

    async def on_propose_agreement(self, request: ProposeAgreement, caller: Address) -> Signed:
        """Sign an agreement that pays what we ask and promises no more than we have.

        Raises:
            AccessDenied: it is not for us, or not proposed by its client, or what another lost of
                that dataset is being taken over here: each loss is to be one loss.
            DepositTooSmall: our free deposit does not cover it.
        """
        agreement = request.agreement
        if agreement.provider != self._context.me or agreement.client != caller:
            raise AccessDenied("an agreement is proposed by its client to its provider")
        if agreement.mandate != ZERO_HASH:
            raise AccessDenied("an agreement under a mandate is made by the provider itself")
        await self.check_terms(agreement)
        signature = self._context.keys.signer.sign(self._context.network.digest(agreement))
        signed = SignedAgreement(
            agreement=agreement, client_signature=b"", provider_signature=signature
        )
        await self._context.committer.submit(partial(_propose, signed=signed))
        return Signed(signature=signature)

    async def check_terms(self, agreement: Agreement) -> None:
        """Return quietly if an agreement is one that this provider would enter.

        Raises:
            AccessDenied, DepositTooSmall: it is not.
        """
        offer = self.offer()
        mib = -(-agreement.capacity_bytes // MIB)
        if agreement.capacity_bytes > offer.free_bytes:
            raise AccessDenied(f"only {offer.free_bytes} bytes are free here")
        if agreement.fee_per_epoch < mib * offer.fee_per_mib_epoch:
            raise AccessDenied("the fee is below the offer", hint="ask for the newest offer")
        if agreement.deposit > most_deposit(
            offer, agreement.capacity_bytes, agreement.fee_per_epoch
        ):
            raise AccessDenied("the deposit asked for is above what the offer backs for that fee")
        await self._check_times(agreement)
        deposit = await self._context.chain.deposit(self._context.me)
        if deposit.total - deposit.earmarked < agreement.deposit:
            raise DepositTooSmall(
                "the free deposit does not cover the agreement", hint="STAKE more MFT"
            )

    async def _check_times(self, agreement: Agreement) -> None:
        """Times of an agreement are block times."""
        settings = self._context.settings
        now_s = (await self._context.chain.head()).time_s
        if abs(agreement.start - now_s) > START_SLACK_S or agreement.end <= agreement.start:
            raise AccessDenied("the term of the agreement makes no sense")
        if agreement.answer_window_s < settings.min_answer_window_s:
            raise AccessDenied(
                f"the answer window must be at least {settings.min_answer_window_s} s",
                hint="a provider must be able to answer a case after any outage",
            )
        if agreement.epoch_s > settings.epoch_s:
            raise AccessDenied(f"the fee is for epochs of at most {settings.epoch_s} s")

    async def remember(self, signed: SignedAgreement) -> None:
        """Keep an agreement that this provider signed."""
        await self._context.committer.submit(
            lambda transaction: agreements.put_proposed_agreement(transaction, signed)
        )

    async def on_put_manifest(self, request: PutManifest) -> Done:
        """Keep a manifest version: the first of a dataset we agreed to keep, or the next one.

        Raises:
            UnknownDataset: there is no agreement for it.
            BadProof, BadSignature, WrongNetwork: it is not good.
        """
        check_manifest(request.signed, self._context.network.id)
        await self._context.committer.submit(
            lambda transaction: self._put_manifest(transaction, request)
        )
        return Done()

    def _put_manifest(self, transaction: Transaction, request: PutManifest) -> None:
        new = request.signed.manifest
        known = shelf.manifests(transaction, new.dataset)
        if any(signed.manifest.hash == new.hash for signed in known):
            return
        if known:
            check_successor(known[-1].manifest, new)
        else:
            self._check_first(transaction, new)
        shelf.put_manifest(transaction, request.signed)

    def _check_first(self, transaction: Transaction, manifest: Manifest) -> None:
        named = (manifest.subject, manifest.owner)
        if (
            agreements.proposed_agreement(transaction, *named) is None
            and agreements.placed_agreement(transaction, *named) is None
        ):
            raise UnknownDataset("no agreement was made with this provider for that dataset")
        if manifest.number != 0:
            raise BadProof("the manifests before this one are missing")

    async def on_put_placement(self, request: PutPlacement) -> PlacementLog:
        """Keep placement entries and return the log that stands, from the first of them on.

        Every agreement that they name must be registered on chain. Of a long log it is a page;
        `on_get_history` tells the others.

        Raises:
            BadProof, BadSignature, WrongNetwork, UnknownDataset: they are not good.
        """
        if any(signed.entry.dataset != request.dataset for signed in request.entries):
            raise BadProof("a placement entry is of another dataset")
        while True:
            with self._context.store.snapshot() as view:
                manifest = shelf.manifest(view, request.dataset)
                known = shelf.placements(view, request.dataset)
            stands = merged(known, request.entries)
            shared = common(known, stands)
            before = self._folded(manifest, known[:shared])
            await check_on_chain(self._context.chain, stands[shared:], manifest, before)
            change = partial(self._replace, manifest=manifest, known=known, stands=stands)
            if await self._context.committer.submit(change):
                start = request.entries[0].entry.number if request.entries else 0
                return PlacementLog(entries=first_page(stands[start:]))

    def _folded(self, manifest: Manifest, entries: Sequence[SignedPlacement]) -> Placement:
        return fold(
            entries,
            owner=manifest.owner,
            subject=manifest.subject,
            network=self._context.network,
        )

    def _replace(
        self,
        transaction: Transaction,
        *,
        manifest: Manifest,
        known: Sequence[SignedPlacement],
        stands: Sequence[SignedPlacement],
    ) -> bool:
        """Write the log that stands; False if somebody else has changed it meanwhile."""
        if shelf.placements(transaction, manifest.dataset) != tuple(known):
            return False
        shared = common(known, stands)
        self._folded(manifest, stands)
        for gone in known[shared:]:
            shelf.drop_placement(transaction, gone)
            for made in gone.entry.agreements:
                if made.agreement.provider != self._context.me:
                    take_overs.put_outranked(transaction, manifest.dataset, made.agreement.provider)
        for signed in stands[shared:]:
            shelf.put_placement(transaction, signed)
            for made in signed.entry.agreements:
                if made.agreement.provider == self._context.me:
                    agreements.put_placed_agreement(transaction, made)
        return True

    async def catch_up(self, dataset: DatasetId, state: DatasetState) -> None:
        """Take over what another provider knows of rules and placement and we do not.

        Raises:
            BadProof, BadSignature, WrongNetwork, UnknownDataset: it is not good.
        """
        with self._context.store.snapshot() as view:
            manifests = len(shelf.manifests(view, dataset))
            placements = shelf.placements(view, dataset)
        for signed in state.manifests[manifests:]:
            await self.on_put_manifest(PutManifest(signed=signed))
        if state.placements != placements:
            await self.on_put_placement(PutPlacement(dataset=dataset, entries=state.placements))

    def on_get_segments(self, request: GetSegments, caller: Address) -> Segments:
        """Return a page of the sealed segments, to readers and providers.

        Raises:
            UnknownDataset: it is not kept here.
            AccessDenied: the caller may not read it.
        """
        with self._context.store.snapshot() as view:
            manifest = shelf.manifest(view, request.dataset)
            placement = shelf.placement(view, request.dataset, self._context.network)
            bundles = sealed_shelf.segments_after(view, request.dataset, request.after)
        verdict = authorise(
            manifest.at(self._context.clock.now_s()), Action.SELECT, None, None, caller
        )
        if caller not in placement.providers and not isinstance(verdict, Allowed):
            raise AccessDenied(f"nothing in this dataset is readable by 0x{caller.hex()}")
        return Segments(bundles=bundles)

    def on_get_dataset(self, request: GetDataset, caller: Address) -> DatasetState:
        """Return rules, placement and - to readers and providers - the sealed segments.

        Of each a first page; `on_get_history` and `on_get_segments` tell the others.

        Raises:
            UnknownDataset: it is not kept here.
            AccessDenied: the caller has no right at all in it.
        """
        dataset = request.dataset
        manifest, serves = self._context.demand_part(dataset, caller)
        with self._context.store.snapshot() as view:
            segments = sealed_shelf.segments_after(view, dataset, b"")
            manifests = first_page(shelf.manifests(view, dataset))
            placements = first_page(shelf.placements(view, dataset))
        reads = serves or isinstance(
            authorise(manifest, Action.SELECT, None, None, caller), Allowed
        )
        return DatasetState(
            manifests=manifests, placements=placements, segments=segments if reads else ()
        )

    def on_get_history(self, request: GetHistory, caller: Address) -> History:
        """Return a page each of later manifests and placement entries.

        Raises:
            UnknownDataset: it is not kept here.
            AccessDenied: the caller has no right at all in it, and is not asked to take it over.
        """
        if (request.dataset, caller) not in self._context.invited:
            self._context.demand_part(request.dataset, caller)
        with self._context.store.snapshot() as view:
            manifests = shelf.manifests(view, request.dataset)
            placements = shelf.placements(view, request.dataset)
        return History(
            manifests=first_page(manifests[max(0, request.manifests) :]),
            placements=first_page(placements[max(0, request.placements) :]),
        )


def is_fresh(proposed: Agreement, now_s: float) -> bool:
    """Return whether an agreement that was signed may still be registered and placed."""
    return proposed.start > now_s - PROPOSAL_S


def _propose(transaction: Transaction, *, signed: SignedAgreement) -> None:
    if take_overs.of_subject(transaction, signed.agreement.subject):
        raise AccessDenied(
            "this provider is just taking over what another lost of the dataset",
            hint="ask for where the dataset stands and move it again",
        )
    agreements.put_proposed_agreement(transaction, signed)
