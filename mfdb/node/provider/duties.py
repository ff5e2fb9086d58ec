"""Taking on duties: offers, agreements, and the rules and placement of the datasets kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.kernel.errors import (
    AccessDenied,
    BadProof,
    DepositTooSmall,
    UnknownDataset,
)
from mfdb.kernel.ids import ZERO_HASH
from mfdb.node.messages import (
    DatasetState,
    Done,
    Offer,
    PutManifest,
    PutPlacement,
    Signed,
)
from mfdb.node.provider import shelf
from mfdb.rules.authorise import Allowed, authorise
from mfdb.rules.manifest import Action, Manifest, check_manifest, check_successor
from mfdb.rules.placement import SignedAgreement, extend

if TYPE_CHECKING:
    from mfdb.kernel.ids import Address, DatasetId
    from mfdb.node.commit import Transaction
    from mfdb.node.messages import GetDataset, ProposeAgreement
    from mfdb.node.provider.context import Context
    from mfdb.rules.evidence import Agreement
    from mfdb.rules.placement import SignedPlacement

MIB = 2**20


class Duties:
    """The service that decides what this provider keeps."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def offer(self) -> Offer:
        """Return what this provider asks for storage and requests."""
        settings = self._context.settings
        with self._context.store.snapshot() as view:
            used = sum(a.agreement.capacity_bytes for a in shelf.my_agreements(view))
        return Offer(
            fee_per_mib_epoch=settings.fee_per_mib_epoch,
            deposit_per_mib=settings.deposit_per_mib,
            free_bytes=max(0, settings.capacity_bytes - used),
            price_per_request=settings.price_per_request,
            price_per_kib=settings.price_per_kib,
            payment_threshold=settings.payment_threshold,
        )

    async def on_propose_agreement(self, request: ProposeAgreement, caller: Address) -> Signed:
        """Sign an agreement that pays what we ask and promises no more than we have.

        Raises:
            AccessDenied: it is not for us, or not proposed by its client.
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
        await self.remember(signed)
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
        if agreement.deposit > mib * offer.deposit_per_mib:
            raise AccessDenied("the deposit asked for is above the offer")
        if agreement.start > self._context.clock.now_s() + 3600 or agreement.end <= agreement.start:
            raise AccessDenied("the term of the agreement makes no sense")
        deposit = await self._context.chain.deposit(self._context.me)
        if deposit.total - deposit.earmarked < agreement.deposit:
            raise DepositTooSmall(
                "the free deposit does not cover the agreement", hint="STAKE more MFT"
            )

    async def remember(self, signed: SignedAgreement) -> None:
        """Keep an agreement that this provider signed."""
        await self._context.committer.submit(
            lambda transaction: shelf.put_my_agreement(transaction, signed)
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
        agreement = shelf.my_agreement(transaction, manifest.subject)
        if agreement is None or agreement.agreement.client != manifest.owner:
            raise UnknownDataset("no agreement was made with this provider for that dataset")
        if manifest.number != 0:
            raise BadProof("the manifests before this one are missing")

    async def on_put_placement(self, request: PutPlacement) -> Done:
        """Keep placement entries; every agreement they name must be registered on chain.

        Raises:
            BadProof, BadSignature, WrongNetwork, UnknownDataset: they are not good.
        """
        for signed in request.entries:
            if signed.entry.dataset != request.dataset:
                raise BadProof("a placement entry is of another dataset")
            await self._check_registered(signed)
        await self._context.committer.submit(
            lambda transaction: self._put_placement(transaction, request)
        )
        return Done()

    async def _check_registered(self, signed: SignedPlacement) -> None:
        for made in signed.entry.agreements:
            if await self._context.chain.agreement(made.agreement.id) is None:
                raise BadProof(
                    "an agreement of the placement entry is not registered on chain",
                    hint="register it first, the deposit must be earmarked",
                )

    def _put_placement(self, transaction: Transaction, request: PutPlacement) -> None:
        manifest = shelf.manifest(transaction, request.dataset)
        placement = shelf.placement(transaction, request.dataset, self._context.network)
        for signed in request.entries:
            if signed.entry.number <= placement.number:
                continue
            placement = extend(
                placement,
                signed,
                owner=manifest.owner,
                subject=manifest.subject,
                network=self._context.network,
            )
            shelf.put_placement(transaction, signed)

    async def catch_up(self, dataset: DatasetId, state: DatasetState) -> None:
        """Take over what another provider knows of rules and placement and we do not.

        Raises:
            BadProof, BadSignature, WrongNetwork, UnknownDataset: it is not good.
        """
        with self._context.store.snapshot() as view:
            manifests = len(shelf.manifests(view, dataset))
            placements = len(shelf.placements(view, dataset))
        for signed in state.manifests[manifests:]:
            await self.on_put_manifest(PutManifest(signed=signed))
        if len(state.placements) > placements:
            entries = state.placements[placements:]
            await self.on_put_placement(PutPlacement(dataset=dataset, entries=entries))

    def on_get_dataset(self, request: GetDataset, caller: Address) -> DatasetState:
        """Return rules, placement and - to readers and providers - the sealed segments.

        Raises:
            UnknownDataset: it is not kept here.
            AccessDenied: the caller has no right at all in it.
        """
        with self._context.store.snapshot() as view:
            manifest = shelf.manifest(view, request.dataset)
            placement = shelf.placement(view, request.dataset, self._context.network)
            segments = shelf.segments(view, request.dataset)
            manifests = shelf.manifests(view, request.dataset)
            placements = shelf.placements(view, request.dataset)
        serves = caller in placement.providers
        if not serves and not _has_any_right(manifest, caller):
            raise AccessDenied(f"nothing in this dataset is granted to 0x{caller.hex()}")
        reads = serves or isinstance(
            authorise(manifest, Action.SELECT, None, None, caller), Allowed
        )
        return DatasetState(
            manifests=manifests, placements=placements, segments=segments if reads else ()
        )


def _has_any_right(manifest: Manifest, identity: Address) -> bool:
    return any(
        isinstance(authorise(manifest, action, None, None, identity), Allowed) for action in Action
    )
