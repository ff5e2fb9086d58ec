"""Placing a new dataset: offers, choice, signed agreements, earmarked deposits, publication."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mfdb.chain.port import RegisterAgreement
from mfdb.kernel.errors import AccessDenied, DepositTooSmall, MfdbError, NoProviders
from mfdb.kernel.ids import ZERO_HASH, Hash, Wei
from mfdb.node.answers import Done, PlacementLog, Signed
from mfdb.node.requests import ProposeAgreement, PutManifest, PutPlacement
from mfdb.node.terms import storage_terms
from mfdb.node.whereabouts import Whereabouts
from mfdb.rules.evidence import Agreement, RepairMandate
from mfdb.rules.placement import (
    Assignment,
    PlacementEntry,
    Role,
    SignedAgreement,
    SignedMandate,
    SignedPlacement,
    fold,
)
from mfdb.rules.signing import sign
from replication.placement import Candidate, Terms, choose

if TYPE_CHECKING:
    from collections.abc import Sequence, Set

    from mfdb.kernel.ids import Address
    from mfdb.node.client.context import ClientContext
    from mfdb.node.directory import Correspondent
    from mfdb.rules.manifest import Manifest, SignedManifest

log = logging.getLogger(__name__)
MIB = 2**20


@dataclass(frozen=True, slots=True)
class Offering:
    """A provider that answered, and its free deposit."""

    correspondent: Correspondent
    free_deposit: Wei


class Placer:
    """The service that finds providers for a dataset and binds them."""

    def __init__(self, context: ClientContext) -> None:
        self._context = context

    async def place(self, signed: SignedManifest) -> Whereabouts:
        """Return where a new dataset stands, once n providers are bound and hold its rules.

        Raises:
            NoProviders: fewer than n satisfy the profile, with what excluded whom.
            TransactionReverted, ChainUnavailable: the chain is in the way.
        """
        manifest = signed.manifest
        chosen = await self.choose(manifest, manifest.profile.n)
        mandate = await self._mandate(manifest, chosen)
        agreements = await self.bind(manifest, chosen)
        entry = self._entry(manifest, agreements, mandate)
        await self._publish(signed, entry, [offering.correspondent for offering in chosen])
        placement = fold(
            [entry], owner=manifest.owner, subject=manifest.subject, network=self._context.network
        )
        return Whereabouts(
            manifests=(signed,), placements=(entry,), placement=placement, segments=()
        )

    async def bind(self, manifest: Manifest, chosen: Sequence[Offering]) -> list[SignedAgreement]:
        """Return registered agreements with these providers.

        Raises:
            AccessDenied, DepositTooSmall: one of them refuses.
            TransactionReverted, ChainUnavailable: the chain is in the way.
        """
        agreements = [await self._agree(manifest, offering) for offering in chosen]
        for agreement in agreements:
            await self._register(agreement)
        return agreements

    async def engage(
        self,
        manifest: Manifest,
        count: int,
        *,
        exclude: Set[Address] = frozenset(),
        among: Set[Address] | None = None,
    ) -> list[SignedAgreement]:
        """Return registered agreements with the best who agree; who refuses is passed over.

        A provider that is just taking over a lost shard of the dataset refuses, say.

        Raises:
            NoProviders: there are not enough, with what excluded whom.
            TransactionReverted, ChainUnavailable: the chain is in the way.
        """
        agreed: dict[Address, SignedAgreement] = {}
        refusing: set[Address] = set()
        while True:
            chosen = await self.choose(manifest, count, exclude=exclude | refusing, among=among)
            for offering in chosen:
                identity = offering.correspondent.identity
                try:
                    agreed[identity] = agreed.get(identity) or await self._agree(manifest, offering)
                except (AccessDenied, DepositTooSmall) as error:
                    log.warning("no agreement provider=0x%s %s", identity.hex(), error)
                    refusing.add(identity)
            if all(offering.correspondent.identity in agreed for offering in chosen):
                break
        agreements = [agreed[offering.correspondent.identity] for offering in chosen]
        for agreement in agreements:
            await self._register(agreement)
        return agreements

    async def choose(
        self,
        manifest: Manifest,
        count: int,
        *,
        exclude: Set[Address] = frozenset(),
        among: Set[Address] | None = None,
    ) -> list[Offering]:
        """Return the best offers for a dataset.

        Raises:
            NoProviders: there are not enough, with what excluded whom.
        """
        if not count:
            return []
        records = await self._context.directory.providers()
        asked = [one for one in records if among is None or one in among]
        found = await asyncio.gather(*(self._ask(one) for one in asked if one not in exclude))
        offerings = {o.correspondent.identity: o for o in found if o is not None}
        capacity = self._context.settings.capacity_bytes
        candidates = [
            _candidate(offering, capacity, manifest.least_deposit)
            for offering in offerings.values()
        ]
        # Candidates are priced per GiB, ceilings per MiB.
        ceiling = Wei(1024 * (manifest.price_ceiling or self._context.settings.fee_ceiling_per_mib))
        picked = choose(
            candidates,
            manifest.dataset,
            count,
            exclude=exclude,
            terms=Terms(price_ceiling=ceiling),
        )
        return [offerings[candidate.provider] for candidate in picked]

    async def _ask(self, identity: Address) -> Offering | None:
        try:
            correspondent = await self._context.directory.quote(identity)
        except MfdbError as error:
            log.info("a provider makes no offer identity=0x%s %s", identity.hex(), error)
            return None
        if correspondent.offer is None:
            return None
        deposit = await self._context.chain.deposit(identity)
        return Offering(correspondent, Wei(deposit.total - deposit.earmarked))

    async def _agree(self, manifest: Manifest, offering: Offering) -> SignedAgreement:
        agreement = await self._draft(manifest, offering)
        answer = await offering.correspondent.ask(ProposeAgreement(agreement=agreement), Signed)
        mine = self._context.keys.account.sign(self._context.network.digest(agreement))
        return SignedAgreement(
            agreement=agreement, client_signature=mine, provider_signature=answer.signature
        )

    async def _draft(self, manifest: Manifest, offering: Offering) -> Agreement:
        settings = self._context.settings
        offer = offering.correspondent.offer
        if offer is None:
            raise NoProviders("the provider has withdrawn its offer")
        terms = storage_terms(offer, settings.capacity_bytes, manifest.least_deposit)
        start = (await self._context.chain.head()).time_s
        return Agreement(
            subject=manifest.subject,
            client=self._context.me,
            provider=offering.correspondent.identity,
            capacity_bytes=settings.capacity_bytes,
            fee_per_epoch=terms.fee,
            epoch_s=settings.epoch_s,
            start=start,
            end=start + settings.term_s,
            tail_s=settings.tail_s,
            deposit=terms.deposit,
            answer_window_s=settings.answer_window_s,
            mandate=ZERO_HASH,
            nonce=Hash(self._context.entropy.token(32)),
        )

    async def _register(self, signed: SignedAgreement) -> None:
        agreement = signed.agreement
        epochs = -(-(agreement.end - agreement.start) // agreement.epoch_s)
        await self._context.chain.send(
            RegisterAgreement(
                agreement=agreement,
                client_signature=signed.client_signature,
                provider_signature=signed.provider_signature,
                funding=Wei(epochs * agreement.fee_per_epoch),
            ),
            self._context.keys.account,
        )

    async def _mandate(self, manifest: Manifest, chosen: Sequence[Offering]) -> SignedMandate:
        settings = self._context.settings
        offers = [o.correspondent.offer for o in chosen if o.correspondent.offer is not None]
        terms = [
            storage_terms(offer, settings.capacity_bytes, manifest.least_deposit)
            for offer in offers
        ]
        dearest = max(one.fee for one in terms)
        epochs = -(-settings.term_s // settings.epoch_s)
        end = (await self._context.chain.head()).time_s + settings.term_s
        mandate = RepairMandate(
            subject=manifest.subject,
            owner=self._context.me,
            fee_cap_per_epoch=Wei(2 * dearest),
            repair_fee=settings.repair_fee,
            budget=Wei(manifest.profile.n * (settings.repair_fee + 2 * dearest * epochs)),
            min_deposit=min(one.deposit for one in terms),
            capacity_bytes=settings.capacity_bytes,
            expiry=end,
            nonce=Hash(self._context.entropy.token(32)),
        )
        signature = self._context.keys.account.sign(self._context.network.digest(mandate))
        return SignedMandate(mandate=mandate, signature=signature)

    def _entry(
        self,
        manifest: Manifest,
        agreements: Sequence[SignedAgreement],
        mandate: SignedMandate,
    ) -> SignedPlacement:
        holders = [signed.agreement.provider for signed in agreements]
        replicas = holders[: manifest.profile.replicas]
        entry = PlacementEntry(
            network=self._context.network.id,
            dataset=manifest.dataset,
            number=0,
            previous=ZERO_HASH,
            assignments=(
                *_assign(Role.REPLICA, replicas),
                *_assign(Role.SHARD, holders),
            ),
            agreements=tuple(agreements),
            mandate=mandate,
            case=b"",
        )
        return SignedPlacement(entry=entry, signature=sign(entry, self._context.keys.account))

    async def _publish(
        self,
        signed: SignedManifest,
        entry: SignedPlacement,
        correspondents: Sequence[Correspondent],
    ) -> None:
        """Every provider must take rules and placement: a duty nobody knows of is none."""
        dataset = signed.manifest.dataset
        for correspondent in correspondents:
            await correspondent.ask(PutManifest(signed=signed), Done)
            await correspondent.ask(PutPlacement(dataset=dataset, entries=(entry,)), PlacementLog)


def _assign(role: Role, providers: Sequence[Address]) -> tuple[Assignment, ...]:
    return tuple(
        Assignment(role=role, slot=slot, provider=provider)
        for slot, provider in enumerate(providers)
    )


def _candidate(offering: Offering, capacity_bytes: int, least_deposit: Wei) -> Candidate:
    offer = offering.correspondent.offer
    assert offer is not None  # only offering providers come here
    terms = storage_terms(offer, capacity_bytes, least_deposit)
    enough = offering.free_deposit >= terms.deposit >= least_deposit
    return Candidate(
        provider=offering.correspondent.identity,
        capacity_weight=offer.free_bytes // MIB if enough else 0,
        price=Wei(1024 * offer.fee_per_mib_epoch),
        deposit=offering.free_deposit,
    )
