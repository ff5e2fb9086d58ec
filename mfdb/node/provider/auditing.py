"""Auditing the other holders of our segments, off chain first, in court if they fail.

`mfdb.court.rota` says whom this provider audits, the beacon which units it asks for. A refusal or a
wrong answer is an offence at once. Silence is none by itself, but a holder that stays silent is
asked in court, where an honest one answers as soon as it is back.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

from mfdb.court.rota import audits_of
from mfdb.kernel.errors import (
    ChainError,
    MfdbError,
    NetworkError,
    PaymentError,
    UnknownIdentity,
    WrongVersion,
)
from mfdb.node.answers import Proofs
from mfdb.node.provider import sealed_shelf, shelf
from mfdb.node.requests import Audit
from replication.audit import failed_draw

if TYPE_CHECKING:
    from mfdb.kernel.ids import Address, AgreementId, DatasetId, Hash
    from mfdb.node.provider.context import Context
    from mfdb.node.provider.court import Court
    from replication.segment import SignedStoreReceipt

log = logging.getLogger(__name__)
BASIS_POINTS = 10_000
NO_OFFENCE = (NetworkError, PaymentError, ChainError, UnknownIdentity, WrongVersion)
"""Why an audit may go unanswered though the shard is there."""


class Auditing:
    """The service that checks others."""

    def __init__(self, context: Context, court: Court) -> None:
        self._context = context
        self._court = court
        self._done_epoch = -1
        self._draws = 0
        self._silent: Counter[AgreementId] = Counter()

    async def look(self) -> None:
        """Audit once per epoch, when its beacon stands."""
        terms = await self._context.chain.terms()
        epoch = (await self._context.chain.head()).time_s // terms.epoch_s
        if epoch <= self._done_epoch:
            return
        beacon = await self._court.beacon(epoch)
        if beacon is None:
            return
        self._done_epoch = epoch
        self._draws = terms.draws
        for holder, signed in self._mine(beacon):
            await self._audit(holder, signed, epoch, beacon)

    def _mine(self, beacon: Hash) -> list[tuple[Address, SignedStoreReceipt]]:
        """Return the receipts that this provider is elected to audit, with their holders."""
        mine: list[tuple[Address, SignedStoreReceipt]] = []
        for dataset in self._context.kept():
            with self._context.sparing(dataset):
                mine += self._mine_of(dataset, beacon)
        return mine

    def _mine_of(
        self, dataset: DatasetId, beacon: Hash
    ) -> list[tuple[Address, SignedStoreReceipt]]:
        share_bp = round(self._context.settings.audit_share * BASIS_POINTS)
        with self._context.store.snapshot() as view:
            placement = shelf.placement(view, dataset, self._context.network)
            bundles = sealed_shelf.segments(view, dataset)
        me = self._context.me
        return list(audits_of(me, placement, bundles, beacon, share_bp=share_bp))

    async def _audit(
        self, holder: Address, signed: SignedStoreReceipt, epoch: int, beacon: Hash
    ) -> None:
        state = await self._context.chain.agreement(signed.receipt.agreement)
        if state is None or state.earmarked == 0:
            return
        draw = await self._failed_draw(holder, signed, beacon)
        if draw is not None:
            log.warning("audit failed holder=0x%s draw=%d", holder.hex(), draw)
            await self._court.accuse(signed, epoch, draw)

    async def _failed_draw(
        self, holder: Address, signed: SignedStoreReceipt, beacon: Hash
    ) -> int | None:
        try:
            correspondent = await self._context.directory.reach(holder)
            request = Audit(receipt=signed.receipt, beacon=beacon)
            proofs = await correspondent.ask(request, Proofs)
        except NO_OFFENCE as error:
            log.info("audit unanswered holder=0x%s %s", holder.hex(), error)
            return self._silence(signed.receipt.agreement)
        except MfdbError as error:
            log.info("audit refused holder=0x%s %s", holder.hex(), error)
            return 0
        self._silent.pop(signed.receipt.agreement, None)
        return failed_draw(signed.receipt, beacon, proofs.answer, self._draws)

    def _silence(self, agreement: AgreementId) -> int | None:
        """Return the draw to sue over, once our patience with a holder is used up.

        Silence is no offence by itself, but a question in court cannot be left unanswered.
        """
        self._silent[agreement] += 1
        if self._silent[agreement] < self._context.settings.patience:
            return None
        del self._silent[agreement]
        return 0
